"""`/ws/stream-verify`: the socket that clients of a verification service know.

The first binary message is the reference, answered by the text `reference_set`; each later one is a
test. A message is a whole file, or raw samples at 16 kHz. A fault in one is answered by an error,
and the socket goes on: whoever sent a bad reference may send another. An error about a test has the
fields of a result too.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
from aiohttp import WSMsgType

from streamd.access.principal import Principal
from streamd.audio.header import wav_header
from streamd.errors import BadInput, BadMessage, NotAudio, Overloaded, Refusal, TooLarge, TooShort
from streamd.files.comparison import required
from streamd.files.voice_cache import FileVoice
from streamd.transport.http import faults
from streamd.transport.http.rest.base import Rest
from streamd.transport.http.rest.socket_messages import VerifyResult
from streamd.transport.http.rest.sockets import Socket, Sockets
from streamd.transport.http.rest.verify import compared
from streamd.types import RATE_HZ

MAX_MESSAGE_BYTES = 8 << 20
"""Bytes of one file; `files.max_bytes` where that is less."""
NO_RESULT = {"similarity": 0.0, "verification_result": False}
"""What an error about a test has besides, because clients read it of every answer: they send pieces
of a stream, and some of these have too little speech."""
REFERENCE_SET = "reference_set"
"""The answer to the reference."""
_PIECE_BYTES = 1 << 16
_STARTS = (
    b"RIFF",
    b"RF64",
    b"RIFX",
    b"riff",
    b"FORM",
    b"fLaC",
    b"OggS",
    b"ID3",
    b"caff",
    b".snd",
    b"#!AMR",
    b"wvpk",
    b"\x1aE\xdf\xa3",
    b"0&\xb2u",
)
"""How files of the usual containers begin."""
_MAYBE_STARTS = (b"\xff", b"\x0bw")
"""How MP3, AAC and AC-3 without a container begin, and raw samples too."""
_TS_PACKET_BYTES = 188


class VerifySockets(Sockets):
    """All open sockets of `/ws/stream-verify`.

    Args:
        rest: What the REST operations share.
    """

    path = "/ws/stream-verify"

    def __init__(self, rest: Rest) -> None:
        limits = rest.config.limits
        most = min(MAX_MESSAGE_BYTES, rest.config.files.max_bytes)
        super().__init__(rest.access.presence, most, limits)
        self._rest = rest

    def told(self, refusal: Refusal) -> str:
        """Return the message with an error."""
        return msgspec.json.encode(faults.body(refusal)).decode()

    async def serve(self, socket: Socket, principal: Principal) -> None:
        """Answer each message.

        Raises:
            Refusal: A message is no file.
        """
        reference: FileVoice | None = None
        while True:
            message = await socket.next()
            match message.type:
                case WSMsgType.BINARY:
                    data = message.data
                case WSMsgType.TEXT:
                    raise BadMessage("this socket takes files, as binary messages")
                case _:
                    return
            try:
                voice = await self._voice(data, principal.tenant)
            except (BadInput, NotAudio, TooLarge, TooShort, Overloaded) as refusal:
                told = faults.body(refusal) | ({} if reference is None else NO_RESULT)
                await socket.send_str(msgspec.json.encode(told).decode())
                continue
            if reference is None:
                reference = voice
                await socket.send_str(REFERENCE_SET)
            else:
                await socket.send_str(self._result(principal.tenant, reference, voice))

    async def _voice(self, data: bytes, tenant: str) -> FileVoice:
        name = "the message"
        if not data:
            raise BadInput("the message is empty: send a file, or samples of 16 bits at 16 kHz")
        files = [data] if _is_file(data) else [_as_wav(data)]
        if _may_be_file(data):
            files = [data, _as_wav(data)]
        for number, file in enumerate(files, 1):
            try:
                voice = await self._rest.voices.voice(_pieces(file), name, tenant, _nothing)
                required(voice, name)
            except (NotAudio, TooShort):
                if number == len(files):
                    raise
            else:
                return voice
        raise AssertionError

    def _result(self, tenant: str, reference: FileVoice, test: FileVoice) -> str:
        found = compared(self._rest.services, tenant, reference, test)
        result = VerifyResult(
            similarity=round(found.similarity, 4),
            verification_result=found.decision == "accept",
        )
        return msgspec.json.encode(result).decode()


def _is_file(data: bytes) -> bool:
    return data.startswith(_STARTS) or data[4:8] == b"ftyp"


def _may_be_file(data: bytes) -> bool:
    is_ts = data[0] == 0x47 == data[min(_TS_PACKET_BYTES, len(data) - 1)]
    return is_ts or data.startswith(_MAYBE_STARTS)


def _as_wav(data: bytes) -> bytes:
    samples = data[: len(data) // 2 * 2]
    return wav_header(RATE_HZ, len(samples)) + samples


async def _pieces(data: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(data), _PIECE_BYTES):
        yield data[start : start + _PIECE_BYTES]


async def _nothing(done_ms: int, total_ms: int | None) -> None:
    """Say nothing of the progress: there is no message for it."""
