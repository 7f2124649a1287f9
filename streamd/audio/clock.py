"""The session's clock: timeline positions and input frame counts to integer milliseconds.

A time is floor(1000·n/rate), n in sample frames at the input rate (`docs/wire.md`). A gap that the
client declares in frames adds to n. A gap in milliseconds adds its milliseconds to the result,
because it need not be a whole number of frames. Only integers are used, so an hour at 11 025 Hz is
as exact as the first second.

The timeline counts samples at 16 kHz and has no hole at a gap: one *piece* of it ends there and the
next begins. The resampler's grid starts anew at the first frame after the gap.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import NamedTuple

from streamd.types import RATE_HZ


class _Piece(NamedTuple):
    """Where a piece begins."""

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
        self._pieces = [_Piece(0, 0, 0, 0)]

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
        piece = _Piece(position, frames, gap_ms, gap_frames)
        last = self._pieces[-1]
        if any(new < old for new, old in zip(piece, last, strict=True)):
            raise ValueError(f"{piece} lies before {last}")
        # A piece without a sample has no position of its own. Only the first of several in a
        # row is kept, as the end of the piece before; otherwise gaps without audio would fill
        # the memory.
        if len(self._pieces) > 1 and last.position == position:
            self._pieces[-1] = piece
        else:
            self._pieces.append(piece)

    def ms(self, position: int, *, end: bool = False) -> int:
        """Return the time of a timeline position, ms.

        Args:
            position: Samples at 16 kHz.
            end: Take a position where two pieces meet as the end of the first (before
                the gap) rather than as the start of the second (after it).

        Raises:
            ValueError: The position lies before all that `forget_before` left.
        """
        last = self._pieces[-1]
        if position > last.position:  # nearly always
            n = (last.frames + last.gap_frames) * RATE_HZ
            n += (position - last.position) * self.rate_hz
            return last.gap_ms + 1000 * n // (RATE_HZ * self.rate_hz)
        find = bisect_left if end else bisect_right
        index = find(self._pieces, position, key=lambda s: s.position) - 1
        if index < 0 and position == self._pieces[0].position:
            index = 0
        if index < 0:
            raise ValueError(f"position {position} is forgotten")
        piece = self._pieces[index]
        # In units of 1/16000 of an input frame: an integer at every position.
        n = piece.frames * RATE_HZ + (position - piece.position) * self.rate_hz
        if index + 1 < len(self._pieces):
            n = min(n, self._pieces[index + 1].frames * RATE_HZ)
        n += piece.gap_frames * RATE_HZ
        return piece.gap_ms + 1000 * n // (RATE_HZ * self.rate_hz)

    def ms_of_frames(self, frames: int) -> int:
        """Return the time after so many input frames, ms; at a gap, the time after it.

        Raises:
            ValueError: The frame lies before all that `forget_before` left.
        """
        piece = self._piece_of_frames(frames)
        return piece.gap_ms + 1000 * (frames + piece.gap_frames) // self.rate_hz

    def position_of(self, frames: int) -> int:
        """Return the timeline position that an ideal resampler reaches after so many input frames.

        Raises:
            ValueError: The frame lies before all that `forget_before` left.
        """
        piece = self._piece_of_frames(frames)
        return piece.position + (frames - piece.frames) * RATE_HZ // self.rate_hz

    def frames_within(self, position: int) -> int:
        """Return how many input frames in all fit below `position`.

        The inverse of `position_of` in the newest piece: more frames would lie beyond.
        """
        piece = self._pieces[-1]
        samples = position - piece.position
        return piece.frames + ((samples + 1) * self.rate_hz - 1) // RATE_HZ

    def forget_before(self, position: int) -> None:
        """Drop the pieces that end before `position`; their times are unknown from then on."""
        held = bisect_left(self._pieces, position, key=lambda s: s.position) - 1
        del self._pieces[: max(0, held)]

    def _piece_of_frames(self, frames: int) -> _Piece:
        if frames >= self._pieces[-1].frames:  # nearly always
            return self._pieces[-1]
        index = bisect_right(self._pieces, frames, key=lambda s: s.frames) - 1
        if index < 0:
            raise ValueError(f"frame {frames} is forgotten")
        return self._pieces[index]
