"""Sockets that break at any byte, between a real client and a real server: no event is lost."""

import asyncio
import base64
import itertools
import json
import random
import select
from functools import partial

import numpy as np
import pytest
from daemons import Daemon, speech
from fakes.driving import assert_same_events
from fakes.returning import Event, Returning
from fakes.wire import Wire, frame
from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side

from streamd.audio.decode import Decoder
from streamd.types import AudioFormat

pytestmark = pytest.mark.models

MODULES = {"vad": {}, "wake": {"words": ["alexa", "hey_jarvis"]}, "speaker": {}, "emotion": {}}
CONTROLS = [
    (50_001, {"type": "flush", "id": "in the middle of a sample"}),
    (130_000, {"type": "gap", "samples": 1234}),
    (190_000, {"type": "config", "modules": {"wake": {"words": ["hey_jarvis"]}}}),
]


class Socket:
    """One connection of a client that counts bytes."""

    def __init__(self, url: str, client: Returning) -> None:
        self._wire = Wire(url)
        self._wire.upgrade()
        self._parser = Protocol(Side.CLIENT, max_size=None)
        self.events: list[Event] = []
        self._wire.socket.sendall(frame(Opcode.TEXT, client.hello().encode()))
        while not self.events:
            self.read()
        assert self.events[0]["type"] == "ready", self.events
        client.resume_from(self.events[0])

    def read(self) -> bool:
        """Take what comes next; False behind the last byte."""
        data = self._wire.socket.recv(65_536)
        self._parser.receive_data(data)
        frames = [f for f in self._parser.events_received() if f.opcode is Opcode.TEXT]
        self.events += [json.loads(f.data) for f in frames]
        return bool(data) and self._parser.close_rcvd is None

    def read_what_is_there(self) -> None:
        """Take what has come, and a moment of what comes."""
        if select.select([self._wire.socket], [], [], 0.01)[0]:
            self.read()

    def send(self, data: bytes) -> None:
        self._wire.socket.sendall(data)

    def drop(self) -> None:
        self._wire.reset()


def text(message: str) -> bytes:
    return frame(Opcode.TEXT, message.encode())


def in_json(audio: bytes) -> bytes:
    return text(json.dumps({"type": "audio", "data": base64.b64encode(audio).decode()}))


def frames_of(client: Returning, rng: random.Random, *, is_json: bool = False) -> bytes:
    """All that the client still has to say, as it is on the wire."""
    sizes = itertools.cycle(rng.choice([[640], [3200, 1], [7001], [100_000]]))
    audio = in_json if is_json else partial(frame, Opcode.BINARY)
    return b"".join(
        text(message) if isinstance(message, str) else audio(message)
        for message in client.rest(sizes)
    )


def speaker() -> Returning:
    return Returning(speech(), 2, CONTROLS, {"modules": MODULES})


def play(
    url: str, drops: int, rng: random.Random, client: Returning | None = None, **options: bool
) -> list[Event]:
    """Speak to the end, over so many sockets that break; gives the log but for interim events."""
    client = client or speaker()
    for _ in range(drops):
        socket = Socket(url, client)
        data = frames_of(client, rng, **options)
        socket.send(data[: rng.choice([rng.randrange(len(data) + 1), rng.randrange(50_000), 0])])
        for _ in range(rng.randrange(20)):
            socket.read_what_is_there()
        socket.drop()
        for event in socket.events[: rng.randint(1, len(socket.events))]:
            client.receive(event)
    socket = Socket(url, client)
    socket.send(frames_of(client, rng, **options))
    while socket.read():
        pass
    socket.drop()
    for event in socket.events:
        client.receive(event)
    assert client.log[-1]["type"] == "bye"
    return [event for event in client.log if event.get("final", True)]


@pytest.mark.parametrize("seed", range(3))
async def test_sockets_that_break_at_any_byte_cost_no_event(daemon: Daemon, seed: int):
    before = daemon.metric("streamd_streams_resumed_total")
    unbroken = await asyncio.to_thread(play, daemon.url, 0, random.Random(seed))
    broken = await asyncio.to_thread(play, daemon.url, 5, random.Random(seed))
    assert_same_events(unbroken, broken)
    assert {"wake", "speaker", "emotion", "gap", "flushed", "bye"} <= {e["type"] for e in broken}
    assert daemon.metric("streamd_streams_resumed_total") - before == 5
    assert daemon.complaints() == []


MESSAGES = {
    "audio": frame(Opcode.BINARY, bytes(11)),
    "longer audio": frame(Opcode.BINARY, bytes(200)),
    "audio in two fragments": (
        Frame(Opcode.BINARY, bytes(40), fin=False).serialize(mask=True)
        + frame(Opcode.CONT, bytes(41))
    ),
    "audio in JSON": in_json(bytes(33)),
    "a control message": text('{"type":"flush","id":"f"}'),
}


@pytest.mark.parametrize("message", MESSAGES.values(), ids=MESSAGES)
def test_a_message_that_is_cut_at_any_byte_was_not_received(daemon: Daemon, message: bytes):
    client = speaker()
    for end in range(len(message)):
        socket = Socket(daemon.url, client)
        client.receive(socket.events[0])
        assert socket.events[0].get("have_samples", 0) == 0
        assert socket.events[0].get("have_controls", 0) == 0
        socket.send(message[:end])
        socket.drop()
    socket = Socket(daemon.url, client)
    assert (socket.events[0]["have_samples"], socket.events[0]["have_controls"]) == (0, 0)
    socket.drop()


def in_format(codec: str, rate: int, channels: int) -> Returning:
    """A client that sends the speech in another format, the speech on its last channel."""
    sound = np.frombuffer(speech(seconds=4), "<i2") / 32768.0
    places = np.arange(len(sound) * rate // 16_000) * 16_000 / rate
    sound = np.interp(places, np.arange(len(sound)), sound)
    mixed = np.stack([sound * share for share in np.linspace(0.2, 1, channels)], axis=1)
    if codec == "mulaw":
        table = Decoder(AudioFormat(codec="mulaw")).push(bytes(range(256)))
        order = np.argsort(table)
        at = np.searchsorted(table[order], mixed.ravel()).clip(0, 255)
        data = order[at].astype(np.uint8).tobytes()
    elif codec == "pcm_f32le":
        data = mixed.astype("<f4").tobytes()
    else:
        data = (mixed * 32767).astype("<i2").tobytes()
    audio = {"codec": codec, "rate": rate, "channels": channels}
    frame_bytes = AudioFormat(**audio).frame_bytes
    return Returning(data, frame_bytes, [], {"audio": audio, "modules": MODULES})


@pytest.mark.parametrize("is_json", [False, True], ids=["binary", "in JSON"])
@pytest.mark.parametrize(
    "audio",
    [
        ("mulaw", 8000, 1),
        ("pcm_s16le", 16_000, 2),
        ("pcm_f32le", 44_100, 1),
        ("pcm_f32le", 16_000, 3),
    ],
    ids=str,
)
def test_parts_of_a_sample_that_are_lost_cost_no_event_in_any_format(
    daemon: Daemon, audio: tuple[str, int, int], is_json: bool
):
    unbroken = play(daemon.url, 0, random.Random(0), in_format(*audio))
    broken = play(daemon.url, 5, random.Random(0), in_format(*audio), is_json=is_json)
    assert_same_events(unbroken, broken)
    assert {"speech_start", "speech_end", "bye"} <= {e["type"] for e in broken}
