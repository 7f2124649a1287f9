"""Keywords in the posteriors of a CTC network, by a beam search over prefixes.

Source: Graves and Jaitly 2014 for CTC's prefix search, and FunASR 1.4's `KwsCtcPrefixDecoder` for
what it prunes and how it scores, to which this one is equal on whole files. It is a search in real
time too: after any frame, `hit` answers as if the file ended there.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

from streamd.errors import BadConfig
from streamd.validation import quoted

BLANK = 0
MIN_POSTERIOR = 0.05
"""A token of a frame counts over it."""
BEAM = 20
"""Prefixes that live on after a frame."""
_NEGLIGIBLE = 1e-6
"""A path less likely than this does not go on with a token that it ends in."""


class Hit(NamedTuple):
    """A keyword that was found."""

    keyword: str
    score: float
    """Square root of the product of the peaks of its tokens, 0 to 1."""
    first: int
    """Frame of its first token's peak. Paths share peaks, as in FunASR, and one that another path
    raised later may lie after the next token's."""
    last: int
    """Frame of its last token's peak."""


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


def spell(keyword: str, tokens: Mapping[str, int]) -> tuple[int, ...]:
    """Return the numbers of a keyword's tokens: of the whole, of words of letters, of characters.

    Args:
        keyword: as it is written; spaces and capitals make no difference.
        tokens: number of each token.

    Raises:
        BadConfig: the model cannot spell it.
    """
    text = "".join(keyword.split())
    parts = [text] if text in tokens else []
    for part in re.findall(r"[a-z]+|[^a-z]", text.lower()) if not parts else ():
        parts.extend([part] if part in tokens else part)
    unknown = [part for part in parts if tokens.get(part, BLANK) == BLANK]
    if unknown or not parts:
        what = f"it has no {quoted(unknown[0])}" if unknown else "it is empty"
        raise BadConfig(f"the model cannot spell the keyword {quoted(keyword)}: {what}")
    return tuple(tokens[part] for part in parts)


class KeywordSearch:
    """Searches one stream for several keywords."""

    def __init__(self, keywords: Mapping[str, Sequence[int]]) -> None:
        """Begin at frame 0.

        Args:
            keywords: token numbers of each keyword, at least one, none of them the blank. Where
                two are in the same path, the first one wins.
        """
        self._keywords = {name: tuple(tokens) for name, tokens in keywords.items()}
        self._tokens = {BLANK}.union(*self._keywords.values())
        self._frame = 0
        self._paths: list[tuple[_Prefix, _Path]] = []
        self.restart()

    def restart(self) -> None:
        """Forget what was said so far; frames count on.

        Call it after a hit, and after a pause. Paths that nobody forgets grow, and become so
        unlikely that none goes on and no keyword is found any more, as in FunASR in a long file.
        """
        self._paths = [((), _Path(1.0, 0.0, []))]

    def step(self, tokens: Sequence[int], posteriors: Sequence[float]) -> None:
        """Go on by one frame.

        Args:
            tokens: the frame's most likely tokens, the best first; FunASR looks at three.
            posteriors: theirs.
        """
        frame, self._frame = self._frame, self._frame + 1
        counting = [
            (token, posterior)
            for token, posterior in zip(tokens, posteriors, strict=True)
            if posterior > MIN_POSTERIOR and token in self._tokens
        ]
        if not counting:
            return
        following: dict[_Prefix, _Path] = {}
        for token, posterior in counting:
            for prefix, path in self._paths:
                _extend(following, prefix, path, frame, token, posterior)
        ranked = sorted(following.items(), key=lambda item: -(item[1].blank + item[1].token))
        self._paths = ranked[:BEAM]

    def hit(self) -> Hit | None:
        """Return the keyword in the most likely path that has one."""
        for prefix, path in self._paths:
            for keyword, tokens in self._keywords.items():
                for start in range(len(prefix) - len(tokens) + 1):
                    if prefix[start : start + len(tokens)] == tokens:
                        peaks = path.peaks[start : start + len(tokens)]
                        score = math.sqrt(math.prod(peak.posterior for peak in peaks))
                        return Hit(keyword, score, peaks[0].frame, peaks[-1].frame)
        return None


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
