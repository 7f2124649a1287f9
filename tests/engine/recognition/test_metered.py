"""The CPU time of a recogniser is known, wherever it computes."""

import os
import queue
import sys
import threading
import time

import numpy as np
import pytest

from streamd.engine.idle import IdleModels
from streamd.engine.recognition.metered import Metered
from streamd.errors import ModelMissing
from streamd.observability.metrics import Metrics
from streamd.types import ChainRequest, Recognition

SAMPLES = np.zeros(16_000, np.int16)
LAST = ChainRequest(None, is_last=True)


def spend(cpu_s: float) -> None:
    end_s = time.thread_time() + cpu_s
    while time.thread_time() < end_s:
        pass


class Threaded:
    """Computes in a thread of its own, as a library does, and as long in the caller's."""

    languages = ("en",)
    has_itn = False
    max_batch = 1
    hop_ms = 1000

    def __init__(self) -> None:
        self.work, self.done = queue.SimpleQueue(), queue.SimpleQueue()
        threading.Thread(target=self.loop, daemon=True).start()

    def loop(self):
        while cpu_s := self.work.get():
            spend(cpu_s)
            self.done.put(os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))

    def recognise(self, items, requests):
        self.work.put(0.1)
        nice = self.done.get()
        spend(0.05)
        return [(Recognition(f"{nice}", "en"), None)]


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no clock of their own")
def test_the_time_of_its_threads_and_of_its_callers_is_counted_and_no_other():
    spent = []
    model = None

    def made():
        nonlocal model
        model = Threaded()
        return model

    kept = IdleModels(0.0, Metrics()).keep("model", made, 12)
    metered = Metered(model, kept.cpu_s, spent.append)
    before_s = metered.cpu_s()
    spend(0.1)
    assert metered.cpu_s() - before_s < 0.05
    ((found, _),) = metered.recognise([SAMPLES], [LAST])
    usual = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    assert int(found.text) == min(usual + 12, 19), "its threads have the priority of the loader"
    assert 0.15 <= metered.cpu_s() - before_s < 0.25
    assert 0.1 <= sum(spent) < 0.2, "the callers count their own time"
    model.work.put(0)


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no clock of their own")
def test_what_was_spent_stays_spent_when_the_model_is_unloaded_and_loaded_again():
    made = []
    spent = []

    def load():
        made.append(Threaded())
        return made[-1]

    kept = IdleModels(0.0, Metrics()).keep("model", load, 12)
    metered = Metered(made[0], kept.cpu_s, spent.append)
    metered.recognise([SAMPLES], [LAST])
    before_s = kept.cpu_s()
    assert before_s >= 0.1
    assert kept.unload(float("inf"))
    made[0].work.put(0)
    assert kept.cpu_s() >= before_s
    with kept.use() as again:
        ((found, _),) = again.recognise([SAMPLES], [LAST])
        usual = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
        assert int(found.text) == min(usual + 12, 19), "as before"
        again.work.put(0)
    assert kept.cpu_s() >= before_s + 0.1


def test_a_model_that_cannot_be_loaded_is_refused_at_once():
    def broken():
        raise ModelMissing("no such model")

    with pytest.raises(ModelMissing, match="no such model"):
        IdleModels(0.0, Metrics()).keep("model", broken, 12)
