"""What the store says about files that are not as they should be."""

import contextlib
import os
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from streamd.errors import ConfigError, Unavailable
from streamd.store import Enrolment, open_store
from streamd.store.cipher import Cipher, Damaged, load_or_make_key
from streamd.store.schema import migrations, statements
from streamd.store.sqlite.connect import connect, explained, transaction
from streamd.store.sqlite.migrate import APPLICATION_ID, migrate


def make(folder: Path) -> None:
    store = open_store(folder / "v.db", folder / "key")
    store.enrol("a", [Enrolment(np.ones(256, np.float32), "m", "wide", 1000, "a.wav")])
    store.enrol("b", [Enrolment(-np.ones(256, np.float32), "m", "wide", 1000, "b.wav")])
    store.close()


@contextlib.contextmanager
def database(path: Path) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        yield db


@contextlib.contextmanager
def unprivileged() -> Iterator[None]:
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_files_and_directory_are_for_their_owner_only(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        folder = tmp_path / "deep" / "data"
        store = open_store(folder / "v.db", folder / "key")
        assert {f.name for f in folder.iterdir()} >= {"v.db", "v.db-wal", "key"}
        assert {f.name: stat.S_IMODE(f.stat().st_mode) for f in folder.iterdir()} == {
            f.name: 0o600 for f in folder.iterdir()
        }
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        store.close()
    finally:
        os.umask(old)


def foreign(path: Path) -> None:
    with database(path) as db:
        db.execute("CREATE TABLE notes (text)")


def foreign_marked(path: Path) -> None:
    with database(path) as db:
        db.execute("PRAGMA application_id = 42")


def newer(path: Path) -> None:
    make(path.parent)
    with database(path) as db:
        db.execute("PRAGMA user_version = 99")


def text(path: Path) -> None:
    path.write_text("no database at all, but long enough to have a header of its own " * 20)


NOT_OURS: dict[str, tuple[Callable[[Path], object], str]] = {
    "another program's": (foreign, "a database of another program, left as it is"),
    "another program's, still empty": (foreign_marked, "a database of another program"),
    "a newer streamd's": (
        newer,
        f"newer streamd (schema 99, this one knows {len(migrations())}): upgrade streamd",
    ),
    "not SQLite": (text, "not an SQLite database: set store.path"),
}


@pytest.mark.parametrize(("spoil", "problem"), NOT_OURS.values(), ids=NOT_OURS)
def test_a_file_that_is_not_ours_is_refused_and_left_alone(
    tmp_path: Path, spoil: Callable[[Path], object], problem: str
) -> None:
    path = tmp_path / "v.db"
    spoil(path)
    before = path.read_bytes()
    with pytest.raises(ConfigError) as caught:
        open_store(path, tmp_path / "key")
    assert str(caught.value).startswith(f"store {path}: ")
    assert problem in str(caught.value)
    assert path.read_bytes() == before


def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    (tmp_path / "v.db").touch()
    make(tmp_path)
    with database(tmp_path / "v.db") as db:
        assert db.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        assert db.execute("PRAGMA user_version").fetchone() == (len(migrations()),)
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_path_that_cannot_be_used_says_what_to_check(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "v.db").mkdir()
    with pytest.raises(Unavailable, match=r"v\.db: Is a directory"):
        open_store(tmp_path / "v.db", tmp_path / "key")
    with pytest.raises(Unavailable, match="check the path, its owner and mode"):
        open_store(tmp_path / "file" / "v.db", tmp_path / "key")


def test_a_missing_permission_says_what_to_check(tmp_path: Path) -> None:
    make(tmp_path)
    tmp_path.chmod(0o500)
    (tmp_path / "v.db").chmod(0o400)
    with unprivileged(), pytest.raises(Unavailable, match="Permission denied: check"):
        open_store(tmp_path / "v.db", tmp_path / "key")
    tmp_path.chmod(0o700)


def test_a_full_disk_says_so_and_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "v.db"
    with contextlib.closing(connect(path)) as db:
        db.execute("CREATE TABLE t (x)")
        db.execute("INSERT INTO t VALUES (1)")
        db.execute("PRAGMA max_page_count = 3")
        with (
            pytest.raises(Unavailable, match=f"store {path}: the disk is full: make room"),
            explained(path),
            transaction(db),
        ):
            db.executemany("INSERT INTO t VALUES (zeroblob(?))", [(1,), (100_000,)])
        assert db.execute("SELECT x FROM t").fetchall() == [(1,)]


def test_a_lock_that_is_not_given_up_says_so(tmp_path: Path) -> None:
    make(tmp_path)
    path = tmp_path / "v.db"
    with contextlib.closing(connect(path)) as holder, contextlib.closing(connect(path)) as other:
        other.execute("PRAGMA busy_timeout = 10")
        with (
            transaction(holder),
            pytest.raises(Unavailable, match="another process has it locked"),
            explained(path),
            transaction(other),
        ):
            pass


def test_a_new_store_waits_for_another_process_that_writes(tmp_path: Path) -> None:
    writer = sqlite3.connect(tmp_path / "v.db", isolation_level=None, check_same_thread=False)
    writer.execute("BEGIN IMMEDIATE")
    ending = threading.Timer(0.3, writer.execute, ["ROLLBACK"])
    ending.start()
    open_store(tmp_path / "v.db", tmp_path / "key").close()
    ending.join()
    writer.close()


def test_a_database_without_its_key_is_refused(tmp_path: Path) -> None:
    make(tmp_path)
    key = tmp_path / "key"
    kept = key.read_text()
    key.unlink()
    with pytest.raises(ConfigError, match=f"key {key}: missing.*restore it"):
        open_store(tmp_path / "v.db", key)
    assert not key.exists()
    load_or_make_key(key)
    with pytest.raises(ConfigError, match=f"key {key}: not the key that .*v.db was written with"):
        open_store(tmp_path / "v.db", key)
    key.write_text(kept)
    open_store(tmp_path / "v.db", key).close()


@pytest.mark.parametrize("content", ["", "zz" * 32, "ab" * 31, "é" * 32])
def test_a_key_file_of_something_else_is_refused(tmp_path: Path, content: str) -> None:
    key = tmp_path / "key"
    key.write_text(content)
    key.chmod(0o600)
    with pytest.raises(ConfigError, match="not a key file of streamd"):
        open_store(tmp_path / "v.db", key)


@pytest.mark.parametrize(
    ("mode", "fine"), [(0o600, True), (0o440, True), (0o644, False), (0o620, False)]
)
def test_a_key_that_others_may_read_is_refused(tmp_path: Path, mode: int, fine: bool) -> None:
    make(tmp_path)
    (tmp_path / "key").chmod(mode)
    if fine:
        open_store(tmp_path / "v.db", tmp_path / "key").close()
    else:
        with pytest.raises(ConfigError, match="chmod 600"):
            open_store(tmp_path / "v.db", tmp_path / "key")


TAMPERINGS = {
    "names swapped": "UPDATE speakers SET name = CASE name WHEN 'a' THEN 'c' ELSE 'a' END",
    "enrolment moved": "UPDATE enrolments SET speaker_id = 3 - speaker_id",
    "channel changed": "UPDATE enrolments SET channel = 'narrow'",
    "model changed": "UPDATE enrolments SET model = 'n'",
    "cut off": "UPDATE enrolments SET embedding = substr(embedding, 1, 5)",
}


@pytest.mark.parametrize("script", TAMPERINGS.values(), ids=TAMPERINGS)
def test_a_record_that_was_tampered_with_is_named_not_used(tmp_path: Path, script: str) -> None:
    make(tmp_path)
    with database(tmp_path / "v.db") as db:
        db.executescript(script)
    store = open_store(tmp_path / "v.db", tmp_path / "key")
    with pytest.raises(Unavailable, match=r"an enrolment of '[abc]' is damaged"):
        store.load_gallery("n" if "model" in script else "m")
    store.close()


def test_sealing_is_bound_to_its_owner_and_never_the_same_twice() -> None:
    cipher = Cipher(bytes(32))
    sealed = cipher.seal(b"x", "a", "bc")
    assert cipher.open(sealed, "a", "bc") == b"x"
    assert sealed != cipher.seal(b"x", "a", "bc")
    for owner in (("ab", "c"), ("a", "bc", ""), ("abc",)):
        with pytest.raises(Damaged):
            cipher.open(sealed, *owner)
    with pytest.raises(Damaged):
        Cipher(b"k" * 32).open(sealed, "a", "bc")


def test_a_migration_that_fails_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = "CREATE TABLE one (x);\nCREATE TABLE one (x);\n"
    monkeypatch.setattr("streamd.store.schema.migrations", lambda: (broken,))
    path = tmp_path / "v.db"
    with contextlib.closing(connect(path)) as db:
        with pytest.raises(Unavailable, match="table one already exists"):
            migrate(db, path)
        assert db.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
        assert db.execute("PRAGMA user_version").fetchone() == (0,)


def test_only_the_migrations_that_a_database_has_not_seen_are_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path)
    scripts = (*migrations(), "CREATE TABLE later (x);\n")
    monkeypatch.setattr("streamd.store.schema.migrations", lambda: scripts)
    store = open_store(tmp_path / "v.db", tmp_path / "key")
    assert store.load_gallery("m").names == ("a", "b")
    store.close()
    with database(tmp_path / "v.db") as db:
        assert db.execute("PRAGMA user_version").fetchone() == (len(scripts),)


def test_scripts_are_cut_into_statements_at_their_ends_only() -> None:
    script = "-- a; b\nCREATE TABLE t (\n  x TEXT DEFAULT ';'\n);\nSELECT 1;\n"
    assert [s.split()[-1] for s in statements(script)] == [");", "1;"]
