"""The store as a running server uses it: polled for changes, written when streams end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import structlog

from streamd.errors import StoreGone, StreamdError
from streamd.modules.emotion import BASELINE_MODEL
from streamd.modules.gallery import Gallery
from streamd.modules.words import NO_WORDS, CustomWords
from streamd.observability.metrics import Metrics
from streamd.store.access import KeyRecord
from streamd.store.base import Store, enrolled_elsewhere

log = structlog.get_logger("streamd.store")

SETTLE_S = 0.1
"""Seconds from a change that the store tells of to its reading, so that many are read at once."""
MAX_UNWRITTEN = 1000
"""Most voices whose baselines wait for the store, about 5 KB each."""

_OVER = {
    "read": "the store can be read again",
    "write": "what was learned about voices is written",
    "erase": "remains of a deletion are erased",
}
"""What the log says when an operation succeeds again."""


class _Known(NamedTuple):
    """Contents of the store that belong to one tenant."""

    gallery: Gallery
    words: CustomWords
    elsewhere: list[str]
    """Other-model enrolments."""


class _Look(NamedTuple):
    """Contents of the store at this version or a later one."""

    version: int
    known: dict[str, _Known]
    """By tenant."""
    faults: dict[str, StreamdError]
    """The error of each tenant whose contents cannot be read."""
    keys: list[KeyRecord]
    """The API keys of all tenants."""


class GalleryWatcher:
    """The enrolled voices and own wake words of every tenant, at most `poll_s` old.

    Another process may change them. All methods belong to the event loop; the store is read and
    written on a thread.

    Args:
        store: of voices and words, opened for any tenant.
        poll_s: seconds between polls.
        model: id of the speaker model in force.
        metrics: counts the baselines that were dropped and the attempts that failed.
        on_keys: called with the API keys of all tenants whenever the store was read.
        on_gone: awaited with each tenant of whom a voice is gone.
    """

    def __init__(
        self,
        store: Store,
        poll_s: float,
        model: str,
        metrics: Metrics,
        on_keys: Callable[[Sequence[KeyRecord]], None] = lambda keys: None,
        on_gone: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        self._store = store
        self._on_keys = on_keys
        self._on_gone = on_gone
        self._poll_s = poll_s
        self._model = model
        self._dropped = metrics.baselines_dropped
        self._failures = {name: metrics.store_failures.labels(name) for name in _OVER}
        metrics.queue_limit.labels("baselines").set(MAX_UNWRITTEN)
        self._version = -1
        """Version of the store when it was last read; -1 to read it again at the next poll."""
        self._known: dict[str, _Known] = {}
        self._nothing = _Known(Gallery.empty(-1), NO_WORDS, [])
        """What every tenant has that is not in `_known`."""
        self._thread = ThreadPoolExecutor(1, "store")
        self._unwritten: dict[tuple[str, str], bytes] = {}
        """Baselines that are not in the store yet, the latest of each voice, by tenant and name.
        The galleries have them already."""
        self._is_writing = False
        self._complaints: dict[str, str] = {}
        """By operation, the last problem that was logged and persists: each is logged once."""

    def gallery(self, tenant: str) -> Gallery:
        """Return the current voices of a tenant."""
        return self._known.get(tenant, self._nothing).gallery

    def words(self, tenant: str) -> CustomWords:
        """Return the current own wake words of a tenant."""
        return self._known.get(tenant, self._nothing).words

    async def load(self) -> None:
        """Read the store once, if it changed.

        Raises:
            Unavailable: it cannot be read. If only one tenant's contents cannot, those of all
                others are up to date.
            ConfigError: there is another database now, which cannot be used.
        """
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._thread, self._look, self._version)
        if found is not None:
            before = self._known
            self._take(found)
            await self._tell_gone(before)
            for fault in found.faults.values():
                raise fault

    async def refresh(self) -> None:
        """Read the store now, because this process changed it; `watch` reports what fails."""
        with contextlib.suppress(StreamdError):
            await self.load()

    async def watch(self) -> None:
        """Read what changes in the store, and retry what could not be written or erased before."""
        loop, changed = asyncio.get_running_loop(), asyncio.Event()
        end = await loop.run_in_executor(
            self._thread,
            self._store.on_change,
            lambda: loop.call_soon_threadsafe(changed.set),
        )
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), self._poll_s)
                    await asyncio.sleep(min(SETTLE_S, self._poll_s))
                changed.clear()
                await self._poll()
        finally:
            end()

    async def _poll(self) -> None:
        try:
            await self.load()
            self._is_over("read")
        except StoreGone as error:
            before = self._known
            self._forget(error)
            await self._tell_gone(before)
        except StreamdError as error:
            # The voices known so far stay in use.
            self._complain("read", "the store cannot be read", str(error))
        self._write()
        await self._erase()

    def keep(self, tenant: str, baselines: Mapping[str, bytes]) -> None:
        """Use the baselines that a session learned from now on, and write them to the store.

        Names without a voice are skipped. While the store cannot be written, the latest baseline of
        each of at most `MAX_UNWRITTEN` voices waits; the oldest is dropped.
        """
        gallery = self.gallery(tenant)
        learned = {name: kept for name, kept in baselines.items() if name in gallery}
        if not learned:
            return
        known = self._known[tenant]
        self._known[tenant] = known._replace(gallery=gallery.remembering(learned))
        for name, baseline in learned.items():
            self._unwritten.pop((tenant, name), None)
            self._unwritten[tenant, name] = baseline
        too_many = list(self._unwritten)[:-MAX_UNWRITTEN]
        for voice in too_many:
            del self._unwritten[voice]
        self._drop("full", len(too_many))
        self._write()

    def close(self) -> None:
        """Write what still waits, once more, and end the thread."""
        last: Future[None] | None = None
        if self._unwritten:
            last = self._thread.submit(self._keep_baselines, dict(self._unwritten))
        self._thread.shutdown()
        if last is not None and (error := last.exception()) is not None:
            self._drop("stopped", len(self._unwritten), str(error))

    def _look(self, version: int) -> _Look | None:
        """Read the store, on the thread; None if it did not change since that version."""
        now = self._store.version()
        if now == version:
            return None
        found = _Look(now, {}, {}, self._store.access.keys())
        for tenant in self._store.tenants():
            theirs = self._store.of(tenant)
            try:
                found.known[tenant] = _Known(
                    theirs.load_gallery(self._model, BASELINE_MODEL),
                    theirs.load_words(),
                    enrolled_elsewhere(theirs.speakers(), self._model),
                )
            except StoreGone:
                raise
            except StreamdError as fault:  # a damaged record concerns its own tenant only
                found.faults[tenant] = fault
        return found

    def _keep_baselines(self, batch: Mapping[tuple[str, str], bytes]) -> None:
        """Write baselines, on the thread."""
        by_tenant: dict[str, dict[str, bytes]] = {}
        for (tenant, name), baseline in batch.items():
            by_tenant.setdefault(tenant, {})[name] = baseline
        for tenant, baselines in by_tenant.items():
            self._store.of(tenant).keep_baselines(BASELINE_MODEL, baselines)

    def _take(self, found: _Look) -> None:
        self._version = -1 if found.faults else found.version
        known = {t: self._known[t] for t in found.faults if t in self._known} | found.known
        for tenant, new in found.known.items():
            old = self._known.get(tenant, self._nothing)
            if new.elsewhere and new.elsewhere != old.elsewhere:
                log.warning(
                    "voices were enrolled with another model and are not recognised: "
                    "`streamd speakers` lists them, `streamd enroll` enrols them anew",
                    tenant=tenant,
                    voices=len(new.elsewhere),
                    model=self._model,
                )
        self._known = known
        self._nothing = _Known(Gallery.empty(self._version), NO_WORDS, [])
        self._on_keys(found.keys)
        unwritten: dict[str, dict[str, bytes]] = {}
        for (tenant, name), baseline in list(self._unwritten.items()):
            if name in self.gallery(tenant):
                unwritten.setdefault(tenant, {})[name] = baseline
            else:
                del self._unwritten[tenant, name]  # of a voice that was deleted
        for tenant, learned in unwritten.items():
            theirs = known[tenant]
            known[tenant] = theirs._replace(gallery=theirs.gallery.remembering(learned))

    async def _tell_gone(self, before: Mapping[str, _Known]) -> None:
        if self._on_gone is None:
            return
        for tenant, known in before.items():
            now = self.gallery(tenant)
            if now is not known.gallery and any(name not in now for name in known.gallery.names):
                await self._on_gone(tenant)

    def _forget(self, error: StoreGone) -> None:
        """Forget all voices, words and keys: the file was deleted on purpose."""
        self._version = -1
        self._known = {}
        self._nothing = _Known(Gallery.empty(-1), NO_WORDS, [])
        self._unwritten.clear()
        self._on_keys([])
        self._complain(
            "read", "the store was deleted; its voices and words are no longer known", str(error)
        )

    def _write(self) -> None:
        if self._is_writing or not self._unwritten:
            return
        self._is_writing = True
        batch = dict(self._unwritten)
        writing = asyncio.get_running_loop().run_in_executor(
            self._thread, self._keep_baselines, batch
        )
        writing.add_done_callback(lambda done: self._written(done, batch))

    def _written(self, done: asyncio.Future[None], batch: Mapping[tuple[str, str], bytes]) -> None:
        self._is_writing = False
        if done.cancelled():
            return
        if (error := done.exception()) is not None:
            what = "what was learned about voices cannot be written yet; trying again"
            self._complain("write", what, str(error))
            return
        self._is_over("write")
        for voice, baseline in batch.items():
            if self._unwritten.get(voice) is baseline:
                del self._unwritten[voice]
        self._write()  # what came meanwhile

    async def _erase(self) -> None:
        try:
            is_erased = await asyncio.get_running_loop().run_in_executor(
                self._thread, self._store.erase
            )
        except StreamdError:
            return  # a store that cannot be read is in the log already
        if is_erased:
            self._is_over("erase")
        else:
            what = "remains of a deletion cannot be erased yet; trying again"
            self._complain("erase", what, "another process reads the database")

    def _drop(self, cause: str, count: int, error: str = "too many wait") -> None:
        if count:
            self._dropped.labels(cause).inc(count)
            log.error("what was learned about voices is lost", voices=count, error=error)

    def _complain(self, operation: str, what: str, error: str) -> None:
        self._failures[operation].inc()
        if self._complaints.get(operation) != error:
            self._complaints[operation] = error
            (log.error if operation == "read" else log.warning)(what, error=error)

    def _is_over(self, operation: str) -> None:
        if self._complaints.pop(operation, None) is not None:
            log.info(_OVER[operation])
