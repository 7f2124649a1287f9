"""Runs tasks on all cores, each once, and takes cached results."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from streamd.config import Config
from streamd.errors import BadManifest
from streamd.evaluation.cache import Cache, task_key
from streamd.evaluation.manifest import Manifest, refusal
from streamd.evaluation.tasks import Executor, Result, Task
from streamd.evaluation.workers import Answer, Setup, Workers, do_here, make_executor
from streamd.models.library import Library
from streamd.modules.words import CustomWords

Run = Callable[[str, Sequence[Task]], list[Result]]
"""Takes the kind of work in a word, and tasks; returns their results in order."""
Report = Callable[[str, int, int, int], None]
"""Takes the kind of work, the numbers of tasks done and in all, and how many were cached."""


class Runner:
    """Runs tasks.

    Args:
        config: in force.
        library: of models.
        manifest: whose rows the tasks name.
        words: wake words of the user's own.
        cache: of earlier results.
        jobs: processes at once; 1 runs everything in this process.
        report: called after each task.
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
        self._setup: Setup = (config, library.directory, manifest, dict(words))
        self._manifest = manifest
        self._cache = cache
        self._jobs = jobs
        self._report = report
        self._here: Executor | None = None
        self._workers: Workers | None = None

    def __call__(self, what: str, tasks: Sequence[Task]) -> list[Result]:
        """Run tasks in any order; return results in the order of the tasks.

        Raises:
            BadManifest: recordings that turned out to be damaged; the results of all others are
                cached.
            StreamdError: the first that a worker met; the results until then are cached.
        """
        keys = [task_key(task, self._manifest) for task in tasks]
        todo = {k: t for k, t in zip(keys, tasks, strict=True) if self._cache.get(k) is None}
        total = len(set(keys))
        kept = total - len(todo)
        self._report(what, kept, total, kept)
        names = list(todo)
        faults: list[str] = []
        answers = self._do(list(todo.values()))
        for count, (number, result) in enumerate(answers, kept + 1):
            if isinstance(result, BadManifest):
                faults.append(str(result))
            else:
                self._cache.put(names[number], result)
            self._report(what, count, total, kept)
        if faults:
            raise refusal(self._manifest.path, sorted(set(faults)))
        found = [self._cache.get(key) for key in keys]
        return [result for result in found if result is not None]

    def close(self) -> None:
        """End the worker processes; unfinished tasks are lost."""
        if self._workers is not None:
            self._workers.close()
            self._workers = None

    def _do(self, tasks: Sequence[Task]) -> Iterator[Answer]:
        if self._workers is None and (self._jobs == 1 or len(tasks) < 2):
            if self._here is None:
                self._here = make_executor(self._setup)
            return do_here(self._here, tasks)
        if self._workers is None:
            self._workers = Workers(self._jobs, self._setup)
        return self._workers.do(tasks)
