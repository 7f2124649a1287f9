"""`/v1/asr/stream`: the socket that clients of an ASR service know.

A client sends `INIT`, which has no answer, then `AUDIO` messages, each of which has one answer at
once, because its callers wait for it, and `END`. The text is that of the same session as a stream
has. Without a transcriber the text is empty, and each answer says so in `code` and `message`.
"""

from __future__ import annotations

import base64
import binascii

import msgspec
from aiohttp import WSMsgType

from streamd.access.presence import Presence
from streamd.access.principal import Principal
from streamd.config import LimitsConfig
from streamd.errors import (
    BadMessage,
    ModelMissing,
    Refusal,
    UnsupportedAudio,
    UnsupportedLanguage,
)
from streamd.live.services import Services
from streamd.live.text_stream import TextStream
from streamd.modules.transcript import TranscriptModule, knows
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
from streamd.transport.http.rest.transcribe import NO_TRANSCRIBER
from streamd.types import AudioFormat

ENCODINGS = ("LINEAR16", "PCM", "PCM_S16LE")


class AsrSockets(Sockets):
    """All open sockets of `/v1/asr/stream`.

    Args:
        services: What all streams share.
        presence: Bounds the sockets of a key, and ends those of a key that is revoked.
        limits: Longest message, longest silence, and most pings a second.
    """

    path = "/v1/asr/stream"

    def __init__(self, services: Services, presence: Presence, limits: LimitsConfig) -> None:
        super().__init__(presence, limits.max_message_bytes, limits)
        self._services = services
        self._module = services.registry.find(TranscriptModule)

    def told(self, refusal: Refusal) -> str:
        """Return the message with an error."""
        error = AsrError(code=refusal.code, message=refusal.message)
        return msgspec.json.encode(error).decode()

    async def serve(self, socket: Socket, principal: Principal) -> None:
        """Answer each message.

        Raises:
            Refusal: A message is not of this protocol, or no further stream can be carried.
        """
        config, stream = AsrConfig(), None
        try:
            while True:
                match await _next(socket):
                    case None:
                        return
                    case AsrInit(config=config):
                        self._check(config)
                        if stream is not None:
                            raise BadMessage("INIT comes before all AUDIO, once")
                    case AsrAudio(audio=audio):
                        data = _decoded(audio)
                        if self._module is None:
                            await socket.send_str(_answer(AsrPartial, None))
                            continue
                        if stream is None:
                            stream = self._stream(config)
                        await stream.feed(data)
                        await socket.send_str(_answer(AsrPartial, stream.text))
                    case AsrEnd():
                        with self.last_answer():
                            text = "" if stream is None else await stream.end()
                            said = None if self._module is None else text
                            await socket.send_str(_answer(AsrFinal, said))
                            await socket.close()
                        return
        finally:
            if stream is not None:
                stream.close()

    def _stream(self, config: AsrConfig) -> TextStream:
        audio = AudioFormat(rate=config.sample_rate)
        return TextStream(self._services, audio, config.language or "auto")

    def _check(self, config: AsrConfig) -> None:
        if config.encoding.upper() not in ENCODINGS:
            raise UnsupportedAudio("`config.encoding` must be LINEAR16", ref="config.encoding")
        if not 8000 <= config.sample_rate <= 48_000:
            raise UnsupportedAudio(
                "`config.sample_rate` must be a whole number from 8000 to 48000",
                ref="config.sample_rate",
            )
        if self._module is None or config.language is None:
            return
        if not knows(self._module.languages, config.language):
            raise UnsupportedLanguage(
                f"the transcriber does not know {config.language[:32]!r}; it knows: "
                f"{', '.join(self._module.languages)}",
                ref="config.language",
            )


async def _next(socket: Socket) -> AsrSent | None:
    """Return the next message; None when the client is gone."""
    message = await socket.next()
    match message.type:
        case WSMsgType.TEXT:
            return _read(message.data)
        case WSMsgType.BINARY:
            raise BadMessage("this socket takes JSON text; audio is base64 in `audio`")
        case _:
            return None


def _read(text: str) -> AsrSent:
    try:
        sent: AsrSent = msgspec.json.decode(text, type=AsrSent)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadMessage(
            f"not a message of this socket, which takes INIT, AUDIO and END as JSON: {error}"
        ) from None
    return sent


def _decoded(audio: str) -> bytes:
    try:
        return base64.b64decode(audio, validate=True)
    except (binascii.Error, ValueError):
        raise BadMessage("`audio` is not base64", ref="audio") from None


def _answer(kind: type[AsrPartial | AsrFinal], text: str | None) -> str:
    """Return an answer; without a text it says that there is no transcriber."""
    answer = kind(transcript=text or "")
    if text is None:
        answer.code, answer.message = ModelMissing.code, NO_TRANSCRIBER
    return msgspec.json.encode(answer).decode()
