"""Processes that run tasks, each with the models and many sessions side by side.

A worker sends its results together with the number of tasks that it has room for, and waits for the
reply. The two sides never write at the same time, so that no pipe fills up on both ends.
"""

from __future__ import annotations

import multiprocessing
import signal
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from streamd.config import Config
from streamd.errors import BadManifest, StreamdError
from streamd.evaluation.manifest import Manifest
from streamd.evaluation.tasks import Executor, Result, Task
from streamd.models.library import Library
from streamd.modules.words import CustomWords
from streamd.observability import logging

Setup = tuple[Config, Path, Manifest, CustomWords]
"""Configuration in force, folder of the models, manifest, words of the user's own."""
Answer = tuple[int, Result | BadManifest]
"""The index of a task, and its result or the fault of its recording."""


def make_executor(setup: Setup) -> Executor:
    """Load the models."""
    config, models, manifest, words = setup
    return Executor(config, Library(models), manifest, words)


def do_here(executor: Executor, tasks: Sequence[Task]) -> Iterator[Answer]:
    """Run tasks in this process; yield results as they come."""
    waiting = deque(enumerate(tasks))
    while waiting or executor.is_busy:
        while waiting and executor.room:
            executor.begin(*waiting.popleft())
        yield from executor.advance()


class Workers:
    """A fixed number of worker processes.

    Args:
        count: of processes.
        setup: what each of them loads.
    """

    def __init__(self, count: int, setup: Setup) -> None:
        # Spawned: a fork would break libraries with threads that this process has loaded.
        spawned = multiprocessing.get_context("spawn")
        self._processes: list[BaseProcess] = []
        self._pipes: list[Connection] = []
        self._rooms: dict[Connection, int] = {}
        """Number of tasks that each waiting worker has room for."""
        for _ in range(count):
            ours, theirs = spawned.Pipe()
            process = spawned.Process(target=_work, args=(theirs, setup), daemon=True)
            process.start()
            theirs.close()  # so that the pipe ends with the worker
            self._processes.append(process)
            self._pipes.append(ours)

    def do(self, tasks: Sequence[Task]) -> Iterator[Answer]:
        """Run tasks; yield results as they come.

        Raises:
            StreamdError: that a worker met, or it was killed.
        """
        waiting = deque(enumerate(tasks))
        out = dict.fromkeys(self._pipes, 0)
        while waiting or any(out.values()):
            for pipe, room in list(self._rooms.items()):
                if waiting or out[pipe]:
                    share = min(room, -(-len(waiting) // len(self._pipes)))
                    pipe.send([waiting.popleft() for _ in range(share)])
                    out[pipe] += share
                    del self._rooms[pipe]
            busy = [pipe for pipe in self._pipes if pipe not in self._rooms]
            ready = wait(busy)
            for pipe in (pipe for pipe in busy if pipe in ready):
                answers, self._rooms[pipe] = _received(pipe)
                out[pipe] -= len(answers)
                yield from answers

    def close(self) -> None:
        """End the processes; unfinished tasks are lost."""
        for process in self._processes:
            process.terminate()
        for process, pipe in zip(self._processes, self._pipes, strict=True):
            process.join()
            process.close()
            pipe.close()


def _received(pipe: Connection) -> tuple[list[Answer], int]:
    try:
        message: tuple[list[Answer], int] | StreamdError = pipe.recv()
    except (EOFError, OSError) as error:
        raise StreamdError(
            "a worker process was killed, perhaps for want of memory: try fewer --jobs. "
            "The results so far are cached: the same command continues from there."
        ) from error
    if isinstance(message, StreamdError):
        raise message
    return message


def _work(pipe: Connection, setup: Setup) -> None:
    """Run a worker process until the other end of its pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    logging.configure("warning")  # to stderr, as the command itself does
    with suppress(EOFError, ConnectionError):
        try:
            executor = make_executor(setup)
            answers: list[Answer] = []
            while True:
                pipe.send((answers, executor.room))
                for number, task in pipe.recv():
                    executor.begin(number, task)
                answers = []
                while executor.is_busy and not answers:
                    answers = executor.advance()
        except StreamdError as error:
            pipe.send(error)
