"""Models that are unloaded after a time without use, and loaded again at the next one."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Generic, TypeVar, cast

import numpy.typing as npt
import structlog

from streamd.arrays import PULL_AGAIN
from streamd.engine.backends.base import Graph, GraphBackend
from streamd.engine.model_info import report_model
from streamd.engine.worker import lower_priority
from streamd.errors import ModelMissing
from streamd.models.catalogue import Model, model_of
from streamd.observability.metrics import Metrics
from streamd.observability.thread_clock import cpu_seconds, threads

log = structlog.get_logger("streamd.models")

T = TypeVar("T")
_SHORTEST_WAIT_S, _LONGEST_WAIT_S = 0.05, 10.0
"""Seconds between two looks for idle models."""


class Kept(Generic[T]):
    """A model that may be unloaded while nobody uses it. Thread-safe.

    Whoever needs it while it is unloaded loads it, in the calling thread; others that need it wait
    for that.

    Args:
        name: Its name in metrics and logs.
        load: Loads it.
        metrics: The metrics to report to.
        clock: Returns monotonic seconds.
        nice: Nice value of the thread that loads it, if that is not to be the calling one: the
            threads that a model starts have the priority of that thread.

    Raises:
        ModelMissing: What `load` raises.
    """

    def __init__(
        self,
        name: str,
        load: Callable[[], T],
        metrics: Metrics,
        clock: Callable[[], float],
        nice: int | None = None,
    ) -> None:
        self.name = name
        self._load, self._clock = load, clock
        self._loader: ThreadPoolExecutor | None = None
        if nice is not None:
            # One for all loads: a thread whose priority is low cannot start one of a better one.
            self._loader = ThreadPoolExecutor(
                1, f"load-{name}", initializer=lower_priority, initargs=(nice,)
            )
        self._is_loaded = metrics.model_loaded.labels(name)
        self._loads = metrics.model_loads.labels(name)
        self._lock = threading.Lock()
        self._users = 0
        self._was_loaded = False
        self._model: T | None = None
        self._threads: frozenset[int] = frozenset()
        self._ended_s = 0.0
        self._used_at = 0.0
        with self._lock:
            self._loaded()

    @contextmanager
    def use(self) -> Iterator[T]:
        """Yield the model, which stays loaded meanwhile.

        Raises:
            ModelMissing: It was unloaded and cannot be loaded again.
        """
        with self._lock:
            model = self._loaded()
            self._users += 1
        try:
            yield model
        finally:
            with self._lock:
                self._users -= 1
                self._used_at = self._clock()

    def unload(self, unused_since: float) -> bool:
        """Unload it unless it was used later than that; return whether it did."""
        with self._lock:
            if self._model is None or self._users or self._used_at > unused_since:
                return False
            self._ended_s += cpu_seconds(self._threads)
            self._threads = frozenset()
            model, self._model = self._model, None
        # Freed here, where nobody waits for the lock.
        del model
        self._is_loaded.set(0)
        log.info("model unloaded", model=self.name)
        return True

    def cpu_s(self) -> float:
        """Return the CPU time on the threads that the model itself has started, seconds."""
        return self._ended_s + cpu_seconds(self._threads)

    def _loaded(self) -> T:
        if self._model is None:
            began_s = time.perf_counter()
            if self._loader is None:
                self._model, self._threads = self._made()
            else:
                self._model, self._threads = self._loader.submit(self._made).result()
            self._used_at = self._clock()
            self._is_loaded.set(1)
            self._loads.inc()
            seconds = round(time.perf_counter() - began_s, 3)
            say = log.info if self._was_loaded else log.debug
            say("model loaded", model=self.name, seconds=seconds)
            self._was_loaded = True
        return self._model

    def _made(self) -> tuple[T, frozenset[int]]:
        """Return the model and the threads that it has started."""
        others = threads() | {threading.get_native_id()}
        return self._load(), threads() - others


class IdleModels:
    """All models of a process.

    Args:
        after_s: Seconds without use after which a model is unloaded; 0 unloads none.
        metrics: The metrics to report to.
        clock: Returns monotonic seconds.
    """

    def __init__(
        self, after_s: float, metrics: Metrics, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._after_s, self._metrics, self._clock = after_s, metrics, clock
        self._kept: list[Kept[Any]] = []
        self._thread: threading.Thread | None = None

    def keep(self, name: str, load: Callable[[], T], nice: int | None = None) -> Kept[T]:
        """Load a model that is unloaded while nobody uses it.

        Args:
            name: Its name in metrics and logs.
            load: Loads it; each time the same one.
            nice: Nice value of the threads that it starts; None for that of whoever loads it.

        Raises:
            ModelMissing: What `load` raises.
        """
        kept = Kept(name, load, self._metrics, self._clock, nice)
        self._kept.append(kept)
        if self._after_s and self._thread is None:
            self._thread = threading.Thread(
                target=_watch, args=(weakref.ref(self), self._after_s), name="idle", daemon=True
            )
            self._thread.start()
        return kept

    def graph(self, backend: GraphBackend, path: Path, *, stays: bool = False) -> Graph:
        """Load a graph file.

        Args:
            backend: What runs it.
            path: The file, of which a later load takes the same content, whatever was pulled since.
            stays: Keep it loaded, because nobody may wait for it.

        Raises:
            ModelMissing: The file is not there or cannot be loaded.
        """
        precision = backend.precision(path.stem)
        report_model(self._metrics, path.stem, _model_of(path), backend.name, precision)
        if stays or not self._after_s:
            with Kept(
                path.stem, lambda: backend.load(path), self._metrics, self._clock
            ).use() as it:
                return it
        file = SameFile(path)

        def load() -> Graph:
            found = file.path()
            try:
                return backend.load(found)
            except ModelMissing as error:
                if found == path:
                    raise
                # Its weights are in a second file, which has no name any more either.
                raise ModelMissing(
                    f"{path} was pulled anew while streamd ran, and the model of the start cannot "
                    f"be loaded any more: restart streamd ({error})"
                ) from error

        kept = self.keep(path.stem, load)

        def run(inputs: Mapping[str, npt.NDArray[Any]]) -> Sequence[npt.NDArray[Any]]:
            with kept.use() as graph:
                return graph(inputs)

        return run

    def unload_idle(self) -> bool:
        """Unload what was not used for long enough; return whether there was any."""
        since = self._clock() - self._after_s
        unloaded = [kept.unload(since) for kept in tuple(self._kept)]
        if any(unloaded):
            _give_back()
        return any(unloaded)


def _model_of(path: Path) -> Model | None:
    """Return the model of a file; None for a file of an owner's own."""
    with suppress(ModelMissing):
        return model_of(path.name)
    return None


def _watch(models: Callable[[], IdleModels | None], after_s: float) -> None:
    """Unload idle models for as long as there are models."""
    while True:
        time.sleep(min(max(after_s / 4, _SHORTEST_WAIT_S), _LONGEST_WAIT_S))
        there = models()
        if there is None:
            return
        there.unload_idle()
        del there


def unloading(backend: GraphBackend, models: IdleModels, *, stays: bool = False) -> GraphBackend:
    """Return a backend whose graphs are unloaded while nobody uses them.

    Args:
        backend: The backend.
        models: All models of the process.
        stays: Keep its graphs loaded.
    """
    return cast(GraphBackend, _Unloading(backend, models, stays))


class _Unloading:
    """A backend that loads graphs through `IdleModels`, and is the backend itself in all else."""

    def __init__(self, backend: GraphBackend, models: IdleModels, stays: bool) -> None:
        self._backend, self._models, self._stays = backend, models, stays

    def load(self, path: Path) -> Graph:
        """Load a graph file."""
        return self._models.graph(self._backend, path, stays=self._stays)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)


class SameFile:
    """A file as it was when it was first opened, even if another one takes its name."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1
        with suppress(OSError):  # whoever loads it says what is wrong
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            self._stamp = _stamp(os.fstat(self._descriptor))

    def __del__(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)

    def path(self) -> Path:
        """Return a path of the file.

        Raises:
            ModelMissing: Its content was changed.
        """
        if self._descriptor < 0:
            return self._path
        with suppress(OSError):
            if _stamp(os.stat(self._path)) == self._stamp:
                return self._path
        if _stamp(os.fstat(self._descriptor)) != self._stamp:
            raise ModelMissing(f"{self._path} was changed while streamd ran. {PULL_AGAIN}")
        os.lseek(self._descriptor, 0, os.SEEK_SET)  # on macOS the path shares the position
        return Path(f"/dev/fd/{self._descriptor}")


def _stamp(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _give_back() -> None:
    """Give freed memory back to the system; glibc would keep it for the next model."""
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)
