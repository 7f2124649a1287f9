"""What one client may cost, and that the others do not notice."""

import asyncio
import contextlib
from itertools import count

import pytest
from daemons import (
    Received,
    assert_same_log,
    converse,
    cut,
    dial,
    narrow,
    next_event,
    read_to_close,
    say,
    silence,
    speech,
)
from websockets.exceptions import ConnectionClosed, InvalidStatus

pytestmark = pytest.mark.faults

END = {"type": "end"}
UNSHED = {"limits__max_lag_ms": 0}
"""A machine that is busy with other tests, too, leaves out no window."""


async def test_who_does_not_read_is_closed_4008_and_the_others_are_unaffected(serve):
    running = serve(limits__max_events_queued=20, **UNSHED)
    alone = await converse(running.url, speech(), END)

    async def stubborn() -> None:
        async with dial(running.url, sock=narrow(running.url)) as socket:
            with contextlib.suppress(ConnectionClosed):
                while True:
                    await say(socket, {"type": "flush", "id": "x" * 60_000})
                    await asyncio.sleep(0)  # a socket that takes all gives the loop no turn

    deaf = [asyncio.create_task(stubborn()) for _ in range(3)]
    others = await asyncio.gather(*(converse(running.url, cut(speech()), END) for _ in range(3)))
    for other in others:
        assert_same_log(alone.events, other.events)
        assert other.code == 1000
    await running.eventually(lambda: running.metric("streamd_streams_total", code="4008") == 3)
    assert running.metric("streamd_slow_consumer_closes_total") == 3
    await running.eventually(lambda: running.streams == 0)
    await asyncio.gather(*deaf)  # their connections are gone, too
    assert running.complaints() == []


async def test_fifty_who_never_read_are_closed_4008_beside_one_who_does(serve):
    """Small messages, as clients send them: what the kernel takes for a client is bounded, too."""
    running = serve(server__send_buffer_bytes=4096, limits__max_events_queued=20, **UNSHED)
    alone = await converse(running.url, speech(), END)

    async def deaf() -> None:
        async with dial(running.url, sock=narrow(running.url)) as socket:
            with contextlib.suppress(ConnectionClosed):
                for number in count():
                    await say(socket, {"type": "flush", "id": f"{number:0200}"})
                    await asyncio.sleep(0)

    never_read = [asyncio.create_task(deaf()) for _ in range(50)]
    other = await converse(running.url, cut(speech()), END)
    assert_same_log(alone.events, other.events)
    closes = "streamd_slow_consumer_closes_total"
    await running.eventually(lambda: running.metric(closes) == 50)
    await running.eventually(lambda: running.metric("streamd_streams_total", code="4008") == 50)
    await asyncio.gather(*never_read)
    assert running.complaints() == []


async def test_a_client_that_reads_again_in_time_receives_slow_consumer(serve):
    running = serve(limits__max_events_queued=20)
    async with dial(running.url) as socket:

        async def speak() -> None:
            with contextlib.suppress(ConnectionClosed):
                while True:
                    await say(socket, {"type": "flush", "id": "x" * 60_000})
                    await asyncio.sleep(0)  # a socket that takes all gives the loop no turn

        speaker = asyncio.create_task(speak())
        closes = "streamd_slow_consumer_closes_total"
        await running.eventually(lambda: running.metric(closes) == 1)
        speaker.cancel()
        await asyncio.wait({speaker})
        received = await read_to_close(socket)
    assert (received.last["code"], received.last["fatal"], received.last["retryable"]) == (
        "slow_consumer",
        True,
        True,
    )
    assert (received.code, received.reason) == (4008, "slow_consumer")


async def test_silence_of_the_socket_closes_4010(serve):
    running = serve(limits__idle_s=3)
    async with dial(running.url) as mute, dial(running.url) as spoke:
        await spoke.send(silence(0.5))
        silent = asyncio.create_task(read_to_close(mute))
        while not silent.done():  # which takes longer than one may be silent
            await say(spoke, {"type": "ping", "t": "before"})
            await asyncio.wait({silent}, timeout=0.1)
        received = await silent
        assert (received.types, received.code, received.reason) == (["error"], 4010, "idle")
        await say(spoke, {"type": "ping", "t": "after"})
        while (await next_event(spoke, "pong"))["t"] != "after":
            pass
        received = await read_to_close(spoke, Received([{"type": "ready"}]))
        assert (received.last["code"], received.last["retryable"], received.code) == (
            "idle",
            True,
            4010,
        )


async def test_being_slowed_down_is_no_silence(serve):
    """Messages of half a minute each, with which the server is busy for longer than `idle_s`."""
    running = serve(limits__idle_s=2)
    minutes = [speech() * 3] * 2
    received = await asyncio.gather(*(converse(running.url, minutes, END) for _ in range(4)))
    assert [one.code for one in received] == [1000] * 4


async def test_the_longest_session_closes_4011_with_its_finals(serve):
    running = serve(limits__max_session_s=3)
    received = await converse(running.url, cut(speech()), END)
    assert (received.last["code"], received.code, received.reason) == (
        "max_duration",
        4011,
        "max_duration",
    )
    assert len(received.of("speech_start")) == len(received.of("speech_end")) > 0
    assert received.last["retryable"] is True


async def test_the_longest_session_ends_at_the_same_sample_however_it_is_cut(serve):
    running = serve(limits__max_session_s=3)
    whole, pieces = [
        await converse(running.url, cut(speech(), size), END) for size in (1_000_000, 3333)
    ]
    assert whole.of("ack")[-1]["samples"] == pieces.of("ack")[-1]["samples"] == 48_000
    assert_same_log(whole.events, pieces.events)


async def test_an_idle_stream_is_held_without_a_flush(serve):
    running = serve(limits__idle_s=1)
    received = await converse(running.url, speech("slt", 1.5))
    assert received.code == 4010
    assert received.types[-1] == "error"
    assert received.of("speech_start")
    assert not received.of("speech_end")
    resume = {"token": received.events[0]["resume"]["token"], "last_seq": received.last["seq"]}
    async with dial(running.url) as socket:
        await say(socket, {"type": "hello", "resume": resume})
        assert (await next_event(socket, "ready"))["have_samples"] == 24_000
        await say(socket, END)
        end = await next_event(socket, "speech_end")
    assert (end["at"], end["cause"]) == (1500, "end")


async def test_a_long_silence_in_one_message_needs_no_model_and_is_processed_to_its_end(serve):
    running = serve()
    hello = {"type": "hello", "modules": {"vad": {}}}
    received = await converse(running.url, hello, silence(30), END)
    assert received.code == 1000
    assert received.last["duration_ms"] == 30_000


async def test_exactly_the_longest_session_is_allowed(serve):
    running = serve(limits__max_session_s=3)
    received = await converse(running.url, silence(3), END)
    assert received.code == 1000


async def test_a_full_server_refuses_before_the_upgrade_and_takes_the_next_later(serve):
    running = serve(limits__max_streams=2)
    async with dial(running.url) as one, dial(running.url) as two:
        for socket in (one, two):
            await say(socket, {"type": "hello"})
            await next_event(socket, "ready")
        with pytest.raises(InvalidStatus) as refused:
            await dial(running.url)
        answer = refused.value.response
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0
        assert b'"overloaded"' in answer.body
        assert running.get("/health/ready")[0] == 200  # the running ones are well
        await one.send(speech("slt", 2))
        await say(one, END)
        received = await read_to_close(one, Received([{"type": "ready"}]))
        assert received.code == 1000
    received = await converse(running.url, silence(0.1), END)
    assert received.code == 1000


async def test_a_rush_never_opens_more_than_there_are_slots_for(serve):
    running = serve(limits__max_streams=8)

    async def attempt() -> int:
        try:
            return (await converse(running.url, speech("slt", 2), END)).code or 0
        except InvalidStatus as refused:
            return refused.response.status_code

    codes = await asyncio.gather(*(attempt() for _ in range(40)))
    assert set(codes) == {1000, 503}
    await running.eventually(lambda: running.streams == 0)
    assert (await converse(running.url, silence(0.1), END)).code == 1000
    assert running.complaints() == []


async def test_the_limit_of_a_message_is_the_configured_one(serve):
    running = serve(limits__max_message_bytes=2048)
    received = await converse(running.url, bytes(2048), bytes(2049))
    assert (received.events[0]["limits"]["max_message_bytes"], received.code) == (2048, 1009)
    assert received.last["code"] == "too_large"


async def test_a_fast_sender_is_slowed_down_and_not_stored(serve):
    """8 channels of float at 48 kHz: 1.5 MB a second, sent without a pause."""
    running = serve()
    audio = {"codec": "pcm_f32le", "rate": 48_000, "channels": 8}
    part = bytes(48_000 * 8 * 4 // 2)
    sent = 0

    async def parts():
        nonlocal sent
        yield {"type": "hello", "audio": audio}
        for _ in range(40):
            yield part
            sent += len(part)
        yield END

    before = running.metric("process_resident_memory_bytes")
    received = await converse(running.url, parts())
    assert (received.code, received.codes) == (1000, [])
    assert received.last["duration_ms"] == 20_000
    assert running.metric("process_resident_memory_bytes") - before < 60_000_000


async def test_no_window_may_be_later_than_the_ring_keeps_its_audio(serve):
    running = serve(session__ring_s=5)
    async with dial(running.url) as socket:
        await say(socket, {"type": "hello"})
        ready = await next_event(socket, "ready")
    assert ready["limits"]["max_lag_ms"] == 2000
