"""Utterances are transcribed in a thread, in turn, and no more of them wait than may."""

import asyncio
import os
import queue
import sys
import threading
import time

import numpy as np
import pytest
from waiting import HANG_S

from streamd.engine.whisper.lane import Transcriber
from streamd.engine.whisper.transcriber import Segment
from streamd.errors import ModelMissing, Overloaded
from streamd.observability.metrics import Metrics

SAMPLES = np.zeros(16_000, np.int16)


class Gated:
    """Transcribes when it is let."""

    language = "en"

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.threads: set[int] = set()
        self.began = threading.Event()

    def transcribe(self, samples):
        self.threads.add(threading.get_ident())
        self.began.set()
        self.gate.wait()
        return [Segment(0, len(samples) // 16, "Hm.")]


@pytest.fixture
def gated():
    model = Gated()
    yield model
    model.gate.set()


def made(load, bound=2):
    metrics = Metrics()
    return Transcriber(load, bound, metrics), metrics


def value(metrics, name):
    return metrics.registry.get_sample_value(name)


async def test_one_too_many_is_refused_and_the_loop_goes_on_meanwhile(gated):
    lane, metrics = made(lambda: gated)
    waiting = [asyncio.create_task(lane.transcribe(SAMPLES)) for _ in range(2)]
    await asyncio.sleep(0)
    assert value(metrics, "streamd_transcripts_in_work") == 2
    with pytest.raises(Overloaded) as refused:
        await lane.transcribe(SAMPLES)
    assert refused.value.retry_after_ms
    gated.gate.set()
    assert await asyncio.gather(*waiting) == [[Segment(0, 1000, "Hm.")]] * 2
    (thread,) = gated.threads
    assert thread != threading.get_ident()
    assert value(metrics, "streamd_transcripts_in_work") == 0
    assert (
        metrics.registry.get_sample_value("streamd_pass_seconds_count", {"pass": "transcript"}) == 2
    )
    lane.close()


async def test_whoever_gives_up_frees_a_place(gated):
    lane, metrics = made(lambda: gated)
    waiting = [asyncio.create_task(lane.transcribe(SAMPLES)) for _ in range(2)]
    await asyncio.sleep(0)
    waiting[1].cancel()
    await asyncio.gather(waiting[1], return_exceptions=True)
    assert value(metrics, "streamd_transcripts_in_work") == 1
    third = asyncio.create_task(lane.transcribe(SAMPLES))
    gated.gate.set()
    assert (await third)[0].text == "Hm."
    await waiting[0]
    lane.close()


async def test_closing_drops_what_waits(gated):
    lane, _ = made(lambda: gated)
    waiting = [asyncio.create_task(lane.transcribe(SAMPLES)) for _ in range(2)]
    assert await asyncio.to_thread(gated.began.wait, HANG_S)
    lane.close()
    gated.gate.set()
    first, second = await asyncio.gather(*waiting, return_exceptions=True)
    assert first[0].text == "Hm."
    assert isinstance(second, asyncio.CancelledError)


def test_a_model_that_cannot_be_loaded_is_refused_at_once():
    def broken():
        raise ModelMissing("no such model")

    with pytest.raises(ModelMissing, match="no such model"):
        made(broken)


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no clock of their own")
async def test_the_time_of_threads_that_the_model_starts_is_counted_and_no_other():
    """A library computes in threads of its own, with the priority of the one that loads it."""

    class Threaded(Gated):
        def __init__(self) -> None:
            super().__init__()
            self.work, self.done = queue.SimpleQueue(), queue.SimpleQueue()
            threading.Thread(target=self.loop, daemon=True).start()

        def loop(self):
            while cpu_s := self.work.get():
                end_s = time.thread_time() + cpu_s
                while time.thread_time() < end_s:
                    pass
                self.done.put(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

        def transcribe(self, samples):
            self.work.put(0.1)
            return [Segment(0, 1, f"{self.done.get()}")]

    model = None

    def load():
        nonlocal model
        model = Threaded()
        return model

    lane, metrics = made(load)
    before_s = lane.cpu_s()
    end_s = time.thread_time() + 0.1
    while time.thread_time() < end_s:
        pass
    assert lane.cpu_s() - before_s < 0.05
    (segment,) = await lane.transcribe(SAMPLES)
    usual = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    assert int(segment.text) == min(usual + 15, 19)
    assert 0.1 <= lane.cpu_s() - before_s < 0.2
    counted = metrics.registry.get_sample_value(
        "streamd_pass_cpu_seconds_total", {"pass": "transcript"}
    )
    assert 0.1 <= counted < 0.25
    model.work.put(0)
    lane.close()


def test_languages_that_are_known(gated):
    lane, _ = made(lambda: gated)
    assert all(map(lane.knows, ("auto", "", "en", "EN", "en-US", "en_GB")))
    assert not any(map(lane.knows, ("de", "zh-CN", "english", "e")))
    lane.close()
