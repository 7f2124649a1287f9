"""Which jobs run together, and which wait. Pure policy: time is what the caller says it is."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from streamd.types import Lane

ItemT = TypeVar("ItemT")


@dataclass(frozen=True, slots=True)
class QueueStatistics:
    """Items of one pass that wait."""

    waiting: int
    oldest_s: float


class Batcher(Generic[ItemT]):
    """Queues by pass and lane.

    An idle worker gets the best batch that is due: an item may wait a little for batch mates,
    as long as its caller says, or until the batch is full. Among passes the better lane goes
    first, then the older item; within a batch likewise, so that a final overtakes interims.
    Items have sizes, and those of a batch add up to what its pass takes, or it is one alone.

    The queues need no bound of their own: a session has one job a stepper and a handful of
    windows out at a time, and the number of sessions is bounded.
    """

    def __init__(self, max_batch: Mapping[str, int]) -> None:
        self._max_batch = max_batch
        self._queues: dict[str, dict[Lane, deque[tuple[float, ItemT, int]]]] = {
            name: {lane: deque() for lane in Lane} for name in max_batch
        }
        self._waiting = dict.fromkeys(max_batch, 0)
        self._due = dict.fromkeys(max_batch, math.inf)

    def add(
        self,
        pass_name: str,
        lane: Lane,
        item: ItemT,
        now: float,
        wait_s: float = 0.0,
        size: int = 1,
    ) -> float:
        """Queue an item that may wait so long for others.

        Returns:
            When the pass's next batch is due.
        """
        self._queues[pass_name][lane].append((now, item, size))
        self._waiting[pass_name] += size
        due = now + wait_s if self._waiting[pass_name] < self._max_batch[pass_name] else now
        due = self._due[pass_name] = min(self._due[pass_name], due)
        return due

    def due(self, passes: Iterable[str]) -> float:
        """When the next batch for a worker that serves `passes` is due; infinity if none waits."""
        return min(self._due[name] for name in passes)

    def take(
        self, passes: Iterable[str], keep: Callable[[ItemT], bool], now: float = math.inf
    ) -> tuple[str, list[tuple[float, ItemT]]] | None:
        """The batch that is due for a worker that serves `passes`.

        Items that `keep` refuses (their session is gone) are dropped here, not run.

        Returns:
            The pass, and its items with the time they were queued; None if nothing is due.
        """
        while True:
            heads = [
                (lane, queue[0][0], name)
                for name in passes
                if self._due[name] <= now
                for lane, queue in self._queues[name].items()
                if queue
            ]
            if not heads:
                return None
            name = min(heads)[2]
            batch: list[tuple[float, ItemT]] = []
            room = self._max_batch[name]
            for queue in self._queues[name].values():
                while queue and (not batch or queue[0][2] <= room):
                    queued_at, item, size = queue.popleft()
                    self._waiting[name] -= size
                    if keep(item):
                        batch.append((queued_at, item))
                        room -= size
            # Who is left over was due with the others.
            self._due[name] = -math.inf if self._waiting[name] else math.inf
            if batch:
                return name, batch

    def statistics(self, now: float) -> dict[tuple[str, Lane], QueueStatistics]:
        """What waits, by pass and lane."""
        return {
            (name, lane): QueueStatistics(len(queue), now - queue[0][0] if queue else 0.0)
            for name, lanes in self._queues.items()
            for lane, queue in lanes.items()
        }
