"""The CPU time of a recogniser, on the threads that call it and on those that it started."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from streamd.engine.recognition.base import Recogniser
from streamd.types import ChainRequest, Recognition, Samples


class Metered:
    """A recogniser that counts the CPU time it takes.

    Args:
        recogniser: The model.
        own_cpu_s: Returns the CPU seconds on threads that the model itself has started.
        spent: Takes the CPU seconds on these threads, as they are spent.
    """

    def __init__(
        self,
        recogniser: Recogniser,
        own_cpu_s: Callable[[], float] = lambda: 0.0,
        spent: Callable[[float], object] = lambda seconds: None,
    ) -> None:
        self.languages = recogniser.languages
        self.has_itn = recogniser.has_itn
        self.max_batch = recogniser.max_batch
        self.hop_ms = recogniser.hop_ms
        self._recogniser = recogniser
        self._own_cpu_s = own_cpu_s
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
            own_s = self._own_cpu_s()
            self._spent(own_s - self._counted_s)
            self._counted_s = own_s
        return found

    def cpu_s(self) -> float:
        """Return the CPU time so far, seconds."""
        return self._own_cpu_s() + self._callers_s
