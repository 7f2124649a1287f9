"""What unloading a model gives back, how long it takes to come back, and what waits meanwhile.

Run from the repository's root; graph files that are named are measured, else those that are pulled:

    python benchmarks/idle.py [FILE.onnx …]

Each model is loaded and unloaded five times; the figures are medians. *gives back* is the resident
memory that the process has less after it was unloaded. *waits* is the longest that another thread
of Python, which wants to run every millisecond, had to wait meanwhile.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import structlog
from rich.console import Console
from rich.table import Table

from streamd.engine.backends.onnxruntime import OnnxRuntime
from streamd.engine.idle import IdleModels, Kept
from streamd.models import catalogue
from streamd.models.catalogue import TRANSCRIPT_FILES, TRANSCRIPT_ID
from streamd.models.library import Library
from streamd.observability.metrics import Metrics

ROUNDS = 5
PULLED = ("campplus.onnx", "campplus_int8.onnx", "ge2e.onnx")


class Ticking:
    """A thread that wakes every millisecond and notes how late it was."""

    def __init__(self) -> None:
        self._gaps: list[float] = []
        self._is_over = False
        self._thread = threading.Thread(target=self._tick)
        self._thread.start()

    def during(self, work: Callable[[], object]) -> tuple[float, float]:
        """Return how long some work takes, and the longest wait meanwhile, milliseconds."""
        self._gaps.clear()
        began_s = time.perf_counter()
        work()
        took_s = time.perf_counter() - began_s
        time.sleep(0.005)
        return 1000 * took_s, 1000 * max(self._gaps)

    def close(self) -> None:
        self._is_over = True
        self._thread.join()

    def _tick(self) -> None:
        before_s = time.perf_counter()
        while not self._is_over:
            time.sleep(0.001)
            now_s = time.perf_counter()
            self._gaps.append(now_s - before_s)
            before_s = now_s


def resident_mb() -> float:
    status = Path("/proc/self/status").read_text()
    return next(int(x.split()[1]) for x in status.splitlines() if x.startswith("VmRSS")) / 1024


def use(kept: Kept[object]) -> None:
    with kept.use():
        pass


def main() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    models, backend = IdleModels(1e-9, Metrics()), OnnxRuntime()
    library = Library()
    paths = [Path(name) for name in sys.argv[1:]]
    loads = {p.stem: lambda p=p: backend.load(p) for p in paths or map(library.path, PULLED)}
    if not paths and library.has(catalogue.model(TRANSCRIPT_ID)):
        from streamd.engine.backends.ctranslate2 import load_whisper

        files = [library.path(file) for file in TRANSCRIPT_FILES]
        loads["whisper_tiny_en"] = lambda: load_whisper(*files)
    table = Table("model", "gives back", "loads in", "waits, loading", "waits, unloading")
    ticking = Ticking()
    for name, load in loads.items():
        rows = []
        kept = models.keep(name, load)
        for _ in range(ROUNDS):
            full_mb = resident_mb()
            unloading = ticking.during(models.unload_idle)
            back_mb = full_mb - resident_mb()
            loading = ticking.during(lambda kept=kept: use(kept))
            rows.append((back_mb, loading[0], loading[1], unloading[1]))
        back, took, wait, pause = (median(column) for column in zip(*rows, strict=True))
        table.add_row(name, f"{back:.0f} MB", f"{took:.0f} ms", f"{wait:.1f} ms", f"{pause:.1f} ms")
    ticking.close()
    Console().print(table)


if __name__ == "__main__":
    main()
