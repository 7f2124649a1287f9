"""Utterances of files are transcribed in a thread, in turn, and no more of them wait than may."""

import asyncio
import threading

import numpy as np
import pytest
from waiting import HANG_S

from streamd.engine.recognition.lane import Transcriber
from streamd.errors import Overloaded
from streamd.observability.metrics import Metrics
from streamd.types import RecogniserOptions, Recognition

SAMPLES = np.zeros(16_000, np.int16)


class Gated:
    """Transcribes when it is let."""

    languages = ("en", "de")
    has_itn = False
    max_batch = 1
    hop_ms = 1000

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.threads: set[int] = set()
        self.began = threading.Event()

    def recognise(self, items, requests):
        self.threads.add(threading.get_ident())
        self.began.set()
        self.gate.wait()
        assert [request.is_last for request in requests] == [True]
        return [(Recognition("Hm.", "en"), None)]


@pytest.fixture
def gated():
    model = Gated()
    yield model
    model.gate.set()


def made(model, bound=2):
    metrics = Metrics()
    return Transcriber(model, bound, metrics), metrics


def in_work(metrics):
    return metrics.registry.get_sample_value("streamd_queue_length", {"queue": "transcripts"})


async def test_one_too_many_is_refused_and_the_loop_goes_on_meanwhile(gated):
    lane, metrics = made(gated)
    waiting = [asyncio.create_task(lane.transcribe(SAMPLES)) for _ in range(2)]
    await asyncio.sleep(0)
    assert in_work(metrics) == 2
    with pytest.raises(Overloaded) as refused:
        await lane.transcribe(SAMPLES)
    assert refused.value.retry_after_ms
    gated.gate.set()
    assert await asyncio.gather(*waiting) == [Recognition("Hm.", "en")] * 2
    (thread,) = gated.threads
    assert thread != threading.get_ident()
    assert in_work(metrics) == 0
    assert (
        metrics.registry.get_sample_value("streamd_pass_seconds_count", {"pass": "transcript"}) == 2
    )
    lane.close()


async def test_whoever_gives_up_frees_a_place(gated):
    lane, metrics = made(gated)
    waiting = [asyncio.create_task(lane.transcribe(SAMPLES)) for _ in range(2)]
    await asyncio.sleep(0)
    waiting[1].cancel()
    await asyncio.gather(waiting[1], return_exceptions=True)
    assert in_work(metrics) == 1
    third = asyncio.create_task(lane.transcribe(SAMPLES))
    gated.gate.set()
    assert (await third).text == "Hm."
    await waiting[0]
    lane.close()


async def test_closing_drops_what_waits(gated):
    lane, _ = made(gated)
    waiting = [asyncio.create_task(lane.transcribe(SAMPLES)) for _ in range(2)]
    assert await asyncio.to_thread(gated.began.wait, HANG_S)
    lane.close()
    gated.gate.set()
    first, second = await asyncio.gather(*waiting, return_exceptions=True)
    assert first.text == "Hm."
    assert isinstance(second, asyncio.CancelledError)


def test_the_language_of_a_file_without_speech_is_the_one_asked_for(gated):
    lane, _ = made(gated)
    assert lane.language(RecogniserOptions("de")) == "de"
    assert lane.language(RecogniserOptions("auto")) == "en"
    lane.close()
