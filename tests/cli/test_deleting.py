"""Deleting something reports whether it is past recovery."""

import sqlite3
from contextlib import closing

import numpy as np
import pytest

from streamd.errors import NotErased
from streamd.store import Enrolment, open_store
from streamd.store.sqlite import connect


@pytest.fixture
def enrolled(cli, monkeypatch):
    """The home of a store with one voice in it; commands have little patience."""
    monkeypatch.setattr(connect, "BUSY_TIMEOUT_MS", 20)
    with closing(open_store(cli.home / "streamd.db", cli.home / "key")) as store:
        store.enrol("Zoë", [Enrolment(np.ones(256, np.float32), "m", "wide", 2000, "z.wav")])
    return cli.home


def test_a_deletion_beside_a_backup_is_done_and_said_to_be_recoverable(cli, enrolled):
    with closing(sqlite3.connect(enrolled / "streamd.db", isolation_level=None)) as backup:
        backup.execute("BEGIN")
        (record,) = backup.execute("SELECT embedding FROM enrolments").fetchone()
        done = cli("speakers", "delete", "Zoë")
        assert done.code == NotErased.exit_code == 8
        assert "'Zoë' is deleted, but remains stay in" in done.err
        assert "streamd.db" in done.err
        listed = cli("speakers", "list", "--json")
        assert (listed.code, listed.out) == (0, "[]\n")

    def remains() -> list[str]:
        return [f.name for f in enrolled.iterdir() if bytes(record)[20:60] in f.read_bytes()]

    # Any command that opens the store erases them once the backup is done.
    assert cli("speakers", "list", "--json").code == 0
    assert remains() == []


def test_a_deletion_with_nobody_beside_it_is_past_recovery(cli, enrolled):
    done = cli("speakers", "delete", "Zoë")
    assert (done.code, done.out) == (0, "")
    assert not any("Zoë".encode() in file.read_bytes() for file in enrolled.iterdir())
