"""Talks to systemd by its own programs."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from streamd.errors import Unavailable, WrongUsage

NO_SYSTEMD = (
    "systemd does not run here, so there is no service to manage. Start `streamd serve` by what "
    "starts programs on this machine: a container, runit, launchd or a terminal"
)


class Manager(NamedTuple):
    """The manager of the system, or that of the user.

    Args:
        is_user: Whether it is that of the user.
        image: Root folder of a system that does not run; None for this one.
    """

    is_user: bool = False
    image: Path | None = None

    def command(self, *words: str) -> list[str]:
        """Return a call of systemctl."""
        scope = ["--user"] if self.is_user else []
        return ["systemctl", *scope, *self.of_image(), *words]

    def of_image(self) -> list[str]:
        """Return the option that has a program of systemd work on the image."""
        return [] if self.image is None else [f"--root={self.image}"]

    def check(self) -> None:
        """Check that there is such a manager, and that this user may ask it for changes.

        Raises:
            WrongUsage: There is none, or only root may.
        """
        if shutil.which("systemctl") is None:
            raise WrongUsage(NO_SYSTEMD)
        if self.image is not None:
            return
        state = _run(self.command("is-system-running")).stdout.strip()
        if state in ("", "offline", "unknown"):
            if self.is_user:
                raise WrongUsage(
                    "this user has no manager of systemd here: log in as the user, not by su or "
                    "sudo, or install the service of the system without --user"
                )
            raise WrongUsage(NO_SYSTEMD)

    def show(self, unit: str, *names: str) -> dict[str, str]:
        """Return properties of a unit. What is asked for and not known is empty."""
        done = _run(self.command("show", unit, *(f"--property={name}" for name in names)))
        found = dict.fromkeys(names, "")
        for line in done.stdout.splitlines():
            name, is_set, value = line.partition("=")
            if is_set and name in found:  # a list has a line for each item
                found[name] = "\n".join(filter(None, (found[name], value)))
        return found


def is_root() -> bool:
    """Return whether this process may change the system's files."""
    return os.geteuid() == 0


def run(command: Sequence[str]) -> None:
    """Run a command to its good end.

    Raises:
        Unavailable: It fails, or is not installed.
    """
    done = _run(command)
    if done.returncode != 0:
        why = (done.stderr or done.stdout).strip() or f"it ended with {done.returncode}"
        raise Unavailable(f"`{' '.join(command)}` failed: {why}")


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, capture_output=True, check=False, text=True, stdin=subprocess.DEVNULL
        )
    except OSError as error:
        raise Unavailable(f"`{command[0]}` cannot be run: {error.strerror or error}") from error
