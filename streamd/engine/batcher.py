"""The batcher decides which jobs run together, and which first. Its caller passes the time."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Generic, TypeAlias, TypeVar

from streamd.engine.base import Rank
from streamd.types import Lane

ItemT = TypeVar("ItemT")
_Queues: TypeAlias = dict[str, dict[Lane, deque[tuple[float, ItemT, int]]]]
"""The items by pass and lane, each with the time it was queued at, and its size."""

BEHIND_SHARE = 4
"""Divisor of the size of a batch of a lower rank, beside items of a better one. A live item that
arrives while such a batch runs, or while its answers are handed out, waits only for that short
batch."""
ALONE_S = 1.0
"""Seconds without an item of a better rank after which one gets batches of full size: full batches
cost less, and no live item is there to wait for them."""
BEHIND_S = 2.0
"""Seconds after which an item of a stream that is ahead has the priority of its lane."""


class Batcher(Generic[ItemT]):
    """Queues items by pass and lane, and forms batches out of them.

    An idle worker gets everything that waits for a pass, so no item waits for a fuller batch; the
    items that come while a worker is busy make its next batch. Between passes the better lane goes
    first, then the older item. The same holds within a batch, so that a final overtakes interims.
    Items of streams that are ahead of real time come after all live ones, and items of files after
    both. Each rank makes batches of its own, which are short unless the better ranks have nothing.
    A stream that is ahead does not wait for ever; a file does, as long as streams need the time.
    Only speculative passes wait for a full batch, up to a limit.
    Items have sizes. The sizes in a batch add up to what its pass takes at most, or the batch is
    one item.

    The queues need no bound of their own: a session has one job per stepper and a few windows at
    the engine, and the number of sessions is bounded.
    """

    def __init__(
        self, max_batch: Mapping[str, int], patience_s: Mapping[str, float] | None = None
    ) -> None:
        self._max_batch = max_batch
        self._patience_s = patience_s or {}
        self._queues: dict[Rank, _Queues[ItemT]] = {rank: _queues(max_batch) for rank in Rank}
        self.behind = 0
        """Number of items that are not live. It is usually 0, and then nobody looks for them."""
        self._came_at_s = dict.fromkeys(Rank, -math.inf)
        """When the last item of each rank came."""

    def add(
        self,
        pass_name: str,
        lane: Lane,
        item: ItemT,
        now: float,
        size: int = 1,
        rank: Rank = Rank.LIVE,
    ) -> None:
        """Queue an item."""
        self.behind += rank is not Rank.LIVE
        self._came_at_s[rank] = now
        self._queues[rank][pass_name][lane].append((now, item, size))

    def take(
        self, passes: Iterable[str], now: float, *, ranks: Collection[Rank] = tuple(Rank)
    ) -> tuple[str, list[tuple[float, ItemT]]] | None:
        """Return the next batch for a worker that serves `passes`.

        Args:
            passes: Names of the passes.
            now: Time in seconds.
            ranks: The ranks to take items of.

        Returns:
            The pass, and its items with the time they were queued; None if there is none now.
        """
        heads = [
            (self._order(rank, now - queue[0][0]), lane, queue[0][0], name, rank)
            for rank in ranks
            if self.behind or rank is Rank.LIVE
            for name in passes
            for lane, queue in self._queues[rank][name].items()
            if queue and self._is_ripe(name, queue, now)
        ]
        if not heads:
            return None
        _, _, _, name, rank = min(heads)
        batch: list[tuple[float, ItemT]] = []
        room = self._max_batch[name]
        if any(now - self._came_at_s[better] < ALONE_S for better in Rank if better < rank):
            room = max(room // BEHIND_SHARE, 1)
        for queue in self._queues[rank][name].values():
            while queue and (not batch or queue[0][2] <= room):
                queued_at, item, size = queue.popleft()
                batch.append((queued_at, item))
                room -= size
        if rank is not Rank.LIVE:
            self.behind -= len(batch)
        return name, batch

    @staticmethod
    def _order(rank: Rank, waited_s: float) -> Rank:
        return Rank.LIVE if rank is Rank.AHEAD and waited_s >= BEHIND_S else rank

    def is_waiting(self, pass_name: str) -> bool:
        """Return whether any item of a pass waits, due or not."""
        ranks = Rank if self.behind else (Rank.LIVE,)
        return any(queue for rank in ranks for queue in self._queues[rank][pass_name].values())

    def drop(self, is_useless: Callable[[ItemT], bool]) -> int:
        """Drop the items whose answers are useless.

        Returns:
            How many were dropped.
        """
        dropped = _drop(self._queues[Rank.LIVE], is_useless)
        if self.behind:
            for rank in (Rank.AHEAD, Rank.FILE):
                behind = _drop(self._queues[rank], is_useless)
                self.behind -= behind
                dropped += behind
        return dropped

    def _is_ripe(self, name: str, queue: deque[tuple[float, ItemT, int]], now: float) -> bool:
        patience_s = self._patience_s.get(name, 0.0)
        return len(queue) >= self._max_batch[name] or now - queue[0][0] >= patience_s

    def depths(self) -> dict[tuple[str, Lane], int]:
        """Return how many items wait, by pass and lane."""
        return {
            (name, lane): sum(len(queues[name][lane]) for queues in self._queues.values())
            for name in self._max_batch
            for lane in Lane
        }

    def depth(self, rank: Rank) -> int:
        """Return how many items of a rank wait."""
        return sum(len(q) for lanes in self._queues[rank].values() for q in lanes.values())


def _queues(passes: Iterable[str]) -> _Queues[ItemT]:
    return {name: {lane: deque() for lane in Lane} for name in passes}


def _drop(queues: _Queues[ItemT], is_useless: Callable[[ItemT], bool]) -> int:
    dropped = 0
    for lanes in queues.values():
        for queue in lanes.values():
            kept = [entry for entry in queue if not is_useless(entry[1])]
            if len(kept) < len(queue):
                dropped += len(queue) - len(kept)
                queue.clear()
                queue.extend(kept)
    return dropped
