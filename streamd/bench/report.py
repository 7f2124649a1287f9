"""The results of a measurement as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from streamd.bench import machine
from streamd.bench.metrics import Snapshot
from streamd.bench.search import Search
from streamd.bench.step import Step

Ending = Literal["found", "max", "load", "refused", "interrupted"]
"""`found`: the server broke above the capacity. Else the reason why it is a lower bound."""


class Setting(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured."""

    url: str | None
    """URL of a server that ran already; None for one that the bench started."""
    cores: int | None
    """Cores that the server may use; None if the bench did not start it."""
    version: str
    """Version of the server; empty if unknown."""
    options: dict[str, Any]
    """Options in force."""
    modules: dict[str, Any]
    """`modules` of `ready`: model, licence, words."""
    idle: Snapshot | None
    """The server before the first step."""


def figures(
    setting: Setting, search: Search, steps: Sequence[Step], *, is_interrupted: bool
) -> dict[str, Any]:
    """Return all figures.

    Args:
        setting: what was measured.
        search: after its end.
        steps: in the order in which they ran.
        is_interrupted: whether Ctrl-C ended it early.
    """
    best = next((s for s in reversed(steps) if s.has_held and s.streams == search.held), None)
    broke = next((s for s in reversed(steps) if s.streams == search.broke), None)
    idle = setting.idle.resident_bytes if setting.idle else None
    per_core = search.held / setting.cores if setting.cores else None
    return {
        **machine.described(),
        "server": {
            "url": setting.url,
            "cores": setting.cores,
            "version": setting.version,
            "modules": setting.modules,
        },
        "options": setting.options,
        "capacity": search.held,
        "ended": _ending(broke, is_interrupted=is_interrupted),
        "streams_per_core": None if per_core is None else round(per_core, 1),
        "broke": None if broke is None else {"streams": broke.streams, "why": broke.why},
        "at_capacity": None if best is None else msgspec.to_builtins(best),
        "memory": {"before_bytes": idle, "per_stream_bytes": memory_per_stream(idle, steps)},
        "steps": [msgspec.to_builtins(step) for step in steps],
    }


def memory_per_stream(idle_bytes: float | None, steps: Sequence[Step]) -> float | None:
    """Return bytes per stream of the largest step while the number grew: memory is never freed."""
    found, most = None, 0
    for step in steps:
        if step.streams <= most:
            break
        most = step.streams
        if step.has_held and idle_bytes is not None and step.resident_bytes is not None:
            found = round((step.resident_bytes - idle_bytes) / step.streams)
    return found


def _ending(broke: Step | None, *, is_interrupted: bool) -> Ending:
    if is_interrupted:
        return "interrupted"
    if broke is None:
        return "max"
    return broke.verdict if broke.verdict in ("load", "refused") else "found"
