"""SIGTERM: every stream gets its final events, and the process leaves within the grace."""

import asyncio
import contextlib
import itertools
import signal

import pytest
from daemons import (
    VOICES,
    Received,
    cut,
    dial,
    narrow,
    next_event,
    read_to_close,
    say,
    silence,
    speech,
)
from waiting import HANG_S
from websockets.exceptions import ConnectionClosed, InvalidStatus

FOR_EVER_S = 600
"""A grace longer than any test waits: who leaves within `HANG_S` did not leave because of it."""
assert FOR_EVER_S > HANG_S


async def live(url: str, voice: str, until: asyncio.Event) -> Received:
    """Send speech for ever, and return everything up to the close; set `until` once under way."""

    async def speak() -> None:
        with contextlib.suppress(ConnectionClosed):
            for message in itertools.cycle(cut(speech(voice), 3200)):
                await socket.send(message)
                await asyncio.sleep(0.1)

    async with dial(url) as socket:
        await socket.send(speech(voice, 1.6))
        received = Received()
        speaker = asyncio.create_task(speak())
        while not received.of("speech_start") or received.of("ack")[-1:][0]["samples"] < 16_000:
            received.events.append(await next_event(socket))
        until.set()
        try:
            return await read_to_close(socket, received)
        finally:
            speaker.cancel()
            await asyncio.gather(speaker, return_exceptions=True)


async def test_every_stream_gets_draining_its_finals_and_1012(serve):
    running = serve(server__drain_s=FOR_EVER_S)
    ready = [asyncio.Event() for _ in range(16)]
    streams = [
        asyncio.create_task(live(running.url, voice, event))
        for voice, event in zip(itertools.cycle(VOICES), ready, strict=False)
    ]
    await asyncio.gather(*(event.wait() for event in ready))
    running.process.send_signal(signal.SIGTERM)
    received = await asyncio.gather(*streams)
    assert await asyncio.to_thread(running.wait) == 0
    for one in received:
        assert (one.code, one.reason) == (1012, "restarting")
        (draining,) = one.of("draining")
        assert draining["deadline_ms"] == 1000 * FOR_EVER_S
        starts, ends = one.of("speech_start"), one.of("speech_end")
        assert [e["utterance"] for e in starts] == [e["utterance"] for e in ends]
        finals = [e["utterance"] for e in one.of("speaker") if e["final"]]
        assert finals == [e["utterance"] for e in ends]
        assert starts, one.types
        # What was acknowledged was processed: the last final includes it.
        assert one.of("ack")[-1]["samples"] >= 16_000
    assert running.complaints() == []


async def test_a_stream_that_has_not_spoken_yet_is_closed_without_events(serve):
    running = serve()
    async with dial(running.url) as silent:
        await running.eventually(lambda: running.streams == 1)
        running.process.send_signal(signal.SIGTERM)
        received = await read_to_close(silent)
    assert (received.events, received.code) == ([], 1012)
    assert await asyncio.to_thread(running.wait) == 0


async def test_while_draining_it_is_not_ready_and_refuses_streams(serve):
    running = serve(server__drain_s=FOR_EVER_S)
    async with dial(running.url) as socket:
        await socket.send(speech())
        await next_event(socket, "ready")
        socket.transport.pause_reading()  # keeps the close from being answered
        running.process.send_signal(signal.SIGTERM)
        await running.eventually(lambda: running.get("/health/ready")[0] == 503)
        assert b"draining" in running.get("/health")[2]
        assert running.metric("streamd_ready") == 0
        assert running.get("/health/live")[0] == 200
        with pytest.raises(InvalidStatus) as refused:
            await dial(running.url)
        assert refused.value.response.status_code == 503
        assert int(refused.value.response.headers["Retry-After"]) > 0
        assert await asyncio.to_thread(running.stop) == 0
        socket.transport.abort()


async def test_nobody_who_does_not_read_holds_it_beyond_the_grace(serve):
    running = serve(server__drain_s=1)
    async with dial(running.url, sock=narrow(running.url)) as socket:
        socket.transport.pause_reading()
        flushes = [{"type": "flush", "id": "x" * 60_000}] * 400

        async def speak() -> None:
            with contextlib.suppress(ConnectionClosed):
                for flush in flushes:
                    await say(socket, flush)

        speaker = asyncio.create_task(speak())
        # More answers than the buffers of both ends hold: the server cannot send what is left.
        taken = "streamd_received_bytes_total"
        await running.eventually(lambda: running.metric(taken) > 12_000_000)
        assert await asyncio.to_thread(running.stop) == 0
        socket.transport.abort()
        await speaker


async def test_a_second_signal_forces(serve):
    running = serve(server__drain_s=FOR_EVER_S)
    async with dial(running.url) as socket:
        await socket.send(speech())
        await next_event(socket, "ready")
        socket.transport.pause_reading()
        running.process.send_signal(signal.SIGTERM)
        await running.eventually(lambda: running.get("/health")[0] == 503)
        assert await asyncio.to_thread(running.stop, signal.SIGINT) == 0
        socket.transport.abort()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_without_streams_it_leaves_at_once(serve, number):
    running = serve(server__drain_s=FOR_EVER_S)
    assert await asyncio.to_thread(running.stop, number) == 0
    assert running.complaints() == []


async def test_silence_is_drained_too(serve):
    running = serve()
    async with dial(running.url) as socket:
        await socket.send(silence(1))
        await next_event(socket, "ready")
        running.process.send_signal(signal.SIGTERM)
        received = await read_to_close(socket, Received([{"type": "ready"}]))
    assert received.types[-1] == "draining" or received.types[-1] == "ack"
    assert received.code == 1012
