"""The path of the VAD: from its decisions to utterances, and from these to the readers' windows."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from streamd.modules.base import Reader, ReaderContext
from streamd.modules.registry import ModuleSet, Registry
from streamd.modules.speaker import SpeakerModule
from streamd.modules.stateful import StatefulReader
from streamd.session.activity import Activity
from streamd.session.barrier import Barrier
from streamd.session.chains import BLOCK
from streamd.session.enrolments import Enrolments, EnrolRequest
from streamd.session.levels import UtteranceLevels
from streamd.session.margins import make_room
from streamd.session.segmenter import Closed, Opened, Segmenter, SegmenterConfig
from streamd.session.shared import Shared
from streamd.session.track import Mark
from streamd.session.utterances import Utterances
from streamd.settings import VadSettings
from streamd.types import RATE_HZ


class Speech:
    """Turns the VAD's decisions into utterances.

    Args:
        registry: The modules of the server.
        modules: The modules that are on at first.
        context: The parts of the session that readers may use.
        shared: The parts that all paths of the session use.
        activities: Take the VAD's decisions about live audio.
        utterances: Emits the events of utterances.
        enrolments: Takes each request to enrol at its place.
    """

    def __init__(
        self,
        registry: Registry,
        modules: ModuleSet,
        context: ReaderContext,
        shared: Shared,
        activities: Sequence[Activity],
        utterances: Utterances,
        enrolments: Enrolments,
    ) -> None:
        settings = registry.vad.effective(modules.get("vad"))
        self.segmenter = Segmenter(_segmenter_config(settings))
        self._frame = registry.vad.grid.frame
        self._registry = registry
        self._modules = modules
        """The modules of utterances that open now."""
        self._context = context
        self._rings = (shared.ring, shared.voices)
        self._vad = shared.vad
        self._history = shared.history
        self._planner = shared.planner
        self._chains = shared.chains
        self._activities = activities
        self._utterances = utterances
        self._enrolments = enrolments
        self._levels = UtteranceLevels(shared.voices)
        self._readers: dict[str, Reader] = {}
        self._stateful: dict[str, StatefulReader] = {}
        self._configure(modules)

    def decided(self, start: int, stop: int, probability: float) -> None:
        """Take one decision, or several equal ones in a row.

        While nobody speaks, the segmenter and the others take several frames as one. In speech they
        take each by itself, because each may end the utterance.
        """
        frame = self._frame
        if stop - start > frame and self.segmenter.open is not None:
            for begin in range(start, stop, frame):
                self.decided(begin, begin + frame, probability)
            return
        barrier = self._vad.barrier
        if barrier is None:
            for activity in self._activities:
                activity.frame(start, stop, probability)
        self._history.frame(start, stop, probability >= self.segmenter.config.off)
        for change in self.segmenter.frame(start, stop, probability):
            self._segment(change)
        if (utterance := self.segmenter.open) is not None:
            watermark = self.segmenter.watermark
            if barrier is None:
                self._levels.advance(utterance, watermark)
            self._planner.advance(watermark, stop, barrier)
            self._chains.advance(watermark, stop, barrier)

    def passed(self, mark: Mark) -> None:
        """Take note that the VAD has come to a mark."""
        if isinstance(mark.payload, EnrolRequest):
            self._planner.hold(mark.place, partial(self._enrolments.reached, mark.payload))
            return
        if mark.cause is None:
            self._configure(mark.payload)
            return
        for change in self.segmenter.close_at(mark.place, mark.cause):
            self._segment(change)
        barrier: Barrier = mark.payload
        barrier.history = self._history.at_barrier(self._vad.position)
        if mark.resets:
            self._history.split()
        self._planner.barrier(mark.place, partial(self._chains.after, barrier.passed))

    def enrolled(self, name: str, label: str | None) -> None:
        """Have all readers take note that a voice of this session was enrolled."""
        for reader in self._readers.values():
            reader.enrolled(name, label)

    def hops(self) -> dict[str, int]:
        """Return the hop, in samples, of each reader of utterances that open now, by its name."""
        readers = [name for name in self._registry.readers if name in self._modules]
        return {name: self._readers[name].spec.hop for name in readers}

    def stateful_hops(self) -> dict[str, int]:
        """Return the same of each stateful reader."""
        return {reader.name: reader.spec.hop for reader in self._stateful_now()}

    def low(self, watermark: int) -> int:
        """Return the oldest sample that stateful readers may still need."""
        if (low := self._chains.low) is not None:
            return low
        if self.segmenter.open is not None or not self._registry.stateful:
            return watermark
        return max(watermark - self.segmenter.config.pre_roll, 0)

    def _stateful_now(self) -> list[StatefulReader]:
        """Return the stateful readers of utterances that open now."""
        names = [name for name in self._registry.stateful if name in self._modules]
        return [self._stateful[name] for name in names]

    def _segment(self, change: Opened | Closed) -> None:
        utterance = change.utterance
        if isinstance(change, Closed):
            barrier = self._vad.barrier
            assert utterance.end is not None
            limit = utterance.end if barrier is None else min(utterance.end, barrier.head)
            self._levels.advance(utterance, limit, is_last=True)
            self._planner.closed(utterance, barrier)
            self._chains.closed(utterance, barrier)
            return
        readers = [self._readers[name] for name in self._registry.readers if name in self._modules]
        if SpeakerModule.name in self._modules:  # it keeps the voice
            self._levels.begin(utterance)
        self._planner.opened(utterance, readers)
        self._chains.opened(utterance, self._stateful_now())
        self._utterances.began(utterance, report=self._registry.vad.name in self._modules)

    def _configure(self, modules: ModuleSet) -> None:
        """Apply other modules or options to the utterances to come.

        The rings are made large enough for what must be kept. While a pause may still belong to the
        utterance, that is the last window before the pause. While speech may still be too short to
        count, it is all of that speech.
        """
        self._modules = modules
        self.segmenter.config = _segmenter_config(
            self._registry.vad.effective(modules.get(self._registry.vad.name))
        )
        for name, module in self._registry.readers.items():
            if name in modules:
                previous = self._readers.get(name)
                self._readers[name] = module.open(modules[name], self._context, previous)
        for name, stateful in self._registry.stateful.items():
            if name in modules:
                self._stateful[name] = stateful.open(modules[name], self._context)
        config = self.segmenter.config
        specs = [
            s for reader in self._readers.values() for s in (reader.spec, reader.optional) if s
        ]
        window = max((spec.length for spec in specs), default=0)
        if self._registry.stateful:  # one may be turned on for an utterance that begins now
            window = max(window, config.pre_roll + BLOCK)
        make_room(self._rings, window + max(config.hangover, config.min_speech))


def _segmenter_config(settings: VadSettings) -> SegmenterConfig:
    def samples(ms: int) -> int:
        return ms * RATE_HZ // 1000

    return SegmenterConfig(
        on=settings.on,
        off=settings.off,
        min_speech=samples(settings.min_speech_ms),
        hangover=samples(settings.hangover_ms),
        pre_roll=samples(settings.pre_roll_ms),
        max_length=samples(settings.max_utterance_ms),
    )
