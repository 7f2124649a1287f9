"""Wake words: scores every 80 ms to one event for each utterance of a phrase.

Where nobody may be speaking the model sleeps. What it then must hear again to be where it would
have been is bounded: an embedding sees 10 steps, and a head the embeddings of its window.

Crossing, patience and refractory are counted on the session's clock, so a replay gives the
same events. Only a crossing is an event: a score that stays up says nothing new, even when the
refractory ends meanwhile. A third of all utterances cross the threshold more than once; 2 s of
refractory leave one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from streamd.errors import BadConfig
from streamd.events import Wake
from streamd.modules.base import ModelCard, Ms, parse_options
from streamd.modules.stepper import Evidence, Gate, StepperContext
from streamd.modules.words import NO_WORDS, CustomWord, CustomWords, Head, RegisterHead
from streamd.settings import Patience, Probability, RefractoryMs, WakeSettings, given
from streamd.types import RATE_HZ, Samples

STEP = 1280
"""Samples between two scores: eight mel frames of 10 ms."""
CONTEXT = 480
"""Samples that the first mel frames of a step reach back."""
WARM_UP_STEPS = 5
"""openWakeWord zeroes the first scores of a stream: they hang on what its buffers began with."""
SETTLE_STEPS = 9
"""Steps before the first embedding that knows nothing of what was heard before them."""
LONGEST_WINDOW = 34
"""Embeddings that the most patient head looks at (`timer`)."""
MAX_REPLAY = SETTLE_STEPS + LONGEST_WINDOW
TAIL_STEPS = 2
"""Silence added at a flush: the score peaks up to 160 ms after the phrase."""
MIN_REFRACTORY_MS = (TAIL_STEPS + 1) * STEP // 16
"""What a copy heard of a flushed phrase, the live steps hear in this time once more. Nobody says
a phrase twice in it."""

T = TypeVar("T")

TRACE = 0.02
"""A score, of any word, at which it may be about to rise: what is no word scores far below."""


class WakeOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a session may set."""

    words: tuple[str, ...] | UnsetType = UNSET
    threshold: Probability | dict[str, Probability] | UnsetType = UNSET
    """One for all words, or by word."""
    patience: Patience | dict[str, Patience] | UnsetType = UNSET
    """Steps in a row at or over the threshold, likewise."""
    refractory_ms: RefractoryMs | UnsetType = UNSET


@dataclass(frozen=True, slots=True)
class WordModel:
    """A word that is loaded."""

    card: ModelCard
    phrase_ms: int
    """How long the phrase takes to say, at a usual pace."""
    window: int = LONGEST_WINDOW
    """Embeddings that its head looks at."""
    head: bytes | None = None
    """Of a word of the user's own, packed; the wake pass has the others."""
    threshold: float | None = None
    """Where it is not the one of all other words; a word of the user's own has one."""

    @classmethod
    def of(cls, word: CustomWord) -> WordModel:
        """A word of the user's own."""
        info = word.info
        return cls(info.card, info.phrase_ms, word.window, word.head, info.threshold)


@dataclass(frozen=True, slots=True)
class Word:
    """A word as a session listens for it, with the head that it had when it was asked for."""

    name: str
    threshold: float
    patience: int
    model: WordModel
    head: Head | None = None
    """Of a word of the user's own: the wake pass knows it as long as somebody listens for it."""

    @property
    def key(self) -> str | int:
        """What the wake pass knows it by."""
        return self.name if self.head is None else self.head.id


@dataclass(frozen=True, slots=True)
class Listening:
    """Options, resolved against the words that are loaded."""

    words: tuple[Word, ...]
    refractory_ms: int

    @property
    def names(self) -> tuple[str, ...]:
        """The words."""
        return tuple(word.name for word in self.words)


@dataclass(frozen=True, slots=True)
class Detection:
    """A word crossed its threshold in the step that ends at `stop`."""

    word: str
    score: float
    class_name: str | None
    stop: int
    since: int
    """Nothing before this sample had a say."""
    phrase_ms: int
    """How long the phrase takes to say."""

    def event(self, evidence: Evidence, ms: Ms) -> Wake:
        """Return the event, with what is known of who said the phrase, and when."""
        start, end = evidence.phrase(self.phrase_ms * RATE_HZ // 1000, self.since)
        speaker = evidence.speaker
        return Wake(
            t0=ms(start),
            t1=ms(end, end=True),
            at=ms(self.stop, end=True),
            word=self.word,
            score=round(self.score, 4),
            class_=UNSET if self.class_name is None else self.class_name,
            utterance=UNSET if evidence.utterance is None else evidence.utterance,
            speaker=UNSET if speaker is None or speaker.speaker is None else speaker.speaker,
            speaker_score=UNSET if speaker is None else speaker.score,
        )


class WakeStepper:
    """The steps of one stream."""

    pass_name = "wake"
    step = STEP
    context = CONTEXT
    at_once = 4
    at_once_asleep = 4
    tail_steps = TAIL_STEPS
    reach = (MAX_REPLAY - 1) * STEP

    def __init__(
        self,
        listening: Listening | None,
        ms: Ms,
        detected: Callable[[Detection], None],
        may_speak: Callable[[int], bool | None] = lambda stop: True,
    ) -> None:
        self.replay = 1
        self._may_speak = may_speak
        self._ms = ms
        self._detected = detected
        self._fired_ms: dict[str, int] = {}
        self._above: dict[str, int] = {}
        self._age = 0
        self._since = 0
        self._has_trace = False
        """Whether any word scored `TRACE` or more in the last step that the model ran."""
        self._listening: Listening | None = None
        self.configure(listening)

    @property
    def enabled(self) -> bool:
        """Whether any word is wanted."""
        return self._listening is not None

    def attends(self, stop: int) -> bool | None:
        """Where somebody may be speaking, and while the score of a word is not all down."""
        may_speak = self._may_speak(stop)
        return self._has_trace if may_speak is False else may_speak

    def configure(self, options: Listening | None) -> None:
        """Take other words, thresholds or patience from the next step on; None: no words."""
        listening = options
        if self._listening is None:
            self.reset()
        self._listening = listening
        names = listening.names if listening else ()
        models = [word.model for word in listening.words] if listening else []
        self._keys = tuple(word.key for word in listening.words) if listening else ()
        self.replay = SETTLE_STEPS + max((model.window for model in models), default=0)
        self._above = {w: n for w, n in self._above.items() if w in names}

    def answer(
        self, read: Callable[[int, int], Samples], start: int, stop: int, limit: int
    ) -> None:
        """Every step is the model's."""

    def options(self) -> tuple[str | int, ...]:
        """The words to score, as the pass knows them."""
        return self._keys

    def interpret(
        self, start: int, stop: int, output: Mapping[str | int, tuple[float, str | None]] | None
    ) -> None:
        """Look for crossings in one step's scores; None where the model slept."""
        assert self._listening is not None
        if self._age == 0:
            self._since = start
        self._age += 1
        if output is None:
            return
        self._has_trace = any(score >= TRACE for score, _ in output.values())
        for word, key in zip(self._listening.words, self._keys, strict=True):
            score, class_name = output[key]
            if self._age <= WARM_UP_STEPS or score < word.threshold:
                self._above[word.name] = 0
                continue
            above = self._above[word.name] = self._above.get(word.name, 0) + 1
            if above != word.patience or self._refractory(word.name, stop):
                continue
            self._fired_ms[word.name] = self._ms(stop, end=True)
            phrase_ms = word.model.phrase_ms
            self._detected(Detection(word.name, score, class_name, stop, self._since, phrase_ms))

    def _refractory(self, word: str, stop: int) -> bool:
        assert self._listening is not None
        last = self._fired_ms.get(word)
        refractory_ms = max(self._listening.refractory_ms, MIN_REFRACTORY_MS)
        return last is not None and self._ms(stop, end=True) - last < refractory_ms

    def save(self) -> tuple[int, dict[str, int], bool]:
        """The counts; not when a word last fired, so that a copy's wake is not repeated."""
        return self._age, dict(self._above), self._has_trace

    def restore(self, saved: tuple[int, dict[str, int], bool]) -> None:
        """The counts."""
        self._age, self._above, self._has_trace = saved

    def reset(self) -> None:
        """A fresh stream, except for the refractory, which is on the session's clock."""
        self._age = 0
        self._above = {}
        self._has_trace = False


class WakeModule:
    """Wake words."""

    name: ClassVar[str] = "wake"

    def __init__(
        self, settings: WakeSettings, loaded: Mapping[str, WordModel], register: RegisterHead
    ) -> None:
        self.settings = settings
        self.loaded = loaded
        self._register = register

    @property
    def gate(self) -> Gate | None:
        """The model sleeps where nobody may be speaking, unless the configuration forbids it."""
        s = self.settings
        return Gate(STEP, s.gate_threshold, s.gate_hold_ms, s.gate_rise_db) if s.gate else None

    def open(self, options: Listening | None, context: StepperContext) -> WakeStepper:
        """Return the steps of one stream."""
        return WakeStepper(options, context.ms, context.report, context.may_speak)

    def known(self, custom: CustomWords) -> dict[str, WordModel]:
        """Every word that may be asked for."""
        own = {name: WordModel.of(word) for name, word in custom.items()}
        return {**self.loaded, **{n: m for n, m in own.items() if n not in self.loaded}}

    def parse(
        self, request: Mapping[str, Any], words: CustomWords = NO_WORDS
    ) -> tuple[Listening, list[tuple[str, str]]]:
        """Read a client's options; unknown words are left out with a warning.

        Args:
            request: the options.
            words: of the user's own, as they are now.
        """
        options, warnings = parse_options(self.name, request, WakeOptions)
        known = self.known(words)
        wanted = given(options.words, self.settings.words)
        names = tuple(dict.fromkeys(w for w in wanted if w in known))
        missing = [w for w in wanted if w not in known]
        have = ", ".join(sorted(known)) or "none"
        if not names:
            raise BadConfig(
                _unknown_words(wanted, have),
                ref="modules.wake.words",
            )
        warnings += [("unknown_word", _unknown_words([word], have)) for word in missing]
        s = self.settings
        listened_for = tuple(
            Word(
                name,
                _of(options.threshold, name, self._threshold(name, known[name])),
                _of(options.patience, name, s.patiences.get(name, s.patience)),
                known[name],
                None if (head := known[name].head) is None else self._register(head),
            )
            for name in names
        )
        return Listening(listened_for, given(options.refractory_ms, s.refractory_ms)), warnings

    def _threshold(self, name: str, model: WordModel) -> float:
        own = self.settings.threshold if model.threshold is None else model.threshold
        return self.settings.thresholds.get(name, own)

    def describe(self, options: Listening) -> dict[str, Any]:
        """The entry in `ready`."""
        cards = [word.model.card for word in options.words]
        return {
            "model": ", ".join(card.model for card in cards),
            "license": ", ".join(dict.fromkeys(card.license for card in cards)),
            "source": ", ".join(dict.fromkeys(card.source for card in cards)),
            "training_data": " ".join(dict.fromkeys(card.training_data for card in cards)),
            "words": list(options.names),
            "thresholds": {word.name: word.threshold for word in options.words},
            "patience": {word.name: word.patience for word in options.words},
            "refractory_ms": options.refractory_ms,
            "latency_ms": STEP * max(word.patience for word in options.words) // 16,
        }


def _of(option: T | dict[str, T] | UnsetType, word: str, default: T) -> T:
    """What an option says of a word: it has one value for all, or some by word."""
    if isinstance(option, dict):
        return option.get(word, default)
    return given(option, default)


def _unknown_words(words: Sequence[str], loaded: str) -> str:
    if not words:
        return f"no wake word is named; loaded: {loaded}"
    noun = "word" if len(words) == 1 else "words"
    return f"unknown wake {noun} {', '.join(map(repr, words))}; loaded: {loaded}"
