"""The replay buffer against a server that counts as the protocol says, under drops anywhere."""

from __future__ import annotations

import json
from collections import deque
from dataclasses import dataclass, field

from hypothesis import example, given, settings
from hypothesis import strategies as st

from streamd.client.kept import MESSAGE_BYTES, KeptSamples
from streamd.client.replay import MAX_CONTROLS, PING, Replay, counts
from streamd.protocol.messages import Gap, parse, read_object

FRAME_BYTES = 2
LOST = b"??"
"""A sample frame that the client lost over a drop."""

Op = tuple[str, int]


@dataclass
class Server:
    """Counts what it receives, and keeps it in order: sample frames and control messages.

    A gap in samples that comes first after a drop is one of cause `resume`.
    """

    received: list[bytes | str] = field(default_factory=list)
    samples: int = 0
    controls: int = 0
    carried: bytes = b""
    is_resumed: bool = False

    def take(self, message: str | bytes) -> None:
        is_first, self.is_resumed = self.is_resumed, False
        if isinstance(message, bytes):
            data = self.carried + message
            whole = len(data) // FRAME_BYTES * FRAME_BYTES
            frames = [data[at : at + FRAME_BYTES] for at in range(0, whole, FRAME_BYTES)]
            self.received += frames
            self.samples += len(frames)
            self.carried = data[whole:]
            return
        fields = json.loads(message)
        if not counts(fields):
            return
        self.controls += 1
        if fields["type"] == "gap":
            self.carried = b""
        if is_first and "samples" in fields:
            self.received += [LOST] * fields["samples"]
        else:
            self.received.append(message)

    def drop(self) -> None:
        self.carried = b""
        self.is_resumed = True


class Talk:
    """A client that says a numbered stream of bytes, with control messages in between."""

    def __init__(self, max_bytes: int) -> None:
        self.replay = Replay(KeptSamples(FRAME_BYTES), max_bytes // FRAME_BYTES)
        self.server = Server()
        self.unbroken = Server()
        self.kept_most = 0
        self._on_the_way: deque[str | bytes] = deque()
        self._said = 0
        self._controls = 0

    def say(self, size: int) -> None:
        data = bytes((self._said + n) // 2 % 251 for n in range(size))
        self._said += size
        self.replay.add_audio(data)
        self.unbroken.take(data)
        self.kept_most = max(self.kept_most, self.replay.size_bytes)

    def control(self, which: int) -> None:
        self._controls += 1
        name = f"c{self._controls}"
        message = [
            {"type": "flush", "id": name},
            {"type": "gap", "ms": self._controls},
            {"type": "gap", "samples": self._controls},
            {"type": "config", "modules": {name: {}}},
            {"type": "ping", "t": name},
        ][which]
        if message["type"] == "gap":  # half a sample frame does not come back
            self._said += self._said % 2
        self.replay.add_control(message)
        self.unbroken.take(json.dumps(message))

    def send(self, count: int) -> None:
        """Messages leave."""
        for _ in range(count):
            if (message := self.replay.next()) is not None:
                self._on_the_way.append(message)

    def deliver(self, count: int) -> None:
        """Messages arrive."""
        self.send(max(count - len(self._on_the_way), 0))
        for _ in range(min(count, len(self._on_the_way))):
            self.server.take(self._on_the_way.popleft())

    def cut(self, arrived: int) -> None:
        """The socket drops with messages on their way, and the session is resumed."""
        self.deliver(min(arrived, len(self._on_the_way)))
        self._on_the_way.clear()
        self.server.drop()
        self.replay.resume(self.server.samples, self.server.controls)

    def ack(self, behind: int) -> None:
        self.replay.acked(max(self.server.samples - behind, 0))

    def run(self, ops: list[Op]) -> None:
        for name, value in ops:
            getattr(self, name)(value)

    def finish(self) -> None:
        self.cut(0)
        self.flow()

    def flow(self) -> None:
        """All that was said arrives."""
        while self.replay.is_unsent or self._on_the_way:
            self.deliver(1)


ops = st.lists(
    st.one_of(
        st.tuples(st.just("say"), st.integers(0, 60)),
        st.tuples(st.just("control"), st.integers(0, 4)),
        st.tuples(st.just("send"), st.integers(0, 4)),
        st.tuples(st.just("deliver"), st.integers(0, 4)),
        st.tuples(st.just("cut"), st.integers(0, 3)),
        st.tuples(st.just("ack"), st.integers(0, 30)),
    ),
    max_size=60,
)


@settings(max_examples=400)
@given(ops)
@example([("say", 4), ("control", 0), ("send", 2), ("deliver", 1), ("ack", 0), ("cut", 0)])
@example([("say", 3), ("control", 0), ("deliver", 9), ("cut", 0), ("say", 1), ("deliver", 9)])
@example([("say", 4), ("deliver", 1), ("control", 2), ("cut", 0), ("deliver", 1), ("cut", 0)])
def test_the_server_receives_all_in_its_place_whatever_drops(plan: list[Op]) -> None:
    talk = Talk(max_bytes=1 << 20)
    talk.run(plan)
    talk.finish()
    assert talk.server.received == talk.unbroken.received
    assert talk.server.samples == talk.unbroken.samples


@settings(max_examples=400)
@given(ops, st.integers(2, 60))
@example(
    [
        *[("say", 9), ("control", 0), ("say", 60), ("deliver", 1), ("cut", 0)],
        *[("send", 1), ("ack", 0), ("cut", 0)],
    ],
    10,
)
@example([("say", 60), ("cut", 0), ("deliver", 1), ("say", 60), ("cut", 0)], 10)
@example([("say", 60), ("cut", 0), ("say", 60), ("cut", 0)], 10)
@example([("say", 9), ("control", 0), ("say", 60), ("cut", 0), ("deliver", 1), ("ack", 0)], 10)
def test_what_a_full_buffer_drops_is_named_and_moves_no_clock(plan: list[Op], bound: int) -> None:
    talk = Talk(bound)
    for name, value in plan:
        # Audio that is still to be sent is only dropped while there is no connection.
        talk.run([(name, value)])
        if name == "say":
            talk.cut(value % 3)
    talk.finish()
    frames = [item for item in talk.server.received if isinstance(item, bytes)]
    wanted = [item for item in talk.unbroken.received if isinstance(item, bytes)]
    assert len(frames) == len(wanted)
    assert all(got in (want, LOST) for got, want in zip(frames, wanted, strict=True))
    assert [item for item in talk.server.received if isinstance(item, str)] == [
        item for item in talk.unbroken.received if isinstance(item, str)
    ]
    assert talk.kept_most <= bound


def test_a_loss_is_named_before_all_else_and_once():
    replay = Replay(KeptSamples(2), 5)
    replay.add_audio(bytes(6))
    replay.add_control({"type": "flush", "id": "f"})
    replay.add_audio(bytes(14))
    assert replay.resume(1, 0) == 4
    assert json.loads(replay.next()) == {"type": "gap", "samples": 4}
    replay.add_audio(bytes(2))
    assert replay.resume(1, 0) == 1  # the gap did not arrive, and one more frame is lost
    assert json.loads(replay.next()) == {"type": "gap", "samples": 5}
    assert json.loads(replay.next()) == {"type": "flush", "id": "f"}
    assert len(replay.next()) == 10
    assert replay.next() is None
    assert replay.resume(6, 2) == 0
    assert replay.next() is None


def test_a_gap_of_the_callers_that_comes_first_after_a_resume_follows_a_ping():
    replay = Replay(KeptSamples(2), 50)
    gap = {"type": "gap", "samples": 5}
    replay.add_audio(bytes(6))
    replay.add_control(gap)
    assert replay.resume(3, 0) == 0
    assert [json.loads(replay.next()) for _ in range(2)] == [PING, gap]
    assert replay.resume(3, 1) == 0
    replay.add_control(gap)
    assert [json.loads(replay.next()) for _ in range(2)] == [PING, gap]
    replay.add_control(gap)
    assert json.loads(replay.next()) == gap
    assert replay.next() is None


def test_an_ack_counts_what_the_caller_gave_although_the_server_lacks_some():
    replay = Replay(KeptSamples(2), 5)
    replay.add_audio(bytes(20))
    replay.resume(0, 0)
    while replay.next():
        pass
    replay.acked(3)
    assert replay.samples_acked == 8


def test_what_a_resumed_server_has_counts_as_acknowledged():
    replay = Replay(KeptSamples(2), 50)
    replay.add_audio(bytes(20))
    replay.resume(7, 0)
    assert replay.samples_acked == 7


def test_a_new_session_gets_what_is_kept_and_the_modules_in_force():
    replay = Replay(KeptSamples(2), 50)
    replay.add_control({"type": "config", "modules": {"wake": False, "vad": {}}})
    replay.add_control({"type": "config", "modules": {"wake": {"words": ["alexa"]}}})
    replay.add_audio(bytes(range(10)))
    while replay.next():
        pass
    replay.acked(3)
    replay.add_control({"type": "flush", "id": "f"})
    replay.restart()
    assert replay.samples_kept_from == 3
    assert json.loads(replay.next())["modules"] == {"vad": {}, "wake": {"words": ["alexa"]}}
    assert replay.next() == bytes(range(6, 10))
    assert json.loads(replay.next()) == {"type": "flush", "id": "f"}
    assert replay.next() is None
    assert replay.resume(2, 2) == 0
    assert replay.next() is None


def test_a_new_session_begins_behind_a_gap_that_nothing_stands_before():
    replay = Replay(KeptSamples(2), 50)
    replay.add_audio(bytes(10))
    replay.add_control({"type": "gap", "ms": 90_000_000})
    replay.add_control({"type": "gap", "samples": 1_500_000_000})
    replay.add_control({"type": "flush", "id": "f"})
    while replay.next():
        pass
    replay.acked(5)
    replay.add_audio(bytes(4))
    replay.add_control({"type": "gap", "ms": 5})
    replay.restart()
    sent = iter(replay.next, None)
    assert [s if isinstance(s, bytes) else json.loads(s) for s in sent] == [
        {"type": "flush", "id": "f"},
        bytes(4),
        {"type": "gap", "ms": 5},
    ]


def test_the_end_sends_the_bytes_of_half_a_sample_again():
    replay = Replay(KeptSamples(4), 25)
    replay.add_audio(bytes(range(7)))
    replay.add_control({"type": "end"})
    assert replay.next() == bytes(range(7))
    assert json.loads(replay.next()) == {"type": "end"}
    replay.resume(1, 0)
    assert replay.next() == bytes(range(4, 7))
    assert json.loads(replay.next()) == {"type": "end"}


def test_memory_is_bounded_in_audio_and_in_control_messages():
    replay = Replay(KeptSamples(2), 500)
    for _ in range(3 * MAX_CONTROLS):
        replay.add_control({"type": "flush", "id": "f"})
        replay.add_audio(bytes(7))
    assert replay.size_bytes <= 1000
    assert replay.resume(0, 3 * MAX_CONTROLS) > 0
    sizes = [len(message) for message in iter(replay.next, None) if isinstance(message, bytes)]
    assert sum(sizes) == 1000


def test_no_message_is_longer_than_every_server_takes():
    replay = Replay(KeptSamples(6), 10 * MESSAGE_BYTES // 6)
    replay.add_audio(bytes(5 * MESSAGE_BYTES))
    sizes = [len(message) for message in iter(replay.next, None)]
    assert max(sizes) <= MESSAGE_BYTES
    assert all(size % 6 == 0 for size in sizes[:-1])


def test_a_loss_of_hours_is_one_gap_that_every_server_takes():
    replay, hours = Replay(KeptSamples(FRAME_BYTES), 500), 5 * 3600 * 8000
    piece = bytes(hours // 100 * FRAME_BYTES)
    for _ in range(100):
        replay.add_audio(piece)
    lost = replay.resume(0, 0)
    assert lost == hours - 1000 // FRAME_BYTES
    message = replay.next()
    assert isinstance(message, str)
    assert parse(read_object(message)) == Gap(samples=lost)
    assert isinstance(replay.next(), bytes)


def test_a_new_session_gets_no_enrolment_of_the_old_one() -> None:
    replay = Replay(KeptSamples(FRAME_BYTES), 500)
    for number in range(3):
        replay.add_audio(b"ab" * 10)
        enrol = {"type": "enrol", "id": f"e{number}", "speaker": "Ada", "utterances": ["u1"]}
        replay.add_control(enrol)
    replay.add_control({"type": "flush", "id": "f1"})
    while replay.next() is not None:
        pass
    replay.answered("e1")
    replay.answered("f1")
    assert replay.restart() == ["e0", "e2"]
    sent = []
    while (message := replay.next()) is not None:
        sent.append(message)
    assert b"".join(m for m in sent if isinstance(m, bytes)) == b"ab" * 30
    assert [json.loads(m) for m in sent if isinstance(m, str)] == [{"type": "flush", "id": "f1"}]


def test_an_enrolment_that_the_server_lacks_is_sent_again_in_its_place() -> None:
    replay = Replay(KeptSamples(FRAME_BYTES), 500)
    enrol = {"type": "enrol", "id": "e1", "speaker": "Ada", "utterances": ["u1"]}
    replay.add_audio(b"ab" * 10)
    replay.add_control(enrol)
    replay.add_audio(b"cd" * 10)
    while replay.next() is not None:
        pass
    assert replay.resume(5, 0) == 0
    assert [replay.next() for _ in range(3)] == [b"ab" * 5, json.dumps(enrol), b"cd" * 10]
    assert replay.resume(5, 1) == 0
    assert [replay.next() for _ in range(2)] == [b"ab" * 5 + b"cd" * 10, None]
