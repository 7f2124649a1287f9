"""Which jobs run together, and which first. Pure policy: time is what the caller says it is."""

from __future__ import annotations

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

    An idle worker gets all that waits of a pass: nothing waits for batch mates, but what comes
    while a worker is busy makes its next batch. Among passes the better lane goes first, then the
    older item; within a batch likewise, so that a final overtakes interims.
    Only passes whose work is done ahead wait for full batches, for so long as they may.
    Items have sizes, and those of a batch add up to what its pass takes, or it is one alone.

    The queues need no bound of their own: a session has one job a stepper and a handful of
    windows out at a time, and the number of sessions is bounded.
    """

    def __init__(
        self, max_batch: Mapping[str, int], patience_s: Mapping[str, float] | None = None
    ) -> None:
        self._max_batch = max_batch
        self._patience_s = patience_s or {}
        self._queues: dict[str, dict[Lane, deque[tuple[float, ItemT, int]]]] = {
            name: {lane: deque() for lane in Lane} for name in max_batch
        }

    def add(
        self,
        pass_name: str,
        lane: Lane,
        item: ItemT,
        now: float,
        size: int = 1,
    ) -> None:
        """Queue an item."""
        self._queues[pass_name][lane].append((now, item, size))

    def take(
        self, passes: Iterable[str], keep: Callable[[ItemT], bool], now: float
    ) -> tuple[str, list[tuple[float, ItemT]]] | None:
        """The next batch for a worker that serves `passes`.

        Items that `keep` refuses (their session is gone) are dropped here, not run.

        Returns:
            The pass, and its items with the time they were queued; None if there is none now.
        """
        while True:
            heads = [
                (lane, queue[0][0], name)
                for name in passes
                for lane, queue in self._queues[name].items()
                if queue and self._is_ripe(name, queue, now)
            ]
            if not heads:
                return None
            name = min(heads)[2]
            batch: list[tuple[float, ItemT]] = []
            room = self._max_batch[name]
            for queue in self._queues[name].values():
                while queue and (not batch or queue[0][2] <= room):
                    queued_at, item, size = queue.popleft()
                    if keep(item):
                        batch.append((queued_at, item))
                        room -= size
            if batch:
                return name, batch

    def is_waiting(self, pass_name: str) -> bool:
        """Whether any item of a pass waits, ripe or not."""
        return any(self._queues[pass_name].values())

    def drop(self, pass_name: str, is_off: Callable[[ItemT], bool]) -> None:
        """Take out the items of a pass that nobody waits for any more."""
        for queue in self._queues[pass_name].values():
            kept = [entry for entry in queue if not is_off(entry[1])]
            queue.clear()
            queue.extend(kept)

    def _is_ripe(self, name: str, queue: deque[tuple[float, ItemT, int]], now: float) -> bool:
        patience_s = self._patience_s.get(name, 0.0)
        return len(queue) >= self._max_batch[name] or now - queue[0][0] >= patience_s

    def statistics(self, now: float) -> dict[tuple[str, Lane], QueueStatistics]:
        """What waits, by pass and lane."""
        return {
            (name, lane): QueueStatistics(len(queue), now - queue[0][0] if queue else 0.0)
            for name, lanes in self._queues.items()
            for lane, queue in lanes.items()
        }
