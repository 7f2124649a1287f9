"""Messages and frames that no client should send, as hypothesis makes them up."""

import json
import random
import socket
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from fakes.wire import Wire, frame
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from websockets.frames import Close, Frame, Opcode
from websockets.protocol import Protocol, Side

MESSAGES = 25
"""Messages of one connection."""
FEW = 4
MADE_UP = 200
"""Conversations that hypothesis makes up in one go."""
AGAIN = 4
"""Times that each message is sent, each time between others: to make it up takes longer."""
SOCKETS = 4
"""Conversations of one process at a time."""
CODES = {1000, 1002, 1003, 1007, 1009, 4000, 4002, 4004, 4005, 4011}
"""Close codes that say that the client is at fault, that it said `end`, or that its gaps are longer
than a stream may be."""
TYPES = ("hello", "audio", "gap", "flush", "config", "end", "ping", "enrol", "bye", "")
FIELDS = ("id", "ms", "samples", "data", "audio", "modules", "t", "resume", "codec", "rate", "use")
FIELDS += ("enhance", "far_end")

anything: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["vad", "wake", "alexa", "pcm_s16le", "mulaw", "AAAA", "16000"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=8) | st.sampled_from(FIELDS), inner, max_size=4)
    ),
    max_leaves=8,
)
objects = st.builds(
    lambda kind, fields: {"type": kind, **fields},
    st.sampled_from(TYPES) | anything,
    st.dictionaries(st.sampled_from(FIELDS), anything, max_size=4),
)
nearly = st.one_of(
    *(
        st.builds(lambda value, kind=kind, name=name: {"type": kind, name: value}, anything)
        for kind, name in [("gap", "ms"), ("flush", "id"), ("audio", "data"), ("config", "modules")]
    )
)
"""Messages of the protocol with anything in a field of theirs."""
texts = st.builds(json.dumps, nearly | objects | anything) | st.text(max_size=60)
messages = st.one_of(
    st.builds(lambda data: frame(Opcode.TEXT, data.encode("utf-8", "replace")), texts),
    st.builds(lambda data: frame(Opcode.BINARY, data), st.binary(max_size=400)),
    st.builds(lambda data: frame(Opcode.PING, data), st.binary(max_size=125)),
)
"""Well-formed frames with anything in them."""
raw = st.builds(
    lambda first, length, mask, extra, data: bytes([first, length | 0x80 * mask]) + extra + data,
    st.integers(0, 255),
    st.integers(0, 127),
    st.booleans(),
    st.sampled_from([b"", b"\x00\x01", b"\xff" * 8, b"\x00" * 8, b"\x7f" + b"\xff" * 7]),
    st.binary(max_size=40),
)
"""Frames with any opcode, reserved bits, lengths that do not fit, and no mask."""
conversations = st.tuples(
    st.lists(messages, min_size=MESSAGES - 1, max_size=MESSAGES - 1),
    messages | raw,
)


@dataclass
class Answer:
    """What a daemon said to a client that sent garbage."""

    events: list[dict[str, Any]] = field(default_factory=list)
    code: int | None = None
    """Close code; None if the connection was dropped without one."""


def send(url: str, messages: list[bytes], last: bytes) -> Answer:
    """Open a stream, send the messages, wait for their answer, and send the last frame.

    Every few messages a good one follows, as ten bad ones in a row close the stream.

    Raises:
        AssertionError: the daemon sent what is no WebSocket frame or no event.
    """
    protocol, answer = Protocol(Side.CLIENT, max_size=None), Answer()
    with Wire(url) as wire:
        wire.upgrade()
        try:
            for at in range(0, len(messages), FEW):
                wire.socket.sendall(b"".join(messages[at : at + FEW]) + ping(at))
            while not is_answered(answer, len(messages) - 1):
                if not (data := wire.socket.recv(65_536)):
                    break
                take(protocol, data, answer)
            wire.socket.sendall(b"".join(protocol.data_to_send()) + last)
            wire.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # closed before all was sent
        take(protocol, wire.rest(), answer)
    return answer


def flood(url: str, number: int) -> int:
    """Send what hypothesis makes up from this seed; then the same messages in other conversations.

    Returns:
        The number of messages.

    Raises:
        AssertionError: the daemon was at fault.
    """
    made_up: list[tuple[list[bytes], bytes]] = []

    @settings(
        max_examples=MADE_UP,
        suppress_health_check=list(HealthCheck),
        database=None,
        deadline=None,
        phases=[Phase.generate],
    )
    @given(conversation=conversations)
    def make_up(conversation: tuple[list[bytes], bytes]) -> None:
        made_up.append(conversation)

    seed(number)(make_up)()
    chance, sent = random.Random(number), 0
    with ThreadPoolExecutor(SOCKETS) as sockets:
        for _ in range(AGAIN):
            sent += sum(sockets.map(lambda one: converse(url, number, one), made_up))
            made_up = shuffled(made_up, chance)
    return sent


def converse(url: str, number: int, conversation: tuple[list[bytes], bytes]) -> int:
    """Send a conversation, check the answer, and return the number of messages."""
    first, last = conversation
    try:
        check(send(url, first, last))
    except AssertionError as error:
        raise AssertionError(f"seed {number}, {conversation!r}: {error}") from error
    return len(first) + 1


def shuffled(
    made_up: list[tuple[list[bytes], bytes]], chance: random.Random
) -> list[tuple[list[bytes], bytes]]:
    """The same messages in other conversations."""
    messages = [message for first, _ in made_up for message in first]
    lasts = [last for _, last in made_up]
    chance.shuffle(messages)
    chance.shuffle(lasts)
    size = MESSAGES - 1
    return [(messages[at * size : (at + 1) * size], last) for at, last in enumerate(lasts)]


def ping(number: int) -> bytes:
    return frame(Opcode.TEXT, json.dumps({"type": "ping", "t": number // FEW}).encode())


def is_answered(answer: Answer, number: int) -> bool:
    """Whether the last ping is answered, or the stream closed."""
    last = ("pong", number // FEW)  # a `flushed` may come after it
    return answer.code is not None or last in [(e["type"], e.get("t")) for e in answer.events]


def take(protocol: Protocol, received: bytes, answer: Answer) -> None:
    """Read what the daemon sent."""
    protocol.receive_data(received)
    assert protocol.parser_exc is None, protocol.parser_exc
    for one in protocol.events_received():
        assert isinstance(one, Frame)
        if one.opcode is Opcode.TEXT:
            answer.events.append(json.loads(one.data))
        elif one.opcode is Opcode.CLOSE:
            answer.code = Close.parse(one.data).code


def check(answer: Answer) -> None:
    """Check that the daemon was never at fault and answered in good order."""
    codes = [event["code"] for event in answer.events if event["type"] == "error"]
    assert "internal" not in codes
    assert answer.code is None or answer.code in CODES, answer.code
    if answer.events:
        first = answer.events[0]
        assert first["type"] == "ready" or first["fatal"], first
    numbers = [event["seq"] for event in answer.events if "seq" in event]
    assert numbers == list(range(1, len(numbers) + 1))
