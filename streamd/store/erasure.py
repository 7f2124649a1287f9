"""Remains of deletions, which each database erases in a way of its own.

A note stands in the database from the transaction that deletes until the remains are erased, so
that a process that dies in between leaves the rest to the next one.
"""

from __future__ import annotations

from streamd.store.database import Database, Rows


def request(db: Rows) -> None:
    """Note that remains are to be erased, in the transaction that deletes."""
    db.execute("INSERT INTO erasures DEFAULT VALUES")


def complete(database: Database, patiently: bool) -> bool:
    """Erase what earlier deletions left.

    Args:
        database: in none of whose contexts the caller is.
        patiently: whether to wait for others that use the database.

    Returns:
        Whether nothing is left.
    """
    # First: a deletion that another process commits meanwhile is not covered.
    with database.reading() as db:
        (newest,) = db.execute("SELECT max(id) FROM erasures").fetchone()
    if newest is None:
        return True
    if not database.overwrite(patiently):
        return False
    with database.reading() as db:
        db.execute("DELETE FROM erasures WHERE id <= ?", (newest,))
    return True
