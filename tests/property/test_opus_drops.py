"""Packets of any length, damaged ones too: no drop, no speed and no order of answers shows."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pytest
from fakes.driving import ALL_ON, Player, Stage, assert_same_events, silence, tone, word
from fakes.dropping import ROOM, Drop, drops, log_over
from fakes.recipes import GALLERY, REGISTRY
from fakes.returning import Event, Message, Returning
from fakes.serving import Server
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from opus_packets import encoded

from streamd.audio.opus_decoder import OpusDecoder
from streamd.audio.opus_packet import NotAPacket, packet_frames
from streamd.types import AudioFormat

pytestmark = pytest.mark.faults

RATE_HZ = 16_000
AUDIO = AudioFormat(codec="opus")
DAMAGED = bytes([0x49, 1, 2, 3])
"""40 ms of two equal frames, which an odd number of bytes cannot hold."""
SOUNDS = {
    "silence": lambda: silence(600),
    "anna": lambda: tone(300, 600, 8000.0),
    "bert": lambda: tone(2100, 720, 6000.0),
    "word": lambda: np.concatenate([tone(300, 240, 8000.0), word(), silence(240)]),
}
CONTROLS: list[Event] = [
    {"type": "flush", "id": "f"},
    {"type": "gap", "ms": 130},
    {"type": "gap", "samples": 333},
    {"type": "config", "modules": {"emotion": {"hop_ms": 300}}},
]
Item = bytes | Event

common = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@dataclass(frozen=True)
class Stream:
    """A stream by its recipe, so that a failing example can be read."""

    parts: tuple[tuple[str, float], ...]
    """Sounds, each in packets of a length of its own, in milliseconds."""
    others: tuple[tuple[int, Item], ...]
    """What comes between packets, and before which of the items so far."""

    @cached_property
    def items(self) -> list[Item]:
        items: list[Item] = []
        for name, frame_ms in self.parts:
            items += encoded(SOUNDS[name](), frame_ms=frame_ms, application="audio")
        for at, other in self.others:
            items.insert(at, other)
        return items


_parts = st.tuples(st.sampled_from(list(SOUNDS)), st.sampled_from([2.5, 5, 10, 20, 40, 60, 120]))
_others = st.tuples(st.integers(0, 200), st.sampled_from([DAMAGED, *CONTROLS]))
streams = st.builds(
    Stream,
    st.lists(_parts, min_size=2, max_size=6).map(tuple),
    st.lists(_others, max_size=4).map(tuple),
)


class ReturningPackets(Returning):
    """A client that sends packets, and sends again those that the server does not have."""

    def __init__(self, items: list[Item]) -> None:
        super().__init__(b"", 1, [], {"audio": {"codec": "opus"}, "modules": ALL_ON})
        self._items = [*items, {"type": "end"}]

    def rest(self, sizes: Iterator[int]) -> Iterator[Message]:
        """What the server does not have yet."""
        place = number = 0
        messages: list[Message] = []
        for item in self._items:
            if isinstance(item, bytes):
                if place >= self._samples:
                    messages.append(item)
                place += packet_frames(item, RATE_HZ)
                assert place <= self._samples or messages, "a packet was cut"
            else:
                number += 1
                if number > self._controls:
                    messages.append(json.dumps(item))
        if self.token is not None and messages:
            yield '{"type":"ping"}'
        yield from messages


@settings(common, max_examples=25)
@given(stream=streams, plan=st.lists(drops, min_size=1, max_size=4), seed=st.integers(0, 2**32))
def test_drops_between_any_packets_change_no_event_that_is_promised(
    stream: Stream, plan: list[Drop], seed: int
) -> None:
    items = stream.items
    rng = random.Random(seed)
    alone, dropped = (log_over(ends, ReturningPackets(items), rng) for ends in ([], plan))
    assert_same_events(alone, dropped)
    damaged = sum(item == DAMAGED for item in items)
    assert sum(event["type"] == "gap" for event in alone) == damaged + sum(
        isinstance(item, dict) and item["type"] == "gap" for item in items
    )
    assert sum(event.get("code") == "bad_packet" for event in alone) == damaged


def played(items: list[Item], stage: Stage) -> Player:
    """One session of its own that takes the items."""
    player = Player(stage, REGISTRY, ALL_ON, AUDIO, lambda: GALLERY)
    for item in items:
        if isinstance(item, bytes):
            frames = packet_frames(item, RATE_HZ)
            while player.session.spare(frames * 4) < frames * 4 or not player.session.can_mark:
                stage.step()
            player.session.receive_packet(item, frames)
            player.pump()
            for _ in range(int(stage.random.expovariate(0.5)) if stage.random else 0):
                stage.step()
        elif item["type"] == "gap":
            player.session.receive_gap(item.get("ms", 0), item.get("samples", 0))
        elif item["type"] == "flush":
            player.session.receive_flush(item["id"])
        else:
            player.session.receive_config(item["modules"])
    player.end()
    return player


@settings(common, max_examples=40)
@given(stream=streams, seed=st.integers(0, 2**32))
def test_events_depend_on_the_packets_alone_and_not_on_when_answers_come(
    stream: Stream, seed: int
) -> None:
    items = stream.items
    first = played(items, Stage())
    other = played(items, Stage(seed=seed))
    assert_same_events(first.events, other.events)
    frames = sum(packet_frames(item, RATE_HZ) for item in items if isinstance(item, bytes))
    assert first.session.audio.frames == frames
    gaps = [item for item in items if isinstance(item, dict) and item["type"] == "gap"]
    lost_ms = sum(gap.get("ms", 0) for gap in gaps)
    lost = sum(gap.get("samples", 0) for gap in gaps)
    assert first.session.audio.now_ms == lost_ms + 1000 * (frames + lost) // RATE_HZ


def test_sounds_are_still_heard_as_what_they_are() -> None:
    """So that the tests above are about something."""
    items: list[Item] = []
    for name in ("silence", "anna", "silence", "word", "silence"):
        items += encoded(SOUNDS[name](), application="audio")
    player = played(items, Stage())
    assert len(player.of("speech_start")) == 2
    assert player.of("wake")
    assert player.of("speaker")[0]["speaker"] == "anna"


def _badness(message: bytes) -> bool | None:
    """Whether a message is no packet; None for a packet that can be decoded."""
    try:
        packet_frames(message, RATE_HZ)
    except NotAPacket:
        return True
    return None if OpusDecoder(1).decode(message) is not None else False


@settings(common, max_examples=60)
@given(messages=st.lists(st.binary(min_size=1, max_size=60), min_size=1, max_size=40))
@example(messages=[b"\x03"] * 40)
@example(messages=[b"\x08" + bytes(20), DAMAGED, b"\x03", DAMAGED, b"\x03"])
@example(messages=[b"OggS\0\2" + bytes(50)] * 3)
def test_no_bytes_end_the_stream_or_the_server(messages: list[bytes]) -> None:
    async def run() -> list[dict[str, Any]]:
        server = Server(**ROOM)
        try:
            line = server.connect()
            line.put('{"type":"hello","audio":{"codec":"opus"}}', *messages, '{"type":"end"}')
            assert await line.code() == 1000
            return line.sent
        finally:
            await server.stop()

    sent = asyncio.run(run())
    samples = none = 0
    for message in messages:
        try:
            samples += packet_frames(message, RATE_HZ)
        except NotAPacket:
            none += 1
    assert sent[-1]["samples"] == samples
    bad = [event for event in sent if event.get("code") == "bad_packet"]
    kinds = ["counts for nothing" in event["message"] for event in bad]
    expected = [kind for message in messages if (kind := _badness(message)) is not None]
    assert kinds == expected
    assert len(bad) == none + sum(event["type"] == "gap" for event in sent)
