"""The programs of `clients/device`: how they are built, run and read."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import subprocess
import sys
import termios
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from needs import lacking, needs
from waiting import HANG_S, until

ROOT = Path(__file__).parents[2] / "clients" / "device"
HEADERS = ("openssl/ssl.h", "opus/opus.h")
FULL_BYTES = 3000
"""What waits at least in a pipe of 4096 bytes into which no further event fits."""
Event = dict[str, Any]


def make(build: Path, *targets: str, **settings: object) -> None:
    """Run the Makefile of the client, with an own build folder."""
    needs("make", "gcc")
    for header in HEADERS:
        if not Path("/usr/include", header).exists():
            lacking(f"/usr/include/{header} not installed")
    chosen = [f"{name}={value}" for name, value in settings.items()]
    done = subprocess.run(
        ["make", "-C", str(ROOT), f"BUILD={build}", "CC=gcc", *chosen, *targets],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=HANG_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@dataclass
class Ran:
    """What a program of the client printed."""

    events: list[Event] = field(default_factory=list)
    code: int = 0
    errors: str = ""

    def of(self, kind: str) -> list[Event]:
        return [event for event in self.events if event["type"] == kind]

    @property
    def log(self) -> list[Event]:
        """All log events but interim ones, which a drop may lose."""
        return [e for e in self.events if "seq" in e and e.get("final", True)]


class Program:
    """A program of the client while it runs.

    Args:
        process: has standard input and error as pipes.
        events: the reading end of its standard output.
    """

    def __init__(self, process: asyncio.subprocess.Process, events: int) -> None:
        self._process = process
        self._events = events
        self.ran = Ran()
        self._changed = asyncio.Condition()
        self._reading: asyncio.Task[None] | None = None
        self._errors = asyncio.create_task(self._read_errors())

    def read(self) -> None:
        """Begin to read what it prints."""
        self._reading = asyncio.create_task(self._read())

    async def is_blocked(self) -> None:
        """Wait until it cannot print any more, because nobody reads."""
        waiting = bytearray(4)

        def is_full() -> bool:
            fcntl.ioctl(self._events, termios.FIONREAD, waiting)
            return int.from_bytes(waiting, sys.byteorder) >= FULL_BYTES

        await until(is_full)

    async def feed(self, data: bytes) -> None:
        """Write to its standard input."""
        assert self._process.stdin is not None
        with contextlib.suppress(ConnectionError):
            self._process.stdin.write(data)
            await self._process.stdin.drain()

    async def has(self, kind: str, count: int = 1) -> None:
        """Wait until it has printed so many events of a type."""
        assert self._reading is not None
        reading = self._reading
        async with asyncio.timeout(HANG_S), self._changed:
            await self._changed.wait_for(lambda: len(self.ran.of(kind)) >= count or reading.done())
        assert len(self.ran.of(kind)) >= count, self.ran

    async def over(self) -> Ran:
        """Close its standard input, and return everything once it has ended."""
        assert self._process.stdin is not None
        assert self._reading is not None
        self._process.stdin.close()
        async with asyncio.timeout(HANG_S):
            self.ran.code = await self._process.wait()
            await asyncio.gather(self._reading, self._errors)
        assert "Sanitizer" not in self.ran.errors, self.ran.errors
        assert "runtime error" not in self.ran.errors, self.ran.errors
        return self.ran

    async def stop(self) -> None:
        """End it, if a test has failed."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        for task in (self._errors, self._reading):
            if task is not None:
                await asyncio.gather(task, return_exceptions=True)

    async def _read(self) -> None:
        reader = asyncio.StreamReader(limit=1 << 20)
        pipe, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(self._events, "rb")
        )
        with contextlib.closing(pipe):
            async for line in reader:
                self.ran.events.append(json.loads(line))
                async with self._changed:
                    self._changed.notify_all()
        async with self._changed:
            self._changed.notify_all()

    async def _read_errors(self) -> None:
        assert self._process.stderr is not None
        self.ran.errors = (await self._process.stderr.read()).decode()


@contextlib.asynccontextmanager
async def running(
    program: Path, *args: object, pipe_bytes: int | None = None, **environment: str
) -> AsyncIterator[Program]:
    """A program of the client; killed if a test fails.

    With `pipe_bytes` its output waits in a pipe of that size until `read` is called.
    """
    events, writing = os.pipe()
    if pipe_bytes is not None:
        fcntl.fcntl(events, fcntl.F_SETPIPE_SZ, pipe_bytes)
    process = await asyncio.create_subprocess_exec(
        program,
        *map(str, args),
        stdin=subprocess.PIPE,
        stdout=writing,
        stderr=subprocess.PIPE,
        env={**os.environ, **environment},
    )
    os.close(writing)
    started = Program(process, events)
    if pipe_bytes is None:
        started.read()
    try:
        yield started
    finally:
        await started.stop()


def lines(*steps: dict[str, object]) -> bytes:
    """Steps for the program `play`, one a line."""
    return b"".join(json.dumps(step).encode() + b"\n" for step in steps)


async def send(programs: Path, url: str, pcm: bytes, *args: object, **environment: str) -> Ran:
    """Stream audio with `streamd-send`, and return what it printed."""
    async with running(programs / "streamd-send", "--url", url, *args, **environment) as program:
        await program.feed(pcm)
        return await program.over()
