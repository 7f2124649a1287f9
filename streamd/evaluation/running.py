"""Tasks to answers: over the cores, each once, and never again if it was heard before."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

from streamd.config import Config
from streamd.errors import StreamdError
from streamd.evaluation.cache import Cache, task_key
from streamd.evaluation.hearing import Ears, Heard, Task
from streamd.evaluation.manifest import Manifest
from streamd.models.library import Library
from streamd.modules.words import CustomWords

Hear = Callable[[str, Sequence[Task]], list[Heard]]
"""What is being done, in a word, and the tasks; gives their answers in order."""
Report = Callable[[str, int, int, int], None]
"""What is being done, how many of how many are done, and how many of those were kept."""

_ears: Ears | StreamdError | None = None
"""Of this worker process, or why it has none: a pool whose initializer raises only breaks."""


class Runner:
    """Has tasks done.

    Args:
        config: in force.
        library: of models.
        manifest: whose rows the tasks name.
        words: wake words of the user's own.
        cache: of what was heard before.
        jobs: processes at once; 1 does everything here.
        report: told after each task.
    """

    def __init__(
        self,
        config: Config,
        library: Library,
        manifest: Manifest,
        words: CustomWords,
        cache: Cache,
        jobs: int,
        report: Report,
    ) -> None:
        self._setup = (config, library.directory, manifest, dict(words))
        self._manifest = manifest
        self._cache = cache
        self._jobs = jobs
        self._report = report
        self._here: Ears | None = None
        self._pool: ProcessPoolExecutor | None = None

    def __call__(self, what: str, tasks: Sequence[Task]) -> list[Heard]:
        """Do tasks, in any order; answers in the order of the tasks.

        Raises:
            StreamdError: the first that a worker met; what was heard until then is kept.
        """
        keys = [task_key(task, self._manifest) for task in tasks]
        todo = {k: t for k, t in zip(keys, tasks, strict=True) if self._cache.get(k) is None}
        total = len(set(keys))
        kept = total - len(todo)
        self._report(what, kept, total, kept)

        def done(key: str, heard: Heard, count: int) -> None:
            self._cache.put(key, heard)
            self._report(what, kept + count, total, kept)

        if self._jobs == 1 or len(todo) < 2:
            for count, (key, task) in enumerate(todo.items(), 1):
                if self._here is None:
                    self._here = _make_ears(*self._setup)
                done(key, self._here.hear(task), count)
        else:
            self._spread(todo, done)
        answers = [self._cache.get(key) for key in keys]
        return [answer for answer in answers if answer is not None]

    def close(self) -> None:
        """End the worker processes; what they are at is lost."""
        if self._pool is not None:
            # The pool's own way would wait for the streams that are being heard.
            for process in multiprocessing.active_children():
                process.terminate()
            self._pool.shutdown(cancel_futures=True)
            self._pool = None

    def _spread(self, todo: dict[str, Task], done: Callable[[str, Heard, int], None]) -> None:
        if self._pool is None:
            # Spawned: a fork would copy the threads of whatever this process has loaded.
            spawned = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self._jobs, spawned, _begin, self._setup)
        try:
            waiting = {self._pool.submit(_hear, task): key for key, task in todo.items()}
            for count, future in enumerate(as_completed(waiting), 1):
                done(waiting[future], future.result(), count)
        except BrokenProcessPool as error:
            raise StreamdError(
                "a worker process was killed, perhaps for want of memory: try fewer --jobs. "
                "What was heard is kept: the same command goes on from there."
            ) from error


def _make_ears(config: Config, models: Path, manifest: Manifest, words: CustomWords) -> Ears:
    return Ears(config, Library(models), manifest, words)


def _begin(config: Config, models: Path, manifest: Manifest, words: CustomWords) -> None:
    """Load the models, once in each worker."""
    global _ears
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    try:
        _ears = _make_ears(config, models, manifest, words)
    except StreamdError as error:
        _ears = error


def _hear(task: Task) -> Heard:
    if isinstance(_ears, StreamdError):
        raise _ears
    assert _ears is not None
    return _ears.hear(task)
