"""Wake words: scores every 80 ms become one event for each utterance of a phrase.

Where nobody may be speaking, the model sleeps. When it wakes, it replays a bounded number of steps
and scores as if it had never slept: an embedding depends on 10 steps, and a head on the embeddings
of its window.

Crossings, patience and the refractory time are counted on the session's clock, so the same audio
gives the same events. Only a crossing is an event. A score that stays above the threshold is none,
even when the refractory time ends meanwhile. A third of all utterances cross the threshold more
than once; a refractory time of 2 s leaves one crossing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from msgspec import UNSET

from streamd.events import Wake
from streamd.modules.base import ModelCard, Ms
from streamd.modules.keyword_stepper import Keyword, KeywordSelection
from streamd.modules.stepper import Evidence
from streamd.modules.words import CustomWord, Head
from streamd.types import RATE_HZ, Samples

STEP = 1280
"""Samples between two scores: eight mel frames of 10 ms."""
CONTEXT = 480
"""Samples before a step that its first mel frames need."""
WARM_UP_STEPS = 5
"""Steps at the start of a stream whose scores are zeroed, as openWakeWord does, because they depend
on what its buffers began with."""
SETTLE_STEPS = 9
"""Steps before the first embedding that does not depend on audio before them."""
LONGEST_WINDOW = 34
"""Embeddings in the longest window of a head (`timer`)."""
MAX_REPLAY = SETTLE_STEPS + LONGEST_WINDOW
TAIL_STEPS = 2
"""Steps of silence added at a flush, because the score peaks up to 160 ms after the phrase."""
MIN_REFRACTORY_MS = (TAIL_STEPS + 1) * STEP // 16
"""Milliseconds in which the live steps score a flushed phrase again that the copy has scored.
Nobody says a phrase twice in this time."""

TRACE = 0.02
"""Score of any word from which it may be about to rise. Other sounds score far below."""


@dataclass(frozen=True, slots=True)
class WordModel:
    """A word that is loaded."""

    card: ModelCard
    phrase_ms: int
    """Milliseconds that the phrase takes at a usual pace."""
    window: int = LONGEST_WINDOW
    """Number of embeddings that its head reads."""
    head: bytes | None = None
    """Packed head of a word of the user's own; the wake pass has the others."""
    threshold: float | None = None
    """Threshold, if it is not the common one; a word of the user's own has one."""

    @classmethod
    def of(cls, word: CustomWord) -> WordModel:
        """Return the model of a word of the user's own."""
        info = word.info
        return cls(info.card, info.phrase_ms, word.window, word.head, info.threshold)


@dataclass(frozen=True, slots=True)
class Word:
    """A word that a session asked for, with the head that it had at that time."""

    name: str
    threshold: float
    patience: int
    model: WordModel
    head: Head | None = None
    """Head of a word of the user's own. The wake pass keeps it as long as a session refers to it.
    """

    @property
    def key(self) -> str | int:
        """Return the name or id by which the wake pass knows the word."""
        return self.name if self.head is None else self.head.id


@dataclass(frozen=True, slots=True)
class WakeSelection:
    """The words and options that a session asked for, resolved against the loaded words."""

    words: tuple[Word, ...]
    refractory_ms: int
    keywords: tuple[Keyword, ...] = ()
    """Words that the keyword model spells."""
    is_file: bool = False
    """Whether the stream is a file, whose events may wait for its end."""

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of the words that have a head."""
        return tuple(word.name for word in self.words)

    @property
    def spelled(self) -> KeywordSelection | None:
        """Return the keywords; None if there is none."""
        if not self.keywords:
            return None
        return KeywordSelection(self.keywords, self.refractory_ms, self.is_file)


@dataclass(frozen=True, slots=True)
class Detection:
    """A word that crossed its threshold in the step that ends at `stop`."""

    word: str
    score: float
    class_name: str | None
    stop: int
    since: int
    """First sample that the score depends on."""
    phrase_ms: int
    """Milliseconds that the phrase takes at a usual pace."""

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
    """Steps over one stream and reports words."""

    pass_name = "wake"
    step = STEP
    context = CONTEXT
    at_once = 4
    at_once_asleep = 4
    tail_steps = TAIL_STEPS
    tail_at_once = 4
    reach = (MAX_REPLAY - 1) * STEP

    def __init__(
        self,
        selection: WakeSelection | None,
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
        self._selection: WakeSelection | None = None
        self.configure(selection)

    @property
    def enabled(self) -> bool:
        """Return whether the session asked for any word."""
        return self._selection is not None

    def attends(self, stop: int) -> bool | None:
        """Return whether somebody may be speaking, or the score of a word has not fallen yet."""
        may_speak = self._may_speak(stop)
        return self._has_trace if may_speak is False else may_speak

    def configure(self, options: WakeSelection | None) -> None:
        """Apply other words, thresholds or patience from the next step on; None: no words."""
        selection = options if options and options.words else None
        if self._selection is None:
            self.reset()
        self._selection = selection
        names = selection.names if selection else ()
        models = [word.model for word in selection.words] if selection else []
        self._keys = tuple(word.key for word in selection.words) if selection else ()
        self.replay = SETTLE_STEPS + max((model.window for model in models), default=0)
        self._above = {w: n for w, n in self._above.items() if w in names}

    def answer(
        self, read: Callable[[int, int], Samples], start: int, stop: int, limit: int
    ) -> None:
        """Return None, because the model answers every step."""

    def options(self) -> tuple[str | int, ...]:
        """Return the words to score, as the pass knows them."""
        return self._keys

    def options_at_end(self, samples: int) -> tuple[str | int, ...]:
        """Return what `options` does: the zeros are silence to it."""
        return self.options()

    def interpret(
        self, start: int, stop: int, output: Mapping[str | int, tuple[float, str | None]] | None
    ) -> None:
        """Look for crossings in one step's scores, which are None if the model slept."""
        assert self._selection is not None
        if self._age == 0:
            self._since = start
        self._age += 1
        if output is None:
            return
        self._has_trace = any(score >= TRACE for score, _ in output.values())
        for word, key in zip(self._selection.words, self._keys, strict=True):
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
        assert self._selection is not None
        last = self._fired_ms.get(word)
        refractory_ms = max(self._selection.refractory_ms, MIN_REFRACTORY_MS)
        return last is not None and self._ms(stop, end=True) - last < refractory_ms

    def finish(self) -> None:
        """Do nothing: what it found is reported."""

    def save(self) -> tuple[int, dict[str, int], bool]:
        """Return the counts, but not when a word last fired: a copy's wake is not repeated."""
        return self._age, dict(self._above), self._has_trace

    def restore(self, saved: tuple[int, dict[str, int], bool]) -> None:
        """Set the counts."""
        self._age, self._above, self._has_trace = saved

    def reset(self) -> None:
        """Start afresh, but keep the refractory time, which is on the session's clock."""
        self._age = 0
        self._above = {}
        self._has_trace = False
