"""The faults of a value from outside: where, what was expected, and what came."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from streamd.validation.words import shortened

Path: TypeAlias = tuple[str, ...]
"""Keys from the outermost value to an inner one; the items of a list count from 0."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a value."""

    path: Path
    """Place of the value, as the client wrote it."""
    problem: Literal["missing", "type", "value", "unknown"]
    """Kind of fault: a required key is missing, a value has the wrong JSON type, a value of the
    right type is not allowed, or a key is unknown."""
    expected: str
    """What was expected, as `a whole number from 8000 to 48000`; for an unknown key, the known
    ones."""
    got: str
    """The value, shortened; for an unknown key, the key."""

    @property
    def where(self) -> str:
        """Return the dotted path, as `modules.vad.threshold`, with long parts shortened."""
        return ".".join(map(shortened, self.path))

    @property
    def what(self) -> str:
        """Return the fault in words, without its place."""
        match self.problem:
            case "missing":
                return f"missing; expected {self.expected}"
            case "unknown":
                return f"unknown; known: {self.expected}"
        return f"expected {self.expected}, got {self.got}"

    def __str__(self) -> str:
        return f"`{self.where}`: {self.what}" if self.path else self.what


class Invalid(Exception):
    """A value is not of the type; `faults` are in the order of the type's fields."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(map(str, faults)))
        self.faults = tuple(faults)

    @property
    def first(self) -> Fault:
        """Return the fault to report if only one is: a wrong type before a refused value."""
        return next((f for f in self.faults if f.problem != "value"), self.faults[0])
