"""In what mood someone speaks: a track through every utterance, and one final word on each.

The evidence is what the speaker module's own pass knows besides who it is, and prosody; both
are compared with how the same voice sounds otherwise, its baseline. A voice is who the speaker
module says it is; where that is off, all of a session counts as one voice.
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
from streamd.modules.speaker import MIN_WINDOW_MS
from streamd.modules.words import NO_WORDS, CustomWords
from streamd.settings import EmotionSettings, HopMs, Probability, given, overridden
from streamd.types import RATE_HZ, Floats

WINDOW_MS = 1600
"""Of one pass; the evidence of an interim event pools several."""
BLOCK_MS = 250
"""Speech that shares one set of moments."""
NOTHING = Judgement(np.full(len(LABELS), -np.log(len(LABELS)), np.float32), 0.5, 0.0, 0.0)
"""What an utterance says that is too short for a window."""
BASELINE_MODEL = f"emotion-features-{FEATURES}"
"""What the store keeps baselines under: any model of these features reads them."""
EVERYONE = ""
"""The one voice of a session in which nobody says who speaks."""


class EmotionOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a session may set."""

    hop_ms: HopMs | UnsetType = UNSET
    threshold: Probability | UnsetType = UNSET
    """Probability of the likeliest label below which the module abstains."""


@dataclass(frozen=True, slots=True)
class _Heard:
    """What one window brought."""

    start: int
    stop: int
    states: Floats
    moments: Floats
    """`[blocks, descriptors, 3]`, of what is new in it."""


@dataclass(slots=True)
class _Turn:
    """One voice's share of an utterance: sums over all of it, and the latest windows."""

    start: int
    windows: int = 0
    states: Floats | float = 0.0
    moments: Floats | float = 0.0
    recent: deque[_Heard] = field(default_factory=deque)
    smoothed: Judgement | None = None

    def add(self, heard: _Heard, reach: int) -> None:
        """Take a window in; `reach` samples of recent ones are kept."""
        self.windows += 1
        self.states = self.states + heard.states
        self.moments = self.moments + heard.moments.sum(axis=0)
        self.recent.append(heard)
        while self.recent[0].start < heard.stop - reach:
            self.recent.popleft()

    def drop(self, heard: _Heard) -> None:
        """Take a window out again: it was another voice's."""
        self.windows -= 1
        self.states = self.states - heard.states
        self.moments = self.moments - heard.moments.sum(axis=0)


class EmotionReader:
    """The moods of one session.

    Args:
        settings: those of the session.
        threshold: probability of the likeliest label below which to abstain; None takes the
            model's.
        model: judges.
        services: of the session.
        previous: the reader before a change of options.
        spent: told of the CPU seconds of each run of the network, which is on the calling thread.
    """

    name = "emotion"
    extras = frozenset({"prosody"})

    def __init__(
        self,
        settings: EmotionSettings,
        threshold: float | None,
        model: EmotionModel,
        services: ReaderContext,
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
        self._services = services
        self._spent = spent
        self._reach = max(model.window_ms * RATE_HZ // 1000, self.spec.length)
        self._blocks = model.window_ms // BLOCK_MS
        # The very dictionary: utterances that still run under the old options learn too.
        self._baselines: dict[str, Baseline] = {} if previous is None else previous._baselines
        # As they were when the session began, whatever other sessions learn meanwhile.
        self._kept: Mapping[str, bytes] = (
            services.gallery().baselines if previous is None else previous._kept
        )
        self._turn = _Turn(0)
        self._turns = 0

    def opened(self, utterance: Utterance) -> None:
        """Nothing is known of it yet."""
        self._turn = _Turn(utterance.onset)
        self._turns = self._services.voices.turn

    def window(self, utterance: Utterance, window: Window, output: Any) -> Iterable[TimedEvent]:
        """Pool the latest windows; gives the track's next point."""
        voices, turn = self._services.voices, self._turn
        heard = _Heard(window.start, window.stop, output.states, output.prosody)
        turn.add(heard, self._reach)
        if voices.turn != self._turns:
            turn = self._take_over(voices.turn_start)
        # The last window of all: the final event follows at once.
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
        """The word on the whole utterance (its last voice, if the voice changed)."""
        assert utterance.end is not None
        assert utterance.closed_at is not None
        turn = self._turn
        judged = NOTHING
        if turn.windows:
            features = self._features(turn)
            judged = self._judge(features, self._baseline(self._voice()))
            voices = self._services.voices
            sure = voices.speaking if voices.is_sure else None
            self._learn(sure if voices.is_told else EVERYONE, features)
        yield self._event(
            utterance, judged, turn.start, utterance.end, utterance.closed_at, final=True
        )

    def _take_over(self, boundary: int) -> _Turn:
        """The windows from the boundary on are the new voice's; a track begins anew."""
        old, self._turn = self._turn, _Turn(boundary)
        self._turns = self._services.voices.turn
        for heard in old.recent:
            if (heard.start + heard.stop) // 2 >= boundary:
                old.drop(heard)
                self._turn.add(heard, self._reach)
        if old.windows:
            self._learn(self._services.voices.left, self._features(old))
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
        verdict = self._model.verdict(judged, speech_ms, self._threshold)
        scores = {
            label: round(float(p), 4)
            for label, p in zip(self._model.labels, verdict.probabilities, strict=True)
        }
        label = max(scores, key=lambda name: scores[name])
        ms = self._services.ms
        return Emotion(
            t0=ms(start),
            t1=ms(stop, end=True),
            at=ms(at, end=True),
            utterance=utterance.id,
            label=label,
            score=scores[label],
            scores=scores,
            arousal=round(verdict.arousal, 4),
            abstain=verdict.abstain,
            final=final,
        )

    # Baselines.

    def _voice(self) -> str | None:
        """Whose baseline counts: who speaks, or most likely does.

        A voice that nobody enrolled uses the baseline of its nearest neighbour: a shout may well
        have a label of its own, and compared with shouts alone it would be nothing unusual.
        """
        voices = self._services.voices
        if not voices.is_told:
            return EVERYONE
        return None if voices.likeliest is None else self._root(voices.likeliest)

    def _root(self, voice: str) -> str:
        is_enrolled = voice in self._services.gallery()
        return voice if is_enrolled else self._services.voices.root(voice)

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
        """Take in what somebody said who was told for sure."""
        if speaker is None:
            return
        voice, gallery = self._root(speaker), self._services.gallery()
        if voice in gallery and voice != speaker:
            return  # like an enrolled voice, and rejected as that: perhaps a stranger
        known = self._baseline(voice) or Baseline.empty(self._model.size)
        calm = calmness(self._judge(features, None).log_probs)
        self._baselines[voice] = known.add(features, float(calm))
        if voice in gallery:
            self._services.voices.learned[voice] = self._baselines[voice].to_bytes()


class EmotionModule:
    """Emotion.

    Args:
        settings: the server's defaults.
        model: judges.
        spent: told of the CPU seconds of each run of the network.
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
        """Read a client's options."""
        return parse_options(self.name, request, EmotionOptions)

    def describe(self, options: EmotionOptions) -> dict[str, Any]:
        """The entry in `ready`."""
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
        self, options: EmotionOptions, services: ReaderContext, previous: EmotionReader | None
    ) -> EmotionReader:
        """The moods of one session."""
        settings, threshold = overridden(self.settings, options), self._threshold(options)
        return EmotionReader(settings, threshold, self.model, services, previous, self._spent)

    def _threshold(self, options: EmotionOptions) -> float | None:
        # A client's 0 is one: only the server's takes the model's.
        return given(options.threshold, self.settings.threshold or None)
