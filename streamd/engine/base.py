"""The interfaces between a stream and an engine, wherever the engine runs."""

from __future__ import annotations

import enum
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


class Rank(enum.IntEnum):
    """Whose jobs go first; lower is better."""

    LIVE = 0
    """Streams in real time."""
    AHEAD = 1
    """Streams whose audio comes faster than that, so that their results may wait."""
    FILE = 2
    """Files, which take only the time that streams leave."""


@dataclass(slots=True, eq=False)
class FileUse:
    """What files have of an engine, on top of its streams."""

    max_leases: int = 0
    """Number of leases that there may be."""
    leases: int = 0
    """Number of leases that there are."""
    cpu_s: float = 0.0
    """CPU time spent on files, seconds, on all threads."""
    loop_s: float = 0.0
    """The part of it that the thread of the event loop has spent."""

    def charge_loop(self, cpu_s: float) -> None:
        """Add what the event loop has spent on files."""
        self.loop_s += cpu_s
        self.cpu_s += cpu_s


@dataclass(slots=True, eq=False)
class Lease:
    """A stream's slots. The engine frees them after the stream's last job."""

    slots: Mapping[str, Slots]
    sink: Sink | None = None
    in_flight: int = 0
    closed: bool = False
    is_ahead: bool = False
    """Whether its audio comes faster than in real time, so that its jobs stand behind others."""
    is_file: bool = False
    """Whether it is that of a file, so that its jobs stand behind those of all streams."""

    @property
    def rank(self) -> Rank:
        """Return the rank of its jobs."""
        return Rank.FILE if self.is_file else Rank.AHEAD if self.is_ahead else Rank.LIVE


class Engine(Protocol):
    """Runs the jobs of all streams, batched across them. Called on the event loop."""

    max_streams: int
    """Number of leases that streams may have."""
    leases: int
    """Number of leases of streams that there are."""
    files: FileUse
    """What files use, whose leases do not count as those of streams."""
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

    def open_file(self) -> Lease:
        """Return a lease with slots for one file.

        Raises:
            Overloaded: there are none left.
        """

    def close(self, lease: Lease) -> None:
        """End a lease, and drop its jobs that still wait."""

    def submit(self, lease: Lease, jobs: Sequence[Job]) -> None:
        """Queue jobs, whose answers go to `lease.sink`; a closed lease takes none."""

    def withdraw(self, lease: Lease, keys: Collection[int]) -> None:
        """Drop the jobs of these keys that still wait; those in a batch are answered."""

    def run_live_only(self, on: bool) -> None:
        """Start batches of voice activity and wake words alone, or of everything.

        Jobs of the other passes wait meanwhile; a batch that already runs goes on.
        """

    def collect(self) -> bool:
        """Take in one batch that was run, hand out its answers, and return whether more wait."""

    def together(self) -> AbstractContextManager[None]:
        """Dispatch all jobs that are submitted inside at its end, so that they make one batch.

        The event loop may turn meanwhile.
        """

    def observe(self) -> None:
        """Bring the queue gauges up to date."""
