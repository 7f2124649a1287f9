"""Time, acks, and messages that act at their place in the stream."""

import asyncio
import json
import random
import time
from socket import SO_SNDBUF, SOL_SOCKET

import pytest
from daemons import (
    Daemon,
    assert_same_log,
    by_type,
    converse,
    cut,
    dial,
    next_event,
    read_to_close,
    say,
    silence,
    speech,
)

END = {"type": "end"}
FLUSH = {"type": "flush", "id": "f1"}


async def test_end_is_answered_by_bye_last_and_close_1000(daemon: Daemon):
    received = await converse(daemon.url, speech(), END)
    bye = received.last
    assert (bye["type"], received.code) == ("bye", 1000)
    assert bye["samples"] == len(speech()) // 2
    assert bye["duration_ms"] == len(speech()) // 2 * 1000 // 16000
    assert bye["utterances"] == len(received.of("speech_end"))
    assert bye["events"] == bye["seq"] - 1


async def test_end_as_the_only_message(daemon: Daemon):
    received = await converse(daemon.url, END)
    assert (received.types, received.code) == (["ready", "bye"], 1000)


async def test_nothing_is_answered_after_end(daemon: Daemon):
    received = await converse(daemon.url, speech("slt", 2), END, FLUSH, "nonsense", speech(), END)
    assert received.types.count("bye") == 1
    assert (received.last["type"], received.codes, received.code) == ("bye", [], 1000)


async def test_finals_come_before_their_speech_end(daemon: Daemon):
    received = await converse(daemon.url, speech(), silence(1), END)
    ends = received.of("speech_end")
    assert ends
    for end in ends:
        of_it = [e for e in received.events if e.get("utterance") == end["utterance"]]
        assert of_it[0]["type"] == "speech_start"
        assert of_it[-1] is end
        assert any(e["type"] == "speaker" and e["final"] for e in of_it)


async def test_timed_events_have_integer_times_in_order(daemon: Daemon):
    received = await converse(daemon.url, speech(), END)
    timed = received.of("speech_start", "speech_end", "wake", "speaker", "speaker_change", "gap")
    duration_ms = received.last["duration_ms"]
    for event in timed:
        assert all(type(event[name]) is int for name in ("t0", "t1", "at"))
        assert 0 <= event["t0"] <= event["t1"] <= event["at"] <= duration_ms


@pytest.mark.parametrize("size", [1, 333, 4096, 100_000])
async def test_the_same_audio_gives_the_same_events_however_it_is_cut(daemon: Daemon, size):
    pcm = speech("rms", 1.5 if size == 1 else 6)
    whole = await converse(daemon.url, pcm, END)
    pieces = await converse(daemon.url, cut(pcm, size), END)
    assert_same_log(whole.events, pieces.events)
    assert by_type(whole.events)


async def test_random_cuts_and_pauses_change_nothing(daemon: Daemon):
    pcm, chance = speech("awb", 6), random.Random(7)

    async def parts():
        start = 0
        while start < len(pcm):
            size = chance.choice([1, 2, 77, 640, 9000, 64_000])
            yield pcm[start : start + size]
            start += size
            await asyncio.sleep(chance.choice([0, 0, 0.01, 0.05]))

    whole = await converse(daemon.url, pcm, END)
    assert_same_log(whole.events, (await converse(daemon.url, parts(), END)).events)


async def test_flush_is_answered_after_everything_that_it_caused(daemon: Daemon):
    received = await converse(daemon.url, speech("slt", 2), FLUSH, silence(2), END)
    at = received.types.index("flushed")
    assert received.events[at]["id"] == "f1"
    (end,) = received.of("speech_end")[:1]
    assert (end["cause"], end["t1"]) == ("flush", 2000)
    assert received.events.index(end) < at
    assert not [e for e in received.events[at:] if e.get("utterance") == end["utterance"]]


@pytest.mark.parametrize("first", [[], [{"type": "hello"}]])
async def test_flush_without_any_audio_is_answered(daemon: Daemon, first):
    received = await converse(daemon.url, first, FLUSH, {"type": "flush"}, END)
    assert received.types == ["ready", "flushed", "flushed", "bye"]
    assert [e["id"] for e in received.of("flushed")] == ["f1", ""]


async def test_many_flushes_are_all_answered_in_order(daemon: Daemon):
    ids = [str(n) for n in range(150)]
    flushes = [{"type": "flush", "id": n} for n in ids]
    received = await converse(daemon.url, speech("slt", 2), flushes, speech("rms", 2), END)
    assert [event["id"] for event in received.of("flushed")] == ids


async def test_the_clock_goes_on_over_a_flush(daemon: Daemon):
    received = await converse(daemon.url, silence(3), FLUSH, speech(), END)
    assert received.of("speech_start")[0]["t0"] >= 2800
    assert received.last["duration_ms"] == 3000 + len(speech()) // 32


async def test_a_gap_moves_the_clock_ends_the_utterance_and_is_named(daemon: Daemon):
    gap = {"type": "gap", "ms": 5000}
    received = await converse(daemon.url, speech("slt", 2), gap, speech(), END)
    (event,) = received.of("gap")
    assert (event["t0"], event["t1"], event["cause"]) == (2000, 7000, "client")
    end = received.of("speech_end")[0]
    assert (end["cause"], end["t1"]) == ("gap", 2000)
    assert all(e["t0"] >= 7000 for e in received.of("speech_start")[1:])
    assert received.last["samples"] == 32_000 + len(speech()) // 2
    assert received.last["duration_ms"] == 7000 + len(speech()) // 32
    assert received.of("ack")[-1]["samples"] == received.last["samples"]


async def test_a_gap_in_samples_is_exact_where_milliseconds_cannot_be(daemon: Daemon):
    audio = {"rate": 11_025}
    gaps = [{"type": "gap", "samples": 1000}] * 3
    received = await converse(daemon.url, {"type": "hello", "audio": audio}, *gaps, END)
    times = [(event["t0"], event["t1"]) for event in received.of("gap")]
    assert times == [(0, 90), (90, 181), (181, 272)]
    assert (received.last["samples"], received.last["duration_ms"]) == (0, 272)


async def test_a_gap_may_last_for_hours_at_any_rate(daemon: Daemon):
    hello = {"type": "hello", "audio": {"rate": 48_000}}
    hours = 20 * 3600
    gap = {"type": "gap", "samples": hours * 48_000 + 1}
    received = await converse(daemon.url, hello, silence(3), gap, silence(3), END)
    (event,) = received.of("gap")
    assert (event["t0"], event["t1"]) == (1000, 1000 * (hours + 1))
    assert received.last["duration_ms"] == 1000 * (hours + 2)
    assert received.last["samples"] == 2 * 48_000


async def test_config_takes_effect_at_its_place(daemon: Daemon):
    pcm = speech()
    more = {"type": "config", "modules": {"wake": {"words": ["hey_jarvis"]}}}
    received = await converse(daemon.url, pcm, FLUSH, more, pcm, END)
    words = [(event["word"], event["t1"] > len(pcm) // 32) for event in received.of("wake")]
    assert ("alexa", False) in words
    assert ("alexa", True) not in words
    assert ("hey_jarvis", True) in words
    assert ("hey_jarvis", False) not in words


async def test_config_warns_like_hello(daemon: Daemon):
    modules = {"smell": {}, "transcript": {}, "vad": {"colour": 1}}
    config = {"type": "config", "modules": modules}
    received = await converse(daemon.url, config, END)
    assert received.codes == ["unknown_module", "module_unavailable", "unknown_option"]


async def test_acks_come_every_500_ms_of_audio_and_are_exact_at_the_end(daemon: Daemon):
    pcm = speech()[:-2]
    received = await converse(daemon.url, cut(pcm, 641), END)
    acks = [event["samples"] for event in received.of("ack")]
    assert acks == sorted(set(acks))
    assert acks[-1] == len(pcm) // 2
    assert all(b - a <= 8000 for a, b in zip([0, *acks], acks, strict=False))
    # Before the finals, so that a client can free its buffer while it waits for them.
    assert received.types.index("bye") > max(i for i, t in enumerate(received.types) if t == "ack")


async def test_acks_keep_their_distance_where_messages_are_now_short_and_now_long(daemon: Daemon):
    pcm = silence(12)
    sizes = [640, 7680] * len(pcm)  # 20 and 240 ms
    messages, at = [], 0
    while at < len(pcm):
        messages.append(pcm[at : at + sizes[len(messages)]])
        at += len(messages[-1])
    received = await converse(daemon.url, *messages, END)
    acks = [event["samples"] for event in received.of("ack")]
    assert acks[-1] == len(pcm) // 2
    assert all(b - a <= 8000 for a, b in zip([0, *acks], acks, strict=False))


@pytest.mark.parametrize("stop", [FLUSH, {"type": "ping"}])
async def test_acks_do_not_wait_for_the_end(daemon: Daemon, stop):
    async with dial(daemon.url) as socket:
        for message in cut(silence(2)):
            await socket.send(message)
        await say(socket, stop)
        while (await next_event(socket, "ack"))["samples"] < 32_000 - 8000:
            pass


@pytest.mark.parametrize("t", [17, 1.5, "x", None, -3])
async def test_ping_is_echoed(daemon: Daemon, t):
    async with dial(daemon.url) as socket:
        await say(socket, {"type": "ping", "t": t})
        pong = await next_event(socket, "pong")
    assert pong["t"] == t
    assert abs(pong["server_ms"] - time.time() * 1000) < 60_000


async def test_a_ping_is_not_buried_behind_minutes_of_a_fast_senders_audio(daemon: Daemon):
    sent = acked = 0
    ahead: list[int] = []
    answered: list[float] = []
    async with dial(daemon.url, max_queue=None) as socket:
        # What the client's own kernel holds back is not the server's to shorten.
        connection = socket.transport.get_extra_info("socket")
        connection.setsockopt(SOL_SOCKET, SO_SNDBUF, 65_536)

        async def send() -> None:
            nonlocal sent
            for message in cut(speech() * 5, 32_000):
                await socket.send(message)
                sent += len(message) // 2
                ahead.append(sent - acked)
                await say(socket, {"type": "ping", "t": sent})
            await say(socket, END)

        speaker = asyncio.create_task(send())
        while (event := await next_event(socket))["type"] != "bye":
            if event["type"] == "ack":
                acked = event["samples"]
            elif event["type"] == "pong" and not speaker.done():
                answered.append(event["t"])
        await speaker
    assert len(answered) >= 2, "the sender was not slowed down"
    assert max(ahead) < 40 * 16_000


async def test_nothing_is_shed_for_a_fast_sender(daemon: Daemon):
    received = await converse(daemon.url, [speech("rms")] * 4, END)
    assert not received.of("gap", "degraded")
    assert received.last["samples"] == 4 * len(speech("rms")) // 2


async def test_the_log_counts_from_1_without_a_hole_and_nothing_else_is_counted(daemon: Daemon):
    ping = {"type": "ping", "t": 1}
    received = await converse(daemon.url, speech(), ping, FLUSH, "nonsense", END)
    assert [event["seq"] for event in received.log] == list(range(1, len(received.log) + 1))
    assert not [e for e in received.of("ready", "ack", "pong") if "seq" in e]
    assert {"speech_start", "speech_end", "wake", "speaker", "flushed", "error", "bye"} <= {
        event["type"] for event in received.log
    }


async def test_a_dropped_socket_frees_its_place(daemon: Daemon):
    before = daemon.metric("streamd_streams_total", code="1006")
    sockets = [await dial(daemon.url) for _ in range(5)]
    for socket in sockets:
        await socket.send(speech())
        await next_event(socket, "ready")
    assert await asyncio.to_thread(lambda: daemon.streams) >= 5
    for socket in sockets:
        socket.transport.abort()
    await daemon.eventually(lambda: daemon.streams == 0)
    await daemon.eventually(lambda: daemon.metric("streamd_streams_open") == 0)
    assert daemon.metric("streamd_streams_total", code="1006") == before + 5


async def test_a_client_that_closes_without_end_is_closed_properly(daemon: Daemon):
    async with dial(daemon.url) as socket:
        await socket.send(speech("slt", 1))
        await next_event(socket, "ready")
        await socket.close()
    assert socket.close_code == 1000
    await daemon.eventually(lambda: daemon.streams == 0)


@pytest.mark.parametrize(
    ("codec", "rate", "channels", "use"),
    [
        ("pcm_s16le", 8000, 1, None),
        ("pcm_s16le", 48000, 2, None),
        ("pcm_s16le", 44100, 3, [2]),
        ("pcm_f32le", 48000, 8, [0, 7]),
        ("mulaw", 8000, 1, None),
        ("alaw", 8000, 2, [1]),
        ("pcm_f32le", 11025, 1, None),
    ],
)
async def test_every_format_is_taken_and_dated_by_its_own_rate(
    daemon: Daemon, codec, rate, channels, use
):
    width = {"pcm_s16le": 2, "pcm_f32le": 4, "mulaw": 1, "alaw": 1}[codec]
    frames = rate * 2 + 17
    audio = {"codec": codec, "rate": rate, "channels": channels, "use": use}
    hello = {"type": "hello", "audio": audio}
    zero = b"\xff" if codec == "mulaw" else b"\xd5" if codec == "alaw" else b"\0"
    pcm = zero * (frames * channels * width)
    received = await converse(daemon.url, hello, cut(pcm, 4999), END)
    assert received.events[0]["audio"]["rate"] == rate
    assert (received.code, received.codes) == (1000, [])
    assert received.last["samples"] == frames
    assert received.last["duration_ms"] == 1000 * frames // rate
    assert received.of("ack")[-1]["samples"] == frames


async def test_a_session_is_nobody_elses(daemon: Daemon):
    """Streams side by side say what they would have said alone."""
    alone = {v: await converse(daemon.url, speech(v, 5), END) for v in ("slt", "rms")}
    together = await asyncio.gather(
        *(converse(daemon.url, cut(speech(v, 5)), END) for v in ("slt", "rms") * 3)
    )
    for n, received in enumerate(together):
        assert_same_log(alone[("slt", "rms")[n % 2]].events, received.events)


async def test_every_event_is_one_json_object_with_a_type(daemon: Daemon):
    async with dial(daemon.url) as socket:
        await socket.send(speech("slt", 3))
        await say(socket, END)
        received = await read_to_close(socket)
    assert all(isinstance(event["type"], str) for event in received.events)
    assert json.dumps(received.events)
