"""The thread that transcribes, apart from those of the engine, so that no stream waits for it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from streamd.engine.local import NICE_FILES
from streamd.engine.whisper.transcriber import Segment, Whisper
from streamd.engine.worker import lower_priority
from streamd.errors import Overloaded
from streamd.observability.metrics import Metrics
from streamd.observability.thread_clock import cpu_seconds, threads
from streamd.types import Samples

PASS = "transcript"
_RETRY_AFTER_MS = 2000


class Transcriber:
    """Transcribes utterances, one after the other, behind everything else that computes.

    Args:
        load: Loads the model, in the thread that uses it: the threads that the model starts have
            the priority of that one.
        max_waiting: Most utterances in work, the one that is transcribed included.
        metrics: The metrics to report to.

    Raises:
        ModelMissing: What `load` raises.
    """

    def __init__(self, load: Callable[[], Whisper], max_waiting: int, metrics: Metrics) -> None:
        self._thread = ThreadPoolExecutor(
            1, "transcript", initializer=lower_priority, initargs=(NICE_FILES,)
        )
        self._max_waiting = max_waiting
        self._waiting = 0
        self._seconds = metrics.pass_seconds.labels(PASS)
        self._cpu = metrics.pass_cpu.labels(PASS)
        self._threads: frozenset[int] = frozenset()
        self._wall_s = self._counted_s = 0.0
        metrics.transcripts_in_work.set_function(lambda: self._waiting)
        metrics.queue_limit.labels("transcripts").set(max_waiting)
        try:
            self._model = self._thread.submit(self._loaded, load).result()
        except BaseException:
            self.close()
            raise
        self.language = self._model.language
        """Language of every text (BCP 47)."""

    def knows(self, language: str) -> bool:
        """Return whether a text may be asked for in a language, as `en-US`, or `auto`."""
        return language.lower().replace("_", "-").split("-")[0] in ("", "auto", self.language)

    async def transcribe(self, samples: Samples) -> list[Segment]:
        """Return the text of an utterance; whoever gives up frees its place.

        Args:
            samples: int16 at 16 kHz, shape `[n]`, which nobody changes meanwhile.

        Raises:
            Overloaded: Too many utterances wait.
        """
        if self._waiting >= self._max_waiting:
            raise Overloaded(
                "too many files are transcribed; try again later", retry_after_ms=_RETRY_AFTER_MS
            )
        self._waiting += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._thread, self._run, samples)
        finally:
            self._waiting -= 1

    def cpu_s(self) -> float:
        """Return the CPU time spent so far, seconds; where it cannot be known, the wall time."""
        return cpu_seconds(self._threads) if self._threads else self._wall_s

    def close(self) -> None:
        """Drop what waits; the utterance in work is the last."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _loaded(self, load: Callable[[], Whisper]) -> Whisper:
        others = threads() - {threading.get_native_id()}
        model = load()
        self._threads = threads() - others
        return model

    def _run(self, samples: Samples) -> list[Segment]:
        began_s = time.perf_counter()
        segments = self._model.transcribe(samples)
        wall_s = time.perf_counter() - began_s
        self._wall_s += wall_s
        self._seconds.observe(wall_s)
        cpu_s = self.cpu_s()
        self._cpu.inc(cpu_s - self._counted_s)
        self._counted_s = cpu_s
        return segments
