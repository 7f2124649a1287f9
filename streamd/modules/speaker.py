"""Speaker identification: enrolled voices by name, all other speakers by a label of the session.

The evidence is the mean of the embeddings of an utterance's windows (a single pass over more than
1.6 s is less accurate: Wan et al., "Generalized End-to-End Loss for Speaker Verification", 2018).
Labels come from online clustering over final decisions, so their numbers follow the stream's order.
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
from streamd.modules.kept_voices import KeptVoice
from streamd.modules.labels import Labels
from streamd.modules.words import NO_WORDS, CustomWords
from streamd.settings import HopMs, Probability, SpeakerSettings, overridden
from streamd.types import RATE_HZ, Floats

CHANGE_WINDOWS = 2
"""Windows in a row that must differ from the current speaker before another one has taken over."""
MIN_WINDOW_MS = 400
SURE_MS = 3000
"""Milliseconds of speech after which a new speaker gets a label before the utterance ends."""


class SpeakerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options that a session may set."""

    mode: Literal["identify"] = "identify"
    hop_ms: HopMs | UnsetType = UNSET
    threshold: Probability | UnsetType = UNSET
    """Score from which an enrolled voice is accepted; the `unsure` band keeps its width."""


@dataclass(slots=True)
class _Turn:
    """One speaker's share of an utterance."""

    start: int
    total: Floats
    windows: int = 0
    founded: str | None = None
    """The label that this turn founded. The turn keeps it, so that nobody is renamed in mid-speech.
    """

    def add(self, embedding: Floats) -> None:
        self.total = self.total + embedding
        self.windows += 1

    @property
    def mean(self) -> Floats:
        """Return the mean embedding as a unit vector; `windows` must not be 0."""
        mean: Floats = self.total / np.linalg.norm(self.total)
        return mean

    @property
    def coherence(self) -> float:
        """Return how alike the windows are, 0 to 1; `windows` must not be 0."""
        return float(np.linalg.norm(self.total)) / self.windows


class SpeakerReader:
    """Identifies the speakers of one session."""

    name = "speaker"
    extras = frozenset[str]()
    optional = None

    def __init__(
        self,
        settings: SpeakerSettings,
        context: ReaderContext,
        previous: SpeakerReader | None,
        model: str,
    ) -> None:
        self.spec = WindowSpec(
            pass_name="voice",
            length=settings.window_ms * RATE_HZ // 1000,
            hop=settings.hop_ms * RATE_HZ // 1000,
            minimum=MIN_WINDOW_MS * RATE_HZ // 1000,
        )
        self._settings = settings
        self._context = context
        self._model = model
        """Id of the model of the embeddings."""
        self._band = settings.thresholds.of(context.channel)
        self._label_band = LabelBand(settings.assign, settings.new)
        # The same object, so that utterances that still run under the old options found labels too.
        self._labels: Labels = Labels(settings.max_labels) if previous is None else previous._labels
        self._gallery = context.gallery()
        self._turn = _Turn(0, np.zeros(1, np.float32))
        self._against: list[tuple[Window, Floats]] = []
        self._is_one = True
        """Whether nobody else took over in this utterance."""

    def opened(self, utterance: Utterance) -> None:
        """Begin a turn, with the gallery as it is now."""
        self._gallery = self._context.gallery()
        self._labels.begin()
        self._context.speakers.begin()
        self._turn = _Turn(utterance.onset, np.zeros(256, np.float32))
        self._against = []
        self._is_one = True

    def window(self, utterance: Utterance, window: Window, output: Any) -> Iterable[TimedEvent]:
        """Add a window to the evidence, or count it against the current speaker."""
        embedding: Floats = output.embedding
        turn = self._turn
        if turn.windows and float(turn.mean @ embedding) < self._settings.change:
            self._against.append((window, embedding))
            if len(self._against) == CHANGE_WINDOWS:
                yield from self._change(utterance, window)
        else:
            self._against = []
            turn.add(embedding)
        # After the last window, the final event follows at once and says the same.
        if not window.is_last:
            yield self._event(utterance, window.stop, window.at, final=False)

    def closed(self, utterance: Utterance) -> Iterable[TimedEvent]:
        """Yield the final event on the utterance, or on its last turn if the speaker changed."""
        assert utterance.end is not None
        assert utterance.closed_at is not None
        event = self._event(utterance, utterance.end, utterance.closed_at, final=True)
        self._keep(utterance, utterance.end, event)
        yield event

    def enrolled(self, name: str, label: str | None) -> None:
        """Give a label to nobody any more, because its voice has a name."""
        if label is not None:
            self._labels.retire(label)

    def _keep(self, utterance: Utterance, end: int, event: Speaker) -> None:
        """Keep the voice of an utterance, of its last turn if there are several of one speaker."""
        turn = self._turn
        is_label = event.decision == "reject" and event.speaker is not None
        self._context.voices.keep(
            utterance.id,
            KeptVoice(
                totals={self._model: turn.total} if turn.windows else {},
                windows=turn.windows,
                speech=utterance.voiced(turn.start, end),
                name=event.speaker if is_label or event.decision == "accept" else None,
                is_label=is_label,
                is_one=self._is_one,
            ),
        )

    def _change(self, utterance: Utterance, window: Window) -> Iterable[SpeakerChange]:
        first, _ = self._against[0]
        boundary = (first.start + first.stop) // 2
        before = self._decide(utterance.voiced(self._turn.start, boundary), is_over=True)
        self._turn = _Turn(boundary, np.zeros(256, np.float32))
        for _, embedding in self._against:
            self._turn.add(embedding)
        self._against = []
        # A takeover is evidence enough: a new speaker gets a label from here on.
        after = self._decide(utterance.voiced(boundary, window.stop), found_from_ms=0)
        if before.speaker == after.speaker:
            return  # the windows differ from those before, but the same name is still the nearest
        self._is_one = False
        speakers = self._context.speakers
        speakers.update(before.speaker, is_sure=before.decision != "unsure", nearest=before.nearest)
        speakers.take_over(boundary)
        ms = self._context.ms
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
        self._context.speakers.update(
            found.speaker, is_sure=found.decision != "unsure", nearest=found.nearest
        )
        ms = self._context.ms
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
        """Decide on the turn so far, and update its label.

        Args:
            speech: Samples of speech in the turn.
            is_over: Whether the turn is over.
            found_from_ms: Milliseconds of speech after which a new speaker gets a label before the
                turn is over.
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
        """Return the enrolled voices, best first, without those that were deleted meanwhile.

        It returns at least the two nearest, if there are two. It looks at more voices only if some
        of these were deleted, because the gallery may be large and changes with every session.
        """
        now: Gallery = self._context.gallery()
        limit = 2
        while True:
            found = self._gallery.search(mean, self._context.channel, limit)
            known = [match for match in found if match.name in now]
            if len(known) >= 2 or limit >= len(self._gallery):
                return known
            limit *= 8


class SpeakerModule:
    """Creates the speaker readers of sessions."""

    name: ClassVar[str] = "speaker"

    def __init__(self, settings: SpeakerSettings, card: ModelCard) -> None:
        self.settings = settings
        self._card = card

    def parse(
        self, request: Mapping[str, Any], words: CustomWords = NO_WORDS
    ) -> tuple[SpeakerOptions, list[tuple[str, str]]]:
        """Return the options that a client's object sets."""
        return parse_options(self.name, request, SpeakerOptions)

    def effective(self, options: SpeakerOptions) -> SpeakerSettings:
        """Return the server's settings, changed by the session's options."""
        settings = overridden(self.settings, options)
        if options.threshold is UNSET:
            return settings
        thresholds = settings.thresholds.moved_to(options.threshold)
        return msgspec.structs.replace(settings, thresholds=thresholds)

    def describe(self, options: SpeakerOptions) -> dict[str, Any]:
        """Return the module's entry in `ready`."""
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
        self, options: SpeakerOptions, context: ReaderContext, previous: SpeakerReader | None
    ) -> SpeakerReader:
        """Return the speaker reader for one session."""
        return SpeakerReader(self.effective(options), context, previous, self._card.model)
