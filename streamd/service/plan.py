"""What an installation changes, step by step: it is shown first, and then carried out."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from streamd.errors import Unavailable
from streamd.service import manager


class Step(Protocol):
    """One change."""

    def describe(self) -> str:
        """Return what it does, as a line for a person."""

    def carry_out(self) -> None:
        """Do it.

        Raises:
            Unavailable: It cannot be done.
        """


class Write(NamedTuple):
    """Writes a file of streamd's own, whatever was there."""

    path: Path
    text: str

    def describe(self) -> str:
        """Return the path, and what becomes of it."""
        if not self.path.exists():
            return f"write    {self.path}"
        is_same = self.path.read_text(encoding="utf-8", errors="replace") == self.text
        return f"{'keep   ' if is_same else 'replace'}  {self.path}"

    def carry_out(self) -> None:
        """Write it in one step, so that systemd never reads half of it."""
        fresh = self.path.with_name(f".{self.path.name}.new")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            fresh.write_text(self.text, encoding="utf-8")
            fresh.chmod(0o644)
            fresh.replace(self.path)
        except OSError as error:
            raise Unavailable(f"{self.path}: cannot be written: {error.strerror}") from error


class Begin(NamedTuple):
    """Writes a file that is the operator's from then on: one that exists stays as it is."""

    path: Path
    text: str

    def describe(self) -> str:
        """Return the path, and what becomes of it."""
        return f"{'keep   ' if self.path.exists() else 'write  '}  {self.path}"

    def carry_out(self) -> None:
        """Write it, unless it exists."""
        if not self.path.exists():
            Write(self.path, self.text).carry_out()


class Remove(NamedTuple):
    """Removes a file, and its folder if that is empty then."""

    path: Path

    def describe(self) -> str:
        """Return the path."""
        return f"remove   {self.path}"

    def carry_out(self) -> None:
        """Remove it; one that is gone already is no fault."""
        try:
            self.path.unlink(missing_ok=True)
            folder = self.path.parent
            if folder.suffix == ".d" and folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()
        except OSError as error:
            raise Unavailable(f"{self.path}: cannot be removed: {error.strerror}") from error


class Run(NamedTuple):
    """Runs a command."""

    command: Sequence[str]

    def describe(self) -> str:
        """Return the command as a shell takes it."""
        return f"run      {shlex.join(self.command)}"

    def carry_out(self) -> None:
        """Run it to its good end."""
        manager.run(self.command)
