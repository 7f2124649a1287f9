"""The conformance vectors of `tests/vectors`: read them, and compare what a client received.

    python tests/conformance.py drop_in_a_sentence --close 1000 < events.jsonl

compares the events that any client has printed, one JSON object a line. Python's own library is
all that it needs.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import cycle
from pathlib import Path
from typing import Any

Event = dict[str, Any]
FOLDER = Path(__file__).parent / "vectors"
AUDIO = FOLDER / "audio"
TOLERANCE = 2e-3
"""Of scores: other processors round otherwise."""


@dataclass
class Vector:
    """One conversation; the fields are those of `tests/vectors/README.md`."""

    name: str
    shows: str
    steps: list[dict[str, Any]]
    audio: str | None = None
    frame_bytes: int = 2
    packet_samples: int | None = None
    voices: dict[str, str] = field(default_factory=dict)
    key: str | None = None
    expect: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> Vector:
        return cls(**json.loads(path.read_text(encoding="utf-8")))

    @cached_property
    def sound(self) -> bytes:
        """Return the bytes of the audio file."""
        return (AUDIO / self.audio).read_bytes() if self.audio else b""

    def messages(self, step: dict[str, Any], begin: int) -> Iterator[bytes]:
        """Yield the messages of an `audio` step that begins at a byte of the file."""
        end, lengths = begin + step["audio"], cycle(step.get("cut", [3200]))
        while begin < end:
            last = min(begin + next(lengths), end)
            yield self.sound[begin:last]
            begin = last

    @cached_property
    def packets(self) -> list[bytes]:
        """Return the packets of a file of Opus: each stands behind its length, u16le."""
        data, found = self.sound, []
        while data:
            size = int.from_bytes(data[:2], "little")
            found.append(data[2 : 2 + size])
            data = data[2 + size :]
        return found

    @property
    def kinds(self) -> set[str]:
        """Return which steps it has."""
        return {kind for step in self.steps for kind in step}

    @property
    def hello(self) -> dict[str, Any] | None:
        """Return the fields of its `hello`, or None if the client sends none."""
        return self.steps[0].get("hello")

    @property
    def names(self) -> set[str]:
        """Return the voices that are in the store because of it."""
        sent = [step["send"] for step in self.steps if isinstance(step.get("send"), dict)]
        return {*self.voices, *(one["speaker"] for one in sent if "speaker" in one)}

    @property
    def is_dropped(self) -> bool:
        return "drop" in self.kinds


def as_told(vector: Vector, hidden: Collection[str]) -> Vector:
    """A vector for a client that does not report everything.

    Args:
        hidden: Fields of `expect` that the client does not report. Of a fatal error, every client
            may report the code alone.
    """
    expect = {name: value for name, value in vector.expect.items() if name not in hidden}
    if errors := expect.get("log", {}).get("error"):
        codes = [{"code": e["code"]} if e["fatal"] else e for e in errors]
        expect["log"] = {**expect["log"], "error": codes}
    return replace(vector, expect=expect)


def vectors() -> list[Vector]:
    """All of them, by name."""
    return [Vector.read(path) for path in sorted(FOLDER.glob("*.json"))]


@dataclass
class Seen:
    """What one client received, over all its sockets."""

    events: list[Event] = field(default_factory=list)
    close: int | None = None
    http: int | None = None

    def of(self, kind: str) -> list[Event]:
        return [event for event in self.events if event["type"] == kind]


def log_of(events: Iterable[Event]) -> dict[str, list[Event]]:
    """The log by type, without interim events."""
    lists: dict[str, list[Event]] = {}
    for event in events:
        if "seq" in event and event.get("final", True):
            lists.setdefault(event["type"], []).append(event)
    return lists


def differences(vector: Vector, seen: Seen) -> list[str]:
    """Return in what a client departs from a vector; empty if it passes."""
    expect = vector.expect
    found = [
        f"{name}: expected {expect[name]}, got {getattr(seen, name)}"
        for name in ("close", "http")
        if name in expect and expect[name] != getattr(seen, name)
    ]
    readies, acks = seen.of("ready"), seen.of("ack")
    for name, places in (("ready", readies[:1]), ("resumed", readies[1:][-1:])):
        if name in expect:
            found += _differ(name, [expect[name]], places)
    if "acked" in expect:
        found += _differ("acked", [{"samples": expect["acked"]}], acks[-1:])
    wanted, log = expect.get("log", {}), log_of(seen.events)
    for kind in sorted(wanted.keys() | log.keys()):
        found += _differ(kind, wanted.get(kind, []), log.get(kind, []))
    for kind, events in expect.get("others", {}).items():
        found += _differ(kind, events, seen.of(kind))
    return found + _numbering(vector, seen)


def _differ(name: str, wanted: list[Any], got: list[Any]) -> list[str]:
    if len(wanted) == len(got) and all(map(contains, got, wanted)):
        return []
    return [f"{name}: expected {wanted}, got {got}"]


def contains(got: Any, wanted: Any) -> bool:
    """Whether something has at least the fields that are wanted, with these values."""
    if isinstance(wanted, dict):
        return isinstance(got, dict) and all(
            name in got and contains(got[name], value) for name, value in wanted.items()
        )
    if isinstance(wanted, list):
        is_long = isinstance(got, list) and len(got) == len(wanted)
        return is_long and all(map(contains, got, wanted))
    if isinstance(wanted, float) and isinstance(got, (int, float)):
        return abs(got - wanted) <= TOLERANCE
    return bool(got == wanted)


def _numbering(vector: Vector, seen: Seen) -> list[str]:
    numbers = [event["seq"] for event in seen.events if "seq" in event]
    is_right = numbers == sorted(set(numbers))
    if not vector.is_dropped:
        is_right = numbers == list(range(1, len(numbers) + 1))
    return [] if is_right else [f"seq: {numbers}"]


def main() -> int:
    """Compare what standard input has with a vector; the exit code is 1 if they differ."""
    parser = argparse.ArgumentParser(description="Compare a client's events with a vector.")
    parser.add_argument("vector", choices=sorted(path.stem for path in FOLDER.glob("*.json")))
    parser.add_argument("--close", type=int, help="the close code that the client received")
    parser.add_argument("--http", type=int, help="the HTTP status that refused the upgrade")
    parser.add_argument("--without", nargs="*", default=[], choices=["acked", "others"],
                        help="what the client does not report")  # fmt: skip
    options = parser.parse_args()
    events = [json.loads(line) for line in sys.stdin if line.strip()]
    vector = as_told(Vector.read(FOLDER / f"{options.vector}.json"), options.without)
    found = differences(vector, Seen(events, options.close, options.http))
    print("\n".join(found) or "no difference")  # noqa: T201
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
