"""The Python SDK: one socket, PCM in, events out as plain dicts.

::

    async with streamd.client.connect(modules={"wake": {"words": ["alexa"]}}) as stream:
        asyncio.create_task(speak(stream))      # await stream.send(pcm) …; await stream.end()
        async for event in stream:
            print(event)

Read the events while you send: a client that only sends fills its own socket, and the server
ends it as a slow consumer.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_socket
from websockets.exceptions import (
    ConnectionClosed,
    ConnectionClosedOK,
    InvalidHandshake,
    InvalidStatus,
    InvalidURI,
)
from websockets.typing import Subprotocol

from streamd import errors
from streamd.errors import CannotConnect

DEFAULT_URL = "ws://127.0.0.1:8765/v1/stream"
Event: TypeAlias = dict[str, Any]
"""One wire event. Ignore the types and the fields that you do not know."""

_SUBPROTOCOL = Subprotocol("streamd.v1")
_MAX_EVENT_BYTES = 16 << 20
_BYTES_PER_SAMPLE = {"pcm_s16le": 2, "pcm_f32le": 4, "mulaw": 1, "alaw": 1}
_CLOSE_HINTS = {
    1001: "the server went away; stream again",
    1009: "a message was larger than the server takes",
    1011: "the server failed; stream again",
    1012: "the server restarts; stream again in a few seconds",
}
_HTTP_HINTS = {
    200: "there is no stream at this path; use /v1/stream",
    401: "the server, or a proxy in front of it, asks for credentials",
    403: "the server, or a proxy in front of it, does not let this client in",
    404: "there is no stream at this path; use /v1/stream",
    429: "too many connections; slow down",
    503: "the server is full; try again later",
}


class RefusedByServer(errors.RefusedByServer):
    """The server answered with an error: an HTTP status, an `error` event or a close code."""

    def __init__(
        self,
        message: str,
        *,
        code: str,
        status: int | None = None,
        close_code: int | None = None,
        retry_after_ms: int | None = None,
    ) -> None:
        super().__init__(f"{message} ({code})" if code not in message else message)
        self.message = message
        self.code = code
        """As in the protocol: `overloaded`, `bad_config`…"""
        self.status = status
        """HTTP status, where the stream was refused before it opened."""
        self.close_code = close_code
        self.retry_after_ms = retry_after_ms


class ConnectionLost(CannotConnect):
    """The stream had opened, and its socket broke without a close."""


class Stream:
    """An open stream. Made by `connect`; iterate it for the events, `ready` first."""

    def __init__(self, socket: ClientConnection, url: str, audio: Mapping[str, Any]) -> None:
        self.ready: Event = {}
        """The server's first event: effective audio, modules, limits."""
        self.samples_sent = 0
        """Sample frames handed to the socket."""
        self.samples_acked = 0
        """Sample frames that the server holds safely."""
        self.rate_hz: int = audio.get("rate", 16_000)
        sample_bytes = _BYTES_PER_SAMPLE.get(audio.get("codec", "pcm_s16le"), 1)
        self.frame_bytes: int = sample_bytes * audio.get("channels", 1)
        """Bytes of one sample frame, all channels together."""
        self._socket = socket
        self._url = url
        self._bytes_sent = 0
        self._fatal: Event | None = None
        self._unread: list[Event] = []
        self._reading = False
        self._acked = asyncio.Event()

    async def send(self, pcm: bytes | bytearray | memoryview) -> None:
        """Send audio of any length; waits while the server takes no more.

        Raises:
            RefusedByServer: The server closed the stream.
            ConnectionLost: The socket broke.
        """
        if not pcm:
            return
        await self._send(pcm)
        self._bytes_sent += memoryview(pcm).nbytes
        self.samples_sent = self._bytes_sent // self.frame_bytes

    async def flush(self, flush_id: str = "") -> None:
        """End the open utterance here; the server answers `flushed` with this id."""
        await self.control({"type": "flush", "id": flush_id})

    async def gap(self, gap_ms: int) -> None:
        """Say that this much audio was lost, so that the clock stays right."""
        await self.control({"type": "gap", "ms": gap_ms})

    async def end(self) -> None:
        """Say that no more audio comes. Keep iterating until the `bye`, which is the last."""
        await self.control({"type": "end"})

    def abort(self) -> None:
        """Drop the socket at once, without a close; what waits for the server fails."""
        self._socket.transport.abort()

    async def control(self, message: Mapping[str, Any]) -> None:
        """Send a control message, of a kind that this SDK may not know yet."""
        await self._send(json.dumps(message))

    async def room(self, ahead_samples: int) -> None:
        """Wait until at most this many sample frames are sent and not acknowledged.

        Acknowledgements are seen by whoever iterates the stream. While nobody does, there is
        nothing to wait for, and only TCP slows the sender.
        """
        while self._reading and self.samples_sent - self.samples_acked > ahead_samples:
            self._acked.clear()
            await self._acked.wait()

    async def __aiter__(self) -> AsyncIterator[Event]:
        self._reading = True
        try:
            while self._unread:
                yield self._unread.pop(0)
            while (event := await self._receive()) is not None:
                yield event
        finally:
            self._reading = False
            self._acked.set()

    async def _receive(self) -> Event | None:
        """The next event, or None once the server has said bye."""
        while True:
            try:
                message = await self._socket.recv()
            except ConnectionClosedOK as closed:
                if closed.rcvd is not None and closed.rcvd.code == 1001:
                    raise self._ending(closed) from None
                return None
            except ConnectionClosed as closed:
                raise self._ending(closed) from None
            event = _json_object(message)
            match event.get("type"):
                case "ack":
                    self.samples_acked = int(event.get("samples", self.samples_acked))
                    self._acked.set()
                case "error" if event.get("fatal"):
                    self._fatal = event
                case None:
                    continue
            return event

    async def _send(self, message: str | bytes | bytearray | memoryview) -> None:
        try:
            await self._socket.send(message)
        except ConnectionClosed as closed:
            raise self._ending(closed) from None

    def _ending(self, closed: ConnectionClosed) -> errors.StreamdError:
        """Say why the stream is over, by the `error` event where one came before the close."""
        code = closed.rcvd.code if closed.rcvd is not None else 1006
        if code == 1006:
            return ConnectionLost(f"the connection to {self._url} broke; stream again")
        reason = closed.rcvd.reason if closed.rcvd is not None else ""
        fatal = self._fatal or {}
        return RefusedByServer(
            fatal.get("message") or _CLOSE_HINTS.get(code) or reason or "the server closed",
            code=fatal.get("code") or reason or f"close_{code}",
            close_code=code,
            retry_after_ms=fatal.get("retry_after_ms"),
        )


@asynccontextmanager
async def connect(
    url: str = DEFAULT_URL,
    *,
    audio: Mapping[str, Any] | None = None,
    modules: Mapping[str, Any] | None = None,
    client: str = "streamd-python",
    device: str | None = None,
    key: str | None = None,
    open_timeout_s: float = 10.0,
) -> AsyncIterator[Stream]:
    """Open a stream and wait for its `ready`.

    Args:
        url: `ws://` or `wss://`, with the path.
        audio: `codec`, `rate`, `channels`, `use`; what is left out is s16le, 16 kHz, mono.
        modules: Options by module; a module is off when False. None leaves the server's own.
        client: Name and version of the program, for the server's log.
        device: Name of the microphone, for the server's log.
        key: API key, for a server that asks for one.
        open_timeout_s: How long the server may take to answer.

    Raises:
        CannotConnect: Nobody answers, or somebody who is not streamd.
        RefusedByServer: By an HTTP status, or by an `error` in place of the `ready`.
    """
    audio = audio or {}
    hello = {"client": client, "device": device, "audio": audio, "modules": modules}
    chosen = {name: value for name, value in hello.items() if value is not None}
    socket = await _open(url, key, open_timeout_s)
    try:
        stream = Stream(socket, url, audio)
        await stream.control({"type": "hello", **chosen})
        await _await_ready(stream, open_timeout_s)
        yield stream
    finally:
        await socket.close()


async def _open(url: str, key: str | None, open_timeout_s: float) -> ClientConnection:
    options: dict[str, Any] = {}
    if urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1"):
        options["proxy"] = None  # a proxy of the environment cannot reach this machine's loopback
    try:
        return await open_socket(
            url,
            subprotocols=[_SUBPROTOCOL],
            additional_headers={"Authorization": f"Bearer {key}"} if key else None,
            compression=None,  # PCM does not deflate
            open_timeout=open_timeout_s,
            # A busy server answers pings late, behind the audio that it has yet to read. That is
            # no reason to cut the stream: TCP says when the peer is really gone.
            ping_timeout=None,
            close_timeout=2.0,
            max_size=_MAX_EVENT_BYTES,
            **options,
        )
    except InvalidStatus as refused:
        raise _refusal(refused) from None
    except InvalidURI:
        raise CannotConnect(f"{url} is not a WebSocket URL; an example is {DEFAULT_URL}") from None
    except InvalidHandshake as answer:
        raise CannotConnect(f"the server at {url} is not streamd: {answer}") from None
    except (OSError, TimeoutError, EOFError) as failure:
        raise CannotConnect(
            f"no server at {url} ({failure or 'no answer'}); start one with: streamd serve"
        ) from None


async def _await_ready(stream: Stream, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            while (event := await stream._receive()) is not None:
                stream._unread.append(event)
                if event["type"] == "ready":
                    stream.ready = event
                    return
    except TimeoutError:
        raise CannotConnect(
            f"{stream._url} accepted the connection but sent no `ready` within {timeout_s:g} s"
        ) from None
    raise RefusedByServer("the server closed before `ready`", code="close_1000", close_code=1000)


def _refusal(refused: InvalidStatus) -> RefusedByServer:
    """The refusal of an upgrade; its body may say more in streamd's own words."""
    status, headers = refused.response.status_code, refused.response.headers
    said = _json_object(bytes(refused.response.body or b""))
    said = said["error"] if isinstance(said.get("error"), dict) else said
    if status == 404:  # the server knows only that it has no such path
        said["message"] = _HTTP_HINTS[status]
    retry_after = headers.get("Retry-After", "")
    return RefusedByServer(
        str(said.get("message") or _HTTP_HINTS.get(status) or f"the server answered HTTP {status}"),
        code=str(said.get("code") or f"http_{status}"),
        status=status,
        retry_after_ms=int(retry_after) * 1000 if retry_after.isdigit() else None,
    )


def _json_object(text: str | bytes) -> dict[str, Any]:
    """Tolerant: what is no JSON object is as good as an empty one."""
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
