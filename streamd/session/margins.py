"""Margins of the ring beyond the samples that a session must keep."""

from __future__ import annotations

from collections.abc import Iterable

from streamd.audio.ring import Ring

RESERVE = 4096
"""Samples of the ring that stay free for what a resampler still holds at a gap."""
LEEWAY = 4096
"""Samples added to what must be kept: what a resampler holds back and an unfinished step lacks."""


def make_room(rings: Iterable[Ring], held: int) -> None:
    """Make rings hold `held` samples that must be kept, and what arrives in the meantime."""
    for ring in rings:
        ring.grow(held + RESERVE + LEEWAY)
