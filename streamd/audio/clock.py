"""The session's clock: timeline positions and input frame counts to integer milliseconds.

A time is floor(1000·n/rate), n in sample frames at the input rate (`docs/wire.md`). A gap that
the client declares in frames adds to n. A gap in milliseconds adds its milliseconds as they are:
as frames they could be fractional.
Only integers are used, so an hour at 11 025 Hz is as exact as the first second.

The timeline counts samples at 16 kHz and has no hole at a gap: the resampler ends one
*stretch* there and begins the next, whose grid starts at the first frame after the gap.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import NamedTuple

from streamd.types import RATE_HZ


class _Piece(NamedTuple):
    """Where a stretch begins."""

    position: int
    """Timeline samples before it."""
    frames: int
    """Input frames before it."""
    gap_ms: int
    """All gaps declared in milliseconds before it, together."""
    gap_frames: int
    """All gaps declared in input frames before it, together."""


class Clock:
    """Maps positions to milliseconds.

    Args:
        rate_hz: The input rate.
    """

    def __init__(self, rate_hz: int) -> None:
        self.rate_hz = rate_hz
        self._stretches = [_Piece(0, 0, 0, 0)]

    def begin_piece(self, position: int, frames: int, gap_ms: int, gap_frames: int = 0) -> None:
        """Anchor what follows a gap.

        Args:
            position: Timeline samples emitted so far.
            frames: Input frames received so far, gaps not counted.
            gap_ms: All gaps in milliseconds so far together, this one included.
            gap_frames: All gaps in input frames so far together, this one included.

        Raises:
            ValueError: One of the four went back.
        """
        stretch = _Piece(position, frames, gap_ms, gap_frames)
        last = self._stretches[-1]
        if any(new < old for new, old in zip(stretch, last, strict=True)):
            raise ValueError(f"{stretch} lies before {last}")
        # A stretch without a sample has no position of its own. It is not kept, lest gap
        # after gap without audio fill the memory; the first of such a row is the end mark
        # of the stretch before.
        if len(self._stretches) > 1 and last.position == position:
            self._stretches[-1] = stretch
        else:
            self._stretches.append(stretch)

    def ms(self, position: int, *, end: bool = False) -> int:
        """Time of a timeline position, in ms.

        Args:
            position: Samples at 16 kHz.
            end: Take a position where two stretches meet as the end of the first (before
                the gap) rather than as the start of the second (after it).

        Raises:
            ValueError: The position lies before all that `forget_before` left.
        """
        find = bisect_left if end else bisect_right
        index = find(self._stretches, position, key=lambda s: s.position) - 1
        if index < 0 and position == self._stretches[0].position:
            index = 0
        if index < 0:
            raise ValueError(f"position {position} is forgotten")
        stretch = self._stretches[index]
        # In units of 1/16000 of an input frame: an integer at every position.
        n = stretch.frames * RATE_HZ + (position - stretch.position) * self.rate_hz
        if index + 1 < len(self._stretches):
            n = min(n, self._stretches[index + 1].frames * RATE_HZ)
        n += stretch.gap_frames * RATE_HZ
        return stretch.gap_ms + 1000 * n // (RATE_HZ * self.rate_hz)

    def ms_of_frames(self, frames: int) -> int:
        """Time after so many input frames, in ms; at a gap, the time after it.

        Raises:
            ValueError: The frame lies before all that `forget_before` left.
        """
        piece = self._piece_of_frames(frames)
        return piece.gap_ms + 1000 * (frames + piece.gap_frames) // self.rate_hz

    def position_of(self, frames: int) -> int:
        """Timeline position that an ideal resampler reaches after so many input frames.

        Raises:
            ValueError: The frame lies before all that `forget_before` left.
        """
        stretch = self._piece_of_frames(frames)
        return stretch.position + (frames - stretch.frames) * RATE_HZ // self.rate_hz

    def frames_within(self, position: int) -> int:
        """The most input frames, of this stretch or to come, that `position` has room for.

        The inverse of `position_of` in the newest stretch: more frames would lie beyond.
        """
        stretch = self._stretches[-1]
        samples = position - stretch.position
        return stretch.frames + ((samples + 1) * self.rate_hz - 1) // RATE_HZ

    def forget_before(self, position: int) -> None:
        """Drop the stretches that end before `position`; nobody may ask about them again."""
        held = bisect_left(self._stretches, position, key=lambda s: s.position) - 1
        del self._stretches[: max(0, held)]

    def _piece_of_frames(self, frames: int) -> _Piece:
        index = bisect_right(self._stretches, frames, key=lambda s: s.frames) - 1
        if index < 0:
            raise ValueError(f"frame {frames} is forgotten")
        return self._stretches[index]
