"""Keywords in real time: a CTC network's frames of 30 ms become one event for each phrase.

A frame's scores are there 255 ms after it, and steps have three frames, so an event comes 255 to
345 ms after the last syllable. Each keyword has a search of its own: which other words a client
listens for changes nothing.

Where nobody may be speaking, the network sleeps, and its frames are taken to be blank, whether it
runs or not. When it wakes, it replays as many steps as its state depends on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from msgspec import UNSET

from streamd.events import Wake
from streamd.modules.base import ModelCard, Ms
from streamd.modules.keyword_search import Hit, KeywordSearch
from streamd.modules.keyword_spelling import Spelling
from streamd.modules.stepper import Evidence
from streamd.types import Floats, Samples

FRAME = 480
"""Samples from one frame of the network to the next."""
FRAMES = 3
"""Frames of a step. A step has those whose audio ends in it: the first begins a frame before it."""
STEP = FRAMES * FRAME
CONTEXT = FRAME
"""Samples before a step that its first frame needs."""
MAX_KEYWORDS = 32
"""Keywords of a stream, which bounds the work of its searches."""
_BESIDE = 4 * FRAME
"""Samples of a phrase before its first token's peak, and after its last one's: half a syllable."""

Options: TypeAlias = tuple[int, ...] | None


class Frames(NamedTuple):
    """What the pass gives for a step: the most likely tokens of each of its frames."""

    scores: Floats
    """[3, 3], falling in each frame."""
    tokens: npt.NDArray[np.int64]
    """[3, 3]"""


@dataclass(frozen=True, slots=True)
class KeywordModel:
    """The network that spells keywords."""

    card: ModelCard
    spelling: Spelling
    delay: int
    """Frames after a frame that its scores depend on."""
    replay: int
    """Steps that the network must process, the asked one last, to score as if it had never slept.
    """

    @property
    def latency_ms(self) -> int:
        """Return the most milliseconds from the end of a phrase to its event."""
        return (self.delay * FRAME + FRAME // 2 + STEP) // 16


@dataclass(frozen=True, slots=True)
class Keyword:
    """A keyword that a session asked for."""

    name: str
    threshold: float
    tokens: tuple[int, ...]


class KeywordSelection(NamedTuple):
    """The keywords of a session."""

    keywords: tuple[Keyword, ...]
    refractory_ms: int
    is_file: bool = False
    """Whether the stream is a file, whose events may wait for its end. Then the network never
    sleeps, and the keyword that FunASR finds in the whole file has the score that FunASR gives."""


@dataclass(frozen=True, slots=True)
class KeywordFound:
    """A keyword that reached its threshold in the step that ends at `stop`. Counted in samples."""

    word: str
    score: float
    start: int
    end: int
    stop: int

    def event(self, evidence: Evidence, ms: Ms) -> Wake:
        """Return the event, with what is known of who said the phrase."""
        speaker = evidence.speaker
        return Wake(
            t0=ms(self.start),
            t1=ms(self.end, end=True),
            at=ms(self.stop, end=True),
            word=self.word,
            score=round(self.score, 4),
            class_=UNSET,
            utterance=UNSET if evidence.utterance is None else evidence.utterance,
            speaker=UNSET if speaker is None or speaker.speaker is None else speaker.speaker,
            speaker_score=UNSET if speaker is None else speaker.score,
        )


@dataclass(slots=True)
class _State:
    """What must survive a walk on a copy."""

    age: int = 0
    """Steps so far."""
    searches: dict[tuple[int, ...], KeywordSearch] = field(default_factory=dict)
    """By the tokens of the keyword."""
    whole: KeywordSearch | None = None
    """FunASR's search for all keywords, over a file."""

    def copy(self) -> _State:
        searches = {tokens: search.copy() for tokens, search in self.searches.items()}
        return _State(self.age, searches, None if self.whole is None else self.whole.copy())


class KeywordStepper:
    """Steps over one stream and reports keywords."""

    pass_name = "keyword"
    step = STEP
    context = CONTEXT
    at_once = 16
    at_once_asleep = 4
    tail_at_once = 16

    def __init__(
        self,
        model: KeywordModel,
        selection: KeywordSelection | None,
        ms: Ms,
        found: Callable[[KeywordFound], None],
        may_speak: Callable[[int], bool | None] = lambda stop: True,
    ) -> None:
        self.tail_steps = -(-(model.delay + 1) // FRAMES)
        self.replay = model.replay
        self.reach = (model.replay - 1) * STEP
        self._delay = model.delay
        self._may_speak = may_speak
        self._ms = ms
        self._found = found
        self._refractory: dict[str, int] = {}
        """Time at which each word was last reported, ms; a gap does not change it."""
        self._used: dict[str, int] = {}
        """Frame at which the last phrase of each word ended. A walk on a copy leaves it as it is,
        so that a phrase that the copy found is not found again."""
        self._spoken: dict[int, bool] = {}
        """Whether somebody may be speaking in the steps that `interpret` has yet to get."""
        self._since = 0
        self._waiting: list[KeywordFound] = []
        """What was found in a file so far."""
        self._state = _State()
        self._selection: KeywordSelection | None = None
        self.configure(selection)

    @property
    def enabled(self) -> bool:
        """Return whether the session asked for any keyword."""
        return self._selection is not None

    def configure(self, options: KeywordSelection | None) -> None:
        """Apply other keywords or thresholds from the next step on; None: no keywords.

        A keyword that stays is searched on as if nothing had happened.
        """
        if self._selection is None:
            self.reset()
        self._selection = options
        state, keywords = self._state, options.keywords if options else ()
        frame = self._frames(state.age)
        state.searches = {
            keyword.tokens: state.searches.get(keyword.tokens)
            or KeywordSearch({keyword.name: keyword.tokens}, endless=True, frame=frame)
            for keyword in keywords
        }
        if options is not None and options.is_file:
            state.whole = KeywordSearch({one.name: one.tokens for one in keywords}, frame=frame)

    def attends(self, stop: int) -> bool | None:
        """Return whether somebody may be speaking, or a keyword has begun."""
        may_speak = self._may_speak(stop)
        if may_speak is None:
            return None
        self._spoken[stop] = may_speak
        return self._listens(may_speak)

    def answer(
        self, read: Callable[[int, int], Samples], start: int, stop: int, limit: int
    ) -> None:
        """Return None, because the network answers every step."""

    def options(self) -> Options:
        """Return None: the audio goes on after the step."""
        return None

    def options_at_end(self, samples: int) -> Options:
        """Return how many samples there are from the beginning of the step to the end of all."""
        return (samples,)

    def interpret(self, start: int, stop: int, output: Frames | None) -> None:
        """Search one step's frames, which are None if the network slept."""
        state = self._state
        if state.age == 0:
            self._since = start
        first, state.age = self._frames(state.age), state.age + 1
        count = self._frames(state.age) - first
        # What the network says does not count where it might as well have slept: it may have had
        # to run only because steps came together.
        if not self._listens(self._spoken.pop(stop, True)) or output is None:
            for search in state.searches.values():
                search.skip(count)
            return
        # The first frames of a stream have no scores yet.
        tokens, scores = output.tokens.tolist(), output.scores.tolist()
        self._search(stop, tokens[FRAMES - count :], scores[FRAMES - count :])

    def finish(self) -> None:
        """Report what a file has, now that it is over."""
        if self._selection is None or not self._selection.is_file:
            return
        for found in self._settled(self._selection):
            self._found(found)
        self._waiting = []

    def save(self) -> _State:
        """Return the searches, but not what was reported: a copy's wake is not repeated."""
        return self._state.copy()

    def restore(self, saved: _State) -> None:
        """Go back to the searches."""
        self._state = saved

    def reset(self) -> None:
        """Start afresh, but keep the refractory time, which is on the session's clock."""
        self._spoken.clear()
        self._used.clear()
        self._state = _State()
        if self._selection is not None:
            self.configure(self._selection)

    def _frames(self, age: int) -> int:
        """Frames that have their scores after some steps."""
        return max(0, FRAMES * age - 1 - self._delay)

    def _listens(self, may_speak: bool) -> bool:
        if may_speak or (self._selection is not None and self._selection.is_file):
            return True
        return any(not search.is_at_rest for search in self._state.searches.values())

    def _search(
        self, stop: int, tokens: Sequence[Sequence[int]], scores: Sequence[Sequence[float]]
    ) -> None:
        assert self._selection is not None
        state = self._state
        changed = set()
        for frame_tokens, frame_scores in zip(tokens, scores, strict=True):
            for spelled, search in state.searches.items():
                if search.step(frame_tokens, frame_scores):
                    changed.add(spelled)
            if state.whole is not None:
                state.whole.step(frame_tokens, frame_scores)
        for keyword in self._selection.keywords if changed else ():
            if keyword.tokens in changed:
                self._look(keyword, state.searches[keyword.tokens], stop)

    def _look(self, keyword: Keyword, search: KeywordSearch, stop: int) -> None:
        """Report a keyword if it has reached its threshold, once for each phrase."""
        assert self._selection is not None
        hit = search.best_after(self._used.get(keyword.name, -1))
        if hit is None or hit.score < keyword.threshold:
            return
        self._used[keyword.name] = hit.last
        now_ms = self._ms(stop, end=True)
        reported_ms = self._refractory.get(keyword.name)
        if reported_ms is not None and now_ms - reported_ms < self._selection.refractory_ms:
            return
        self._refractory[keyword.name] = now_ms
        found = self._of(keyword.name, hit, stop)
        if self._selection.is_file:
            self._waiting.append(found)
        else:
            self._found(found)

    def _of(self, word: str, hit: Hit, stop: int) -> KeywordFound:
        """A hit with its place: not before the stream began, nor behind what is known."""
        start = max(self._since + hit.first * FRAME - _BESIDE, self._since)
        end = min(self._since + (hit.last + 1) * FRAME + _BESIDE, stop)
        return KeywordFound(word, hit.score, min(start, end), end, stop)

    def _settled(self, selection: KeywordSelection) -> list[KeywordFound]:
        """All that was found in a file, with FunASR's score where FunASR finds it, too."""
        found, whole = self._waiting, self._state.whole
        hit = None if whole is None else whole.hit()
        thresholds: Mapping[str, float] = {one.name: one.threshold for one in selection.keywords}
        if hit is None or hit.score < thresholds[hit.keyword]:
            return found
        stop = max((one.stop for one in found), default=self._since)
        stop = max(stop, self._since + (hit.last + 1) * FRAME)
        its = self._of(hit.keyword, hit, stop)
        others = [one for one in found if one.word != its.word or not _overlap(one, its)]
        return sorted([*others, its], key=lambda one: (one.start, one.stop))


def _overlap(one: KeywordFound, other: KeywordFound) -> bool:
    return one.start < other.end and other.start < one.end
