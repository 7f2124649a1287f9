"""What a stream and an engine ask of each other, wherever the engine runs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from streamd.types import Job, Samples, Slots


class Sink(Protocol):
    """Where the answers of a stream's jobs go. Called on the event loop."""

    def cut(self, job: Job) -> Samples:
        """The samples of a job, now that it is put into a batch."""

    def complete(self, job: Job, output: Any) -> None:
        """The job's output."""

    def fail(self, job: Job, error: Exception) -> None:
        """The job could not be run, not even alone."""

    def advance(self) -> None:
        """The answers of a batch are in, or the stream is due: go on."""


@dataclass(slots=True, eq=False)
class Lease:
    """A stream's slots. They go back when its last job has."""

    slots: Mapping[str, Slots]
    sink: Sink | None = None
    in_flight: int = 0
    closed: bool = False
    is_ahead: bool = False
    """Its audio comes faster than in real time: its jobs stand behind those of live streams."""


class Engine(Protocol):
    """Runs the jobs of all streams, batched across them. Called on the event loop."""

    max_streams: int
    """Leases that there may be."""
    leases: int
    """Leases that there are."""

    @property
    def is_healthy(self) -> bool:
        """Whether it has lately come back from work."""

    @property
    def is_full(self) -> bool:
        """Whether no further stream can be taken."""

    def start(self, answered: Callable[[], None] | None = None) -> None:
        """Start, on the event loop that will use it.

        Args:
            answered: called, on any thread, when there is something to `collect`; without it the
                loop is asked to collect at once.
        """

    def stop(self, timeout_s: float = 5.0) -> bool:
        """End; False if something hangs."""

    def open(self) -> Lease:
        """Slots for one stream.

        Raises:
            Overloaded: there are none left.
        """

    def close(self, lease: Lease) -> None:
        """The stream is over: what still waits is dropped."""

    def submit(self, lease: Lease, jobs: Sequence[Job]) -> None:
        """Queue jobs; their answers go to `lease.sink`. A closed lease takes none."""

    def withdraw(self, lease: Lease, keys: Collection[int]) -> None:
        """Do not run the jobs of these keys; those that run already are answered all the same."""

    def collect(self) -> bool:
        """Take in one batch that was run, and hand out its answers; True if there are more."""

    def together(self) -> AbstractContextManager[None]:
        """Dispatch all jobs that are submitted inside at its end, so that they make one batch.

        The loop may turn meanwhile.
        """

    def observe(self) -> None:
        """Bring the queue gauges up to date."""
