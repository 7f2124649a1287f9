"""Many live streams at once, bad neighbours among them: each hears what it would hear alone.

Nothing here is timed.
"""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator

import numpy as np
import pytest
from daemons import VOICES, assert_same_log, converse, silence, speech

STREAMS = 64
SECONDS = 6
HELLO = {
    "type": "hello",
    "modules": {
        "vad": {},
        "wake": {"words": ["alexa", "hey_jarvis", "timer"]},
        "speaker": {},
        "emotion": {},
    },
}


def clip(number: int) -> bytes:
    """A few seconds of a voice from somewhere in its clip, then quiet."""
    rng = random.Random(number)
    voice = VOICES[number % len(VOICES)]
    start = 2 * int(rng.uniform(0, 3) * 16_000)
    return (speech(voice)[start:] + silence(SECONDS))[: 2 * 16_000 * SECONDS]


def noise() -> bytes:
    """As loud as can be without clipping much."""
    return np.random.default_rng(0).normal(0, 9000, 16_000 * SECONDS).astype("<i2").tobytes()


def square() -> bytes:
    """Full scale, 200 Hz."""
    half = np.full(40, 32767, "<i2")
    return np.tile(np.concatenate([half, -half - 1]), 200 * SECONDS).tobytes()


async def crumbs(pcm: bytes) -> AsyncIterator[bytes]:
    """One byte a message, as fast as they are taken."""
    for start in range(len(pcm)):
        yield pcm[start : start + 1]


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
async def test_sixty_four_live_streams_hear_what_each_hears_alone(daemon):
    crumbled = clip(0)[:20_000]
    clips = [clip(number) for number in range(STREAMS)]
    clips += [noise(), square(), silence(SECONDS), crumbled]
    sources = [live(pcm, number / STREAMS) for number, pcm in enumerate(clips[:-1])]
    together = await asyncio.gather(
        *(
            converse(daemon.url, HELLO, source, {"type": "end"})
            for source in (*sources, crumbs(crumbled))
        )
    )
    for pcm, heard in zip(clips, together, strict=True):
        alone = await converse(daemon.url, HELLO, pcm, {"type": "end"})
        assert (heard.code, heard.codes) == (1000, [])
        assert heard.of("ack")[-1]["samples"] == len(pcm) // 2
        assert_same_log(heard.events, alone.events)
    assert any(heard.of("wake") for heard in together)
    assert all(heard.of("speech_start") for heard in together[:STREAMS])
