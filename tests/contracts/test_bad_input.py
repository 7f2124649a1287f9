"""Bad input gets an error or a warning by name, and the server lives."""

import asyncio
import base64
import contextlib
import struct

import numpy as np
import pytest
from daemons import (
    DATA,
    Daemon,
    Received,
    assert_same_log,
    converse,
    dial,
    next_event,
    read_to_close,
    say,
    silence,
    speech,
)
from websockets.exceptions import ConnectionClosed

END = {"type": "end"}


@pytest.fixture(autouse=True)
async def and_the_server_lives(daemon: Daemon):
    yield
    received = await converse(daemon.url, silence(0.1), END)
    assert (received.types[0], received.types[-1], received.code) == ("ready", "bye", 1000)


BAD_MESSAGES = [
    "",
    "hello",
    "{",
    '{"type":"ping"',
    "[]",
    "null",
    "3",
    '"ping"',
    "{}",
    '{"type":null}',
    '{"type":5}',
    '{"type":"sing"}',
    '{"type":"PING"}',
    '{"type":"flush","id":5}',
    '{"type":"gap"}',
    '{"type":"gap","ms":"5"}',
    '{"type":"gap","ms":-1}',
    '{"type":"gap","ms":1e400}',
    '{"type":"gap","ms":99999999999999999999}',
    '{"type":"ping","t":{}}',
    '{"type":"audio"}',
    '{"type":"audio","data":5}',
    '{"type":"audio","data":"?"}',
    "[" * 100_000,
    '{"type":"ping","t":' + "9" * 5000 + "}",
    "\0",
    '{"type":"ping\ud7ff"}',
]


@pytest.mark.parametrize("text", BAD_MESSAGES, ids=lambda text: ascii(text[:40]))
async def test_a_bad_text_message_is_named_and_not_fatal(daemon: Daemon, text):
    received = await converse(daemon.url, text, silence(0.1), END)
    (error,) = received.of("error")
    assert (error["code"], error["fatal"], error["retryable"]) == ("bad_message", False, False)
    assert 0 < len(error["message"]) < 300
    assert (received.code, received.last["samples"]) == (1000, 1600)


async def test_ten_bad_messages_in_a_row_are_fatal(daemon: Daemon):
    received = await converse(daemon.url, ["nonsense"] * 30)
    errors = received.of("error")
    assert [error["fatal"] for error in errors] == [False] * 9 + [True]
    assert {error["code"] for error in errors} == {"bad_message"}
    assert (received.code, received.reason) == (4000, "bad_message")


async def test_a_good_message_starts_the_count_anew(daemon: Daemon):
    nine = ["nonsense"] * 9
    received = await converse(daemon.url, nine, b"\0\0", nine, {"type": "ping"}, nine, END)
    assert (len(received.of("error")), received.code) == (27, 1000)


async def test_text_that_is_not_utf8_is_named_before_the_close(daemon: Daemon):
    async with dial(daemon.url) as socket:
        await say(socket, {"type": "hello"})
        await socket.send(b"\xff\xfe\xfa", text=True)
        received = await read_to_close(socket)
    assert (received.last["code"], received.last["fatal"]) == ("bad_message", True)
    assert (received.code, received.reason) == (4000, "bad_message")


async def test_frames_that_are_no_websocket_are_named_before_the_close(daemon: Daemon):
    async with dial(daemon.url) as socket:
        await say(socket, {"type": "hello"})
        await next_event(socket, "ready")
        socket.transport.write(b"\xff\xff\xff\xff")
        received = await read_to_close(socket, Received([{"type": "ready"}]))
    assert (received.last["code"], received.last["fatal"]) == ("bad_message", True)
    assert received.code == 4000


@pytest.mark.parametrize("text", [False, True])
async def test_a_message_of_50_mb_gets_its_error_before_the_close(daemon: Daemon, text):
    async with dial(daemon.url) as socket:
        await say(socket, {"type": "hello"})

        async def send() -> None:
            with contextlib.suppress(ConnectionClosed):
                await socket.send(b"x" * 50_000_000, text=text)

        sender = asyncio.create_task(send())
        received = await read_to_close(socket)
        await sender
    assert received.types == ["ready", "error"]
    assert (received.last["code"], received.last["fatal"]) == ("too_large", True)
    assert (received.code, received.reason) == (1009, "too_large")


async def test_a_first_message_too_large_is_answered_with_ready_too(daemon: Daemon):
    received = await converse(daemon.url, b"x" * 2_000_000)
    assert received.last["code"] == "too_large"
    assert received.code == 1009


async def test_one_byte_over_the_limit_is_too_large_and_the_limit_itself_is_not(daemon: Daemon):
    limit = 1_048_576
    received = await converse(daemon.url, bytes(limit), END)
    assert (received.code, received.last["samples"]) == (1000, limit // 2)
    received = await converse(daemon.url, bytes(limit + 1), END)
    assert received.code == 1009


async def test_an_empty_message_is_ignored(daemon: Daemon):
    received = await converse(daemon.url, b"", b"\0\0", b"", END)
    assert received.codes == []
    assert received.last["samples"] == 1


async def test_half_a_sample_left_at_the_end_is_warned_of(daemon: Daemon):
    received = await converse(daemon.url, b"\0" * 321, END)
    assert received.codes == ["partial_sample"]
    assert (received.last["samples"], received.code) == (160, 1000)


async def test_a_sample_cut_in_two_is_carried_over(daemon: Daemon):
    received = await converse(daemon.url, b"\0" * 321, b"\0" * 319, END)
    assert received.codes == []
    assert received.last["samples"] == 320


async def test_floats_that_are_not_finite_are_warned_of_once(daemon: Daemon):
    floats = np.array([0, np.nan, np.inf, -np.inf] * 400, "<f4").tobytes()
    hello = {"type": "hello", "audio": {"codec": "pcm_f32le"}}
    received = await converse(daemon.url, hello, [floats] * 5, END)
    assert received.codes == ["non_finite"]
    assert (received.last["samples"], received.code) == (8000, 1000)


async def test_huge_floats_do_no_harm(daemon: Daemon):
    floats = np.array([3e38, -3e38, 1e-45, 0] * 4000, "<f4").tobytes()
    hello = {"type": "hello", "audio": {"codec": "pcm_f32le", "rate": 44100}}
    received = await converse(daemon.url, hello, floats, END)
    assert (received.codes, received.code) == ([], 1000)


@pytest.mark.parametrize("cut_at", [1, 4, 44, 4096])
async def test_a_wav_header_is_noticed_and_its_bytes_count(daemon: Daemon, cut_at):
    header = b"RIFF" + struct.pack("<I", 36) + b"WAVEfmt " + bytes(28)
    wav = header + silence(0.1)
    received = await converse(daemon.url, wav[:cut_at], wav[cut_at:] or b"", END)
    assert received.codes == ["looks_like_wav"]
    assert received.last["samples"] == len(wav) // 2


@pytest.mark.parametrize("name", ["webm", "ogg", "flac", "mp3", "json"])
async def test_a_file_sent_as_samples_is_warned_of_once(daemon: Daemon, name):
    files = {"webm": "hole_at_4s.webm", "ogg": "pages_8s.opus", "mp3": "whole_8s.mp3"}
    files["flac"] = "whole_3s.flac"
    data = b'{"type":"audio","data":"AAAA"}'
    if name in files:
        data = (DATA / "containers" / files[name]).read_bytes()[:6400]
    received = await converse(daemon.url, data[:7], data[7:], data, END)
    assert received.codes == [f"looks_like_{name}"]
    assert received.last["samples"] == len(data)


async def test_base64_audio_counts_as_the_same_audio(daemon: Daemon):
    pcm = speech("slt", 3)
    texts = [
        {"type": "audio", "data": base64.b64encode(pcm[i : i + 3201]).decode()}
        for i in range(0, len(pcm), 3201)
    ]
    as_text = await converse(daemon.url, texts, END)
    as_bytes = await converse(daemon.url, pcm, END)
    assert_same_log(as_text.log, as_bytes.log)


async def test_a_bad_option_in_config_closes_4002(daemon: Daemon):
    bad = {"type": "config", "modules": {"vad": {"threshold": 7}}}
    received = await converse(daemon.url, speech("slt", 2), bad, silence(1), END)
    assert (received.code, received.reason, received.last["code"]) == (
        4002,
        "bad_config",
        "bad_config",
    )


async def test_a_fast_sender_still_receives_the_reason_of_the_close(daemon: Daemon):
    bad = {"type": "config", "modules": {"vad": 5}}
    received = await converse(daemon.url, speech(), bad, [silence(10)] * 40, END)
    assert (received.code, received.last["code"]) == (4002, "bad_config")


async def test_errors_and_warnings_are_counted_like_every_log_event(daemon: Daemon):
    received = await converse(daemon.url, "nonsense", speech("slt", 3), "nonsense", b"\0", END)
    assert received.codes == ["bad_message", "bad_message", "partial_sample"]
    assert received.last["events"] == received.last["seq"] - 1
