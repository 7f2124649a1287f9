import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd import events
from streamd.errors import BadConfig, BadMessage, UnsupportedAudio
from streamd.protocol.codec import Fault, Phase, ServerProtocol, TooManyBadMessages
from streamd.protocol.messages import Audio, Config, End, Flush, Gap, Hello, Ping

HELLO = '{"type":"hello","client":"me"}'
END = '{"type":"end"}'


def fault(items):
    """The error of the fault that the items end with."""
    assert isinstance(items[-1], Fault)
    assert not any(isinstance(item, Fault) for item in items[:-1])
    return items[-1].error


def streaming():
    protocol = ServerProtocol()
    protocol.receive_text(HELLO)
    return protocol


def test_a_hello_opens_the_stream():
    protocol = ServerProtocol()
    assert protocol.phase is Phase.NEW
    assert protocol.receive_text(HELLO) == [Hello(client="me")]
    assert protocol.phase is Phase.STREAMING


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"type":"audio","data":"AAEC"}', [Audio(b"\0\1\2")]),
        ('{"type":"audio","data":""}', []),
        ('{"type":"gap","ms":5}', [Gap(5)]),
        ('{"type":"flush","id":"f"}', [Flush("f")]),
        ('{"type":"config","modules":{"vad":false}}', [Config({"vad": False})]),
        ('{"type":"ping","t":1}', [Ping(1)]),
        (END, [End()]),
    ],
)
def test_any_first_message_gets_the_default_hello_before_it(text, expected):
    protocol = ServerProtocol()
    assert protocol.receive_text(text) == [Hello(), *expected]
    assert streaming().receive_text(text) == expected


def test_audio_first_gets_the_default_hello_before_it():
    protocol = ServerProtocol()
    assert protocol.receive_binary(b"\1") == [Hello(), Audio(b"\1")]
    assert protocol.receive_binary(b"\2\3") == [Audio(b"\2\3")]


def test_an_empty_binary_message_is_no_message():
    protocol = ServerProtocol()
    assert protocol.receive_binary(b"") == []
    assert protocol.phase is Phase.NEW
    assert protocol.receive_text(HELLO) == [Hello(client="me")]
    assert protocol.receive_binary(b"") == []


@pytest.mark.parametrize("text", ["nonsense", "{}", '{"type":"nope"}', '{"type":"gap"}'])
def test_a_first_message_at_fault_is_still_answered_by_ready(text):
    protocol = ServerProtocol()
    items = protocol.receive_text(text)
    assert items[0] == Hello()
    assert type(fault(items)) is BadMessage
    assert len(items) == 2
    # It was the first message, so a hello comes too late now; the stream goes on.
    late = fault(protocol.receive_text(HELLO))
    assert type(late) is BadMessage
    assert not late.fatal
    assert protocol.receive_binary(b"\1") == [Audio(b"\1")]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('{"type":"hello","audio":{"rate":"16000"}}', BadConfig),
        ('{"type":"hello","modules":[]}', BadConfig),
        ('{"type":"hello","audio":{"rate":1}}', UnsupportedAudio),
        ('{"type":"hello","audio":{"codec":"vorbis"}}', UnsupportedAudio),
    ],
)
def test_a_hello_with_a_wrong_configuration_gets_no_ready(text, error):
    protocol = ServerProtocol()
    items = protocol.receive_text(text)
    assert len(items) == 1
    assert type(fault(items)) is error
    assert fault(items).fatal
    assert protocol.phase is Phase.CLOSED
    assert protocol.receive_text(HELLO) == []
    assert protocol.receive_binary(b"\1") == []


def test_a_config_at_fault_is_fatal_but_ready_comes_first():
    text = '{"type":"config","modules":{"vad":1}}'
    protocol = ServerProtocol()
    items = protocol.receive_text(text)
    assert items[0] == Hello()
    assert type(fault(items)) is BadConfig
    protocol = streaming()
    assert len(protocol.receive_text(text)) == 1
    assert protocol.phase is Phase.CLOSED


@pytest.mark.parametrize("text", [HELLO, '{"type":"hello","audio":5}'])
def test_a_later_hello_is_a_bad_message_and_not_fatal(text):
    protocol = streaming()
    error = fault(protocol.receive_text(text))
    assert type(error) is BadMessage
    assert not error.fatal
    assert protocol.receive_binary(b"\1") == [Audio(b"\1")]


BAD = ["nonsense", "{}", HELLO, '{"type":"gap"}', '{"type":"audio","data":"?"}']


@pytest.mark.parametrize("bad", BAD)
def test_ten_bad_messages_in_a_row_are_fatal(bad):
    protocol = streaming()
    for _ in range(9):
        error = fault(protocol.receive_text(bad))
        assert not error.fatal
    error = fault(protocol.receive_text(bad))
    assert isinstance(error, TooManyBadMessages)
    assert (error.fatal, error.code, error.close_code) == (True, "bad_message", 4000)
    assert protocol.phase is Phase.CLOSED
    assert protocol.receive_text(bad) == []


def test_the_first_message_counts_too():
    protocol = ServerProtocol()
    for _ in range(9):
        assert not fault(protocol.receive_text("x")).fatal
    assert fault(protocol.receive_text("x")).fatal


@pytest.mark.parametrize(
    "good",
    [
        lambda p: p.receive_binary(b"\1"),
        lambda p: p.receive_text('{"type":"audio","data":"AA=="}'),
        lambda p: p.receive_text('{"type":"audio","data":""}'),
        lambda p: p.receive_text('{"type":"ping"}'),
    ],
)
def test_a_good_message_starts_the_count_anew(good):
    protocol = streaming()
    for _ in range(3):
        for _ in range(9):
            assert not fault(protocol.receive_text("x")).fatal
        good(protocol)


def test_an_empty_binary_message_does_not_start_the_count_anew():
    protocol = streaming()
    for _ in range(9):
        protocol.receive_text("x")
        protocol.receive_binary(b"")
    assert fault(protocol.receive_text("x")).fatal


def test_messages_after_end_are_ignored():
    protocol = streaming()
    assert protocol.receive_text(END) == [End()]
    assert protocol.phase is Phase.ENDING
    for text in [END, HELLO, "x", '{"type":"ping"}']:
        assert protocol.receive_text(text) == []
    assert protocol.receive_binary(b"\1") == []
    assert protocol.phase is Phase.ENDING
    protocol.close()
    assert protocol.phase is Phase.CLOSED


def test_messages_after_close_are_ignored():
    protocol = streaming()
    protocol.close()
    assert protocol.receive_text('{"type":"ping"}') == []
    assert protocol.receive_binary(b"\1") == []


TEXTS = [HELLO, END, *BAD, '{"type":"ping"}', '{"type":"hello","audio":5}', "[" * 5000]


@given(st.lists(st.sampled_from(TEXTS) | st.text(max_size=20) | st.binary(max_size=5)))
def test_whatever_comes_ready_is_first_and_the_last_fault_is_last(messages):
    protocol, items = ServerProtocol(), []
    for message in messages:
        receive = protocol.receive_text if isinstance(message, str) else protocol.receive_binary
        items += receive(message)
    hellos = [index for index, item in enumerate(items) if isinstance(item, Hello)]
    fatal = [i for i, item in enumerate(items) if isinstance(item, Fault) and item.error.fatal]
    assert hellos in ([], [0])
    assert hellos or len(items) <= 1  # without ready: nothing, or the end of it
    assert fatal in ([], [len(items) - 1])
    assert bool(fatal) == (protocol.phase is Phase.CLOSED)


def test_outgoing_events_are_one_line_of_json():
    text = events.encode(events.Ack(samples=5))
    assert json.loads(text) == {"type": "ack", "samples": 5}
    assert "\n" not in text
