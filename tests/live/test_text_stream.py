"""A stream of which only the text is wanted has the text of the same session as any other."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fakes.driving import Player, Stage, fake_passes, fake_registry, pcm, silence, tone
from fakes.serving import Server
from waiting import HANG_S, until

from streamd.engine.passes.fake import FakeVad
from streamd.engine.passes.transcript import TranscriptPass
from streamd.errors import BadConfig, Internal, MaxDuration, ModelMissing, Overloaded
from streamd.live.text_stream import TextStream
from streamd.types import AudioFormat

SOUND = pcm(tone(300, 2500), silence(700), tone(700, 1300), silence(700), tone(300, 600))


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    running = Server(max_streams=2)
    yield running
    await running.stop()


async def text_of(stream: TextStream, size: int) -> list[str]:
    """Every text so far, and the whole text at the end."""
    texts = []
    async with asyncio.timeout(HANG_S):
        for at in range(0, len(SOUND), size):
            await stream.feed(SOUND[at : at + size])
            texts.append(stream.text)
        texts.append(await stream.end())
    stream.close()
    return texts


@pytest.mark.parametrize("size", [320, 10_001, len(SOUND)])
async def test_its_text_is_that_of_the_finals_of_a_stream(server: Server, size: int) -> None:
    player = Player(Stage(), fake_registry(text=True), {"vad": {}, "transcript": {}})
    player.play([SOUND])
    finals = [event["text"] for event in player.of("transcript") if event["final"]]
    assert len(finals) == 3
    *_, whole = await text_of(TextStream(server.services, AudioFormat(), "auto"), size)
    assert whole == " ".join(finals)
    assert server.engine.leases - server.engine.closing == 0


async def test_it_takes_the_place_of_a_stream(server: Server) -> None:
    streams = [TextStream(server.services, AudioFormat(), "en-US") for _ in range(2)]
    with pytest.raises(Overloaded):
        TextStream(server.services, AudioFormat(), "auto")
    streams[0].close()
    TextStream(server.services, AudioFormat(), "auto").close()
    streams[1].close()


async def test_a_language_that_nobody_knows_takes_no_place(server: Server) -> None:
    with pytest.raises(BadConfig, match="it knows: en, de"):
        TextStream(server.services, AudioFormat(), "fi")
    assert server.engine.leases == 0


async def test_it_is_no_longer_than_a_stream_may_be() -> None:
    server = Server(max_session_s=2)
    stream = TextStream(server.services, AudioFormat(), "auto")
    with pytest.raises(MaxDuration, match="2 s of audio"):
        await text_of(stream, 16_000)
    stream.close()
    await server.stop()


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (RuntimeError("no memory"), "'transcript' failed on this audio"),
        (ModelMissing("/models/text was changed"), "'transcript' cannot be loaded again"),
    ],
)
async def test_a_model_that_fails_ends_it_and_nobody_waits_for_ever(
    error: Exception, told: str
) -> None:
    class Broken(TranscriptPass):
        def run(self, *_: Any) -> Any:
            raise error

    passes = [
        Broken(one._recogniser) if isinstance(one, TranscriptPass) else one for one in fake_passes()
    ]
    server = Server(passes=passes)
    stream = TextStream(server.services, AudioFormat(), "auto")
    with pytest.raises(Internal, match=told):
        await text_of(stream, 16_000)
    stream.close()
    await server.stop()


async def test_after_a_failure_the_end_does_not_wait_for_what_never_comes() -> None:
    """Of voice activity, without which no other job ever comes that could wake who waits."""

    class Broken(FakeVad):
        def run(self, *_: Any) -> Any:
            raise RuntimeError("no memory")

    server = Server(passes=[Broken(), *fake_passes()[1:]])
    stream = TextStream(server.services, AudioFormat(), "auto")
    await stream.feed(SOUND[:32_000])
    await until(lambda: stream._error)
    async with asyncio.timeout(HANG_S):
        with pytest.raises(Internal, match="'vad' failed"):
            await stream.end()
    stream.close()
    await server.stop()


async def test_of_a_text_that_is_left_out_the_part_that_was_heard_stays(server: Server) -> None:
    stream = TextStream(server.services, AudioFormat(), "auto")
    await stream.feed(pcm(tone(300, 2500)))
    await until(lambda: stream.text)
    heard = stream.text
    chains = stream._session.chains
    server.engine.run_live_only(True)
    await stream.feed(pcm(silence(2000)))
    await until(lambda: chains.skip(stream._session.audio.position) or chains.degradation.skipped)
    server.engine.run_live_only(False)
    async with asyncio.timeout(HANG_S):
        await stream.feed(pcm(tone(700, 1300), silence(700)))
        whole = await stream.end()
    assert whole.startswith(heard)
    assert len(whole) > len(heard)
    stream.close()
