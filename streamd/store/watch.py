"""The store as a running server uses it: polled for changes, written when streams end."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import structlog

from streamd.errors import StoreGone, StreamdError
from streamd.modules.emotion import BASELINE_MODEL
from streamd.modules.gallery import Gallery
from streamd.modules.words import NO_WORDS, CustomWords
from streamd.observability.metrics import Metrics
from streamd.store.base import Store, enrolled_elsewhere

log = structlog.get_logger("streamd.store")

MAX_UNWRITTEN = 1000
"""Most voices whose baselines wait for the store, about 5 KB each."""

_OVER = {
    "store": "the store can be read again",
    "baselines": "what was learned about voices is written",
    "erasure": "remains of a deletion are erased",
}


class _Look(NamedTuple):
    """Contents of the store."""

    gallery: Gallery
    words: CustomWords
    elsewhere: list[str]


class GalleryWatcher:
    """The enrolled voices and the user's own wake words, at most `poll_s` old.

    Another process may change them. All methods belong to the event loop; the store is read and
    written on a thread.

    Args:
        store: of voices and words.
        poll_s: seconds between polls.
        model: id of the speaker model in force.
        metrics: counts the baselines that were dropped.
    """

    def __init__(self, store: Store, poll_s: float, model: str, metrics: Metrics) -> None:
        self._store = store
        self._poll_s = poll_s
        self._model = model
        self._dropped = metrics.baselines_dropped
        metrics.queue_limit.labels("baselines").set(MAX_UNWRITTEN)
        self._gallery = Gallery.empty(-1)
        self._words = NO_WORDS
        self._elsewhere: list[str] = []
        """Other-model enrolments that the log has reported."""
        self._thread = ThreadPoolExecutor(1, "store")
        self._unwritten: dict[str, bytes] = {}
        """Baselines that are not in the store yet, the latest of each voice. The gallery has them
        already."""
        self._is_writing = False
        self._complaints: dict[str, str] = {}
        """By kind, the last problem that was logged and persists: each is logged once."""

    def current(self) -> Gallery:
        """Return the current voices."""
        return self._gallery

    def words(self) -> CustomWords:
        """Return the user's own wake words, as they are now."""
        return self._words

    async def load(self) -> None:
        """Read the store once, if it changed.

        Raises:
            Unavailable: it cannot be read.
            ConfigError: there is another database now, which cannot be used.
        """
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._thread, self._look, self._gallery.revision)
        if found is not None:
            self._take(found)

    async def watch(self) -> None:
        """Poll the store, and retry what could not be written or erased before."""
        while True:
            await asyncio.sleep(self._poll_s)
            try:
                await self.load()
                self._is_over("store")
            except StoreGone as error:
                self._forget(error)
            except StreamdError as error:
                # The voices known so far stay in use.
                self._complain("store", "the store cannot be read", str(error))
            self._write()
            await self._erase()

    def keep(self, baselines: Mapping[str, bytes]) -> None:
        """Use the baselines that a session learned from now on, and write them to the store.

        Names without a voice are skipped. While the store cannot be written, the latest baseline of
        each of at most `MAX_UNWRITTEN` voices waits; the oldest is dropped.
        """
        known = {name: kept for name, kept in baselines.items() if name in self._gallery}
        if not known:
            return
        self._gallery = self._gallery.remembering(known)
        for name, baseline in known.items():
            self._unwritten.pop(name, None)
            self._unwritten[name] = baseline
        too_many = list(self._unwritten)[:-MAX_UNWRITTEN]
        for name in too_many:
            del self._unwritten[name]
        self._drop("full", len(too_many))
        self._write()

    def close(self) -> None:
        """Write what still waits, once more, and end the thread."""
        last: Future[None] | None = None
        if self._unwritten:
            last = self._thread.submit(
                self._store.keep_baselines, BASELINE_MODEL, dict(self._unwritten)
            )
        self._thread.shutdown()
        if last is not None and (error := last.exception()) is not None:
            self._drop("stopped", len(self._unwritten), str(error))

    def _look(self, revision: int) -> _Look | None:
        """Read the store, on the thread; None if it did not change since that revision."""
        if self._store.version() == revision:
            return None
        gallery = self._store.load_gallery(self._model, BASELINE_MODEL)
        others = enrolled_elsewhere(self._store.speakers(), self._model)
        return _Look(
            gallery,
            self._store.load_words(),
            others,
        )

    def _take(self, found: _Look) -> None:
        for name in self._unwritten.keys() - set(found.gallery.names):
            del self._unwritten[name]  # of a voice that was deleted
        self._gallery = found.gallery.remembering(self._unwritten)
        self._words = found.words
        if found.elsewhere and found.elsewhere != self._elsewhere:
            log.warning(
                "voices were enrolled with another model and are not recognised: "
                "`streamd speakers` lists them, `streamd enroll` enrols them anew",
                voices=len(found.elsewhere),
                model=self._model,
            )
        self._elsewhere = found.elsewhere

    def _forget(self, error: StoreGone) -> None:
        """Forget all voices and words: the file was deleted on purpose."""
        self._gallery = Gallery.empty(-1)
        self._words = NO_WORDS
        self._unwritten.clear()
        self._complain(
            "store", "the store was deleted; its voices and words are no longer known", str(error)
        )

    def _write(self) -> None:
        if self._is_writing or not self._unwritten:
            return
        self._is_writing = True
        batch = dict(self._unwritten)
        writing = asyncio.get_running_loop().run_in_executor(
            self._thread, self._store.keep_baselines, BASELINE_MODEL, batch
        )
        writing.add_done_callback(lambda done: self._written(done, batch))

    def _written(self, done: asyncio.Future[None], batch: Mapping[str, bytes]) -> None:
        self._is_writing = False
        if done.cancelled():
            return
        if (error := done.exception()) is not None:
            what = "what was learned about voices cannot be written yet; trying again"
            self._complain("baselines", what, str(error))
            return
        self._is_over("baselines")
        for name, baseline in batch.items():
            if self._unwritten.get(name) is baseline:
                del self._unwritten[name]
        self._write()  # what came meanwhile

    async def _erase(self) -> None:
        try:
            is_erased = await asyncio.get_running_loop().run_in_executor(
                self._thread, self._store.erase
            )
        except StreamdError:
            return  # a store that cannot be read is in the log already
        if is_erased:
            self._is_over("erasure")
        else:
            what = "remains of a deletion cannot be erased yet; trying again"
            self._complain("erasure", what, "another process reads the database")

    def _drop(self, cause: str, count: int, error: str = "too many wait") -> None:
        if count:
            self._dropped.labels(cause).inc(count)
            log.error("what was learned about voices is lost", voices=count, error=error)

    def _complain(self, kind: str, what: str, error: str) -> None:
        if self._complaints.get(kind) != error:
            self._complaints[kind] = error
            (log.error if kind == "store" else log.warning)(what, error=error)

    def _is_over(self, kind: str) -> None:
        if self._complaints.pop(kind, None) is not None:
            log.info(_OVER[kind])
