"""A daemon that is stopped, continued, ended and killed."""

import asyncio
import itertools
import signal

import pytest
from daemons import VOICES, assert_same_log, converse, cut, speech
from kills import Crowd, kills
from waiting import until

pytestmark = pytest.mark.faults

END = {"type": "end"}
KILLS = 10
CLIENTS = 50
SENDERS = 30
STOPPED_S = 3.0


async def test_streams_survive_a_stop_that_is_longer_than_the_idle_limit(serve):
    running = serve(limits__idle_s=1, server__request_timeout_s=1)
    alone = {voice: await converse(running.url, cut(speech(voice)), END) for voice in VOICES}

    async def live(voice: str):
        async def parts():
            for number, part in enumerate(cut(speech(voice), 6400)):
                yield part
                await asyncio.sleep(0.1)
                if number == 5:
                    reached.append(voice)

        return await converse(running.url, parts(), END)

    reached: list[str] = []
    streams = {voice: asyncio.create_task(live(voice)) for voice in VOICES}
    await until(lambda: len(reached) == len(VOICES))
    running.process.send_signal(signal.SIGSTOP)
    try:
        await asyncio.sleep(STOPPED_S)
    finally:
        running.process.send_signal(signal.SIGCONT)
    for voice, stream in streams.items():
        heard = await stream
        assert heard.code == 1000, heard.last
        assert_same_log(alone[voice].events, heard.events)
    assert running.get("/health/live")[0] == 200
    assert running.complaints() == []


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
    for heard in await asyncio.gather(*floods):
        assert heard.code == 1012
        starts, ends = heard.of("speech_start"), heard.of("speech_end")
        assert [e["utterance"] for e in starts] == [e["utterance"] for e in ends]
        finals = [e["utterance"] for e in heard.of("speaker") if e["final"]]
        assert finals == [e["utterance"] for e in ends]
    assert await asyncio.to_thread(running.wait) == 0
    assert running.complaints() == []
    assert running.records("not all streams ended in time") == []
