"""The mood of a speaker: interim estimates during an utterance, and a final one.

The evidence is prosody and the inner states of the speaker model. Both are compared with how the
same speaker usually sounds, the baseline. The speaker module says who speaks; where it is off, the
whole session counts as one speaker.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType

from streamd.events import Emotion, TimedEvent
from streamd.modules.base import ReaderContext, Utterance, Window, WindowSpec, parse_options
from streamd.modules.emotion_model import (
    FEATURES,
    LABELS,
    Baseline,
    EmotionModel,
    Judgement,
    calmness,
    smooth,
)
from streamd.modules.speaker_reader import MIN_WINDOW_MS
from streamd.modules.words import NO_WORDS, CustomWords
from streamd.settings import EmotionSettings, HopMs, Probability, given, overridden
from streamd.types import RATE_HZ, Floats

WINDOW_MS = 1600
"""Milliseconds of one window; the evidence of an interim event pools several."""
BLOCK_MS = 250
"""Milliseconds of speech that share one set of moments."""
NOTHING = Judgement(np.full(len(LABELS), -np.log(len(LABELS)), np.float32), 0.5, 0.0, 0.0)
"""The judgement for an utterance that is too short for a window."""
BASELINE_MODEL = f"emotion-features-{FEATURES}"
"""Name under which the store keeps baselines; any model with these features reads them."""
EVERYONE = ""
"""The one speaker of a session in which no module reports who speaks."""


class EmotionOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options that a session may set."""

    hop_ms: HopMs | UnsetType = UNSET
    threshold: Probability | UnsetType = UNSET
    """Probability of the likeliest label below which the module abstains."""


@dataclass(frozen=True, slots=True)
class _WindowEvidence:
    """What one window adds to the evidence."""

    start: int
    stop: int
    states: Floats
    moments: Floats
    """Moments of the samples that no window before had, `[blocks, descriptors, 3]`."""


@dataclass(slots=True)
class _Turn:
    """One speaker's share of an utterance: sums over all of it, and the latest windows."""

    start: int
    windows: int = 0
    states: Floats | float = 0.0
    moments: Floats | float = 0.0
    recent: deque[_WindowEvidence] = field(default_factory=deque)
    smoothed: Judgement | None = None

    def add(self, evidence: _WindowEvidence, reach: int) -> None:
        """Add a window, and keep those that begin in the last `reach` samples."""
        self.windows += 1
        self.states = self.states + evidence.states
        self.moments = self.moments + evidence.moments.sum(axis=0)
        self.recent.append(evidence)
        while self.recent[0].start < evidence.stop - reach:
            self.recent.popleft()

    def drop(self, evidence: _WindowEvidence) -> None:
        """Take a window out again, because another speaker said it."""
        self.windows -= 1
        self.states = self.states - evidence.states
        self.moments = self.moments - evidence.moments.sum(axis=0)


class EmotionReader:
    """Estimates the moods in one session.

    Args:
        settings: The settings of the session.
        threshold: Probability of the likeliest label below which to abstain; None selects the
            model's.
        model: The model that judges.
        context: The parts of the session that it may use.
        previous: The reader before a change of options.
        spent: Called with the CPU seconds of each run of the network on the calling thread.
    """

    name = "emotion"
    extras = frozenset({"prosody"})
    optional = None

    def __init__(
        self,
        settings: EmotionSettings,
        threshold: float | None,
        model: EmotionModel,
        context: ReaderContext,
        previous: EmotionReader | None,
        spent: Callable[[float], None],
    ) -> None:
        self.spec = WindowSpec(
            pass_name="voice",
            length=WINDOW_MS * RATE_HZ // 1000,
            hop=settings.hop_ms * RATE_HZ // 1000,
            minimum=MIN_WINDOW_MS * RATE_HZ // 1000,
        )
        self._model = model
        self._threshold = threshold
        self._context = context
        self._spent = spent
        self._reach = max(model.window_ms * RATE_HZ // 1000, self.spec.length)
        self._blocks = model.window_ms // BLOCK_MS
        # The same dictionary, so that utterances that still run under the old options add to it
        # too.
        self._baselines: dict[str, Baseline] = {} if previous is None else previous._baselines
        # The baselines as they were when the session began, whatever other sessions learn later.
        self._kept: Mapping[str, bytes] = (
            context.gallery().baselines if previous is None else previous._kept
        )
        self._turn = _Turn(0)
        self._turns = 0

    def opened(self, utterance: Utterance) -> None:
        """Begin without evidence."""
        self._turn = _Turn(utterance.onset)
        self._turns = self._context.speakers.turn

    def window(self, utterance: Utterance, window: Window, output: Any) -> Iterable[TimedEvent]:
        """Pool the latest windows, and yield an interim event."""
        speakers, turn = self._context.speakers, self._turn
        evidence = _WindowEvidence(window.start, window.stop, output.states, output.prosody)
        turn.add(evidence, self._reach)
        if speakers.turn != self._turns:
            turn = self._take_over(speakers.turn_start)
        # After the last window, the final event follows at once.
        if window.is_last:
            return
        states = np.mean([h.states for h in turn.recent], axis=0)
        blocks = np.concatenate([h.moments for h in turn.recent])
        moments = blocks[-self._blocks :].sum(axis=0)
        features = self._model.features(states, moments)
        judged = self._judge(features, self._baseline(self._voice()))
        turn.smoothed = smooth(turn.smoothed, judged)
        yield self._event(
            utterance, turn.smoothed, turn.recent[0].start, window.stop, window.at, final=False
        )

    def closed(self, utterance: Utterance) -> Iterable[TimedEvent]:
        """Yield the final event on the utterance, or on its last turn if the speaker changed."""
        assert utterance.end is not None
        assert utterance.closed_at is not None
        turn = self._turn
        judged = NOTHING
        if turn.windows:
            features = self._features(turn)
            judged = self._judge(features, self._baseline(self._voice()))
            speakers = self._context.speakers
            sure = speakers.speaking if speakers.is_sure else None
            self._learn(sure if speakers.is_tracked else EVERYONE, features)
        yield self._event(
            utterance, judged, turn.start, utterance.end, utterance.closed_at, final=True
        )

    def enrolled(self, name: str, label: str | None) -> None:
        """Take how the voice sounded under its label for how it usually sounds."""
        if label is None or self._baseline(name) is not None:
            return
        voice = self._root(label)
        if voice in self._context.gallery():
            return  # the label may be a mood of another enrolled voice
        known = self._baselines.get(voice)
        if known is not None:
            self._baselines[name] = known
            self._context.speakers.learned[name] = known.to_bytes()

    def _take_over(self, boundary: int) -> _Turn:
        """Move the windows from the boundary on to a new turn."""
        old, self._turn = self._turn, _Turn(boundary)
        self._turns = self._context.speakers.turn
        for evidence in old.recent:
            if (evidence.start + evidence.stop) // 2 >= boundary:
                old.drop(evidence)
                self._turn.add(evidence, self._reach)
        if old.windows:
            self._learn(self._context.speakers.left, self._features(old))
        return self._turn

    def _judge(self, features: Floats, baseline: Baseline | None) -> Judgement:
        began = time.thread_time()
        judged = self._model.judge(features, baseline)
        self._spent(time.thread_time() - began)
        return judged

    def _features(self, turn: _Turn) -> Floats:
        return self._model.features(
            np.asarray(turn.states, np.float32) / np.float32(turn.windows),
            np.asarray(turn.moments),
        )

    def _event(
        self,
        utterance: Utterance,
        judged: Judgement,
        start: int,
        stop: int,
        at: int,
        *,
        final: bool,
    ) -> Emotion:
        speech_ms = utterance.voiced(self._turn.start, stop) * 1000 // RATE_HZ
        estimate = self._model.estimate(judged, speech_ms, self._threshold)
        scores = {
            label: round(float(p), 4)
            for label, p in zip(self._model.labels, estimate.probabilities, strict=True)
        }
        label = max(scores, key=lambda name: scores[name])
        ms = self._context.ms
        return Emotion(
            t0=ms(start),
            t1=ms(stop, end=True),
            at=ms(at, end=True),
            utterance=utterance.id,
            label=label,
            score=scores[label],
            scores=scores,
            arousal=round(estimate.arousal, 4),
            abstain=estimate.abstain,
            final=final,
        )

    # Baselines.

    def _voice(self) -> str | None:
        """Return whose baseline to use: that of the speaker, or of the likeliest one.

        A speaker who is not enrolled uses the baseline of the nearest neighbour. A shout may get a
        label of its own, and compared with shouts alone it would not be unusual.
        """
        speakers = self._context.speakers
        if not speakers.is_tracked:
            return EVERYONE
        return None if speakers.likeliest is None else self._root(speakers.likeliest)

    def _root(self, voice: str) -> str:
        is_enrolled = voice in self._context.gallery()
        return voice if is_enrolled else self._context.speakers.root(voice)

    def _baseline(self, voice: str | None) -> Baseline | None:
        if voice is None:
            return None
        known = self._baselines.get(voice)
        if known is None and (kept := self._kept.get(voice)) is not None:
            known = Baseline.from_bytes(kept)
            if known is not None and len(known.mean) == self._model.size:
                self._baselines[voice] = known
        return self._baselines.get(voice)

    def _learn(self, speaker: str | None, features: Floats) -> None:
        """Add features to the baseline of a speaker who is known for sure."""
        if speaker is None:
            return
        voice, gallery = self._root(speaker), self._context.gallery()
        if voice in gallery and voice != speaker:
            # The speaker resembles an enrolled voice but was rejected, and may be somebody else.
            return
        known = self._baseline(voice) or Baseline.empty(self._model.size)
        calm = calmness(self._judge(features, None).log_probs)
        self._baselines[voice] = known.add(features, float(calm))
        if voice in gallery:
            self._context.speakers.learned[voice] = self._baselines[voice].to_bytes()


class EmotionModule:
    """Creates the emotion readers of sessions.

    Args:
        settings: The server's defaults.
        model: The model that judges.
        spent: Called with the CPU seconds of each run of the network.
    """

    name: ClassVar[str] = "emotion"

    def __init__(
        self,
        settings: EmotionSettings,
        model: EmotionModel,
        spent: Callable[[float], None],
    ) -> None:
        self.settings = settings
        self.model = model
        self._spent = spent

    def parse(
        self, request: Mapping[str, Any], words: CustomWords = NO_WORDS
    ) -> tuple[EmotionOptions, list[tuple[str, str]]]:
        """Return the options that a client's object sets."""
        return parse_options(self.name, request, EmotionOptions)

    def describe(self, options: EmotionOptions) -> dict[str, Any]:
        """Return the module's entry in `ready`."""
        return {
            **msgspec.structs.asdict(self.model.card),
            "labels": list(self.model.labels),
            "hop_ms": given(options.hop_ms, self.settings.hop_ms),
            "window_ms": self.model.window_ms,
            "min_speech_ms": self.model.min_speech_ms,
            "threshold": self._threshold(options),
            "latency_ms": WINDOW_MS,
        }

    def open(
        self, options: EmotionOptions, context: ReaderContext, previous: EmotionReader | None
    ) -> EmotionReader:
        """Return the emotion reader for one session."""
        settings, threshold = overridden(self.settings, options), self._threshold(options)
        return EmotionReader(settings, threshold, self.model, context, previous, self._spent)

    def _threshold(self, options: EmotionOptions) -> float | None:
        # A client may set 0; only a 0 of the server's settings selects the model's threshold.
        return given(options.threshold, self.settings.threshold or None)
