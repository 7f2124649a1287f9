"""The fields and the files of a request, however the client sends them.

Three forms are taken on every path: multipart, JSON with base64, and a file as the body itself.
What is small is kept in memory, so that fields and files may come in any order. A long file is read
while it comes; what it is about must come before it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any
from urllib.parse import parse_qsl

from aiohttp import BodyPartReader, MultipartReader, hdrs, web
from aiohttp.http_exceptions import HttpProcessingError

from streamd.errors import BadInput, TooLarge
from streamd.transport.http.rest.bodies import (
    PIECE_BYTES,
    File,
    arriving,
    joined,
    once,
    patience,
)
from streamd.transport.http.rest.fields import AUDIO_FIELDS, FILE_FIELDS, MAX_PARTS
from streamd.transport.http.rest.json_files import MAX_JSON_BYTES, parsed
from streamd.transport.http.rest.memory import Lease, Memory

KEPT_BYTES = 8 << 20
"""Bytes of files that one request may have in memory; beyond that they are read as they come."""
HELD_BYTES = 1 << 20
"""Bytes of a file behind a long one up to which it may be kept in memory while others are read."""
MAX_FIELD_BYTES = 1 << 16
_MULTIPART = "multipart/form-data"
_JSON = "application/json"
_URL_ENCODED = "application/x-www-form-urlencoded"
_FIELD = re.compile(rb"[A-Za-z_][A-Za-z0-9_.-]*=")
"""How a URL-encoded form begins, and no file."""
_NO_FILE_IN_FIELDS = (
    "a URL-encoded form cannot carry a file: send it as multipart (`curl -F audio=@FILE`), as the "
    "body itself (`curl --data-binary @FILE`), or as base64 in JSON"
)


class Form:
    """What a request holds. Made by `open_form`."""

    def __init__(self, lease: Lease, max_bytes: int) -> None:
        self.values: dict[str, Any] = {}
        """Fields by name; a list where one comes more than once."""
        self._lease = lease
        self._max_bytes = max_bytes
        self._bytes = 0
        self._hash = hashlib.sha256()
        self._kept: list[File] = []
        self._long: File | None = None
        """The first file that does not fit into memory."""
        self._reader: MultipartReader | None = None
        """The parts that have not come yet."""
        self._parts = 0
        self._source: Callable[[], AsyncIterator[bytes]] | None = None
        """Reads the part or the body that comes now, from where its last reader left it."""

    @property
    def digest(self) -> bytes:
        """Return a hash of fields and files: of all once `drain` or `read_rest` has returned."""
        return self._hash.digest()

    async def file(self) -> File:
        """Return the one file that the request is about.

        Raises:
            BadInput: There is none, or its field has a name that says nothing.
        """
        async with aclosing(self.files()) as files:
            async for file in files:
                if file.field in ("", *AUDIO_FIELDS):
                    return file
        raise BadInput(
            "no audio came: send a file as the multipart field `audio`, as base64 in the JSON "
            "field `audio`, or as the body itself",
            ref="audio",
        )

    async def files(self) -> AsyncGenerator[File, None]:
        """Yield every file in its order. A long one must be read before the next is asked for.

        Raises:
            BadInput: The body is malformed, or a field comes behind a long file.
        """
        while self._kept:
            yield self._kept.pop(0)
        if self._long is not None:
            long, self._long = self._long, None
            body = long.body
            yield long
            async for _ in body:  # what the receiver left
                pass
        while self._reader is not None:
            part = await self._next_part(self._reader)
            if part is None:
                self._reader = None
                return
            if not _is_file(part):
                raise BadInput(
                    f"the field {part.name!r} comes behind a long file; send fields before files",
                    ref=part.name,
                )
            body = self._pieces(part)
            yield File(part.name or "", part.filename or part.name or "", body)
            async for _ in body:
                pass

    async def hold(self, file: File) -> bool:
        """Have all of a file in memory, if it is short and there is room.

        If it is not, its body still has all of its bytes, and must be read before the next file is
        asked for.
        """
        if file.is_kept:
            return True
        kept, pieces = bytearray(), file.body
        async for piece in pieces:
            if len(kept) + len(piece) > HELD_BYTES or not self._lease.has_room(len(piece)):
                file.body = joined(bytes(kept + piece), pieces)
                return False
            self._lease.take(len(piece))
            file.held_bytes += len(piece)
            kept += piece
        file.body, file.is_kept = once(bytes(kept)), True
        return True

    def release(self, file: File) -> None:
        """Give back the memory that `hold` took."""
        self._lease.give_back(file.held_bytes)
        file.held_bytes = 0

    async def drain(self) -> None:
        """Read all that is left, and drop it.

        Raises:
            BadInput: The body is malformed, or a field comes behind a long file.
        """
        async for file in self.files():
            async for _ in file.body:
                pass

    async def read_rest(self) -> None:
        """Read all that is left for the digest alone, wherever a reader of a file gave up.

        Raises:
            BadInput: The body is malformed, or stops coming.
            TooLarge: It is too long.
        """
        self._kept.clear()
        self._long = None
        while self._source is not None:
            async for _ in self._source():
                pass
            self._source = None
            if self._reader is not None and (part := await self._next_part(self._reader)):
                self._pieces(part)

    async def read(self, request: web.Request) -> None:
        """Read fields and short files, up to the first long one.

        Raises:
            BadInput: The body is malformed, or stops coming.
            TooLarge: A field or the JSON is too long.
            Overloaded: The requests in progress have too much in memory.
        """
        self._hash.update(f"{request.method} {request.path_qs}\n".encode())
        if request.method != hdrs.METH_GET and request.can_read_body:
            await self._read_any(request)
        for name in request.query:
            # A field of the body counts more.
            if name != "ticket" and name not in self.values:
                self.values[name] = request.query.getall(name)

    async def _read_any(self, request: web.Request) -> None:
        match request.content_type.lower():
            case kind if kind == _MULTIPART:
                await self._read_multipart(request)
            case kind if kind == _JSON or kind.endswith("+json"):
                await self._read_json(arriving(request.content.iter_chunked(PIECE_BYTES)))
            case kind:
                await self._read_body(request, kind)

    async def _read_multipart(self, request: web.Request) -> None:
        try:
            reader = await request.multipart()
        except (ValueError, AssertionError) as error:
            raise BadInput("the multipart body names no boundary in its Content-Type") from error
        while (part := await self._next_part(reader)) is not None:
            name = part.name or ""
            if not _is_file(part):
                self._add(name, await self._text(part))
                continue
            await self._take(name, part.filename or name, self._pieces(part))
            if self._long is not None:
                self._reader = reader
                return

    async def _read_body(self, request: web.Request, kind: str) -> None:
        """Read a file, or what `curl -d` sends with the type of a form: JSON, or fields."""

        def arrive() -> AsyncIterator[bytes]:
            return arriving(request.content.iter_chunked(PIECE_BYTES))

        pieces = arrive()
        first = await anext(pieces, b"")
        pieces = joined(first, pieces)
        if first.lstrip().startswith(b"{") and not kind.startswith(("audio/", "video/")):
            await self._read_json(pieces)
        elif kind == _URL_ENCODED and _FIELD.match(first):
            await self._read_url_encoded(pieces)
        else:
            self._source = lambda: self._hashed(arrive())
            await self._take("", "the file", self._hashed(pieces))

    async def _read_url_encoded(self, pieces: AsyncIterator[bytes]) -> None:
        text = bytearray()
        async for piece in self._hashed(pieces):
            text += piece
            if len(text) > MAX_FIELD_BYTES:
                raise BadInput(_NO_FILE_IN_FIELDS)
        for name, value in parse_qsl(text.decode(errors="replace"), keep_blank_values=True):
            if name in FILE_FIELDS:
                raise BadInput(_NO_FILE_IN_FIELDS, ref=name)
            self._add(name, value)

    async def _read_json(self, pieces: AsyncIterator[bytes]) -> None:
        text = bytearray()
        async for piece in pieces:
            # Twice: as text, and decoded.
            self._lease.take(2 * len(piece))
            text += piece
            if len(text) > MAX_JSON_BYTES:
                raise TooLarge(
                    f"the JSON has more than {MAX_JSON_BYTES} bytes; send the file as multipart "
                    "or as the body"
                )
        self._hash.update(text)
        files, fields = await parsed(bytes(text))
        self._kept += [File(field, name, once(data), is_kept=True) for field, name, data in files]
        self.values.update(fields)

    async def _take(self, field: str, name: str, pieces: AsyncIterator[bytes]) -> None:
        """Keep a file in memory, or the beginning of a long one."""
        kept = bytearray()
        async for piece in pieces:
            self._lease.take(len(piece))
            kept += piece
            if self._lease.taken > KEPT_BYTES:
                self._long = File(field, name, joined(bytes(kept), pieces))
                return
        if field or kept:
            self._kept.append(File(field, name, once(bytes(kept)), is_kept=True))

    async def _next_part(self, reader: MultipartReader) -> BodyPartReader | None:
        try:
            async with patience():
                part = await reader.next()
        except (ValueError, AssertionError, HttpProcessingError) as error:
            raise BadInput("the multipart body is malformed") from error
        if part is None:
            return None
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise TooLarge(f"the request has more than {MAX_PARTS} fields and files")
        if not isinstance(part, BodyPartReader) or not part.name:
            raise BadInput("each part of the multipart body needs a name")
        self._hash.update(f"\n{part.name}\n{part.filename}\n".encode(errors="replace"))
        return part

    def _pieces(self, part: BodyPartReader) -> AsyncIterator[bytes]:
        return self._read_from(lambda: arriving(_chunks(part)))

    def _read_from(self, source: Callable[[], AsyncIterator[bytes]]) -> AsyncIterator[bytes]:
        self._source = lambda: self._hashed(source())
        return self._source()

    async def _hashed(self, pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        async for piece in pieces:
            self._bytes += len(piece)
            if self._bytes > self._max_bytes:
                raise TooLarge(
                    f"the request has more than {self._max_bytes} bytes; send shorter files, or "
                    "ones that are compressed"
                )
            self._hash.update(piece)
            yield piece

    async def _text(self, part: BodyPartReader) -> str:
        text = bytearray()
        async for piece in self._pieces(part):
            text += piece
            if len(text) > MAX_FIELD_BYTES:
                raise TooLarge(
                    f"the field {part.name!r} has more than {MAX_FIELD_BYTES} bytes; a file needs "
                    "a file name",
                    ref=part.name,
                )
        try:
            return text.decode()
        except UnicodeDecodeError:
            raise BadInput(f"the field {part.name!r} is not UTF-8", ref=part.name) from None

    def _add(self, name: str, value: Any) -> None:
        if name not in self.values:
            self.values[name] = value
            return
        before = self.values[name]
        self.values[name] = [*(before if isinstance(before, list) else [before]), value]


@asynccontextmanager
async def open_form(request: web.Request, memory: Memory, max_bytes: int) -> AsyncIterator[Form]:
    """Read what a request holds; the block has it.

    Args:
        request: The request.
        memory: Lends what is kept in memory.
        max_bytes: Bytes of all fields and files together.

    Raises:
        BadInput: The body is malformed, or stops coming.
        TooLarge: It is too long.
        Overloaded: The requests in progress have too much in memory.
    """
    with memory.lend() as lease:
        form = Form(lease, max_bytes)
        await form.read(request)
        yield form


def _is_file(part: BodyPartReader) -> bool:
    return part.filename is not None or part.name in FILE_FIELDS


async def _chunks(part: BodyPartReader) -> AsyncIterator[bytes]:
    try:
        while piece := await part.read_chunk(PIECE_BYTES):
            yield piece
    except (ValueError, AssertionError, HttpProcessingError) as error:
        raise BadInput("the multipart body is malformed") from error
