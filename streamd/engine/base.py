"""The interfaces between a stream and an engine, wherever the engine runs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from streamd.types import Job, Samples, Slots


class Sink(Protocol):
    """Takes the answers to a stream's jobs. Called on the event loop."""

    def cut(self, job: Job) -> Samples:
        """Return the samples of a job that is put into a batch."""

    def complete(self, job: Job, output: Any) -> None:
        """Take the output of a job."""

    def fail(self, job: Job, error: Exception) -> None:
        """Take note that a job failed, even alone."""

    def advance(self) -> None:
        """Go on, because the answers of a batch are in or the stream is due."""


@dataclass(slots=True, eq=False)
class Lease:
    """A stream's slots. The engine frees them after the stream's last job."""

    slots: Mapping[str, Slots]
    sink: Sink | None = None
    in_flight: int = 0
    closed: bool = False
    is_ahead: bool = False
    """Whether its audio comes faster than in real time, so that its jobs stand behind others."""


class Engine(Protocol):
    """Runs the jobs of all streams, batched across them. Called on the event loop."""

    max_streams: int
    """Number of leases that there may be."""
    leases: int
    """Number of leases that there are."""
    closing: int
    """Number of leases that are closed and whose last job still runs; `leases` includes them."""

    @property
    def is_healthy(self) -> bool:
        """Return whether every worker has lately come back from work."""

    @property
    def is_full(self) -> bool:
        """Return whether the engine can take no further stream."""

    def start(self, answered: Callable[[], None] | None = None) -> None:
        """Start, on the event loop that will use it.

        Args:
            answered: called, on any thread, when there is something to `collect`; without it the
                engine asks the loop to collect at once.
        """

    def stop(self, timeout_s: float = 5.0) -> bool:
        """Stop; return False if something hangs."""

    def open(self) -> Lease:
        """Return a lease with slots for one stream.

        Raises:
            Overloaded: there are none left.
        """

    def close(self, lease: Lease) -> None:
        """End a lease, and drop its jobs that still wait."""

    def submit(self, lease: Lease, jobs: Sequence[Job]) -> None:
        """Queue jobs, whose answers go to `lease.sink`; a closed lease takes none."""

    def withdraw(self, lease: Lease, keys: Collection[int]) -> None:
        """Drop the jobs of these keys that still wait; those in a batch are answered."""

    def collect(self) -> bool:
        """Take in one batch that was run, hand out its answers, and return whether more wait."""

    def together(self) -> AbstractContextManager[None]:
        """Dispatch all jobs that are submitted inside at its end, so that they make one batch.

        The event loop may turn meanwhile.
        """

    def observe(self) -> None:
        """Bring the queue gauges up to date."""
