"""The replay buffer of the Raspberry Pi's client: every sample arrives once, or a gap names it."""

import asyncio
import gc
import importlib.util
import json
import threading
import warnings
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

FILE = Path(__file__).parents[2] / "clients" / "pi" / "streamd_pi.py"
SPEC = importlib.util.spec_from_file_location("streamd_pi", FILE)
assert SPEC is not None
assert SPEC.loader is not None
streamd_pi = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(streamd_pi)

MAX_BYTES = 240
LOST = -1
"""Stands for a byte that a gap names."""


@dataclass
class Server:
    """What a server makes of one session, as docs/wire.md says."""

    frame_bytes: int
    timeline: list[int] = field(default_factory=list)
    carried: bytes = b""
    samples: int = 0
    controls: int = 0
    is_over: bool = False

    def take(self, message: bytes | str) -> None:
        if isinstance(message, bytes):
            data = self.carried + message
            whole = len(data) // self.frame_bytes * self.frame_bytes
            self.timeline += data[:whole]
            self.samples += whole // self.frame_bytes
            self.carried = data[whole:]
            return
        self.controls += 1
        parsed = json.loads(message)
        if parsed["type"] == "gap":
            assert parsed["samples"] > 0
            self.timeline += [LOST] * parsed["samples"] * self.frame_bytes
            self.carried = b""
        else:
            assert parsed["type"] == "end"
            self.is_over = True


class Line:
    """A replay buffer, what it was given, and the server at its other end."""

    def __init__(self, frame_bytes: int) -> None:
        self.frame_bytes = frame_bytes
        self.replay = streamd_pi.Replay(frame_bytes, MAX_BYTES)
        self.given: list[int] = []
        self.server = Server(frame_bytes)
        self.first = 0
        """Where in what was given the session begins."""

    def add(self, size: int) -> None:
        data = bytes((len(self.given) + i) % 251 for i in range(size))
        self.given += data
        self.replay.add(data)

    def send(self, count: int, arriving: int) -> None:
        """Send some messages, of which the first ones arrive."""
        for number in range(count):
            message = self.replay.next()
            if message is None:
                return
            if number < arriving:
                self.server.take(message)

    def drop(self) -> None:
        self.server.carried = b""
        self.replay.resume(self.server.samples, self.server.controls)

    def restart(self) -> None:
        self.check()
        self.replay.restart()
        self.server = Server(self.frame_bytes)
        kept = MAX_BYTES - self.replay.room
        self.first = len(self.given) - kept

    def ack(self) -> None:
        self.replay.acked(self.server.samples)

    def check(self) -> None:
        """What the server has is what was given, at its place."""
        end = self.first + len(self.server.timeline)
        said = self.given[self.first : end]
        assert len(said) == len(self.server.timeline)
        for mine, theirs in zip(said, self.server.timeline, strict=True):
            assert theirs in (mine, LOST)


def steps():
    small = st.integers(1, 60)
    return st.lists(
        st.one_of(
            st.tuples(st.just("add"), small),
            st.tuples(st.just("send"), st.integers(1, 3)),
            st.tuples(st.just("lose and drop"), st.integers(0, 3)),
            st.tuples(st.just("ack"), st.just(0)),
            st.tuples(st.just("drop"), st.just(0)),
            st.tuples(st.just("restart"), st.just(0)),
        ),
        max_size=40,
    )


@given(frame_bytes=st.sampled_from([2, 4, 6]), plan=steps())
def test_every_sample_arrives_once_or_is_named(frame_bytes, plan):
    line = Line(frame_bytes)
    for kind, number in plan:
        match kind:
            case "add":
                line.add(number)
            case "send":
                line.send(number, number)
            case "lose and drop":
                line.send(3, number)
                line.drop()
            case "ack":
                line.ack()
            case "drop":
                line.drop()
            case "restart":
                line.restart()
        assert line.replay.room >= 0
        line.check()
    line.replay.end()
    line.send(1000, 1000)
    line.check()
    assert line.server.is_over
    whole = (len(line.given) - line.first) // frame_bytes * frame_bytes
    assert len(line.server.timeline) == whole


def test_nothing_is_lost_as_long_as_it_fits():
    line = Line(2)
    for _ in range(20):
        line.add(MAX_BYTES // 2)
        line.send(1, 0)
        line.drop()
        line.send(9, 9)
        line.ack()
    assert line.server.timeline == line.given


def test_a_gap_that_did_not_arrive_grows_and_one_that_did_is_not_repeated():
    line = Line(2)
    line.add(MAX_BYTES + 10)
    line.send(1, 0)
    line.drop()
    line.add(6)
    line.send(1, 1)
    assert line.server.timeline == [LOST] * 16
    line.drop()
    line.send(9, 9)
    assert line.server.timeline == [LOST] * 16 + line.given[16:]
    assert line.server.controls == 1


@pytest.mark.parametrize("arrives", [False, True])
def test_the_end_is_sent_again_only_if_the_server_does_not_have_it(arrives):
    line = Line(2)
    line.add(10)
    line.replay.end()
    line.send(2, 2 if arrives else 1)
    line.drop()
    assert line.replay.next() == (None if arrives else '{"type": "end"}')


def test_audio_that_is_read_when_the_program_is_over_is_left_out_quietly():
    is_over = threading.Event()
    source = object.__new__(streamd_pi.File)
    source._read = lambda: is_over.wait() and b"late"

    async def begin() -> None:
        task = asyncio.create_task(source.run(streamd_pi.Replay(2, MAX_BYTES)))
        await asyncio.sleep(0)  # its thread reads
        task.cancel()

    before = set(threading.enumerate())
    asyncio.run(begin())
    (reader,) = set(threading.enumerate()) - before
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        is_over.set()
        reader.join()
        gc.collect()
    assert [str(one.message) for one in warned] == []
