"""The store as a running server uses it: polled for changes, written when streams end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import structlog

from streamd.errors import StoreGone, StreamdError
from streamd.modules.gallery import Gallery
from streamd.modules.voice_models import VoiceModels
from streamd.modules.words import CustomWords
from streamd.observability.metrics import Metrics
from streamd.store.access import KeyRecord
from streamd.store.base import Store
from streamd.store.complaints import Complaints
from streamd.store.contents import Known, Look, look
from streamd.store.learned import Learned

log = structlog.get_logger("streamd.store")

SETTLE_S = 0.1
"""Seconds from a change that the store tells of to its reading, so that many are read at once."""

_OVER = {
    "read": "the store can be read again",
    "write": "what was learned about voices is written",
    "erase": "remains of a deletion are erased",
}
"""What the log says when an operation succeeds again."""


class GalleryWatcher:
    """The enrolled voices and own wake words of every tenant, at most `poll_s` old.

    Another process may change them. All methods belong to the event loop; the store is read and
    written on a thread.

    Args:
        store: of voices and words, opened for any tenant.
        poll_s: seconds between polls.
        models: the voice models in force.
        metrics: counts the baselines that were dropped and the attempts that failed.
        on_keys: called with the API keys of all tenants whenever the store was read.
        on_gone: awaited with each tenant of whom a voice is gone.
    """

    def __init__(
        self,
        store: Store,
        poll_s: float,
        models: VoiceModels,
        metrics: Metrics,
        on_keys: Callable[[Sequence[KeyRecord]], None] = lambda keys: None,
        on_gone: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        self._store = store
        self._on_keys = on_keys
        self._on_gone = on_gone
        self._poll_s = poll_s
        self._models = models
        self._complaints = Complaints(metrics, _OVER)
        self._version = -1
        """Version of the store when it was last read; -1 to read it again at the next poll."""
        self._known: dict[str, Known] = {}
        self._nothing = Known.nothing(-1)
        """What every tenant has that is not in `_known`."""
        self._thread = ThreadPoolExecutor(1, "store")
        self._learned = Learned(store, self._thread, metrics, self._complaints)
        """Baselines that are not in the store yet. The galleries have them already."""

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
        now = await loop.run_in_executor(self._thread, self._store.version)
        if now == self._version:
            return
        # The keys first: a revoked one must not go on while large galleries are read.
        self._on_keys(await loop.run_in_executor(self._thread, self._store.access.keys))
        found = await loop.run_in_executor(self._thread, look, self._store, self._models, now)
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
                    # `wait_for` of Python 3.11 may forget a cancellation.
                    async with asyncio.timeout(self._poll_s):
                        await changed.wait()
                    await asyncio.sleep(min(SETTLE_S, self._poll_s))
                changed.clear()
                await self._poll()
        finally:
            end()

    async def _poll(self) -> None:
        try:
            await self.load()
            self._complaints.is_over("read")
        except StoreGone as error:
            before = self._known
            self._forget(error)
            await self._tell_gone(before)
        except StreamdError as error:
            # The voices known so far stay in use.
            self._complaints.complain(
                "read", "the store cannot be read", str(error), is_severe=True
            )
        self._learned.write()
        await self._erase()

    def keep(self, tenant: str, baselines: Mapping[str, bytes]) -> None:
        """Use the baselines that a session learned from now on, and write them to the store.

        Names without a voice are skipped.
        """
        gallery = self.gallery(tenant)
        learned = {name: kept for name, kept in baselines.items() if name in gallery}
        if not learned:
            return
        known = self._known[tenant]
        self._known[tenant] = known._replace(gallery=gallery.remembering(learned))
        self._learned.add(tenant, learned)

    def close(self) -> None:
        """Write what still waits, once more, and end the thread."""
        last = self._learned.last()
        self._thread.shutdown()
        if last is not None and (error := last.exception()) is not None:
            self._learned.lost(error)

    def _take(self, found: Look) -> None:
        self._version = -1 if found.faults else found.version
        known = {t: self._known[t] for t in found.faults if t in self._known} | found.known
        for tenant, new in found.known.items():
            old = self._known.get(tenant, self._nothing)
            if any(new.again) and new.again != old.again:
                # Names of voices are in no log.
                log.warning(
                    "voices were enrolled with another model than speaker.model: some are "
                    "recognised less reliably, or not at all; `streamd speakers` names them, and "
                    "`streamd enroll` enrols them anew",
                    tenant=tenant,
                    voices=sum(map(len, new.again)),
                    not_recognised=len(new.again.unknown),
                    model=self._models.deciding,
                )
        self._known = known
        self._nothing = Known.nothing(self._version)
        waiting = self._learned.of_voices(lambda tenant, name: name in self.gallery(tenant))
        for tenant, learned in waiting.items():
            theirs = known[tenant]
            known[tenant] = theirs._replace(gallery=theirs.gallery.remembering(learned))

    async def _tell_gone(self, before: Mapping[str, Known]) -> None:
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
        self._nothing = Known.nothing(-1)
        self._learned.forget()
        self._on_keys([])
        what = "the store was deleted; its voices and words are no longer known"
        self._complaints.complain("read", what, str(error), is_severe=True)

    async def _erase(self) -> None:
        try:
            is_erased = await asyncio.get_running_loop().run_in_executor(
                self._thread, self._store.erase
            )
        except StreamdError:
            return  # a store that cannot be read is in the log already
        if is_erased:
            self._complaints.is_over("erase")
        else:
            what = "remains of a deletion cannot be erased yet; trying again"
            self._complaints.complain("erase", what, "another process reads the database")
