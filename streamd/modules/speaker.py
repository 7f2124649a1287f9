"""Who speaks: enrolled voices by name, all others by a label that holds for the session.

Evidence is the mean of the embeddings of an utterance's windows (one pass over more than
1.6 s is wrong: Wan et al., "Generalized End-to-End Loss for Speaker Verification", 2018).
Labels are online clustering over the finals, so their numbers follow the stream's order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType

from streamd.events import Speaker, SpeakerChange, TimedEvent
from streamd.modules.base import (
    ModelCard,
    ReaderContext,
    Utterance,
    Window,
    WindowSpec,
    parse_options,
)
from streamd.modules.decision import (
    TOO_SHORT,
    Evidence,
    LabelBand,
    SpeakerDecision,
    decide,
)
from streamd.modules.gallery import Gallery, Match
from streamd.modules.labels import Labels
from streamd.modules.words import NO_WORDS, CustomWords
from streamd.settings import HopMs, Probability, SpeakerSettings, overridden
from streamd.types import RATE_HZ, Floats

CHANGE_WINDOWS = 2
"""Windows in a row that must speak against the current voice before it is another one."""
MIN_WINDOW_MS = 400
SURE_MS = 3000
"""Speech after which a new voice gets its label without waiting for the utterance to end."""


class SpeakerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a session may set."""

    mode: Literal["identify"] = "identify"
    hop_ms: HopMs | UnsetType = UNSET
    threshold: Probability | UnsetType = UNSET
    """Score at which an enrolled voice is accepted; the `unsure` band keeps its width."""


@dataclass(slots=True)
class _Turn:
    """One voice's share of an utterance."""

    start: int
    total: Floats
    windows: int = 0
    founded: str | None = None
    """The label that this turn gave rise to. It keeps it: nobody is renamed in mid-speech."""

    def add(self, embedding: Floats) -> None:
        self.total = self.total + embedding
        self.windows += 1

    @property
    def mean(self) -> Floats:
        """Unit vector; windows must be > 0."""
        mean: Floats = self.total / np.linalg.norm(self.total)
        return mean

    @property
    def coherence(self) -> float:
        """How alike the windows are, 0 to 1; windows must be > 0."""
        return float(np.linalg.norm(self.total)) / self.windows


class SpeakerReader:
    """The voices of one session."""

    name = "speaker"
    extras = frozenset[str]()

    def __init__(
        self,
        settings: SpeakerSettings,
        services: ReaderContext,
        previous: SpeakerReader | None,
    ) -> None:
        self.spec = WindowSpec(
            pass_name="voice",
            length=settings.window_ms * RATE_HZ // 1000,
            hop=settings.hop_ms * RATE_HZ // 1000,
            minimum=MIN_WINDOW_MS * RATE_HZ // 1000,
        )
        self._settings = settings
        self._services = services
        self._band = settings.thresholds.of(services.channel)
        self._label_band = LabelBand(settings.assign, settings.new)
        # The very object: utterances that still run under the old options settle labels too.
        self._labels: Labels = Labels(settings.max_labels) if previous is None else previous._labels
        self._gallery = services.gallery()
        self._turn = _Turn(0, np.zeros(1, np.float32))
        self._against: list[tuple[Window, Floats]] = []

    def opened(self, utterance: Utterance) -> None:
        """A new utterance sees the gallery as it is now."""
        self._gallery = self._services.gallery()
        self._services.voices.begin()
        self._turn = _Turn(utterance.onset, np.zeros(256, np.float32))
        self._against = []

    def window(self, utterance: Utterance, window: Window, output: Any) -> Iterable[TimedEvent]:
        """Add a window to the evidence, or count it against the current voice."""
        embedding: Floats = output.embedding
        turn = self._turn
        if turn.windows and float(turn.mean @ embedding) < self._settings.change:
            self._against.append((window, embedding))
            if len(self._against) == CHANGE_WINDOWS:
                yield from self._change(utterance, window)
        else:
            self._against = []
            turn.add(embedding)
        # The last window of all: the final event follows at once and says the same.
        if not window.is_last:
            yield self._event(utterance, window.stop, window.at, final=False)

    def closed(self, utterance: Utterance) -> Iterable[TimedEvent]:
        """The verdict over the whole utterance (its last voice, if the voice changed)."""
        assert utterance.end is not None
        assert utterance.closed_at is not None
        yield self._event(utterance, utterance.end, utterance.closed_at, final=True)

    def _change(self, utterance: Utterance, window: Window) -> Iterable[SpeakerChange]:
        first, _ = self._against[0]
        boundary = (first.start + first.stop) // 2
        before = self._decide(utterance.voiced(self._turn.start, boundary), is_over=True)
        self._turn = _Turn(boundary, np.zeros(256, np.float32))
        for _, embedding in self._against:
            self._turn.add(embedding)
        self._against = []
        # Whoever took over is somebody: a voice that is new has its label from here on.
        after = self._decide(utterance.voiced(boundary, window.stop), found_from_ms=0)
        if before.speaker == after.speaker:
            return  # far from what it was, and still nearest to the same voice
        voices = self._services.voices
        voices.heard(before.speaker, is_sure=before.decision != "unsure", nearest=before.nearest)
        voices.take_over(boundary)
        ms = self._services.ms
        yield SpeakerChange(
            t0=ms(boundary),
            t1=ms(window.stop, end=True),
            at=ms(window.at, end=True),
            utterance=utterance.id,
            from_=before.speaker,
            to=None if after.decision == "unsure" else after.speaker,
        )

    def _event(self, utterance: Utterance, stop: int, at: int, *, final: bool) -> Speaker:
        speech = utterance.voiced(self._turn.start, stop)
        found = self._decide(speech, is_over=final)
        self._services.voices.heard(
            found.speaker, is_sure=found.decision != "unsure", nearest=found.nearest
        )
        ms = self._services.ms
        return Speaker(
            t0=ms(self._turn.start),
            t1=ms(stop, end=True),
            at=ms(at, end=True),
            utterance=utterance.id,
            decision=found.decision,
            speaker=found.speaker,
            score=round(found.score, 4),
            margin=None if found.margin is None else round(found.margin, 4),
            speech_ms=speech * 1000 // RATE_HZ,
            final=final,
        )

    def _decide(
        self, speech: int, *, is_over: bool = False, found_from_ms: int = SURE_MS
    ) -> SpeakerDecision:
        """Decide on the turn so far, and have its label learn from it.

        Args:
            speech: Samples of speech in it.
            is_over: Nothing more of the turn will come.
            found_from_ms: Speech from which a new voice gets a label before its turn is over.
        """
        s, turn, labels = self._settings, self._turn, self._labels
        speech_ms = speech * 1000 // RATE_HZ
        if not turn.windows or speech_ms < s.min_speech_ms:
            return TOO_SHORT
        mean = turn.mean
        learns = is_over and speech_ms >= s.label_min_ms
        evidence = Evidence(
            enrolled=self._search(mean),
            labels=labels.search(mean, besides=turn.founded),
            own=turn.founded,
            coherence=turn.coherence,
            may_found=learns or speech_ms >= found_from_ms,
            next_label=labels.next_name,
        )
        found = decide(evidence, self._band, self._label_band)
        if found.label == "founded":
            turn.founded = labels.found(mean)
        elif learns and found.label is not None:
            assert found.speaker is not None
            learn = labels.add if found.label == "assigned" else labels.replace
            learn(found.speaker, mean)
        return found

    def _search(self, mean: Floats) -> list[Match]:
        """Enrolled voices, best first; one that was deleted meanwhile is gone at once.

        The two nearest at least, where there are two. Only where these were deleted are more
        looked at: the gallery changes with every session that ends, and may be large.
        """
        now: Gallery = self._services.gallery()
        limit = 2
        while True:
            found = self._gallery.search(mean, self._services.channel, limit)
            known = [match for match in found if match.name in now]
            if len(known) >= 2 or limit >= len(self._gallery):
                return known
            limit *= 8


class SpeakerModule:
    """Speaker identification and session labels."""

    name: ClassVar[str] = "speaker"

    def __init__(self, settings: SpeakerSettings, card: ModelCard) -> None:
        self.settings = settings
        self._card = card

    def parse(
        self, request: Mapping[str, Any], words: CustomWords = NO_WORDS
    ) -> tuple[SpeakerOptions, list[tuple[str, str]]]:
        """Read a client's options."""
        return parse_options(self.name, request, SpeakerOptions)

    def effective(self, options: SpeakerOptions) -> SpeakerSettings:
        """The server's settings with the session's on top."""
        settings = overridden(self.settings, options)
        if options.threshold is UNSET:
            return settings
        thresholds = settings.thresholds.moved_to(options.threshold)
        return msgspec.structs.replace(settings, thresholds=thresholds)

    def describe(self, options: SpeakerOptions) -> dict[str, Any]:
        """The entry in `ready`."""
        s = self.effective(options)
        return {
            **msgspec.structs.asdict(self._card),
            "mode": options.mode,
            "hop_ms": s.hop_ms,
            "window_ms": s.window_ms,
            "min_speech_ms": s.min_speech_ms,
            "thresholds": msgspec.to_builtins(s.thresholds),
            "latency_ms": s.window_ms,
        }

    def open(
        self, options: SpeakerOptions, services: ReaderContext, previous: SpeakerReader | None
    ) -> SpeakerReader:
        """The voices of one session."""
        return SpeakerReader(self.effective(options), services, previous)
