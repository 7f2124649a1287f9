"""Nothing of what was deleted stays in any file, or the caller knows that something does."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest

from streamd.engine.passes.heads import WordHead
from streamd.errors import NotErased
from streamd.modules.words import CustomWord, WordEstimate, WordInfo
from streamd.store import Enrolment, SqlStore, open_store
from streamd.store.erasure import request
from streamd.store.sqlite import connect

NAME = "Wilhelmina"


def opened(folder: Path) -> SqlStore:
    return open_store(folder / "v.db", folder / "key")


def word(bias: float = 0.0) -> CustomWord:
    estimate = WordEstimate(
        missed=1, tries=20, missed_clean=0, tries_clean=5, false_accepts=2, negatives_s=3600
    )
    info = WordInfo(
        name="hey_you",
        clips=5,
        phrase_ms=640,
        threshold=0.5,
        estimate=estimate,
        training_data="5 clips",
    )
    return CustomWord(info, WordHead(np.ones((16, 96), np.float32), bias).pack())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with a voice and a word in it, and little patience with other processes."""
    monkeypatch.setattr(connect, "BUSY_TIMEOUT_MS", 20)
    with closing(opened(tmp_path)) as store:
        store.enrol(NAME, [Enrolment(np.ones(256, np.float32), "m", "wide", 1000, "w.wav")])
        store.keep_baselines("mood", {NAME: bytes(range(200))})
        store.add_word(word())
    return tmp_path


def sealed(folder: Path) -> list[bytes]:
    """A part of every sealed record."""
    with closing(sqlite3.connect(folder / "v.db")) as db:
        rows = db.execute(
            "SELECT embedding FROM enrolments UNION ALL SELECT baseline FROM baselines"
            " UNION ALL SELECT head FROM words"
        ).fetchall()
    return [bytes(record)[40:80] for (record,) in rows]


def remains(folder: Path, records: list[bytes]) -> set[str]:
    """Files that still hold some of the records."""
    return {
        file.name
        for file in folder.iterdir()
        if any(record in file.read_bytes() for record in records)
    }


@contextmanager
def backup(folder: Path) -> Iterator[None]:
    """Another connection with a read transaction open, as a backup has."""
    with closing(sqlite3.connect(folder / "v.db", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM speakers").fetchone()
        yield


DELETIONS: dict[str, tuple[Callable[[SqlStore], object], slice]] = {
    "speaker": (lambda store: store.delete(NAME), slice(0, 2)),
    "word": (lambda store: store.remove_word("hey_you"), slice(2, 3)),
}


@pytest.mark.parametrize(("delete", "which"), DELETIONS.values(), ids=DELETIONS)
def test_a_deletion_beside_a_reader_says_what_stays_and_is_erased_later(
    folder: Path, delete: Callable[[SqlStore], object], which: slice
) -> None:
    with closing(opened(folder)) as store, closing(opened(folder)) as server:
        records = sealed(folder)[which]
        with backup(folder):
            with pytest.raises(NotErased, match=r"is deleted, but remains stay in .*v\.db"):
                delete(store)
            assert remains(folder, records), "the reader needs them"
            assert not store.erase()
            assert not server.erase()
        assert remains(folder, records)
        assert server.erase()
        assert remains(folder, records) == set()
        assert store.erase()


def test_a_deleted_voice_is_gone_at_once_for_who_asks(folder: Path) -> None:
    with closing(opened(folder)) as store:
        with backup(folder), pytest.raises(NotErased):
            store.delete(NAME)
        assert store.speakers() == []


def test_a_process_that_died_before_the_erasure_leaves_a_note_for_the_next_one(
    folder: Path,
) -> None:
    records = sealed(folder)
    # Kept open by hand, so that the files are as after a kill: a last close empties the log.
    with closing(sqlite3.connect(folder / "v.db", isolation_level=None)) as killed:
        killed.execute("PRAGMA secure_delete = ON")
        killed.execute("PRAGMA foreign_keys = ON")
        killed.execute("BEGIN IMMEDIATE")
        killed.execute("DELETE FROM speakers")
        killed.execute("DELETE FROM words")
        request(killed)
        killed.execute("COMMIT")
        assert remains(folder, records)
        opened(folder).close()
        assert remains(folder, records) == set()


def test_a_store_is_opened_beside_a_reader_that_keeps_remains(folder: Path) -> None:
    records = sealed(folder)[:2]
    with closing(opened(folder)) as store, backup(folder):
        with pytest.raises(NotErased):
            store.delete(NAME)
        opened(folder).close()
        assert remains(folder, records)


def test_a_deletion_during_the_erasure_of_another_is_not_forgotten(folder: Path) -> None:
    with closing(opened(folder)) as store, closing(sqlite3.connect(folder / "v.db")) as other:
        with backup(folder), pytest.raises(NotErased):
            store.delete(NAME)

        def delete_word(statement: str) -> None:
            """After the checkpoint, before its note is removed."""
            if statement.startswith("DELETE FROM erasures"):
                store._database._connection.set_trace_callback(None)
                with other:
                    other.execute("DELETE FROM words")
                    request(other)

        store._database._connection.set_trace_callback(delete_word)
        store.erase()
        assert other.execute("SELECT count(*) FROM erasures").fetchone() == (1,)
        assert store.erase()
        assert other.execute("SELECT count(*) FROM erasures").fetchone() == (0,)


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (lambda store: store.rename(NAME, "Mina"), [NAME.encode()]),
        (lambda store: store.add_word(word(1.0), replace=True), []),
    ],
    ids=["rename", "replace"],
)
def test_what_takes_the_place_of_something_erases_it(
    folder: Path, change: Callable[[SqlStore], object], names: list[bytes]
) -> None:
    with closing(opened(folder)) as store:
        before = [*sealed(folder), *names]
        assert remains(folder, names) or not names
        change(store)
        old = [record for record in before if record not in sealed(folder)]
        assert len(old) > len(names)
        assert remains(folder, old) == set()


def test_removing_pages_overwrites_them(folder: Path) -> None:
    with closing(opened(folder)) as store:
        connection = store._database._connection
        assert connection.execute("PRAGMA secure_delete").fetchone() == (1,)
