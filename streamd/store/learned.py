"""Baselines that sessions learned of voices, on their way to the store."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future

import structlog

from streamd.modules.emotion import BASELINE_MODEL
from streamd.observability.metrics import Metrics
from streamd.store.base import Store
from streamd.store.complaints import Complaints

log = structlog.get_logger("streamd.store")

MAX_UNWRITTEN = 1000
"""Most voices whose baselines wait for the store, about 5 KB each."""


class Learned:
    """The baselines that are not in the store yet. Belongs to the event loop.

    While the store cannot be written, the latest baseline of each of at most `MAX_UNWRITTEN` voices
    waits; the oldest is dropped.

    Args:
        store: opened for any tenant.
        thread: on which the store is written.
        metrics: counts the baselines that were dropped.
        complaints: takes what fails, as the operation `write`.
    """

    def __init__(
        self, store: Store, thread: Executor, metrics: Metrics, complaints: Complaints
    ) -> None:
        self._store = store
        self._thread = thread
        self._complaints = complaints
        self._dropped = metrics.baselines_dropped
        self._unwritten: dict[tuple[str, str], bytes] = {}
        """The latest of each voice, by tenant and name."""
        metrics.queue("baselines", MAX_UNWRITTEN, lambda: len(self._unwritten))
        self._is_writing = False

    def add(self, tenant: str, learned: Mapping[str, bytes]) -> None:
        """Take the baselines of voices of a tenant, by name, and write them."""
        for name, baseline in learned.items():
            self._unwritten.pop((tenant, name), None)
            self._unwritten[tenant, name] = baseline
        too_many = list(self._unwritten)[:-MAX_UNWRITTEN]
        for voice in too_many:
            del self._unwritten[voice]
        self._drop("full", len(too_many))
        self.write()

    def of_voices(self, is_known: Callable[[str, str], bool]) -> dict[str, dict[str, bytes]]:
        """Return what waits, by tenant and name; forget that of voices that are not known.

        Args:
            is_known: takes tenant and name of a voice.
        """
        waiting: dict[str, dict[str, bytes]] = {}
        for (tenant, name), baseline in list(self._unwritten.items()):
            if is_known(tenant, name):
                waiting.setdefault(tenant, {})[name] = baseline
            else:
                del self._unwritten[tenant, name]
        return waiting

    def forget(self) -> None:
        """Forget all that waits: the database was deleted on purpose."""
        self._unwritten.clear()

    def write(self) -> None:
        """Write what waits, unless that is in progress."""
        if self._is_writing or not self._unwritten:
            return
        self._is_writing = True
        batch = dict(self._unwritten)
        writing = asyncio.get_running_loop().run_in_executor(self._thread, self._keep, batch)
        writing.add_done_callback(lambda done: self._written(done, batch))

    def last(self) -> Future[None] | None:
        """Begin to write what still waits, once more; None if nothing does."""
        if not self._unwritten:
            return None
        return self._thread.submit(self._keep, dict(self._unwritten))

    def lost(self, error: BaseException) -> None:
        """Take note that what waits was not written, and that the server ends."""
        self._drop("stopped", len(self._unwritten), str(error))

    def _keep(self, batch: Mapping[tuple[str, str], bytes]) -> None:
        """Write baselines, on the thread."""
        by_tenant: dict[str, dict[str, bytes]] = {}
        for (tenant, name), baseline in batch.items():
            by_tenant.setdefault(tenant, {})[name] = baseline
        for tenant, baselines in by_tenant.items():
            self._store.of(tenant).keep_baselines(BASELINE_MODEL, baselines)

    def _written(self, done: asyncio.Future[None], batch: Mapping[tuple[str, str], bytes]) -> None:
        self._is_writing = False
        if done.cancelled():
            return
        if (error := done.exception()) is not None:
            what = "what was learned about voices cannot be written yet; trying again"
            self._complaints.complain("write", what, str(error))
            return
        self._complaints.is_over("write")
        for voice, baseline in batch.items():
            if self._unwritten.get(voice) is baseline:
                del self._unwritten[voice]
        self.write()  # what came meanwhile

    def _drop(self, cause: str, count: int, error: str = "too many wait") -> None:
        if count:
            self._dropped.labels(cause).inc(count)
            log.error("what was learned about voices is lost", voices=count, error=error)
