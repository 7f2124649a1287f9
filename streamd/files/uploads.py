"""Files that arrive over a network, decoded while they come.

``Uploads.open`` gives what a session over a file takes::

    async with uploads.open(body, name="a.m4a") as upload:
        analysis = Analysis(engine, registry, modules, upload.format, gallery)
        try:
            async for event in analysis.events(upload.parts):
                ...
        finally:
            analysis.close()
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import cast

import msgspec
import structlog

from streamd.audio.files import Gap
from streamd.config.sections import FilesConfig
from streamd.display import display_name
from streamd.errors import NotAudio, Refusal, Stalled, TooLarge
from streamd.files.decoding.frames import Fail, Head, Kind, Missing, Open
from streamd.files.decoding.pool import Pool
from streamd.files.decoding.process import Decoder, Gone, fault
from streamd.files.recording import Part
from streamd.files.turns import Turns
from streamd.observability.metrics import Metrics
from streamd.observability.spans import OFF, Span, Tracing, file_span
from streamd.types import AudioFormat

log = structlog.get_logger("streamd.files.uploads")

FIRST_BYTES = 1 << 17
"""Bytes that are there before a file waits for its turn, so that a slow client takes nobody's."""
STALL_S = 30.0
"""Seconds without a byte after which a client has given up."""
_PIECE_BYTES = 1 << 18
_MAX_NOTES = 32


class Upload:
    """A file whose format is known and whose audio comes."""

    def __init__(
        self, head: Head, parts: AsyncIterator[Part], notes: list[str], span: Span
    ) -> None:
        self.format = AudioFormat(rate=head.rate, channels=head.channels)
        """The format of the parts."""
        self.offset_ms = head.offset_ms
        """Milliseconds to add to every time, because the audio starts that late in the file."""
        self.total_ms = head.total_ms
        """Milliseconds of audio that the file states; None if it states none."""
        self.is_total_true = head.is_total_true
        """Whether a file that has less is cut off."""
        self.parts = parts
        """Blocks of PCM in that format, and the gaps between them, each once.

        Raises what `Uploads.open` raises, and when they are over the body has been read whole.
        """
        self.notes = notes
        """Remarks on the file for a person, as they come."""
        self.span = span
        """The span of the file."""


class Uploads:
    """Decodes files in processes of their own, so many at once.

    Args:
        limits: Limits of one file, and of the number of files.
        metrics: The metrics to report to.
        tracing: Makes a span of each file.
    """

    def __init__(self, limits: FilesConfig, metrics: Metrics, tracing: Tracing = OFF) -> None:
        self._limits = limits
        self._metrics = metrics
        self._tracing = tracing
        self._turns = Turns(limits.max_at_once, limits.max_waiting, metrics)
        self.pool = Pool(limits.max_at_once, metrics)

    async def close(self) -> None:
        """End the decoding processes."""
        await self.pool.close()

    @asynccontextmanager
    async def open(
        self, body: AsyncIterable[bytes], name: str = "the file"
    ) -> AsyncIterator[Upload]:
        """Decode a file. The block holds its turn, so nobody opens another file inside.

        Args:
            body: The bytes of the file, as they come.
            name: What messages call it.

        Raises:
            NotAudio: It cannot be decoded as audio, or its decoder crashed.
            TooLarge: It is longer than `[files]` allows, or decoding it takes too much.
            Stalled: It stopped coming.
            Overloaded: Too many files wait already.
            Unavailable: No decoding process can be started, or something ended it.
        """
        name = display_name(name)
        pieces = _Body(body, name, self._limits.max_bytes)
        notes: list[str] = []
        with file_span(self._tracing) as span:
            await pieces.fill()
            async with (
                self._turns.turn(),
                aclosing(self._decode(pieces, name, notes, span)) as decoded,
            ):
                head = await anext(decoded)
                assert isinstance(head, Head)
                yield Upload(head, cast(AsyncIterator[Part], decoded), notes, span)

    def remembered(self) -> None:
        """Make the span of a file that need not be decoded, because its answer is known."""
        with file_span(self._tracing) as span:
            span.note("remembered", True)

    async def _decode(
        self, body: _Body, name: str, notes: list[str], span: Span
    ) -> AsyncGenerator[Head | Part, None]:
        """Yield the head, then the parts."""
        result = "abandoned"
        decoding = span.child("decode")
        try:
            refusal: Refusal | None = None
            async with self.pool.lend() as decoder:
                try:
                    async with aclosing(self._run(decoder, body, name, notes)) as parts:
                        async for part in parts:
                            yield part
                except _Failed as failed:
                    refusal = failed.refusal
                except Gone as gone:
                    result, refused = fault(name, await decoder.kill(), self._limits.timeout_s)
                    log.warning("a decoding process ended", result=result, reason=str(refused))
                    raise refused from gone
                except TimeoutError as error:
                    result = "too_large"
                    raise TooLarge(
                        f"{name}: decoding it makes no progress; send a shorter file, or as WAV"
                    ) from error
            result = refusal.code if refusal is not None else "ok"
            if refusal is not None:
                raise refusal
            await body.drain()
        finally:
            self._metrics.files_decoded.labels(result).inc()
            span.note("bytes", body.count)
            decoding.end(None if result == "ok" else result)

    async def _run(
        self, decoder: Decoder, body: _Body, name: str, notes: list[str]
    ) -> AsyncGenerator[Head | Part, None]:
        limits = self._limits
        decoder.files += 1
        await decoder.send(Kind.OPEN, Open(name, limits.max_seconds, limits.timeout_s))
        while True:
            kind, payload = await decoder.receive(limits.timeout_s)
            match kind:
                case Kind.NEED:
                    await decoder.send(Kind.DATA, await body.next())
                case Kind.PCM:
                    yield payload
                case Kind.GAP:
                    yield Gap(msgspec.json.decode(payload, type=Missing).ms)
                case Kind.HEAD:
                    yield msgspec.json.decode(payload, type=Head)
                case Kind.NOTE:
                    if len(notes) < _MAX_NOTES:
                        notes.append(payload.decode())
                case Kind.DONE:
                    return
                case Kind.FAIL:
                    fail = msgspec.json.decode(payload, type=Fail)
                    if fail.reason == "broken":
                        log.error("a decoder failed", error=fail.message)
                        raise Gone
                    kinds = {"not_audio": NotAudio, "too_large": TooLarge}
                    raise _Failed(kinds[fail.reason](fail.message))
                case _:
                    raise Gone


class _Failed(Exception):
    """The decoder refuses the file, and takes the next."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal)
        self.refusal = refusal


class _Body:
    """The bytes of a file as the client sends them, counted.

    Args:
        body: The bytes.
        name: Name of the file.
        max_bytes: Most bytes that it may have.
    """

    def __init__(self, body: AsyncIterable[bytes], name: str, max_bytes: int) -> None:
        self._body = aiter(body)
        self._name = name
        self._max_bytes = max_bytes
        self.count = 0
        """Bytes that have come."""
        self._kept = bytearray()
        self._is_over = False

    async def fill(self) -> None:
        """Have the first bytes ready: all of a short file."""
        while len(self._kept) < FIRST_BYTES and (piece := await self._receive()):
            self._kept += piece

    async def next(self) -> bytes:
        """Return the next bytes; none at the end alone."""
        if not self._kept:
            self._kept += await self._receive()
        piece = bytes(memoryview(self._kept)[:_PIECE_BYTES])
        del self._kept[:_PIECE_BYTES]
        return piece

    async def drain(self) -> None:
        """Receive what follows behind the end of the audio, and drop it."""
        while await self._receive():
            pass

    async def _receive(self) -> bytes:
        while not self._is_over:
            try:
                async with asyncio.timeout(STALL_S):
                    piece = await anext(self._body)
            except StopAsyncIteration:
                self._is_over = True
                break
            except TimeoutError:
                raise Stalled(
                    f"{self._name}: nothing came for {STALL_S:g} s; send it again"
                ) from None
            self.count += len(piece)
            if self.count > self._max_bytes:
                raise TooLarge(
                    f"{self._name}: larger than {self._max_bytes} bytes, which is "
                    "files.max_bytes; send a shorter file, or one that is compressed"
                )
            if piece:
                return piece
        return b""
