"""Many live streams at once, bad neighbours among them: each gets the events it would get alone.

Nothing here is timed: the streams go on in lock-step, a message of each in turn, as those of
microphones come. So the batches form across streams, at whatever pace the machine allows.
"""

import asyncio
from contextlib import AsyncExitStack
from itertools import chain, count

import numpy as np
import pytest
from daemons import (
    VOICES,
    Received,
    assert_same_log,
    converse,
    cut,
    dial,
    read_to_close,
    say,
    silence,
    speech,
)

pytestmark = pytest.mark.faults

STREAMS = 64
CLIPS = 16
SECONDS = 4
MESSAGE_BYTES = 640
APART = 3
"""Messages between the begin of one stream and of the next, so that no two are at one place."""
HELLO = {
    "type": "hello",
    "modules": {
        "vad": {},
        "wake": {"words": ["alexa", "hey_jarvis", "timer"]},
        "speaker": {},
        "emotion": {},
    },
}
END = {"type": "end"}


def clip(number: int) -> bytes:
    """A few seconds of a voice, each from elsewhere in its speech."""
    voice, start_s = VOICES[number % len(VOICES)], number // len(VOICES)
    return speech(voice)[32_000 * start_s :][: 32_000 * SECONDS]


def noise() -> bytes:
    """As loud as can be without clipping much."""
    return np.random.default_rng(0).normal(0, 9000, 16_000 * SECONDS).astype("<i2").tobytes()


def square() -> bytes:
    """Full scale, 200 Hz."""
    half = np.full(40, 32767, "<i2")
    return np.tile(np.concatenate([half, -half - 1]), 200 * SECONDS).tobytes()


async def in_turns(url: str, clips: list[bytes]) -> list[Received]:
    """Stream all of them, a message of each in turn; what each of them gets."""
    async with AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(dial(url)) for _ in clips]
        hearing = [asyncio.create_task(read_to_close(socket)) for socket in sockets]
        waiting = [
            (socket, chain([HELLO], cut(pcm, MESSAGE_BYTES), [END]), APART * number)
            for number, (socket, pcm) in enumerate(zip(sockets, clips, strict=True))
        ]
        for turn in count():
            if not waiting:
                return await asyncio.gather(*hearing)
            for entry in list(waiting):
                socket, messages, begins = entry
                if turn < begins:
                    continue
                if (message := next(messages, None)) is None:
                    waiting.remove(entry)
                else:
                    await say(socket, message)
    raise AssertionError


@pytest.mark.models
async def test_sixty_four_live_streams_get_the_events_of_each_alone(daemon):
    different = [*map(clip, range(CLIPS)), noise(), square(), silence(SECONDS)]
    clips = different[:CLIPS] * (STREAMS // CLIPS) + different[CLIPS:]
    crumbled = clip(0)[:20_000]
    crumbs, together = await asyncio.gather(
        converse(daemon.url, HELLO, cut(crumbled, 1), END), in_turns(daemon.url, clips)
    )
    alone = {pcm: await converse(daemon.url, HELLO, pcm, END) for pcm in (*different, crumbled)}
    for pcm, received in zip((*clips, crumbled), (*together, crumbs), strict=True):
        assert (received.code, received.codes) == (1000, [])
        assert received.of("ack")[-1]["samples"] == len(pcm) // 2
        assert_same_log(received.events, alone[pcm].events)
    assert any(received.of("wake") for received in together)
    assert all(received.of("speech_start") for received in together[:STREAMS])
