"""A store in PostgreSQL while its server goes away, is another one, or says no."""

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
from databases import LOCAL, PASSWORD, PostgresPlace, PostgresServer, run_sql
from waiting import until, wait_until

from streamd.errors import NotErased, StoreGone, StreamdError, Unavailable
from streamd.modules.voice_models import VoiceModels
from streamd.observability.metrics import Metrics
from streamd.store import Enrolment, SqlStore, schema
from streamd.store.opening import open_url
from streamd.store.postgres import database
from streamd.store.watch import GalleryWatcher

pytestmark = pytest.mark.services

TENANT = "default"
NAME = "Wilhelmina"


def enrol(store: SqlStore, name: str, seed: int = 0) -> None:
    store.enrol(name, [Enrolment(np.eye(256)[seed], "m", "wide", 1000, f"{name}.wav")])


def names(store: SqlStore) -> list[str]:
    return [speaker.name for speaker in store.speakers()]


@pytest.fixture
def place(tmp_path: Path, postgres_server: PostgresServer) -> PostgresPlace:
    return PostgresPlace(tmp_path, postgres_server)


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[PostgresServer]:
    """A server that the test may kill."""
    server = PostgresServer()
    yield server
    server.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL], ids=["stopped", "killed"])
def test_a_server_that_comes_back_is_used_again_and_kept_what_was_confirmed(
    tmp_path: Path, own_server: PostgresServer, number: int
) -> None:
    place = PostgresPlace(tmp_path, own_server)
    with closing(place.open()) as store:
        enrol(store, "ada")
        own_server.stop(number)
        for _ in range(3):
            with pytest.raises(Unavailable, match="the server does not answer: check that it runs"):
                enrol(store, "bob", 1)
        with pytest.raises(Unavailable):
            place.open()
        own_server.start()
        assert names(store) == ["ada"]
        enrol(store, "bob", 1)
        assert names(store) == ["ada", "bob"]


async def test_a_watcher_learns_of_changes_though_it_hardly_polls_and_the_server_restarts(
    tmp_path: Path, own_server: PostgresServer
) -> None:
    place = PostgresPlace(tmp_path, own_server)
    with closing(place.open()) as store, closing(place.open()) as other:
        watcher = GalleryWatcher(store, 3600, VoiceModels("m"), Metrics())
        await watcher.load()
        watching = asyncio.create_task(watcher.watch())
        await asyncio.to_thread(enrol, other, "ada")
        await until(lambda: watcher.gallery(TENANT).names == ("ada",))
        await asyncio.to_thread(own_server.stop, signal.SIGKILL)
        assert watcher.gallery(TENANT).names == ("ada",), "better than none"
        await asyncio.to_thread(own_server.start)
        await asyncio.to_thread(enrol, other, "bob", 1)
        await until(lambda: watcher.gallery(TENANT).names == ("ada", "bob"))
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        watcher.close()


def test_a_store_that_was_deleted_is_gone_until_there_is_a_new_one(place: PostgresPlace) -> None:
    with closing(place.open()) as store:
        enrol(store, "ada")
        seen = store.version()
        place.sql("DROP SCHEMA streamd CASCADE")
        for _ in range(3):
            with pytest.raises(StoreGone, match="deleted while it was in use"):
                store.version()
        assert place.sql("SELECT 1 FROM pg_namespace WHERE nspname = 'streamd'") == []
        with closing(place.open()) as new:
            enrol(new, "bob")
        assert names(store) == ["bob"]
        assert store.version() > seen


def test_a_database_that_was_dropped_is_gone_too(place: PostgresPlace) -> None:
    with closing(place.open()) as store:
        name = urlsplit(place.url).path[1:]
        run_sql(place.server.url("postgres"), f"DROP DATABASE {name} WITH (FORCE)")
        with pytest.raises((StoreGone, Unavailable)):  # the lost connection is seen first
            store.speakers()
        with pytest.raises(StoreGone):
            store.speakers()


def refusal(url: str, folder: Path) -> str:
    with pytest.raises(StreamdError) as caught:
        open_url(url, folder / "key")
    assert PASSWORD not in str(caught.value)
    assert "%2F" not in str(caught.value)
    return f"{type(caught.value).__name__}: {caught.value}"


def test_a_url_that_leads_nowhere_says_what_to_check(place: PostgresPlace) -> None:
    url = place.url
    host = f"{LOCAL}:{place.server.port}"
    refused = {
        url.replace(":a%20password", ":wrong"): "ConfigError: .*refuses the user .*PGPASSWORD",
        url + "_not": "ConfigError: .*no such database .*createdb",
        url.replace(host, f"{LOCAL}:1"): "Unavailable: .*does not answer: check that it runs",
        url.replace(LOCAL, "nowhere.invalid"): "Unavailable: .*does not answer",
        url + "?sslmode=wrong": "ConfigError: store.url: .*sslmode",
        url.replace("postgresql", "mysql"): "ConfigError: a store's URL begins with postgresql://",
    }
    import re

    for wrong, problem in refused.items():
        assert re.match(problem, refusal(wrong, place.folder)), wrong


def test_a_schema_that_is_not_ours_is_refused_and_left_alone(place: PostgresPlace) -> None:
    place.sql("CREATE SCHEMA streamd")
    place.sql("CREATE TABLE streamd.notes (t TEXT)")
    assert "another program's, left as it is" in refusal(place.url, place.folder)
    assert place.sql("SELECT relname FROM pg_class WHERE relname IN ('speakers', 'notes')") == [
        ("notes",)
    ]


def test_a_newer_schema_is_refused(place: PostgresPlace) -> None:
    place.open().close()
    place.sql("UPDATE schema_version SET version = 99")
    assert f"(schema 99, this one knows {len(schema.migrations())})" in refusal(
        place.url, place.folder
    )


def test_a_migration_that_fails_changes_nothing(
    place: PostgresPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = "CREATE TABLE one (x TEXT);\nCREATE TABLE one (x TEXT);\n"
    with monkeypatch.context() as patch:
        patch.setattr("streamd.store.schema.migrations", lambda: (broken,))
        assert "already exists" in refusal(place.url, place.folder)
    assert place.sql("SELECT 1 FROM pg_namespace WHERE nspname = 'streamd'") == []
    place.open().close()


def test_only_the_migrations_that_a_database_has_not_seen_are_run(
    place: PostgresPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    with closing(place.open()) as store:
        enrol(store, "ada")
    scripts = (*schema.migrations(), "CREATE TABLE later (x TEXT);\n")
    monkeypatch.setattr("streamd.store.schema.migrations", lambda: scripts)
    for _ in range(2):
        with closing(place.open()) as store:
            assert names(store) == ["ada"]
    assert place.sql("SELECT version FROM schema_version") == [(len(scripts),)]


def test_another_key_is_refused(place: PostgresPlace) -> None:
    place.open().close()
    (place.folder / "key").unlink()
    assert "missing, and the voices in postgresql://" in refusal(place.url, place.folder)
    (place.folder / "other").mkdir()
    (place.folder / "other" / "key").write_text("ab" * 32)
    (place.folder / "other" / "key").chmod(0o600)
    assert "not the key that" in refusal(place.url, place.folder / "other")


def test_a_lock_that_is_not_given_up_says_so(
    place: PostgresPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "LOCK_TIMEOUT_MS", 50)
    with closing(place.open()) as store, closing(place.open()) as other:
        enrol(store, "ada")
        with (
            other._database.writing(),
            pytest.raises(Unavailable, match="another process has it locked"),
        ):
            enrol(store, "bob", 1)
        enrol(store, "bob", 1)
        assert names(other) == ["ada", "bob"]


def test_a_thread_that_reads_need_not_wait_for_one_that_writes(place: PostgresPlace) -> None:
    with closing(place.open()) as store:
        enrol(store, "ada")
        done: list[Callable[[], object]] = []
        with store._database.writing():
            reader = threading.Thread(target=lambda: done.append(names(store)))
            reader.start()
            reader.join()
        assert done == [["ada"]]


def remains(place: PostgresPlace, what: list[bytes]) -> list[str]:
    return [str(f) for f in place.tables() if any(part in f.read_bytes() for part in what)]


def sealed(place: PostgresPlace) -> list[bytes]:
    rows = place.sql("SELECT embedding FROM enrolments UNION ALL SELECT baseline FROM baselines")
    return [record[40:80] for (record,) in rows]


def test_a_deletion_beside_a_reader_says_what_stays_and_is_erased_later(
    place: PostgresPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "LOCK_TIMEOUT_MS", 100)
    monkeypatch.setattr(database, "SHORT_LOCK_TIMEOUT_MS", 20)
    with closing(place.open()) as store, closing(place.open()) as backup:
        enrol(store, NAME)
        store.keep_baselines("mood", {NAME: bytes(range(250)) * 20})
        place.sql("ANALYZE")  # whose samples must hold nothing of a voice
        what = [*sealed(place), NAME.encode()]
        assert remains(place, what)
        with backup._database.snapshot() as reader:
            reader.execute("SELECT count(*) FROM enrolments")
            with pytest.raises(NotErased, match=r"is deleted, but remains stay in the tables of"):
                store.delete(NAME)
            assert names(store) == []
            assert not store.erase()
        assert remains(place, what)
        assert store.erase()
        assert remains(place, what) == []
        assert backup.erase()


def test_listening_ends_with_the_store(place: PostgresPlace) -> None:
    calls: list[int] = []
    with closing(place.open()) as other:
        with closing(place.open()) as store:
            end = store.on_change(lambda: calls.append(1))
            wait_until(lambda: calls)  # it listens now
            enrol(other, "ada")
            wait_until(lambda: len(calls) >= 2)
            end()
            before = len(calls)
            enrol(other, "bob", 1)
            assert len(calls) == before
        assert threading.active_count() < 10
        enrol(other, "eve", 2)
        assert len(calls) == before
