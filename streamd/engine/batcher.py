"""The batcher decides which jobs run together, and which first. Its caller passes the time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Generic, TypeVar

from streamd.types import Lane

ItemT = TypeVar("ItemT")

BEHIND_SHARE = 4
"""Divisor of the size of a batch whose items stand behind. An item that comes meanwhile waits only
for that short batch."""
BEHIND_S = 2.0
"""Seconds after which an item stands behind no longer."""


class Batcher(Generic[ItemT]):
    """Queues items by pass and lane, and forms batches out of them.

    An idle worker gets everything that waits for a pass, so no item waits for a fuller batch; the
    items that come while a worker is busy make its next batch. Between passes the better lane goes
    first, then the older item. The same holds within a batch, so that a final overtakes interims.
    Items of streams that are ahead of real time stand behind all others, and make batches of their
    own, which are short. Only speculative passes wait for a full batch, up to a limit.
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
        self._queues: dict[str, dict[tuple[bool, Lane], deque[tuple[float, ItemT, int]]]] = {
            name: {(is_behind, lane): deque() for is_behind in (False, True) for lane in Lane}
            for name in max_batch
        }
        """Queues by pass, whether their items stand behind, and lane; earlier ones go first."""

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
        self._queues[pass_name][is_behind, lane].append((now, item, size))

    def take(
        self, passes: Iterable[str], now: float, *, with_behind: bool = True
    ) -> tuple[str, list[tuple[float, ItemT]]] | None:
        """Return the next batch for a worker that serves `passes`.

        Args:
            passes: Names of the passes.
            now: Time in seconds.
            with_behind: Whether to take items that stand behind, too.

        Returns:
            The pass, and its items with the time they were queued; None if there is none now.
        """
        heads = [
            (is_behind and now - queue[0][0] < BEHIND_S, lane, queue[0][0], name, is_behind)
            for name in passes
            for (is_behind, lane), queue in self._queues[name].items()
            if queue and (with_behind or not is_behind) and self._is_ripe(name, queue, now)
        ]
        if not heads:
            return None
        _, _, _, name, is_behind = min(heads)
        batch: list[tuple[float, ItemT]] = []
        room = self._max_batch[name]
        if is_behind:
            room = max(room // BEHIND_SHARE, 1)
        queues = [queue for key, queue in self._queues[name].items() if key[0] == is_behind]
        for queue in queues:
            while queue and (not batch or queue[0][2] <= room):
                queued_at, item, size = queue.popleft()
                batch.append((queued_at, item))
                room -= size
        return name, batch

    def is_waiting(self, pass_name: str) -> bool:
        """Return whether any item of a pass waits, due or not."""
        return any(self._queues[pass_name].values())

    def drop(self, is_useless: Callable[[ItemT], bool]) -> int:
        """Drop the items whose answers are useless.

        Returns:
            How many were dropped.
        """
        dropped = 0
        for lanes in self._queues.values():
            for queue in lanes.values():
                kept = [entry for entry in queue if not is_useless(entry[1])]
                if len(kept) < len(queue):
                    dropped += len(queue) - len(kept)
                    queue.clear()
                    queue.extend(kept)
        return dropped

    def _is_ripe(self, name: str, queue: deque[tuple[float, ItemT, int]], now: float) -> bool:
        patience_s = self._patience_s.get(name, 0.0)
        return len(queue) >= self._max_batch[name] or now - queue[0][0] >= patience_s

    def depths(self) -> dict[tuple[str, Lane], int]:
        """Return how many items wait, by pass and lane."""
        return {
            (name, lane): len(queues[False, lane]) + len(queues[True, lane])
            for name, queues in self._queues.items()
            for lane in Lane
        }
