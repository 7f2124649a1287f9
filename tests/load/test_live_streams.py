"""Many live streams at once: each hears what it would hear alone. Nothing here is timed."""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator

import pytest
from daemons import VOICES, assert_same_log, converse, silence, speech

STREAMS = 32
SECONDS = 6
HELLO = {
    "type": "hello",
    "modules": {"vad": {}, "wake": {"words": ["alexa", "hey_jarvis", "timer"]}, "speaker": {}},
}


def clip(number: int) -> bytes:
    """A few seconds of a voice from somewhere in its clip, then quiet."""
    rng = random.Random(number)
    voice = VOICES[number % len(VOICES)]
    start = 2 * int(rng.uniform(0, 3) * 16_000)
    return (speech(voice)[start:] + silence(SECONDS))[: 2 * 16_000 * SECONDS]


async def live(pcm: bytes, offset_s: float) -> AsyncIterator[bytes]:
    """In 20 ms messages, as a microphone gives them."""
    loop = asyncio.get_running_loop()
    began = loop.time() + offset_s
    for number, start in enumerate(itertools.count(0, 640)):
        if start >= len(pcm):
            return
        await asyncio.sleep(began + 0.02 * (number + 1) - loop.time())
        yield pcm[start : start + 640]


@pytest.mark.models
async def test_thirty_two_live_streams_hear_what_each_hears_alone(daemon):
    clips = [clip(number) for number in range(STREAMS)]
    together = await asyncio.gather(
        *(
            converse(daemon.url, HELLO, live(pcm, number / STREAMS), {"type": "end"})
            for number, pcm in enumerate(clips)
        )
    )
    for pcm, heard in zip(clips, together, strict=True):
        alone = await converse(daemon.url, HELLO, pcm, {"type": "end"})
        assert (heard.code, heard.codes) == (1000, [])
        assert heard.of("ack")[-1]["samples"] == len(pcm) // 2
        assert_same_log(heard.events, alone.events)
    assert any(heard.of("wake") for heard in together)
    assert all(heard.of("speech_start") for heard in together)
