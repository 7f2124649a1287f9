"""Where sealed records stand in the database, and how all of a kind are sealed anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from streamd.errors import Unavailable
from streamd.store.cipher import Cipher, Damaged
from streamd.store.database import Rows

PAGE = 500
"""Records that are in memory at once."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """The sealed records of one table."""

    table: str
    column: str
    """What is sealed."""
    ids: tuple[str, ...]
    """Columns that tell a row from others."""
    owner: str
    """Columns that `belongs_to` takes, with commas."""
    belongs_to: Callable[..., tuple[str, ...]]
    """Returns what a record is bound to."""
    join: str = ""
    where: str = "1 = 1"
    may_be_damaged: bool = False
    """Whether a damaged record counts as none; otherwise it is an error."""

    def count(self, db: Rows) -> int:
        """Return the number of records."""
        (count,) = db.execute(f"SELECT count(*) FROM {self.table} WHERE {self.where}").fetchone()
        return int(count)

    def seal_anew(self, db: Rows, old: Cipher, new: Cipher) -> Iterator[int]:
        """Seal all records with another key, in a transaction; yield how many, page by page.

        Raises:
            Unavailable: One is damaged.
        """
        ids, several = ", ".join(self.ids), len(self.ids)
        marks, match = ", ".join("?" * several), " AND ".join(f"{name} = ?" for name in self.ids)
        after, last = "", tuple[object, ...]()
        while True:
            page = db.execute(
                f"SELECT {ids}, {self.column}, {self.owner} FROM {self.table} {self.join}"
                f" WHERE {self.where}{after} ORDER BY {ids} LIMIT ?",
                (*last, PAGE),
            ).fetchall()
            if not page:
                return
            done = []
            for row in page:
                belongs_to = self.belongs_to(*row[several + 1 :])
                try:
                    plain = old.open(row[several], *belongs_to)
                except Damaged as error:
                    if self.may_be_damaged:
                        continue
                    raise Unavailable(
                        f"a record of the table {self.table} in the store is damaged or was "
                        "tampered with, and nothing was changed: delete what it belongs to, or "
                        "restore a backup"
                    ) from error
                done.append((new.seal(plain, *belongs_to), *row[:several]))
            if done:
                db.executemany(f"UPDATE {self.table} SET {self.column} = ? WHERE {match}", done)
            yield len(page)
            after, last = f" AND ({ids}) > ({marks})", tuple(page[-1][:several])
