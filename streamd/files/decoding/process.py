"""The server's handle of one decoding process."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from contextlib import suppress
from pathlib import Path

import msgspec

import streamd
from streamd.errors import NotAudio, Refusal, TooLarge, Unavailable
from streamd.files.decoding.frames import HEADER, MAX_FRAME_BYTES, Kind, frame

START_S = 60.0
"""Seconds that a process may take to load its libraries."""
_ENDING_S = 0.05
_BUFFER_BYTES = 1 << 18
_PASSED_ON = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONHOME", "SYSTEMROOT")
"""What a process gets of the environment; there may be keys in the rest."""
_LIMIT_SIGNALS = (signal.SIGXCPU,)
_OUTSIDE_SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Gone(Exception):
    """The process has ended, or broken the protocol."""


class Decoder:
    """One decoding process. Made by `start`."""

    def __init__(
        self,
        process: Process,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._process = process
        self._reader = reader
        self._writer = writer
        self.files = 0
        """Number of files that it was given."""

    @classmethod
    async def start(cls) -> Decoder:
        """Start a process and wait until it takes files.

        Raises:
            Unavailable: It cannot be started.
        """
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    "-m",
                    "streamd.background",
                    f"{__package__}.worker",
                    str(os.getpid()),
                    stdin=theirs.fileno(),
                    stdout=DEVNULL,
                    stderr=DEVNULL,
                    env=_environment(),
                    cwd="/",
                )
        except OSError as error:
            ours.close()
            raise Unavailable(
                f"no decoding process can be started: {error.strerror or error}; try again later"
            ) from error
        reader, writer = await asyncio.open_unix_connection(sock=ours, limit=_BUFFER_BYTES)
        decoder = cls(process, reader, writer)
        try:
            kind, _ = await decoder.receive(START_S)
            if kind is not Kind.READY:
                raise Gone
        except (Gone, TimeoutError) as error:
            code = await decoder.kill()
            raise Unavailable(
                f"a decoding process ended at its start ({_ended(code)}); try again later"
            ) from error
        except BaseException:
            await decoder.kill()
            raise
        return decoder

    @property
    def pid(self) -> int:
        """Return the id of the process."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Return whether it can take another file."""
        return self._process.returncode is None and not self._reader.at_eof()

    async def send(self, kind: Kind, payload: bytes | msgspec.Struct = b"") -> None:
        """Send a frame.

        Raises:
            Gone: The process has ended.
        """
        try:
            self._writer.write(frame(kind, payload))
            await self._writer.drain()
        except OSError as error:
            raise Gone from error

    async def receive(self, timeout_s: float) -> tuple[Kind, bytes]:
        """Return the next frame.

        Raises:
            Gone: The process has ended.
            TimeoutError: Nothing came for so long.
        """
        try:
            async with asyncio.timeout(timeout_s):
                kind, length = HEADER.unpack(await self._reader.readexactly(HEADER.size))
                if length > MAX_FRAME_BYTES:
                    raise Gone
                return Kind(kind), await self._reader.readexactly(length) if length else b""
        except TimeoutError:
            raise
        except (OSError, EOFError, ValueError) as error:
            raise Gone from error

    async def kill(self) -> int:
        """End the process, and return its exit status as `subprocess` does.

        A process that has ended by itself keeps its status.
        """
        self._writer.transport.abort()
        try:
            # One that closed its socket is about to end by itself; its status says why.
            async with asyncio.timeout(_ENDING_S):
                return await self._process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                self._process.kill()
            return await self._process.wait()


def fault(name: str, code: int, timeout_s: float) -> tuple[str, Refusal]:
    """Return what a client receives for a file whose process ended, and its name in the metrics.

    Args:
        name: Name of the file.
        code: Exit status of the process, negative for a signal.
        timeout_s: CPU seconds that it had.
    """
    if -code in _LIMIT_SIGNALS:
        return "too_large", TooLarge(
            f"{name}: takes more than {timeout_s:g} s to decode; send a shorter file"
        )
    if -code in _OUTSIDE_SIGNALS:
        return "killed", Unavailable(
            f"{name}: the decoding process was ended from outside; send the file again",
            retry_after_ms=1000,
        )
    return "crashed", NotAudio(
        f"{name}: its decoder failed on it ({_ended(code)}); is the file damaged? "
        "Convert it to WAV or FLAC and send that"
    )


def _ended(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"status {code}"


def _environment() -> dict[str, str]:
    root = str(Path(streamd.__file__).parent.parent)
    paths = [root, *(path for path in sys.path if path and path != root)]
    passed_on = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    return {
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        **passed_on,
    }
