"""Rows in which the processes of a store count the use of each key together.

Every function runs in a transaction. What is past its time is deleted on the way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from streamd.store.access import Spend
from streamd.store.database import Rows

MOST_DEBT_US = 60_000_000
"""Longest that a limit can be exceeded for, microseconds."""


def claim(
    db: Rows, process: str, key_id: str, sockets: int, most: int, lease_ms: int, now_ms: int
) -> bool:
    """Note that a process has so many sockets open, unless all have more than `most` together."""
    _expire(db, lease_ms, now_ms)
    (elsewhere,) = db.execute(
        "SELECT coalesce(sum(sockets), 0) FROM open_sockets WHERE key_id = ? AND process <> ?",
        (key_id, process),
    ).fetchone()
    if elsewhere + sockets > most:
        return False
    _note(db, process, {key_id: sockets}, now_ms + lease_ms)
    return True


def hold(db: Rows, process: str, sockets: Mapping[str, int], lease_ms: int, now_ms: int) -> None:
    """Note the open sockets of a process, by key, in the place of all that was noted before."""
    _expire(db, lease_ms, now_ms)
    db.execute("DELETE FROM open_sockets WHERE process = ?", (process,))
    _note(db, process, sockets, now_ms + lease_ms)


def spend(db: Rows, spends: Iterable[Spend], now_ms: int) -> list[int]:
    """Add to what was used of limits; return what is used of each."""
    oldest_ms = now_ms - MOST_DEBT_US // 1000
    db.execute(
        "DELETE FROM rates WHERE changed_at < ? OR changed_at > ?",
        (oldest_ms, now_ms + MOST_DEBT_US // 1000),
    )
    return [_spend(db, one, now_ms) for one in spends]


def _expire(db: Rows, lease_ms: int, now_ms: int) -> None:
    # A clock that was set back must not keep the row of a killed process for longer than a lease.
    db.execute(
        "UPDATE open_sockets SET until_at = ? WHERE until_at > ?",
        (now_ms + lease_ms, now_ms + lease_ms),
    )
    db.execute("DELETE FROM open_sockets WHERE until_at <= ?", (now_ms,))


def _note(db: Rows, process: str, sockets: Mapping[str, int], until_ms: int) -> None:
    db.executemany(
        "INSERT INTO open_sockets (process, key_id, sockets, until_at) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (process, key_id)"
        " DO UPDATE SET sockets = excluded.sockets, until_at = excluded.until_at",
        [(process, key_id, count, until_ms) for key_id, count in sockets.items()],
    )


def _spend(db: Rows, one: Spend, now_ms: int) -> int:
    row = db.execute(
        "SELECT debt_us, changed_at FROM rates WHERE bucket = ?", (one.bucket,)
    ).fetchone()
    debt_us, changed_ms = row or (0, one.since_ms)
    # Up to `since_ms` nothing of this spend was used. A change in the future is another process's
    # whose clock is ahead, or one from before the clock was set back: no time has passed since.
    since_ms = min(max(changed_ms, one.since_ms), now_ms)
    debt_us = max(debt_us - 1000 * max(since_ms - changed_ms, 0), 0)
    passed_ms = 0 if changed_ms > now_ms else now_ms - since_ms
    debt_us = min(max(debt_us + one.used_us - 1000 * passed_ms, 0), MOST_DEBT_US)
    db.execute(
        "INSERT INTO rates (bucket, debt_us, changed_at) VALUES (?, ?, ?) ON CONFLICT (bucket)"
        " DO UPDATE SET debt_us = excluded.debt_us, changed_at = excluded.changed_at",
        (one.bucket, debt_us, now_ms),
    )
    return debt_us
