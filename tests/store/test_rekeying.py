"""`streamd store rekey`: all records under a new key, whoever writes or is killed meanwhile."""

import hashlib
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from databases import Place
from fakes.own_words import word

from streamd.errors import ConfigError, Unavailable
from streamd.store import Enrolment, SqlStore, newkey, sealed
from streamd.store.access import Answer, KeyRecord
from streamd.store.calibrations import Calibrated
from streamd.store.rekeying import KINDS, rekey

NOW_MS = 1_800_000_000_000
RECORDS = 11
"""Sealed records that `fill` writes."""


def quiet(done: int, total: int) -> None:
    """Report nothing."""


def recording(number: int) -> Enrolment:
    vector = np.random.default_rng(number).standard_normal(8).astype(np.float32)
    return Enrolment(vector, "m", "wide", 1000, "a.wav")


def fill(store: SqlStore) -> None:
    """Write one record of each kind at least, for two tenants."""
    store.enrol("ada", [recording(0), recording(1)], {"mood": b"calm"})
    store.of("acme").enrol("ada", [recording(2)], {"mood": b"loud", "pace": b"fast"})
    store.calibrate("m", [Calibrated(model="m", channel="wide", target_far=0.01, threshold=0.8)])
    store.add_word(word("hey_lantern"))
    store.access.add_key(KeyRecord("k1", "box", "acme", hashlib.sha256(b"k").digest(), (), NOW_MS))
    store.access.secret("tickets")
    store.access.keep_answer(
        "acme", "once", Answer(b"asked", 201, "text/plain", b"said"), NOW_MS + 1, NOW_MS
    )


def contents(store: SqlStore) -> list[object]:
    """Return all that is sealed, opened."""
    found: list[object] = [store.access.keys(), store.access.secret("tickets")]
    found.append(store.access.answered("acme", "once", NOW_MS))
    for tenant in ("default", "acme"):
        own = store.of(tenant)
        gallery = own.load_gallery("m", "mood")
        found += [own.calibrations(), gallery.names, dict(gallery.baselines)]
        found += [one.head for one in own.load_words().values()]
        found += [v.tobytes() for name in gallery.names for v in own.embeddings(name, "m")]
    return found


@pytest.fixture
def key(place: Place) -> Path:
    return place.folder / "key"


@pytest.fixture
def filled(store: SqlStore) -> SqlStore:
    fill(store)
    return store


def test_everything_is_under_the_new_key_and_open_stores_go_on(
    filled: SqlStore, opened: Callable[..., SqlStore], place: Place, key: Path
) -> None:
    other, before, old = opened(), contents(filled), key.read_bytes()
    assert rekey(filled, key, quiet) == RECORDS
    assert key.read_bytes() != old
    assert newkey.replaced(key).read_bytes() == old
    assert not newkey.pending(key).exists()
    for one in (filled, other, opened()):
        assert contents(one) == before
    # What a process seals that was there before is sealed with the new key.
    other.enrol("bob", [recording(3)])
    assert other.access.secret("audit") == opened().access.secret("audit")
    assert opened().load_gallery("m").names == ("ada", "bob")
    key.write_bytes(old)
    with pytest.raises(ConfigError, match="copy it from there"):
        place.open()


def test_a_machine_without_the_new_key_waits_for_it(
    filled: SqlStore, opened: Callable[..., SqlStore], key: Path
) -> None:
    other, before, old = opened(), contents(filled), key.read_bytes()
    rekey(filled, key, quiet)
    new = key.read_bytes()
    key.write_bytes(old)
    with pytest.raises(Unavailable, match="copy it from there"):
        other.access.keys()
    with pytest.raises(Unavailable, match="copy it from there"):
        other.enrol("bob", [recording(3)])
    key.write_bytes(new)
    assert contents(other) == before


def test_no_kind_of_record_is_left_out(filled: SqlStore) -> None:
    with filled.database.reading() as db:
        assert all(kind.count(db) for kind in KINDS)


def test_pages_leave_nothing_out(
    filled: SqlStore, key: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealed, "PAGE", 1)
    before, seen = contents(filled), list[tuple[int, int]]()
    rekey(filled, key, lambda *done: seen.append(done))
    assert seen == [(number + 1, RECORDS) for number in range(RECORDS)]
    assert contents(filled) == before


def test_who_waits_for_the_change_seals_with_the_new_key(
    filled: SqlStore, opened: Callable[..., SqlStore], key: Path
) -> None:
    other = opened()

    def write() -> None:
        other.enrol("bob", [recording(3)])
        other.access.keep_answer(
            "acme", "late", Answer(b"asked", 201, "text/plain", b"late"), NOW_MS + 1, NOW_MS
        )
        other.access.secret("audit")

    writer = threading.Thread(target=write)

    def begin_writing(done: int, total: int) -> None:
        if not writer.ident:
            writer.start()

    rekey(filled, key, begin_writing)
    writer.join()
    fresh = opened()
    assert fresh.load_gallery("m").names == ("ada", "bob")
    late = fresh.access.answered("acme", "late", NOW_MS)
    assert late is not None
    assert late.body == b"late"
    assert fresh.access.secret("audit") == other.access.secret("audit")


# Killed: the process ends itself by SIGKILL where the line stands.

KILLED = {
    "before the new key is there": "cipher.os.link",
    "before a record is sealed": "sealed.Sealed.seal_anew",
    "before the records are committed": "rekeying.write_proof",
    "before the old key has its new name": "newkey.complete",
    "before the new key has its place": "newkey.os.replace",
    "before the remains are erased": "sql.SqlStore.erase",
}
KILLING = """
import os, signal, sys
from pathlib import Path
from streamd.store import cipher, newkey, open_store, rekeying, sealed, sql
folder = Path(sys.argv[1])
if {needs_postgres}:
    from streamd.store import postgres
store = {opening}
def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
{where} = die
rekeying.rekey(store, folder / "key", lambda *_: None)
"""


@pytest.mark.parametrize("where", KILLED.values(), ids=KILLED)
def test_a_change_that_is_killed_leaves_all_readable_and_is_completed(
    filled: SqlStore, place: Place, key: Path, where: str
) -> None:
    before, old = contents(filled), key.read_bytes()
    code = KILLING.format(
        opening=place.opening, needs_postgres="postgres." in place.opening, where=where
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(place.folder)], capture_output=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()
    assert contents(filled) == before, "a process that had it open"
    with closing(place.open()) as again:
        assert contents(again) == before, "one that opens it now"
    if where != "sql.SqlStore.erase":  # by then all is done
        with closing(place.open()) as again:
            rekey(again, key, quiet)
    assert key.read_bytes() != old
    assert newkey.replaced(key).read_bytes() == old
    assert not newkey.pending(key).exists()
    with closing(place.open()) as again:
        assert contents(again) == before
    assert contents(filled) == before


def test_a_damaged_voice_stops_the_change_and_all_is_as_it_was(
    filled: SqlStore, place: Place, key: Path
) -> None:
    old = key.read_bytes()
    place.sql("UPDATE baselines SET baseline = CAST('' AS BLOB) WHERE model = 'pace'")
    with pytest.raises(Unavailable, match=r"table baselines .* nothing was changed"):
        rekey(filled, key, quiet)
    assert key.read_bytes() == old
    assert filled.load_gallery("m", "mood").names == ("ada",)


def test_a_damaged_key_opens_nothing_and_does_not_stop_the_change(
    filled: SqlStore, place: Place, key: Path
) -> None:
    filled.access.add_key(KeyRecord("k2", "mallory", "acme", b"d", (), NOW_MS))
    place.sql("UPDATE keys SET scopes = 'admin' WHERE id = 'k2'")
    rekey(filled, key, quiet)
    (left,) = filled.access.keys()
    assert left.name == "box"


def test_no_key_of_an_earlier_change_is_overwritten(filled: SqlStore, key: Path) -> None:
    rekey(filled, key, quiet)
    before, first = contents(filled), key.read_bytes()
    with pytest.raises(ConfigError, match=r"key\.old: it is from an earlier change"):
        rekey(filled, key, quiet)
    assert key.read_bytes() == first
    newkey.replaced(key).unlink()
    rekey(filled, key, quiet)
    assert contents(filled) == before


def test_the_new_key_has_the_owner_and_the_mode_of_the_old_one(filled: SqlStore, key: Path) -> None:
    key.chmod(0o640)
    rekey(filled, key, quiet)
    assert key.stat().st_mode & 0o777 == 0o640


def test_a_link_to_the_key_stays_a_link(filled: SqlStore, key: Path, tmp_path: Path) -> None:
    real = tmp_path / "elsewhere" / "key"
    real.parent.mkdir()
    key.rename(real)
    key.symlink_to(real)
    before = contents(filled)
    rekey(filled, key, quiet)
    assert key.is_symlink()
    assert newkey.replaced(key).parent == real.parent
    assert contents(filled) == before
