"""Words made in a process of their own, one at a time."""

from __future__ import annotations

import asyncio
import sys
from asyncio.subprocess import DEVNULL, PIPE

import msgspec
import structlog

from streamd.config.sections import EngineConfig
from streamd.errors import Internal, ModelMissing, NotAudio, Overloaded, Unavailable
from streamd.modules.words import CustomWord, WordInfo
from streamd.observability.metrics import Metrics

log = structlog.get_logger("streamd.words")

MAX_WAITING = 4
"""Words that wait for the one that is made."""
TIMEOUT_S = 600.0
"""Seconds that one word may take on a busy machine; 50 clips take a minute on an idle one."""
_RETRY_AFTER_MS = 10_000
_REFUSALS = {kind.code: kind for kind in (NotAudio, ModelMissing, Unavailable)}


class JobClip(msgspec.Struct, frozen=True):
    """One recording of the phrase."""

    name: str
    samples: bytes
    """int16, 16 kHz."""
    notes: tuple[str, ...] = ()
    """Remarks of its decoder."""


class Job(msgspec.Struct, frozen=True):
    """A word to make."""

    name: str
    threshold: float
    clips: list[JobClip]
    engine: EngineConfig


class Made(msgspec.Struct, frozen=True, tag=True):
    """A word that was made."""

    info: WordInfo
    head: bytes
    remarks: list[str]

    @property
    def word(self) -> CustomWord:
        """Return the word as the store takes it."""
        return CustomWord(self.info, self.head)


class Failed(msgspec.Struct, frozen=True, tag=True):
    """A word that cannot be made."""

    code: str
    message: str


class Workshop:
    """Makes words, one after the other. Belongs to the event loop.

    Args:
        metrics: Reports how many words are made or wait.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._turn = asyncio.Lock()
        self._waiting = 0
        metrics.queue("words", 1 + MAX_WAITING, lambda: self._waiting)

    async def make(self, job: Job) -> Made:
        """Make a word; whoever gives up ends the process.

        Raises:
            NotAudio: A clip has no phrase in it, or two are the same.
            Overloaded: Too many words wait.
            Unavailable: The process cannot be started, or does not end.
            Internal: The process failed.
        """
        if self._waiting > MAX_WAITING:
            raise Overloaded(
                "too many wake words are being made; try again later",
                retry_after_ms=_RETRY_AFTER_MS,
            )
        self._waiting += 1
        try:
            async with self._turn:
                return await _made(job)
        finally:
            self._waiting -= 1


async def _made(job: Job) -> Made:
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            "streamd.background",
            "streamd.words.worker",
            stdin=PIPE,
            stdout=PIPE,
            stderr=DEVNULL,
        )
    except OSError as error:
        raise Unavailable(f"no process can be started: {error.strerror or error}") from error
    try:
        async with asyncio.timeout(TIMEOUT_S):
            output, _ = await process.communicate(msgspec.msgpack.encode(job))
    except TimeoutError:
        raise Unavailable(f"making the word took more than {TIMEOUT_S:g} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    try:
        result = msgspec.msgpack.decode(output, type=Made | Failed)
    except msgspec.DecodeError:
        log.error("a process that makes words failed", code=process.returncode)
        raise Internal("making the word failed; the server's log says more") from None
    if isinstance(result, Failed):
        raise _REFUSALS.get(result.code, Internal)(result.message)
    return result
