"""Room in the ring beside what is held for good reason."""

from __future__ import annotations

from streamd.audio.ring import Ring

RESERVE = 4096
"""Samples of the ring kept free for what a resampler still holds at a gap."""
LEEWAY = 4096
"""Samples that a resampler may hold back and steps may be short of, on top of what is held."""


def make_room(ring: Ring, held: int) -> None:
    """Have the ring hold `held` samples that cannot be let go, and what comes meanwhile."""
    ring.grow(held + RESERVE + LEEWAY)
