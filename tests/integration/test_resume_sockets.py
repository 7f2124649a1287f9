"""Sockets that break at any byte, between a real client and a real server: no event is lost."""

import asyncio
import itertools
import json
import random
import select

import pytest
from daemons import Daemon, speech
from fakes.driving import assert_same_events
from fakes.returning import Event, Returning
from fakes.wire import Wire, frame
from websockets.frames import Opcode
from websockets.protocol import Protocol, Side

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


def frames_of(client: Returning, rng: random.Random) -> bytes:
    """All that the client still has to say, as it is on the wire."""
    sizes = itertools.cycle(rng.choice([[640], [3200, 1], [7001], [100_000]]))
    return b"".join(
        frame(Opcode.TEXT, message.encode())
        if isinstance(message, str)
        else frame(Opcode.BINARY, message)
        for message in client.rest(sizes)
    )


def play(url: str, drops: int, rng: random.Random) -> list[Event]:
    """Speak to the end, over so many sockets that break; gives the log but for interim events."""
    client = Returning(speech(), 2, CONTROLS, {"modules": MODULES})
    for _ in range(drops):
        socket = Socket(url, client)
        data = frames_of(client, rng)
        socket.send(data[: rng.choice([rng.randrange(len(data) + 1), rng.randrange(50_000), 0])])
        for _ in range(rng.randrange(20)):
            socket.read_what_is_there()
        socket.drop()
        for event in socket.events[: rng.randint(1, len(socket.events))]:
            client.receive(event)
    socket = Socket(url, client)
    socket.send(frames_of(client, rng))
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
