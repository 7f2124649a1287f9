"""Which types of events a view shows: `--events` and `--no-acks`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from streamd import events
from streamd.errors import WrongUsage

Shows: TypeAlias = Callable[[str], bool]
"""Whether events of a type are shown."""


def event_types() -> list[str]:
    """Return the types that the protocol knows, in alphabetical order."""
    found: set[str] = set()
    waiting = [events.Event]
    while waiting:
        children = waiting.pop().__subclasses__()
        waiting += children
        tags = (child.__struct_config__.tag for child in children if not child.__subclasses__())
        found.update(tag for tag in tags if isinstance(tag, str))
    return sorted(found)


def shows_all(kind: str) -> bool:
    """Return True: without a choice, all types of events are shown."""
    return True


def only(chosen: str | None, *, no_acks: bool = False) -> Shows:
    """Return which types are shown with `--events chosen` and `--no-acks`.

    Raises:
        WrongUsage: There is no such type.
    """
    known = event_types()
    wanted = set(known if chosen is None else filter(None, map(str.strip, chosen.split(","))))
    for kind in sorted(wanted - set(known)):
        raise WrongUsage(f"--events: unknown event {kind!r}; known: {', '.join(known)}")
    if not wanted:
        raise WrongUsage(f"--events: name one at least: {', '.join(known)}")
    if chosen is None and not no_acks:
        return shows_all  # types of a later protocol, too
    if chosen is None:
        return lambda kind: kind != "ack"
    return lambda kind: kind in wanted and not (no_acks and kind == "ack")
