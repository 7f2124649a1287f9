"""The processes of the load, as the bench sees them."""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import BinaryIO, Self

import msgspec

from streamd.bench.messages import (
    HEAD_BYTES,
    READY,
    Answer,
    Play,
    Setup,
    Stop,
    framed,
    receive_answer,
)
from streamd.errors import StreamdError

STREAMS_EACH = 256
"""Streams of one process, few enough that it has time to spare."""
LOOK_S = 0.05
"""Most seconds by which a look at the metrics may be late."""


class Loaders:
    """Processes that play streams; more are started as they are needed.

    Args:
        setup: the first message to each of them.
        most: the most processes.
    """

    def __init__(self, setup: Setup, most: int) -> None:
        self._setup = setup
        self._most = max(most, 1)
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        # A temporary file for stderr, to report why a process failed.
        self._log = tempfile.TemporaryFile()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        for process in self._processes:
            process.kill()  # it keeps nothing
            process.wait()
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                with suppress(BrokenPipeError):
                    pipe.close()
        self._log.close()

    def prepare(self, streams: int) -> int:
        """Start enough processes for so many streams; return how many there are."""
        wanted = min(-(-streams // STREAMS_EACH), self._most)
        known = len(self._processes)
        while len(self._processes) < wanted:
            self._processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", "streamd.bench.worker"],
                    env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=self._log,
                    start_new_session=True,  # Ctrl-C is for the bench
                )
            )
            self._order(self._processes[-1], self._setup)
        for process in self._processes[known:]:
            if _out(process).read(HEAD_BYTES) != READY:
                raise StreamdError(f"a process of the load failed: {self._why()}")
        return wanted

    def play(self, step: Play, watch: Callable[[float], None]) -> list[Answer]:
        """Play a step to its end.

        Args:
            step: for all streams, which are divided among the processes.
            watch: called repeatedly with the monotonic time.

        Raises:
            StreamdError: a process failed.
        """
        count = self.prepare(len(step.streams))
        busy = self._processes[:count]
        for number, process in enumerate(busy):
            self._order(process, msgspec.structs.replace(step, streams=step.streams[number::count]))
        answers: list[Answer] = []
        with selectors.DefaultSelector() as selector:
            for process in busy:
                selector.register(_out(process), selectors.EVENT_READ, process)
            while len(answers) < count:
                for key, _ in selector.select(LOOK_S):
                    process = key.data
                    answer = receive_answer(_out(process))
                    if answer is None:
                        raise StreamdError(f"a process of the load failed: {self._why()}")
                    selector.unregister(_out(process))
                    answers.append(answer)
                    if answer.is_cut:
                        for other in busy:
                            self._order(other, Stop())
                watch(time.monotonic())
        return answers

    def _order(self, process: subprocess.Popen[bytes], order: Setup | Play | Stop) -> None:
        assert process.stdin is not None
        try:
            process.stdin.write(framed(order))
            process.stdin.flush()
        except BrokenPipeError:
            raise StreamdError(f"a process of the load failed: {self._why()}") from None

    def _why(self) -> str:
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "without any output"


def _out(process: subprocess.Popen[bytes]) -> BinaryIO:
    assert process.stdout is not None
    return process.stdout  # type: ignore[return-value]
