"""How entries get into the log: at once for a command, off the event loop for the daemon."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

import structlog

from streamd.access.audit.entry import Entry
from streamd.access.audit.journal import Journal
from streamd.config import AccessConfig, audit_path
from streamd.errors import NotAudited, Unavailable
from streamd.observability.metrics import Metrics
from streamd.places import Environ

log = structlog.get_logger("streamd.audit")

MAX_WAITING = 10_000
"""Entries that may wait for the disk, about 1 KB each; further ones are lost, and counted."""
RETRY_S = 1.0
REFUSALS_PER_S = 10
REFUSALS_AT_ONCE = 100
"""Refused requests that are written one by one. Of more, which anybody could send to fill the disk
or to rotate the log away, only the number is written."""


def journal(settings: AccessConfig, environ: Environ) -> Journal | None:
    """Return the log that a configuration asks for; None for none."""
    path = audit_path(settings.audit_path, environ)
    if path is None:
        return None
    return Journal(path, settings.audit_max_mb * 1_000_000, settings.audit_keep)


class AtOnce:
    """Writes each entry before it returns, for commands."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def record(self, entry: Entry) -> str:
        """Write an entry, and return its id.

        Raises:
            NotAudited: It cannot be written; what it is about has happened all the same.
        """
        try:
            self._journal.append([entry])
        except Unavailable as error:
            raise NotAudited(
                f"done, but the audit log does not have it ({entry.action}): {error}"
            ) from error
        return entry.id


class Nowhere:
    """Takes entries of a server without an audit log."""

    def record(self, entry: Entry) -> str:
        """Return no id, because there is no entry."""
        return ""

    def close(self) -> None:
        """Do nothing."""


class Behind:
    """Writes entries on a thread, so that the event loop never waits for the disk.

    Args:
        journal: Where to.
        metrics: Has the entries that wait and those that were lost.
        clock: Returns monotonic seconds.
    """

    def __init__(
        self, journal: Journal, metrics: Metrics, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._journal = journal
        self._lost_total = metrics.audit_lost
        self._waiting: deque[Entry] = deque()
        self._lost = 0
        self._refusals = float(REFUSALS_AT_ONCE)
        self._clock = clock
        self._refused_at_s = clock()
        self._left_out = 0
        self._newest_left_out: Entry | None = None
        self._wake = threading.Condition()
        self._is_closing = False
        self._complaint = ""
        metrics.queue("audit", MAX_WAITING, lambda: len(self._waiting))
        self._thread = threading.Thread(target=self._run, name="audit", daemon=True)
        self._thread.start()

    def record(self, entry: Entry) -> str:
        """Put an entry on its way, and return its id."""
        with self._wake:
            if entry.action == "request" and entry.outcome != "ok":
                if not self._may_write_refusal():
                    self._left_out += 1
                    self._newest_left_out = entry
                    return entry.id
                if self._left_out:
                    entry = _with_left_out(entry, self._left_out)
                    self._left_out = 0
            if len(self._waiting) >= MAX_WAITING:
                self._lost += 1
                self._lost_total.inc()
                return entry.id
            self._waiting.append(entry)
            self._wake.notify()
        return entry.id

    def close(self) -> None:
        """Write what waits, if that is possible, and end the thread."""
        with self._wake:
            if self._left_out and self._newest_left_out is not None:
                # No later refusal has their number.
                self._waiting.append(_with_left_out(self._newest_left_out, self._left_out - 1))
                self._left_out = 0
            self._is_closing = True
            self._wake.notify()
        self._thread.join()
        if self._waiting:
            self._lost_total.inc(len(self._waiting))
            log.error("entries of the audit log are lost", entries=len(self._waiting))

    def _may_write_refusal(self) -> bool:
        now_s = self._clock()
        self._refusals = min(
            REFUSALS_AT_ONCE, self._refusals + (now_s - self._refused_at_s) * REFUSALS_PER_S
        )
        self._refused_at_s = now_s
        if self._refusals < 1:
            return False
        self._refusals -= 1
        return True

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._waiting or self._is_closing)
                batch, lost = list(self._waiting), self._lost
                if not batch:
                    return
                is_closing = self._is_closing
            if self._write(batch, lost):
                with self._wake:
                    self._lost -= lost
                    for _ in batch:
                        self._waiting.popleft()
            elif is_closing:
                return
            else:
                with self._wake:
                    self._wake.wait_for(lambda: self._is_closing, RETRY_S)

    def _write(self, batch: list[Entry], lost: int) -> bool:
        if lost:
            batch = [*batch, Entry(action="lost", by="server", count=lost)]
        try:
            self._journal.append(batch)
        except Unavailable as error:
            if self._complaint != str(error):
                self._complaint = str(error)
                log.error("the audit log cannot be written; trying again", error=str(error))
            return False
        if self._complaint:
            self._complaint = ""
            log.info("the audit log can be written again")
        return True


def _with_left_out(entry: Entry, left_out: int) -> Entry:
    fields = {name: getattr(entry, name) for name in entry.__struct_fields__}
    return Entry(**{**fields, "left_out": left_out})
