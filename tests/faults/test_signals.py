"""A daemon that is stopped, continued, ended and killed."""

import asyncio
import itertools
import os
import select
import signal
import time
from functools import partial

import pytest
from daemons import VOICES, assert_same_log, converse, cut, speech
from fakes.wire import Wire
from kills import Crowd, kills
from unshed import Daemon
from waiting import until, wait_until

pytestmark = pytest.mark.faults

END = {"type": "end"}
KILLS = 10
CLIENTS = 50
SENDERS = 30
LIMIT_S = 3
"""Limits of the daemon that is stopped. A busy machine keeps clients waiting too, but not for so
long."""
STOPPED_S = 5.0


@pytest.mark.parametrize("count", [1, 8])
async def test_streams_survive_a_stop_that_is_longer_than_the_idle_limit(serve, count):
    """One is read by the event loop as it comes, eight are read in ticks."""
    running = serve(limits__idle_s=LIMIT_S, server__request_timeout_s=LIMIT_S)
    alone = {voice: await converse(running.url, cut(speech(voice)), END) for voice in VOICES}
    under_way: set[int] = set()

    async def live(number: int, voice: str):
        async def parts():
            for sent, part in enumerate(cut(speech(voice), 3200)):
                yield part
                await asyncio.sleep(0.1)
                if sent == 5:
                    under_way.add(number)

        return await converse(running.url, parts(), END)

    voices = list(itertools.islice(itertools.cycle(VOICES), count))
    streams = [asyncio.create_task(live(*numbered)) for numbered in enumerate(voices)]
    await until(lambda: len(under_way) == count)
    running.process.send_signal(signal.SIGSTOP)
    try:
        await asyncio.sleep(STOPPED_S)
    finally:
        running.process.send_signal(signal.SIGCONT)
    for voice, stream in zip(voices, streams, strict=True):
        received = await stream
        assert received.code == 1000, received.last
        assert_same_log(alone[voice].events, received.events)
    assert running.get("/health/live")[0] == 200
    assert running.complaints() == []


def test_a_request_that_came_during_a_stop_is_answered(serve):
    running = serve(server__request_timeout_s=LIMIT_S)
    while (answer := asked_during_a_stop(running)) is None:
        pass
    assert answer == b"HTTP/1.1 200 OK"


def asked_during_a_stop(running: Daemon) -> bytes | None:
    """Return the start of the answer; None if the connection was closed before the stop."""
    with Wire(running.http_url) as wire:
        waiting = partial(running.metric, "streamd_queue_length", queue="connections")
        wait_until(lambda: waiting() == 1 or is_closed(wire))
        running.process.send_signal(signal.SIGSTOP)
        try:
            os.waitpid(running.process.pid, os.WUNTRACED)  # the signal takes a moment
            if is_closed(wire):
                return None
            wire.socket.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            time.sleep(STOPPED_S)
        finally:
            running.process.send_signal(signal.SIGCONT)
        return wire.socket.recv(15)


def is_closed(wire: Wire) -> bool:
    """Return whether the daemon has closed the connection; it has sent nothing."""
    return bool(select.select([wire.socket], [], [], 0)[0])


async def test_clients_start_afresh_after_every_kill_and_lose_nothing(tmp_path):
    async with Crowd(tmp_path, CLIENTS) as crowd:
        await kills(crowd, KILLS)
        await crowd.finish()


async def test_thirty_senders_at_full_speed_are_drained(serve):
    """The grace is longer than the test waits: no stream ends because it is over."""
    running = serve(server__drain_s=600)

    async def flood(voice: str):
        async def endless():
            for part in itertools.cycle(cut(speech(voice), 32_000)):
                yield part

        return await converse(running.url, endless())

    floods = [
        asyncio.create_task(flood(voice))
        for voice in itertools.islice(itertools.cycle(VOICES), SENDERS)
    ]
    await running.eventually(lambda: running.streams == SENDERS)
    await running.eventually(lambda: running.metric("streamd_audio_seconds_total") > 10 * SENDERS)
    running.process.send_signal(signal.SIGTERM)
    for received in await asyncio.gather(*floods):
        assert received.code == 1012
        starts, ends = received.of("speech_start"), received.of("speech_end")
        assert [e["utterance"] for e in starts] == [e["utterance"] for e in ends]
        finals = [e["utterance"] for e in received.of("speaker") if e["final"]]
        assert finals == [e["utterance"] for e in ends]
    assert await asyncio.to_thread(running.wait) == 0
    assert running.complaints() == []
    assert running.records("not all streams ended in time") == []
