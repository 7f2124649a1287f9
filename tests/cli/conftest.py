"""Runs `streamd` as a person would: a process with pipes."""

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from daemons import STREAMD, environment
from waiting import HANG_S

from streamd.cli import main

NO_NETWORK = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": "/nonexistent", "PIP_CONFIG_FILE": "/dev/null"}


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def events(self) -> list[dict[str, Any]]:
        """Standard output as one JSON object per line."""
        return [json.loads(line) for line in self.out.splitlines()]


class Cli:
    """Commands with a data directory of their own."""

    def __init__(self, home: Path) -> None:
        self.home = home

    def __call__(self, *args: object, **settings: object) -> Done:
        """Run a command in this process, from `sys.argv` to the exit code."""
        out, err = io.StringIO(), io.StringIO()
        with (
            mock.patch.dict(
                os.environ, environment(self.home, COLUMNS=200, **settings), clear=True
            ),
            mock.patch.object(sys, "argv", ["streamd", *map(str, args)]),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            pytest.raises(SystemExit) as ended,
        ):
            main()
        return Done(ended.value.code, out.getvalue(), err.getvalue())

    def process(
        self, *args: object, stdin: bytes = b"", timeout_s: float = HANG_S, **settings: object
    ) -> Done:
        """Run a command in a process of its own."""
        done = subprocess.run(
            [*STREAMD, *map(str, args)],
            env=environment(self.home, COLUMNS=200, **settings),
            input=stdin,
            capture_output=True,
            check=False,
            timeout=timeout_s,
        )
        error = done.stderr.decode()
        assert "Traceback" not in error, error
        assert "Exception ignored" not in error, error
        assert "Warning" not in error, error
        return Done(done.returncode, done.stdout.decode(), error)

    def start(self, *args: object, **settings: object) -> subprocess.Popen[bytes]:
        """The same, left running."""
        return subprocess.Popen(
            [*STREAMD, *map(str, args)],
            env=environment(self.home, **settings),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )


@pytest.fixture
def cli(tmp_path: Path) -> Cli:
    home = tmp_path / "data"
    home.mkdir()
    return Cli(home)


@pytest.fixture
def unprivileged() -> list[str]:
    """What goes before a command that permissions bind, even where the tests are run by root."""
    if os.geteuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("root may do everything, and there is no setpriv to give that up")
    rights = "-dac_override,-dac_read_search,-fowner,-net_bind_service"
    return ["setpriv", f"--bounding-set={rights}", "--inh-caps=-all"]


@pytest.fixture
def bound(tmp_path, unprivileged):
    """Runs a command of streamd that permissions bind."""

    def run(*args: object, **settings: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*unprivileged, *STREAMD, *map(str, args)],
            env=environment(tmp_path / "home", **settings),
            capture_output=True,
            text=True,
            timeout=HANG_S,
            check=False,
        )

    return run


@pytest.fixture
def tiny_disk(tmp_path):
    place = tmp_path / "tiny"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("needs the right to mount a small tmpfs")
    yield place
    subprocess.run(["umount", str(place)], check=True)
