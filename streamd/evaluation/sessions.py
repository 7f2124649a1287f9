"""Which rows form one session."""

from __future__ import annotations

from collections.abc import Iterable

from streamd.evaluation.manifest import Row
from streamd.evaluation.streams import Stream


def in_sessions(rows: Iterable[Row], *, lead_out_ms: int = 0) -> list[Stream]:
    """Return rows of one `session` together, in their order, and every other row by itself."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(f"session {row.session}" if row.session else f"{row.line}", []).append(
            row
        )
    return [Stream(rows=tuple(own), lead_out_ms=lead_out_ms) for own in groups.values()]


def by_speaker(rows: Iterable[Row]) -> list[Stream]:
    """Return each speaker's rows as one session, in their order; others by themselves."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.cluster, []).append(row)
    return [Stream(rows=tuple(own)) for own in groups.values()]
