"""Keywords in the posteriors of a CTC network, by a beam search over prefixes.

Source: Graves and Jaitly 2014 for CTC's prefix search, and FunASR 1.4's `KwsCtcPrefixDecoder` for
what it prunes and how it scores, to which this one is equal on whole files. It is a search in real
time too: after any frame, `hit` answers as if the file ended there.

In a file, paths only grow and become less likely, until none goes on and nothing is found any more:
FunASR finds no keyword behind a minute of talk. An *endless* search keeps paths likely in
proportion to each other, and forgets what was said more than a second ago.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

BLANK = 0
MIN_POSTERIOR = 0.05
"""A token of a frame counts over it."""
BEAM = 20
"""Prefixes that live on after a frame."""
FORGOTTEN_AFTER = 34
"""Frames without any token of the keywords after which an endless search forgets: about a second,
longer than the pauses inside a phrase."""
_NEGLIGIBLE = 1e-6
"""A path less likely than this does not go on with a token that it ends in."""
_KEPT_PHRASES = 4
"""An endless search keeps so many times the tokens of the longest keyword."""


class Hit(NamedTuple):
    """A keyword that was found."""

    keyword: str
    score: float
    """Square root of the product of the peaks of its tokens, 0 to 1."""
    first: int
    """Frame of the earliest peak of its tokens. It is not always the first token's: paths share
    peaks, as in FunASR, so another path may have raised that one later."""
    last: int
    """Frame of the latest peak."""


@dataclass(slots=True)
class _Peak:
    """The greatest posterior of one token of a prefix. Prefixes that go on from it share it."""

    frame: int
    posterior: float

    def raise_to(self, frame: int, posterior: float) -> None:
        if posterior > self.posterior:
            self.frame, self.posterior = frame, posterior


_Prefix: TypeAlias = tuple[int, ...]


@dataclass(slots=True)
class _Path:
    """How likely a prefix is, over all alignments that end in a blank, or in its last token."""

    blank: float
    token: float
    peaks: list[_Peak]


class KeywordSearch:
    """Searches one stream for several keywords."""

    def __init__(
        self, keywords: Mapping[str, Sequence[int]], *, endless: bool = False, frame: int = 0
    ) -> None:
        """Begin.

        Args:
            keywords: token numbers of each keyword, at least one, none of them the blank. Where
                two are in the same path, the first one wins.
            endless: whether the search is for a stream that does not end.
            frame: number of the first frame.
        """
        self._keywords = {name: tuple(tokens) for name, tokens in keywords.items()}
        self._tokens = {BLANK}.union(*self._keywords.values())
        self._most = _KEPT_PHRASES * max(map(len, self._keywords.values()))
        self._endless = endless
        self._frame = frame
        self._quiet = 0
        """Frames in a row without a token of the keywords."""
        self._paths: list[tuple[_Prefix, _Path]] = []
        self.restart()

    def restart(self) -> None:
        """Forget what was said so far; frames count on."""
        self._paths = [((), _Path(1.0, 0.0, []))]
        self._is_at_rest = True

    @property
    def is_at_rest(self) -> bool:
        """Return whether no token of the keywords was said since the search began or forgot."""
        return self._is_at_rest

    def step(self, tokens: Sequence[int], posteriors: Sequence[float]) -> bool:
        """Go on by one frame.

        Args:
            tokens: the frame's most likely tokens, the best first; FunASR looks at three.
            posteriors: theirs.

        Returns:
            Whether one of them is a token of the keywords, so that `hit` may have changed.
        """
        frame, self._frame = self._frame, self._frame + 1
        counting, is_said = [], False
        for token, posterior in zip(tokens, posteriors, strict=True):
            if posterior <= MIN_POSTERIOR:
                break  # so are the ones behind it
            if token in self._tokens:
                counting.append((token, posterior))
                is_said = is_said or token != BLANK
        if self._endless and not self._goes_on(is_said):
            return False
        if counting:
            self._is_at_rest = self._is_at_rest and not is_said
            ranked = (
                self._extended(frame, counting) if is_said else self._after_blank(counting[0][1])
            )
            self._paths = _settled(ranked, self._most) if self._endless else ranked
        return is_said

    def _extended(
        self, frame: int, counting: Sequence[tuple[int, float]]
    ) -> list[tuple[_Prefix, _Path]]:
        """The paths that a frame leads to, the most likely first."""
        following: dict[_Prefix, _Path] = {}
        for token, posterior in counting:
            for prefix, path in self._paths:
                _extend(following, prefix, path, frame, token, posterior)
        ranked = sorted(following.items(), key=lambda item: -(item[1].blank + item[1].token))
        return ranked[:BEAM]

    def _after_blank(self, posterior: float) -> list[tuple[_Prefix, _Path]]:
        """What `_extended` gives for a frame with a blank alone, which most are: the same paths."""
        for _, path in self._paths:
            path.blank, path.token = path.blank * posterior + path.token * posterior, 0.0
        return self._paths

    def skip(self, frames: int) -> None:
        """Go on by some frames in which nobody spoke: all of them are taken to be blank."""
        for _ in range(min(frames, FORGOTTEN_AFTER) if frames and not self._is_at_rest else 0):
            self.step((BLANK,), (1.0,))
            frames -= 1
        self._frame += frames

    def hit(self) -> Hit | None:
        """Return the keyword in the most likely path that has one."""
        for prefix, path in self._paths:
            for keyword, tokens in self._keywords.items():
                for hit in _occurrences(keyword, tokens, prefix, path.peaks):
                    return hit
        return None

    def best_after(self, frame: int) -> Hit | None:
        """Return the best of the keywords that begin behind a frame.

        It is looked for in the most likely path that has any.
        """
        for prefix, path in self._paths:
            hits = [
                hit
                for keyword, tokens in self._keywords.items()
                for hit in _occurrences(keyword, tokens, prefix, path.peaks)
                if hit.first > frame
            ]
            if hits:
                return max(hits, key=lambda hit: hit.score)
        return None

    def copy(self) -> KeywordSearch:
        """Return a copy that goes on by itself."""
        other = copy.copy(self)
        # Deep, but once for all paths: they share peaks.
        other._paths = copy.deepcopy(self._paths)
        return other

    def _goes_on(self, is_said: bool) -> bool:
        """Whether a frame changes anything; forget where it is the last of many without a token."""
        self._quiet = 0 if is_said else self._quiet + 1
        if self._quiet >= FORGOTTEN_AFTER and not self._is_at_rest:
            self.restart()
        return is_said or not self._is_at_rest


def _occurrences(
    keyword: str, tokens: _Prefix, prefix: _Prefix, peaks: Sequence[_Peak]
) -> Iterator[Hit]:
    """Yield where a prefix has a keyword, from its beginning on."""
    for start in range(len(prefix) - len(tokens) + 1):
        if prefix[start : start + len(tokens)] == tokens:
            its = peaks[start : start + len(tokens)]
            score = math.sqrt(math.prod(peak.posterior for peak in its))
            frames = [peak.frame for peak in its]
            yield Hit(keyword, score, min(frames), max(frames))


def _settled(ranked: Sequence[tuple[_Prefix, _Path]], most: int) -> list[tuple[_Prefix, _Path]]:
    """Paths that are likely in proportion to the best, each with its last `most` tokens."""
    best = ranked[0][1].blank + ranked[0][1].token
    paths: dict[_Prefix, _Path] = {}
    for prefix, path in ranked:
        kept = prefix[-most:]
        if kept not in paths:  # else a more likely one has the same tokens
            paths[kept] = _Path(path.blank / best, path.token / best, path.peaks[-most:])
    return list(paths.items())


def _extend(
    following: dict[_Prefix, _Path],
    prefix: _Prefix,
    path: _Path,
    frame: int,
    token: int,
    posterior: float,
) -> None:
    """Add what becomes of one path with one token."""
    if token == BLANK:
        after = following.setdefault(prefix, _Path(0.0, 0.0, []))
        after.blank = after.blank + path.blank * posterior + path.token * posterior
        after.peaks = path.peaks.copy()
    elif prefix and token == prefix[-1]:
        if path.token > _NEGLIGIBLE:  # the token goes on
            after = following.setdefault(prefix, _Path(0.0, 0.0, []))
            after.token += path.token * posterior
            after.peaks = path.peaks.copy()
            after.peaks[-1].raise_to(frame, posterior)
        if path.blank > _NEGLIGIBLE:  # there was a blank between: it is said twice
            after = following.setdefault((*prefix, token), _Path(0.0, 0.0, []))
            after.token += path.blank * posterior
            after.peaks = [*path.peaks, _Peak(frame, posterior)]
    else:
        after = following.setdefault((*prefix, token), _Path(0.0, 0.0, []))
        after.token = after.token + path.blank * posterior + path.token * posterior
        if after.peaks:
            after.peaks[-1].raise_to(frame, posterior)
        else:
            after.peaks = [*path.peaks, _Peak(frame, posterior)]
