"""What is wrong with a value from outside: what, where, what was expected and what came."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from streamd.validation.words import shortened

Path: TypeAlias = tuple[str, ...]
"""Keys from the outermost value to an inner one; items of a list are counted from 0."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault of a value."""

    path: Path
    """Where it is, as the client wrote it."""
    problem: Literal["missing", "type", "value", "unknown"]
    """A required key is missing; a value has the wrong JSON type; it has the right type and is
    refused; a key is not known."""
    expected: str
    """In words: `a whole number from 8000 to 48000`; for an unknown key the known ones."""
    got: str
    """The value in short, for an unknown key the key."""

    @property
    def where(self) -> str:
        """The dotted path, as `modules.vad.threshold`; a part of it that is long is shortened."""
        return ".".join(map(shortened, self.path))

    @property
    def what(self) -> str:
        """The fault in words, without its place."""
        match self.problem:
            case "missing":
                return f"missing; expected {self.expected}"
            case "unknown":
                return f"unknown; known: {self.expected}"
        return f"expected {self.expected}, got {self.got}"

    def __str__(self) -> str:
        return f"`{self.where}`: {self.what}" if self.path else self.what


class Invalid(Exception):
    """A value is not of the type; has every fault in the order of the type's fields."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(map(str, faults)))
        self.faults = tuple(faults)

    @property
    def first(self) -> Fault:
        """The fault to report where only one is: a wrong type hides behind no refused value."""
        return next((f for f in self.faults if f.problem != "value"), self.faults[0])
