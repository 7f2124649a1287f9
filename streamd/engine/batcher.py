"""The batcher decides which jobs run together, and which first. Its caller passes the time."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Generic, TypeAlias, TypeVar

from streamd.types import Lane

ItemT = TypeVar("ItemT")
_Queues: TypeAlias = dict[str, dict[Lane, deque[tuple[float, ItemT, int]]]]
"""The items by pass and lane, each with the time it was queued at, and its size."""

BEHIND_SHARE = 4
"""Divisor of the size of a batch of streams that are ahead of real time, beside others. A live item
that arrives while such a batch runs waits only for that short batch."""
ALONE_S = 1.0
"""Seconds without an item of another stream after which streams that are ahead of real time get
batches of full size: full batches cost less, and no live item is there to wait for them."""
BEHIND_S = 2.0
"""Seconds after which an item of such a stream has the priority of its lane."""


class Batcher(Generic[ItemT]):
    """Queues items by pass and lane, and forms batches out of them.

    An idle worker gets everything that waits for a pass, so no item waits for a fuller batch; the
    items that come while a worker is busy make its next batch. Between passes the better lane goes
    first, then the older item. The same holds within a batch, so that a final overtakes interims.
    Items of streams that are ahead of real time come after all others, and make batches of their
    own, which are short unless there are no other streams. Only speculative passes wait for a full
    batch, up to a limit.
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
        self._live: _Queues[ItemT] = _queues(max_batch)
        self._behind: _Queues[ItemT] = _queues(max_batch)
        """The items that stand behind."""
        self.behind = 0
        """Number of items that stand behind. It is usually 0, and then nobody looks for them."""
        self._live_at_s = -math.inf
        """When the last item came that does not stand behind."""

    def add(
        self,
        pass_name: str,
        lane: Lane,
        item: ItemT,
        now: float,
        size: int = 1,
        is_behind: bool = False,
    ) -> None:
        """Queue an item."""
        if is_behind:
            self.behind += 1
            self._behind[pass_name][lane].append((now, item, size))
        else:
            self._live_at_s = now
            self._live[pass_name][lane].append((now, item, size))

    def take(
        self, passes: Iterable[str], now: float, *, with_behind: bool = True
    ) -> tuple[str, list[tuple[float, ItemT]]] | None:
        """Return the next batch for a worker that serves `passes`.

        Args:
            passes: Names of the passes.
            now: Time in seconds.
            with_behind: Whether to take items of streams that are ahead of real time, too.

        Returns:
            The pass, and its items with the time they were queued; None if there is none now.
        """
        heads = [
            (False, lane, queue[0][0], name, False)
            for name in passes
            for lane, queue in self._live[name].items()
            if queue and self._is_ripe(name, queue, now)
        ]
        if with_behind and self.behind:
            heads += [
                (now - queue[0][0] < BEHIND_S, lane, queue[0][0], name, True)
                for name in passes
                for lane, queue in self._behind[name].items()
                if queue and self._is_ripe(name, queue, now)
            ]
        if not heads:
            return None
        _, _, _, name, is_behind = min(heads)
        batch: list[tuple[float, ItemT]] = []
        room = self._max_batch[name]
        if is_behind and now - self._live_at_s < ALONE_S:
            room = max(room // BEHIND_SHARE, 1)
        for queue in (self._behind if is_behind else self._live)[name].values():
            while queue and (not batch or queue[0][2] <= room):
                queued_at, item, size = queue.popleft()
                batch.append((queued_at, item))
                room -= size
        if is_behind:
            self.behind -= len(batch)
        return name, batch

    def is_waiting(self, pass_name: str) -> bool:
        """Return whether any item of a pass waits, due or not."""
        return any(self._live[pass_name].values()) or (
            self.behind > 0 and any(self._behind[pass_name].values())
        )

    def drop(self, is_useless: Callable[[ItemT], bool]) -> int:
        """Drop the items whose answers are useless.

        Returns:
            How many were dropped.
        """
        behind = _drop(self._behind, is_useless) if self.behind else 0
        self.behind -= behind
        return behind + _drop(self._live, is_useless)

    def _is_ripe(self, name: str, queue: deque[tuple[float, ItemT, int]], now: float) -> bool:
        patience_s = self._patience_s.get(name, 0.0)
        return len(queue) >= self._max_batch[name] or now - queue[0][0] >= patience_s

    def depths(self) -> dict[tuple[str, Lane], int]:
        """Return how many items wait, by pass and lane."""
        return {
            (name, lane): len(queue) + len(self._behind[name][lane])
            for name, queues in self._live.items()
            for lane, queue in queues.items()
        }


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
