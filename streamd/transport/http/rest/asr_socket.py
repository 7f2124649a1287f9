"""`/v1/asr/stream`: the socket that clients of an ASR service know.

A client sends `INIT`, which has no answer, then `AUDIO` messages, each of which has one answer at
once, because its callers wait for it, and `END`. It has no transcriber yet: the text is empty, and
each answer says so in `code` and `message`.
"""

from __future__ import annotations

import base64
import binascii

import msgspec
from aiohttp import WSMsgType

from streamd.access.presence import Presence
from streamd.access.principal import Principal
from streamd.config import LimitsConfig
from streamd.errors import BadMessage, ModelMissing, Refusal, UnsupportedAudio
from streamd.transport.http.rest.socket_messages import (
    AsrAudio,
    AsrConfig,
    AsrEnd,
    AsrError,
    AsrFinal,
    AsrInit,
    AsrPartial,
    AsrSent,
)
from streamd.transport.http.rest.sockets import Socket, Sockets

NO_TEXT = "this socket has no transcriber yet; POST /v1/asr transcribes whole files"
ENCODINGS = ("LINEAR16", "PCM", "PCM_S16LE")


class AsrSockets(Sockets):
    """All open sockets of `/v1/asr/stream`.

    Args:
        presence: Bounds the sockets of a key, and ends those of a key that is revoked.
        limits: Longest message, longest silence, and most pings a second.
    """

    path = "/v1/asr/stream"

    def __init__(self, presence: Presence, limits: LimitsConfig) -> None:
        super().__init__(presence, limits.max_message_bytes, limits)

    def told(self, refusal: Refusal) -> str:
        """Return the message with an error."""
        error = AsrError(code=refusal.code, message=refusal.message)
        return msgspec.json.encode(error).decode()

    async def serve(self, socket: Socket, principal: Principal) -> None:
        """Answer each message.

        Raises:
            Refusal: A message is not of this protocol.
        """
        while True:
            message = await socket.next()
            match message.type:
                case WSMsgType.TEXT:
                    sent = _read(message.data)
                case WSMsgType.BINARY:
                    raise BadMessage("this socket takes JSON text; audio is base64 in `audio`")
                case _:
                    return
            match sent:
                case AsrInit(config=config):
                    _check_config(config)
                case AsrAudio(audio=audio):
                    _check_audio(audio)
                    await socket.send_str(_answer(AsrPartial))
                case AsrEnd():
                    await socket.send_str(_answer(AsrFinal))
                    await socket.close()
                    return


def _read(text: str) -> AsrSent:
    try:
        return msgspec.json.decode(text, type=AsrSent)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadMessage(
            f"not a message of this socket, which takes INIT, AUDIO and END as JSON: {error}"
        ) from None


def _check_config(config: AsrConfig) -> None:
    if config.encoding.upper() not in ENCODINGS:
        raise UnsupportedAudio("`config.encoding` must be LINEAR16", ref="config.encoding")
    if not 8000 <= config.sample_rate <= 48_000:
        raise UnsupportedAudio(
            "`config.sample_rate` must be a whole number from 8000 to 48000",
            ref="config.sample_rate",
        )


def _check_audio(audio: str) -> None:
    try:
        base64.b64decode(audio, validate=True)
    except (binascii.Error, ValueError):
        raise BadMessage("`audio` is not base64", ref="audio") from None


def _answer(kind: type[AsrPartial | AsrFinal]) -> str:
    text = kind(transcript="", code=ModelMissing.code, message=NO_TEXT)
    return msgspec.json.encode(text).decode()
