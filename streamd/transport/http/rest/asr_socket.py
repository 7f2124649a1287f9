"""`/v1/asr/stream`: the socket that clients of an ASR service know.

A client sends `INIT`, which has no answer, then `AUDIO` messages, each of which has one answer at
once, because its callers wait for it, and `END`. Without a transcriber the text is empty, and each
answer says so in `code` and `message`.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
from typing import Any

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web

from streamd.access.limits import STREAMS_RETRY_AFTER_MS
from streamd.access.presence import Presence
from streamd.config import LimitsConfig
from streamd.errors import (
    BadMessage,
    Idle,
    ModelMissing,
    Overloaded,
    RateExceeded,
    Refusal,
    TooLarge,
    UnsupportedAudio,
)
from streamd.transport.http.guard import principal_of
from streamd.transport.http.rest.transcribe import NO_TRANSCRIBER
from streamd.transport.http.routes import Route
from streamd.transport.http.websocket import check_upgrade

ENCODINGS = ("LINEAR16", "PCM", "PCM_S16LE")
RESTARTING = 1012
MAX_SOCKETS = 64
"""Sockets of this kind at once."""


class AsrSockets:
    """All open sockets of `/v1/asr/stream`.

    Args:
        presence: Bounds the sockets of a key, and ends those of a key that is revoked.
        limits: Longest message, and longest silence.
    """

    def __init__(self, presence: Presence, limits: LimitsConfig) -> None:
        self._presence = presence
        self._limits = limits
        self._open: set[_Socket] = set()
        self._ending: set[asyncio.Task[None]] = set()

    def routes(self) -> list[Route]:
        """Return the route."""
        return [Route("GET", "/v1/asr/stream", self.handle, scope="stream", takes_ticket=True)]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one socket from upgrade to close.

        Raises:
            Refusal: The request is no upgrade, or too many sockets are open.
        """
        check_upgrade(request)
        if len(self._open) >= MAX_SOCKETS:
            raise Overloaded(
                f"{MAX_SOCKETS} sockets of this kind are open; try again later",
                retry_after_ms=1000,
            )
        principal = principal_of(request)
        if self._presence.is_full(principal):
            raise RateExceeded(
                "this key has as many sockets open as it may (limits.streams_per_key)",
                retry_after_ms=STREAMS_RETRY_AFTER_MS,
            )
        socket = _Socket(self._limits.max_message_bytes)
        self._open.add(socket)
        try:
            with self._presence.enter(principal) as visit:
                await socket.prepare(request)
                visit.on_end(lambda refusal: self._end(socket, refusal))
                try:
                    await self._serve(socket)
                except Refusal as refusal:
                    await socket.refuse(refusal)
        finally:
            self._open.discard(socket)
        return socket

    async def drain(self) -> None:
        """Close every socket, because the server stops."""
        for socket in list(self._open):
            await socket.close(code=RESTARTING, message=b"restarting")

    def _end(self, socket: _Socket, refusal: Refusal) -> None:
        task = asyncio.ensure_future(socket.refuse(refusal))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _serve(self, socket: _Socket) -> None:
        while True:
            try:
                message = await socket.receive(timeout=self._limits.idle_s)
            except TimeoutError:
                raise Idle(f"nothing came for {self._limits.idle_s} s; connect again") from None
            match message.type:
                case WSMsgType.TEXT:
                    sent = _read(message.data)
                case WSMsgType.BINARY:
                    raise BadMessage("this socket takes JSON text; audio is base64 in `audio`")
                case _:
                    return
            match sent.get("type"):
                case "INIT":
                    _check_config(sent.get("config", {}))
                case "AUDIO":
                    _check_audio(sent.get("audio"))
                    await socket.send_str(_answer("PARTIAL"))
                case "END":
                    await socket.send_str(_answer("FINAL"))
                    await socket.close()
                    return
                case _:
                    raise BadMessage("`type` must be INIT, AUDIO or END", ref="type")


class _Socket(web.WebSocketResponse):
    """A socket whose errors come before its close."""

    def __init__(self, max_message_bytes: int) -> None:
        super().__init__(max_msg_size=max_message_bytes, compress=False)
        self._max_bytes = max_message_bytes

    async def close(
        self, *, code: int = WSCloseCode.OK, message: bytes = b"", drain: bool = True
    ) -> bool:
        """Close the socket. aiohttp itself closes it on a message that is too long."""
        if code == WSCloseCode.MESSAGE_TOO_BIG and not self.closed:
            too_large = TooLarge(f"a message may have {self._max_bytes} bytes; send shorter ones")
            with contextlib.suppress(ConnectionError):
                await self.send_str(_error(too_large))
            message = too_large.code.encode()
        return await super().close(code=code, message=message, drain=drain)

    async def refuse(self, refusal: Refusal) -> None:
        """Send an error, and close."""
        with contextlib.suppress(ConnectionError):
            if not self.closed:
                await self.send_str(_error(refusal))
            await self.close(code=refusal.close_code, message=refusal.code.encode())


def _error(refusal: Refusal) -> str:
    told = {"type": "ERROR", "code": refusal.code, "message": refusal.message}
    return msgspec.json.encode(told).decode()


def _read(text: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError):
        raise BadMessage("the message is not a JSON object") from None


def _check_config(config: object) -> None:
    if not isinstance(config, dict):
        raise BadMessage("`config` must be an object", ref="config")
    encoding, rate = config.get("encoding", ENCODINGS[0]), config.get("sample_rate", 16_000)
    if not isinstance(encoding, str) or encoding.upper() not in ENCODINGS:
        raise UnsupportedAudio("`config.encoding` must be LINEAR16", ref="config.encoding")
    if not isinstance(rate, int) or isinstance(rate, bool) or not 8000 <= rate <= 48_000:
        raise UnsupportedAudio(
            "`config.sample_rate` must be a whole number from 8000 to 48000",
            ref="config.sample_rate",
        )


def _check_audio(audio: object) -> None:
    if not isinstance(audio, str):
        raise BadMessage("`audio` must be a string: samples in base64", ref="audio")
    try:
        base64.b64decode(audio, validate=True)
    except (binascii.Error, ValueError):
        raise BadMessage("`audio` is not base64", ref="audio") from None


def _answer(kind: str) -> str:
    told = {
        "type": kind,
        "transcript": "",
        "code": ModelMissing.code,
        "message": NO_TRANSCRIBER,
    }
    return msgspec.json.encode(told).decode()
