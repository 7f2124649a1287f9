"""The Python SDK: one stream, PCM in, events out as plain dicts.

::

    async with streamd.client.connect(modules={"wake": {"words": ["alexa"]}}) as stream:
        asyncio.create_task(speak(stream))      # await stream.send(pcm) …; await stream.end()
        async for event in stream:
            print(event)

When the connection drops, the stream connects again by itself and goes on where it was. Read the
events while you send: 1000 of them wait for you, and then the server waits.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from streamd.audio.opus_packet import packet_frames
from streamd.client.credentials import check_key
from streamd.client.inbox import Inbox
from streamd.client.kept import MESSAGE_BYTES, KeptPackets, KeptSamples
from streamd.client.line import DEFAULT_URL, Address
from streamd.client.link import Link
from streamd.client.refusal import Event, RefusedByServer
from streamd.client.replay import Replay

RECONNECT_S = 300.0
"""Seconds for which a stream tries to connect again after a drop."""
REPLAY_S = 60.0
"""Seconds of audio that are kept for a drop: a server holds a stream as long by default."""
LEAST_REPLAY_S = 1.0
"""Least of them: the server acknowledges at least every half a second of audio, and a buffer that
is full before would wait for ever."""
SILENCE_S = 20.0
"""Seconds of silence after which a socket counts as broken."""
_SLACK_S = 2.0
"""Seconds of audio that a live source may send before the client notices a lost connection."""
_BYTES_PER_SAMPLE = {"pcm_s16le": 2, "pcm_f32le": 4, "mulaw": 1, "alaw": 1}


class Stream:
    """An open stream. Made by `connect`; iterate it for the events, `ready` first."""

    def __init__(
        self, link: Link, replay: Replay, inbox: Inbox, rate_hz: int, frame_bytes: int | None
    ):
        self.rate_hz = rate_hz
        self.frame_bytes = frame_bytes
        """Bytes of one sample frame, all channels together; None for Opus."""
        self._link = link
        self._replay = replay
        self._inbox = inbox
        self._is_iterated = False

    @property
    def ready(self) -> Event:
        """The server's newest `ready`: effective audio, modules, limits."""
        return self._link.ready

    @property
    def samples_sent(self) -> int:
        """Sample frames that `send` has taken."""
        return self._replay.samples

    @property
    def samples_acked(self) -> int:
        """Sample frames that the server has acknowledged."""
        return self._replay.samples_acked

    @property
    def kept_bytes(self) -> int:
        """Bytes of audio that are kept for a drop."""
        return self._replay.size_bytes

    @property
    def is_connected(self) -> bool:
        """Whether there is a connection now; if not, the stream tries to make one, or is over."""
        return self._link.is_online

    async def send(self, pcm: bytes | bytearray | memoryview) -> None:
        """Send samples of any length, or one Opus packet where the stream's codec is `opus`.

        The stream keeps what the server has not acknowledged. If that is as much as it may keep,
        `send` waits for the server. While there is no connection, only a sender ahead of real time
        waits. For a live one the oldest audio is dropped, and a `gap` names it afterwards.

        Raises:
            RefusedByServer: The server closed the stream for good.
            ConnectionLost: The connection broke, and the attempts to connect again failed.
            NotAPacket: The stream's codec is `opus`, and these bytes are no packet.
        """
        data = memoryview(pcm).cast("B")
        if self.frame_bytes is None:
            await self._add(data, packet_frames(data, self.rate_hz))
            return
        step = min(MESSAGE_BYTES, self._replay.max_size // 2)
        for first in range(0, len(data), step):
            part = data[first : first + step]
            await self._add(part, len(part))

    async def flush(self, flush_id: str = "") -> None:
        """End the open utterance here; the server answers `flushed` with this id."""
        await self.control({"type": "flush", "id": flush_id})

    async def gap(self, gap_ms: int) -> None:
        """Declare that so many milliseconds of audio are lost, so that the clock stays right."""
        await self.control({"type": "gap", "ms": gap_ms})

    async def enrol(self, speaker: str, utterances: Iterable[str], enrol_id: str = "") -> None:
        """Enrol the voice of utterances that are over; the server answers `enrolled` with this id.

        If it refuses, it answers an `error` whose `ref` is the id.

        Args:
            speaker: Name of the voice.
            utterances: Ids of utterances of one speaker, as events name them.
            enrol_id: What the answer names.
        """
        message = {"id": enrol_id, "speaker": speaker, "utterances": list(utterances)}
        await self.control({"type": "enrol", **message})

    async def end(self) -> None:
        """Declare the end of the audio. Keep iterating until the `bye`, which is the last event."""
        await self.control({"type": "end"})

    def abort(self) -> None:
        """Drop the connection for good, without a close handshake. Calls that wait raise."""
        self._link.abort()

    async def control(self, message: Mapping[str, Any]) -> None:
        """Send any control message, even of a type that this SDK does not know."""
        self._check()
        self._replay.add_control(message)
        self._link.wake()

    async def room(self, ahead_samples: int) -> None:
        """Wait until at most this many sample frames are sent and not acknowledged."""
        while not self._inbox.is_over and self.samples_sent - self.samples_acked > ahead_samples:
            self._check_iterated()
            await self._link.changed()

    async def __aiter__(self) -> AsyncIterator[Event]:
        self._is_iterated = True
        try:
            while (event := await self._inbox.get()) is not None:
                yield event
        finally:
            self._is_iterated = False

    async def _add(self, data: memoryview, size: int) -> None:
        """Send what fits into one message, and takes so many places of the replay buffer."""
        await self._until_room(size)
        self._check()
        self._replay.add_audio(data)
        self._link.wake()

    async def _until_room(self, size: int) -> None:
        per_s = self.rate_hz * (self.frame_bytes or 1)
        while not self._inbox.is_over and self._replay.free < size and self._replay.size:
            timeout_s = None
            if self._link.is_online:
                self._check_iterated()
            else:
                kept_s = self._replay.size / per_s
                timeout_s = kept_s - _SLACK_S - self._link.offline_s
                if timeout_s <= 0:
                    return
            await self._link.changed(timeout_s)

    def _check(self) -> None:
        if self._inbox.is_over:
            self._inbox.check()
            raise RefusedByServer("the stream is over", code="close_1000", close_code=1000)

    def _check_iterated(self) -> None:
        if self._inbox.is_full and not self._is_iterated:
            raise RefusedByServer(
                "nobody reads the events; iterate the stream while you send", code="slow_consumer"
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
    ca: str | os.PathLike[str] | None = None,
    open_timeout_s: float = 10.0,
    reconnect_s: float = RECONNECT_S,
    replay_s: float = REPLAY_S,
    silence_s: float = SILENCE_S,
) -> AsyncIterator[Stream]:
    """Open a stream and wait for its `ready`.

    Args:
        url: `ws://` or `wss://`, with the path.
        audio: `codec`, `rate`, `channels`, `use`, `enhance`, `far_end`; what is left out is s16le,
            16 kHz, mono, and the server's own noise suppression. With the codec `opus`, each `send`
            takes one packet.
        modules: Options by module; False switches a module off. None leaves the server's own.
        client: Name and version of the program, for the server's log.
        device: Name of the microphone, for the server's log.
        key: API key, for a server that asks for one. It decides whose voices and words are used.
        ca: File with the certificate of the authority to trust for `wss://`, in PEM. Without it,
            those of `SSL_CERT_FILE` or of the system are trusted.
        open_timeout_s: Seconds that the server may take to answer.
        reconnect_s: Seconds for which the stream tries to connect again after a drop; 0 to not try.
        replay_s: Seconds of audio that are kept in memory, to be sent again after a drop; at least
            one second is.
        silence_s: Seconds without an answer after which the connection counts as broken.

    Raises:
        CannotConnect: No server answers, or one that is not streamd, or that is not trusted.
        RefusedByServer: The server answers with an HTTP status, or an `error` in place of `ready`.
        WrongUsage: The key cannot be one.
        OSError: The file of `ca` cannot be read, or has no certificate.
    """
    audio = audio or {}
    chosen = {"client": client, "device": device, "audio": audio, "modules": modules}
    hello = {"type": "hello"} | {name: value for name, value in chosen.items() if value is not None}
    rate_hz: int = audio.get("rate", 16_000)
    codec = audio.get("codec", "pcm_s16le")
    frame_bytes = None
    if codec != "opus":
        frame_bytes = _BYTES_PER_SAMPLE.get(codec, 1) * int(audio.get("channels", 1))
    kept = KeptPackets(rate_hz) if frame_bytes is None else KeptSamples(frame_bytes)
    replay = Replay(kept, int(max(replay_s, LEAST_REPLAY_S) * rate_hz))
    inbox = Inbox()
    tls = None if ca is None else ssl.create_default_context(cafile=ca)
    address = Address(url, check_key(key), open_timeout_s, tls)
    link = Link(address, hello, replay, inbox, reconnect_s=reconnect_s, silence_s=silence_s)
    await link.open()
    try:
        yield Stream(link, replay, inbox, rate_hz, frame_bytes)
    finally:
        await link.close()
