"""A model that raises, hangs, or answers with what is no answer."""

import asyncio
import urllib.error
import urllib.request
from collections.abc import Iterator

import numpy as np
import pytest
from daemons import VOICES, Received, as_samples, assert_same_log, converse, cut, speech
from inside import LOUDEST, Fault, inside
from waiting import HANG_S, until

from streamd.engine import local

pytestmark = pytest.mark.faults

END = {"type": "end"}
BAD = VOICES[:2]
GRAPHS = ["silero.onnx", "wake_embed.onnx", "ge2e.onnx"]
KINDS = ["raises", "nan", "infinite", "short", "narrow"]
ROUNDS = 10
"""Which streams share a batch depends on how fast the machine is."""


def clip(voice: str = "slt") -> bytes:
    return speech(voice, 3.0)


def clipped(voice: str = "slt") -> bytes:
    """The same so loud that it is clipped."""
    return np.clip(as_samples(clip(voice)) * 8.0, -LOUDEST, LOUDEST).astype("<i2").tobytes()


def test_no_clip_holds_what_stands_for_a_fault():
    for voice in VOICES:
        assert as_samples(clip(voice)).max() < LOUDEST
        assert as_samples(clipped(voice)).max() == LOUDEST


async def paced(url: str, pcm: bytes) -> Received:
    """Stream a clip in real time: who is ahead of it does not share batches with the others."""

    async def parts():
        for part in cut(pcm, 3200):
            yield part
            await asyncio.sleep(0.1)

    return await converse(url, parts(), END)


def rounds(fault: Fault) -> Iterator[str]:
    """All kinds of faults, and again where no batch has held both kinds of streams by then."""
    for _ in range(ROUNDS):
        yield from KINDS
        if fault.mates:
            return


@pytest.mark.parametrize("graph", GRAPHS)
async def test_a_fault_of_a_model_ends_one_stream_and_shows_in_no_other(
    tmp_path, monkeypatch, graph
):
    fault = Fault(graph)
    fault.install(monkeypatch)
    async with inside(tmp_path, monkeypatch, engine__threads=1) as there:
        alone = {voice: await paced(there.url, clip(voice)) for voice in VOICES}
        assert fault.met == 0
        for kind in rounds(fault):
            fault.kind = kind
            clean = [asyncio.create_task(paced(there.url, clip(voice))) for voice in VOICES]
            for bad in await asyncio.gather(*(paced(there.url, clipped(v)) for v in BAD)):
                assert (bad.code, bad.last["code"]) == (1011, "internal"), kind
            for voice, stream in zip(VOICES, clean, strict=True):
                received = await stream
                assert received.code == 1000, kind
                assert_same_log(alone[voice].events, received.events)
        assert fault.met >= len(KINDS) * len(BAD)
        assert fault.mates > 0, "no batch held both kinds of streams"
        await until(lambda: there.parts.engine.leases == 0)


async def test_while_a_model_hangs_other_streams_go_on_and_health_says_stuck(tmp_path, monkeypatch):
    fault = Fault("silero.onnx", kind="hangs")
    fault.install(monkeypatch)
    monkeypatch.setattr(local, "STUCK_S", 0.2)
    async with inside(tmp_path, monkeypatch, engine__threads=2) as there:
        alone = await paced(there.url, clip())
        hanging = asyncio.create_task(paced(there.url, clipped()))
        await until(lambda: fault.met == 1)
        received = await paced(there.url, clip())
        assert_same_log(alone.events, received.events)
        assert not hanging.done()
        await until(lambda: not there.parts.engine.is_healthy)
        assert await health(there.url) == 503
        fault.released.set()
        assert (await hanging).code == 1000
        await until(lambda: there.parts.engine.is_healthy)
        assert await health(there.url) == 200


async def test_a_model_that_hangs_for_ever_does_not_keep_the_server(tmp_path, monkeypatch):
    fault = Fault("silero.onnx", kind="hangs")
    fault.install(monkeypatch)
    async with inside(tmp_path, monkeypatch, engine__threads=1, server__drain_s=0.5) as there:
        hanging = asyncio.create_task(paced(there.url, clipped()))
        await until(lambda: fault.met == 1)
        there.daemon.stop()
        await asyncio.wait_for(there.running, HANG_S)
        await asyncio.gather(hanging, return_exceptions=True)
        fault.released.set()


async def health(url: str) -> int:
    address = url.replace("ws", "http", 1).replace("/v1/stream", "/health/live")

    def ask() -> int:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(address, timeout=HANG_S) as answer:
                return answer.status
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.code

    return await asyncio.to_thread(ask)
