"""A running server's view of the store: what it keeps, tries again, and notices."""

import asyncio
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from streamd.access.keys import new_key
from streamd.errors import NotErased, StreamdError
from streamd.modules.emotion import BASELINE_MODEL
from streamd.modules.voice_models import VoiceModels
from streamd.observability.metrics import Metrics
from streamd.store import Enrolment, SqlStore, learned, open_store
from streamd.store.access import KeyRecord
from streamd.store.sqlite import connect
from streamd.store.watch import GalleryWatcher

TENANT = "default"
GUARD_S = 30
"""Only so that a test that fails ends."""


def opened(folder: Path) -> SqlStore:
    return open_store(folder / "v.db", folder / "key")


@contextmanager
def patient() -> Iterator[None]:
    """Whoever opens a store here waits for a watcher that writes, also on a slow disk."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(connect, "BUSY_TIMEOUT_MS", 1000 * GUARD_S)
        yield


def enrol(folder: Path, *names: str, tenant: str = TENANT) -> None:
    with patient(), closing(opened(folder)) as whole:
        store = whole.of(tenant)
        for seed, name in enumerate(names):
            store.enrol(name, [Enrolment(np.eye(4)[seed % 4], "m", "wide", 1000, "a.wav")])


def kept(folder: Path, tenant: str = TENANT) -> dict[str, bytes]:
    with closing(opened(folder)) as store:
        return dict(store.of(tenant).load_gallery("m", BASELINE_MODEL).baselines)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Another process writes, for as long as it likes."""
    with closing(sqlite3.connect(folder / "v.db", isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        yield


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(GUARD_S):
        while True:
            if await asyncio.to_thread(holds):
                return
            await asyncio.sleep(0.01)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stores wait little for a lock."""
    monkeypatch.setattr(connect, "BUSY_TIMEOUT_MS", 20)


@pytest.fixture
def watching(
    tmp_path: Path, metrics: Metrics, impatient: None
) -> Iterator[Callable[[], Awaitable[GalleryWatcher]]]:
    """Starts watchers that poll often; they end with the test."""
    ends: list[Callable[[], None]] = []
    tasks: list[asyncio.Task[None]] = []

    async def start() -> GalleryWatcher:
        store = opened(tmp_path)
        watcher = GalleryWatcher(store, 0.01, VoiceModels("m"), metrics)
        ends.extend((watcher.close, store.close))
        await watcher.load()
        tasks.append(asyncio.create_task(watcher.watch()))
        return watcher

    yield start
    for task in tasks:
        task.cancel()
    for end in ends:
        end()


FAILURES = "streamd_store_failures_total"


def dropped(metrics: Metrics, cause: str) -> float:
    value = metrics.registry.get_sample_value("streamd_baselines_dropped_total", {"cause": cause})
    return value or 0.0


async def test_changes_of_another_process_are_seen(tmp_path, watching):
    watcher = await watching()
    assert watcher.gallery(TENANT).names == ()
    enrol(tmp_path, "ada")
    await eventually(lambda: watcher.gallery(TENANT).names == ("ada",))


async def test_whoever_keeps_something_of_a_tenants_voices_is_told_when_one_is_gone(
    tmp_path, metrics, impatient
):
    gone: list[str] = []

    async def on_gone(tenant: str) -> None:
        gone.append(tenant)

    enrol(tmp_path, "ada", "bob")
    enrol(tmp_path, "eve", tenant="acme")
    with closing(opened(tmp_path)) as store:
        watcher = GalleryWatcher(store, 60, VoiceModels("m"), metrics, on_gone=on_gone)
        await watcher.load()
        enrol(tmp_path, "zoe")
        await watcher.refresh()
        assert gone == []
        store.of(TENANT).delete("ada")
        await watcher.refresh()
        assert gone == [TENANT]
        store.of("acme").delete("eve")
        await watcher.refresh()
        assert gone == [TENANT, "acme"]
        watcher.close()


async def test_a_baseline_that_meets_a_lock_is_kept_and_written_later(tmp_path, watching, metrics):
    enrol(tmp_path, "ada", "bob")
    watcher = await watching()
    with capture_logs() as logs:
        with locked(tmp_path):
            watcher.keep(TENANT, {"ada": b"first", "bob": b"only"})
            await eventually(lambda: bool(logs))
            watcher.keep(TENANT, {"ada": b"latest"})
            assert watcher.gallery(TENANT).baselines == {"ada": b"latest", "bob": b"only"}
        await eventually(lambda: kept(tmp_path) == {"ada": b"latest", "bob": b"only"})
        await eventually(lambda: len(logs) >= 2)
    assert [line["log_level"] for line in logs] == ["warning", "info"], "once, however often tried"
    assert "another process has it locked" in logs[0]["error"]
    assert metrics.registry.get_sample_value(FAILURES, {"operation": "write"}) >= 1


async def test_what_is_not_written_survives_a_change_of_the_store(tmp_path, watching):
    enrol(tmp_path, "ada")
    watcher = await watching()
    revision = watcher.gallery(TENANT).revision
    with closing(sqlite3.connect(tmp_path / "v.db", isolation_level=None)) as writer:
        writer.execute("UPDATE changes SET token = 1")
        writer.execute("BEGIN IMMEDIATE")
        watcher.keep(TENANT, {"ada": b"learned"})
        await eventually(lambda: watcher.gallery(TENANT).revision != revision)
        assert watcher.gallery(TENANT).baselines == {"ada": b"learned"}


async def test_a_baseline_of_nobody_is_passed_over(tmp_path, watching):
    enrol(tmp_path, "ada", "bob")
    watcher = await watching()
    with locked(tmp_path):
        watcher.keep(TENANT, {"ada": b"a", "bob": b"b", "nobody": b"n"})
    with patient(), closing(opened(tmp_path)) as store:
        store.delete("bob")
    await eventually(lambda: watcher.gallery(TENANT).names == ("ada",))
    await eventually(lambda: kept(tmp_path) == {"ada": b"a"})
    enrol(tmp_path, "bob")
    await eventually(lambda: "bob" in watcher.gallery(TENANT))
    assert watcher.gallery(TENANT).baselines == {"ada": b"a"}


async def test_beyond_the_bound_the_oldest_baseline_is_dropped_and_counted(
    tmp_path, watching, metrics, monkeypatch
):
    monkeypatch.setattr(learned, "MAX_UNWRITTEN", 2)
    enrol(tmp_path, "ada", "bob", "eve")
    watcher = await watching()
    with capture_logs() as logs, locked(tmp_path):
        watcher.keep(TENANT, {"ada": b"a", "bob": b"b"})
        watcher.keep(TENANT, {"ada": b"later"})
        watcher.keep(TENANT, {"eve": b"e"})
        assert dropped(metrics, "full") == 1
    assert any(line["event"] == "what was learned about voices is lost" for line in logs)
    await eventually(lambda: kept(tmp_path).items() >= {"ada": b"later", "eve": b"e"}.items())


@pytest.mark.usefixtures("impatient")
async def test_baselines_are_written_at_the_end_or_their_loss_is_said(tmp_path, metrics):
    enrol(tmp_path, "ada")
    for is_locked in (False, True):
        with closing(opened(tmp_path)) as store:
            watcher = GalleryWatcher(store, 60, VoiceModels("m"), metrics)
            await watcher.load()
            with locked(tmp_path) if is_locked else nullcontext(), capture_logs() as logs:
                watcher.keep(TENANT, {"ada": b"locked" if is_locked else b"free"})
                watcher.close()
    assert kept(tmp_path) == {"ada": b"free"}
    assert dropped(metrics, "stopped") == 1
    assert logs[-1]["event"] == "what was learned about voices is lost"


async def test_remains_of_a_deletion_are_erased_once_the_reader_is_done(tmp_path, watching):
    enrol(tmp_path, "ada")
    await watching()
    with closing(sqlite3.connect(tmp_path / "v.db")) as db:
        (record,) = db.execute("SELECT embedding FROM enrolments").fetchone()

    def remains() -> bool:
        files = [file for file in tmp_path.iterdir() if file.exists()]
        return any(bytes(record)[20:44] in file.read_bytes() for file in files)

    with closing(opened(tmp_path)) as store, capture_logs() as logs:
        with closing(sqlite3.connect(tmp_path / "v.db", isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM speakers").fetchone()
            with pytest.raises(NotErased):
                store.delete("ada")
            await eventually(lambda: bool(logs))
            assert remains()
        await eventually(lambda: not remains())
        await eventually(lambda: len(logs) >= 2)
    assert [line["log_level"] for line in logs] == ["warning", "info"]


@pytest.mark.parametrize("files", [("v.db",), ("v.db", "v.db-wal", "v.db-shm")], ids=str)
@pytest.mark.parametrize("with_key", [False, True])
async def test_a_database_that_was_deleted_and_made_anew_is_noticed(
    tmp_path, watching, files, with_key
):
    enrol(tmp_path, "ada")
    watcher = await watching()
    watcher.keep(TENANT, {"ada": b"learned"})
    for name in [*files, *(["key"] if with_key else [])]:
        (tmp_path / name).unlink(missing_ok=True)
    # Whoever deletes the database wants nobody to be recognised.
    await eventually(lambda: watcher.gallery(TENANT).names == ())
    assert not (tmp_path / "v.db").exists()
    enrol(tmp_path, "bob")
    await eventually(lambda: watcher.gallery(TENANT).names == ("bob",))
    watcher.keep(TENANT, {"bob": b"learned"})
    await eventually(lambda: kept(tmp_path) == {"bob": b"learned"})
    enrol(tmp_path, "bob", "eve")
    await eventually(lambda: watcher.gallery(TENANT).names == ("bob", "eve"))
    with closing(sqlite3.connect(tmp_path / "v.db")) as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)


async def test_a_database_that_was_replaced_at_once_is_noticed(tmp_path, watching):
    enrol(tmp_path, "ada")
    other = tmp_path / "other"
    other.mkdir()
    (other / "key").write_bytes((tmp_path / "key").read_bytes())
    (other / "key").chmod(0o600)
    enrol(other, "bob")
    watcher = await watching()
    (tmp_path / "v.db-wal").unlink(missing_ok=True)
    (tmp_path / "v.db-shm").unlink(missing_ok=True)
    (other / "v.db").rename(tmp_path / "v.db")
    await eventually(lambda: watcher.gallery(TENANT).names == ("bob",))


async def test_a_database_of_another_key_is_complained_of_once(tmp_path, watching):
    enrol(tmp_path, "ada")
    watcher = await watching()
    other = tmp_path / "other"
    other.mkdir()
    enrol(other, "bob")
    with capture_logs() as logs:
        (other / "v.db").rename(tmp_path / "v.db")
        await eventually(lambda: bool(logs))
        with pytest.raises(StreamdError, match="not the key"):
            await watcher.load()
        for _ in range(3):
            with pytest.raises(StreamdError):
                await watcher.load()
    assert len(logs) == 1
    assert watcher.gallery(TENANT).names == ("ada",), "better than none"


async def test_each_tenant_has_its_own_voices_and_baselines(tmp_path, watching):
    enrol(tmp_path, "ada", "bob")
    watcher = await watching()
    enrol(tmp_path, "ada", tenant="acme")  # one that the watcher has never seen
    await eventually(lambda: watcher.gallery("acme").names == ("ada",))
    assert watcher.gallery(TENANT).names == ("ada", "bob")
    assert watcher.gallery("nobody").names == ()
    with locked(tmp_path):  # before and after they are written
        watcher.keep("acme", {"ada": b"theirs", "bob": b"nobody's"})
        assert watcher.gallery("acme").baselines == {"ada": b"theirs"}
        assert watcher.gallery(TENANT).baselines == {}
    watcher.keep(TENANT, {"ada": b"ours"})
    await eventually(lambda: kept(tmp_path, "acme") == {"ada": b"theirs"})
    await eventually(lambda: kept(tmp_path) == {"ada": b"ours"})
    with patient(), closing(opened(tmp_path)) as store:
        assert store.of("acme").delete("ada")
    await eventually(lambda: watcher.gallery("acme").names == ())
    assert watcher.gallery(TENANT).baselines == {"ada": b"ours"}


async def test_keys_are_known_before_the_voices_are_read(
    tmp_path: Path, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrol(tmp_path, "ada")
    may_read, revoked = threading.Event(), asyncio.Event()
    _, key = new_key("home", TENANT, ["stream"], 1)
    with closing(opened(tmp_path)) as store:
        store.access.add_key(key)
        assert store.access.revoke_key("home", 2) is not None
        of = store.of

        def slow(tenant: str) -> SqlStore:
            assert may_read.wait(GUARD_S)
            return of(tenant)

        monkeypatch.setattr(store, "of", slow)

        def take(keys: Sequence[KeyRecord]) -> None:
            if [key.revoked_ms for key in keys] == [2]:
                revoked.set()

        watcher = GalleryWatcher(store, 0.01, VoiceModels("m"), metrics, take)
        loading = asyncio.create_task(watcher.load())
        try:
            async with asyncio.timeout(GUARD_S):
                await revoked.wait()
            assert watcher.gallery(TENANT).names == ()
        finally:
            may_read.set()
            await loading
            watcher.close()
        assert watcher.gallery(TENANT).names == ("ada",)


async def test_a_damaged_record_of_one_tenant_stops_no_other(tmp_path, watching):
    enrol(tmp_path, "ada")
    enrol(tmp_path, "eve", tenant="acme")
    watcher = await watching()
    with capture_logs() as logs:
        with closing(sqlite3.connect(tmp_path / "v.db", isolation_level=None)) as db:
            query = "SELECT id FROM speakers WHERE tenant = 'acme'"
            db.execute(f"UPDATE enrolments SET embedding = x'00' WHERE speaker_id = ({query})")
        enrol(tmp_path, "bob")
        await eventually(lambda: watcher.gallery(TENANT).names == ("ada", "bob"))
        await eventually(lambda: bool(logs))
        assert watcher.gallery("acme").names == ("eve",), "better than none"
        with patient(), closing(opened(tmp_path)) as store:
            assert store.of("acme").delete("eve")
        await eventually(lambda: watcher.gallery("acme").names == ())
        await eventually(lambda: len(logs) >= 2)
    assert [line["log_level"] for line in logs] == ["error", "info"], "once, however often tried"
    assert "'eve' is damaged" in logs[0]["error"]
