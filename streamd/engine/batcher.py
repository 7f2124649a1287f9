"""Which jobs run together, and which first. Pure policy: time is what the caller says it is."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Generic, TypeVar

from streamd.types import Lane

ItemT = TypeVar("ItemT")

BEHIND_SHARE = 4
"""A batch of items that stand behind has this part of what its pass takes, so that an item that
comes meanwhile waits for a short batch only."""
BEHIND_S = 2.0
"""How long an item stands behind; then its turn has come."""


class Batcher(Generic[ItemT]):
    """Queues by pass and lane.

    An idle worker gets all that waits of a pass: nothing waits for batch mates, but what comes
    while a worker is busy makes its next batch. Among passes the better lane goes first, then the
    older item; within a batch likewise, so that a final overtakes interims.
    Items of streams that are ahead of real time stand behind all others, and make batches of their
    own, which are short.
    Only passes of speculative work wait for full batches, for so long as they may.
    Items have sizes, and those of a batch add up to what its pass takes, or it is one alone.

    The queues need no bound of their own: a session has one job a stepper and a handful of
    windows out at a time, and the number of sessions is bounded.
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
        """By pass, and by whether they stand behind and lane, the first of which go first."""

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
        """The next batch for a worker that serves `passes`.

        Args:
            passes: Their names.
            now: Seconds.
            with_behind: Whether items that stand behind may be taken.

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
        """Whether any item of a pass waits, ripe or not."""
        return any(self._queues[pass_name].values())

    def drop(self, is_useless: Callable[[ItemT], bool]) -> int:
        """Take out the items that nobody waits for any more.

        Returns:
            How many there were.
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
