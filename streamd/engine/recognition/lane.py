"""The thread that transcribes files, apart from those of the engine, so that no stream waits."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor

from streamd.engine.local import NICE_FILES
from streamd.engine.recognition.base import Recogniser
from streamd.engine.worker import lower_priority
from streamd.errors import Overloaded
from streamd.observability.metrics import Metrics
from streamd.types import ANY_LANGUAGE, ChainRequest, RecogniserOptions, Recognition, Samples

PASS = "transcript"
_RETRY_AFTER_MS = 2000


class Transcriber:
    """Transcribes utterances of files, one after the other, behind everything else that computes.

    Args:
        recogniser: The model, which streams may use at the same time.
        max_waiting: Most utterances in work, the one that is transcribed included.
        metrics: The metrics to report to.
    """

    def __init__(self, recogniser: Recogniser, max_waiting: int, metrics: Metrics) -> None:
        self._recogniser = recogniser
        self._thread = ThreadPoolExecutor(
            1, "transcript-files", initializer=lower_priority, initargs=(NICE_FILES,)
        )
        self._max_waiting = max_waiting
        self._waiting = 0
        self._seconds = metrics.pass_seconds.labels(PASS)
        self._cpu = metrics.pass_cpu.labels(PASS)
        metrics.queue("transcripts", max_waiting, lambda: self._waiting)
        self.languages = recogniser.languages
        """Languages that it knows, as primary subtags of BCP 47."""

    def language(self, options: RecogniserOptions) -> str:
        """Return the language of a file without speech: the one asked for, else the first."""
        return self.languages[0] if options.language == "auto" else options.language

    async def transcribe(
        self, samples: Samples, options: RecogniserOptions = ANY_LANGUAGE
    ) -> Recognition:
        """Return the text of an utterance; whoever gives up frees its place.

        Args:
            samples: int16 at 16 kHz, shape `[n]`, which nobody changes meanwhile.
            options: The language and how numbers are written.

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
            return await loop.run_in_executor(self._thread, self._run, samples, options)
        finally:
            self._waiting -= 1

    def close(self) -> None:
        """Drop what waits; the utterance in work is the last."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _run(self, samples: Samples, options: RecogniserOptions) -> Recognition:
        began_s, cpu_began_s = time.perf_counter(), time.thread_time()
        request = ChainRequest(None, is_last=True, options=options)
        ((found, _),) = self._recogniser.recognise([samples], [request])
        self._seconds.observe(time.perf_counter() - began_s)
        self._cpu.inc(time.thread_time() - cpu_began_s)
        return found
