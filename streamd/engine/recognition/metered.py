"""The CPU time of a recogniser, on the threads that call it and on those that it started."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from streamd.engine.recognition.base import Recogniser
from streamd.engine.worker import lower_priority
from streamd.observability.thread_clock import cpu_seconds, threads
from streamd.types import ChainRequest, Recognition, Samples


class Metered:
    """A recogniser that counts the CPU time it takes.

    Args:
        recogniser: The model.
        own_threads: Ids of the threads that it computes on besides its callers'.
        spent: Takes the CPU seconds on these threads, as they are spent.
    """

    def __init__(
        self,
        recogniser: Recogniser,
        own_threads: frozenset[int],
        spent: Callable[[float], object] = lambda seconds: None,
    ) -> None:
        self.languages = recogniser.languages
        self.has_itn = recogniser.has_itn
        self.max_batch = recogniser.max_batch
        self.hop_ms = recogniser.hop_ms
        self._recogniser = recogniser
        self._own_threads = own_threads
        self._spent = spent
        self._lock = threading.Lock()
        self._counted_s = self._callers_s = 0.0

    def recognise(
        self, items: Sequence[Samples], requests: Sequence[ChainRequest]
    ) -> list[tuple[Recognition, Any]]:
        """Return the text of each utterance so far, and its state."""
        began_s = time.thread_time()
        found = self._recogniser.recognise(items, requests)
        with self._lock:
            self._callers_s += time.thread_time() - began_s
            own_s = cpu_seconds(self._own_threads)
            self._spent(own_s - self._counted_s)
            self._counted_s = own_s
        return found

    def cpu_s(self) -> float:
        """Return the CPU time so far, seconds."""
        return cpu_seconds(self._own_threads) + self._callers_s


def load(
    recogniser: Callable[[], Recogniser],
    nice: int,
    spent: Callable[[float], object] = lambda seconds: None,
) -> Metered:
    """Load a recogniser in a thread of lower priority, so that threads it starts have that one.

    Args:
        recogniser: Loads it.
        nice: Nice value, as in nice(1).
        spent: Takes the CPU seconds on threads of its own, as they are spent.

    Raises:
        ModelMissing: What `recogniser` raises.
    """
    with ThreadPoolExecutor(
        1, "load-transcript", initializer=lower_priority, initargs=(nice,)
    ) as thread:
        return thread.submit(_loaded, recogniser, spent).result()


def _loaded(recogniser: Callable[[], Recogniser], spent: Callable[[float], object]) -> Metered:
    others = threads() | {threading.get_native_id()}
    loaded = recogniser()
    return Metered(loaded, threads() - others, spent)
