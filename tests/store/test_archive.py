"""An export has all of a store, and is imported whole or not at all."""

import io
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from databases import Place, PostgresPlace, SqlitePlace
from fakes.own_words import word

from streamd.errors import ConfigError, Unavailable, WrongUsage
from streamd.store import Enrolment, SqlStore
from streamd.store.access import Answer, KeyRecord
from streamd.store.archive import export_store, import_store, move_store, tables

TENANTS = ("default", "acme", "Ümläut 王")
NOW_MS = 1_800_000_000_000


def enrolment(seed: int, channel: str = "wide") -> Enrolment:
    vector = np.random.default_rng(seed).standard_normal(16).astype(np.float32)
    return Enrolment(vector, "m", channel, 1000 + seed, f"{seed} äöü.wav")  # type: ignore[arg-type]


def key(number: int) -> KeyRecord:
    return KeyRecord(
        id=f"id{number}",
        name=f"key {number}",
        tenant=TENANTS[number % len(TENANTS)],
        digest=bytes([number]) * 32,
        scopes=("stream", "enrol")[: number % 3],
        created_ms=NOW_MS + number,
        expires_ms=NOW_MS * 2 if number % 2 else None,
    )


def fill(store: SqlStore, voices: int = 7) -> None:
    for tenant in TENANTS:
        theirs = store.of(tenant)
        for number in range(voices):
            theirs.enrol(
                f"voice {number}",
                [enrolment(number), enrolment(number + 50, "narrow")][: 1 + number % 2],
                {"mood": f"{tenant} {number}".encode()} if number % 3 else {},
            )
        theirs.enrol("voice 0", [enrolment(99)])
        theirs.delete("voice 1")  # ids have a gap
        theirs.add_word(word("own", seed=len(tenant)))
        store.access.keep_answer(
            tenant, "k", Answer(b"asked", 201, "text/plain", tenant.encode()), NOW_MS * 2, NOW_MS
        )
    for number in range(4):
        store.access.add_key(key(number))
    store.access.revoke_key("key 2", NOW_MS)
    store.access.secret("tickets")
    store.access.burn("t_used", NOW_MS * 2, NOW_MS)
    store.access.count("bucket", 3, NOW_MS, NOW_MS)


def content(store: SqlStore) -> object:
    """All that a store keeps, as those who use it see it."""
    return (
        [
            (
                tenant,
                store.of(tenant).speakers(),
                store.of(tenant).load_gallery("m", "mood").baselines,
                [store.of(tenant).enrolments(s.name) for s in store.of(tenant).speakers()],
                [
                    [e.tolist() for e in store.of(tenant).embeddings(s.name, "m")]
                    for s in store.of(tenant).speakers()
                ],
                [(w.info, w.head) for w in store.of(tenant).load_words().values()],
                store.access.answered(tenant, "k", NOW_MS),
            )
            for tenant in store.tenants()
        ],
        store.access.keys(),
        store.access.secret("tickets"),
    )


def exported(store: SqlStore) -> bytes:
    out = io.BytesIO()
    export_store(store, out, lambda done, total: None)
    return out.getvalue()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.services)])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Another empty database, with no key yet."""
    folder = tmp_path / "target"
    folder.mkdir()
    if request.param == "sqlite":
        return SqlitePlace(folder)
    return PostgresPlace(folder, request.getfixturevalue("postgres_server"))


@pytest.fixture
def keyed(place: Place, store: SqlStore, target: Place) -> Place:
    """The target with the key of the source."""
    shutil.copy(place.folder / "key", target.folder / "key")
    return target


def imported(what: bytes, target: Place) -> int:
    return import_store(
        io.BytesIO(what), "x.jsonl", target.folder / "key", target.open, lambda done, total: None
    )


def is_empty(target: Place) -> bool:
    with closing(target.open()) as store, store.database.reading() as db:
        return tables.count(db) == 0


def test_an_import_has_all_that_was_exported(
    store: SqlStore, keyed: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "PAGE", 4)
    fill(store)
    steps: list[tuple[int, int]] = []
    out = io.BytesIO()
    count = export_store(store, out, lambda done, total: steps.append((done, total)))
    assert steps == [(step, count) for step in range(1, count + 1)]
    assert count == 3 * 6 + 3 + 4
    assert imported(out.getvalue(), keyed) == count
    with closing(keyed.open()) as new:
        assert content(new) == content(store)
        assert not new.access.burn("t_used", NOW_MS * 2, NOW_MS)
        assert [new.access.count("bucket", 3, NOW_MS, NOW_MS) for _ in range(3)] == [0, 0, NOW_MS]
        # The new store goes on, with ids of its own.
        new.enrol("one more", [enrolment(1000)])
        new.enrol("voice 2", [enrolment(1001)])
        assert len(new.speakers()) == 7
    again = exported(store).split(b"\n")
    assert again[1:-2] == out.getvalue().split(b"\n")[1:-2], "the same records each time"


def test_a_running_process_sees_an_import(store: SqlStore, keyed: Place) -> None:
    fill(store)
    with closing(keyed.open()) as running:
        before = running.version()
        imported(exported(store), keyed)
        assert running.version() != before
        assert content(running) == content(store)


def test_an_export_opens_nothing_without_its_key(store: SqlStore, target: Place) -> None:
    fill(store)
    what = exported(store)
    for secret in (key(1).digest, store.access.secret("tickets"), store.embeddings("voice 0", "m")):
        plain = bytes(secret) if isinstance(secret, bytes) else secret[0].tobytes()
        assert plain not in what
    with pytest.raises(ConfigError, match=r"missing; .*copy that key file there"):
        imported(what, target)
    assert not (target.folder / "key").exists(), "nothing was created"
    target.open().close()
    with pytest.raises(ConfigError, match=r"not the key of the store that x\.jsonl is from"):
        imported(what, target)
    assert is_empty(target)


DAMAGES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "nothing": (lambda what: b"", "x.jsonl:1: not an export"),
    "something else": (lambda what: b"{}\n", "x.jsonl:1: not an export"),
    "no header": (lambda what: what.split(b"\n", 1)[1], "x.jsonl:1: not an export"),
    "cut in a line": (lambda what: what[:-300], "the end is missing"),
    "cut after a line": (lambda what: what[: what.rindex(b"\n", 0, -1) + 1], "the end is missing"),
    "a line is missing": (
        lambda what: b"".join(w for n, w in enumerate(what.splitlines(True)) if n != 3),
        "changed or damaged",
    ),
    "another name": (lambda what: what.replace(b"voice 3", b"voice X", 1), "changed or damaged"),
    "not JSON": (lambda what: what.replace(b'"voice"', b'"voice', 1), ":2: the line is damaged"),
    "another type": (lambda what: what.replace(b'"name":"voice 0"', b'"name":0', 1), "damaged"),
    "twice": (lambda what: what.splitlines(True)[0] + what, ":2: two exports in one file"),
    "newer": (lambda what: what.replace(b'"format":2', b'"format":9'), "upgrade streamd"),
}


@pytest.mark.parametrize(("damage", "problem"), DAMAGES.values(), ids=DAMAGES)
def test_an_export_that_is_not_whole_changes_nothing(
    store: SqlStore, keyed: Place, damage: Callable[[bytes], bytes], problem: str
) -> None:
    fill(store)
    with pytest.raises(WrongUsage, match=problem):
        imported(damage(exported(store)), keyed)
    assert is_empty(keyed)


def test_a_store_with_anything_in_it_is_not_filled(store: SqlStore, keyed: Place) -> None:
    fill(store)
    with closing(keyed.open()) as new:
        new.access.add_key(key(9))
        with pytest.raises(WrongUsage, match="is not empty"):
            imported(exported(store), keyed)
        assert new.access.keys() == [key(9)]
        assert new.tenants() == []


def test_a_move_has_all_and_leaves_the_old_store_as_it_is(store: SqlStore, keyed: Place) -> None:
    fill(store)
    before = content(store)
    assert move_store(store, keyed.open, lambda done, total: None) == 25
    with closing(keyed.open()) as new:
        assert content(new) == before == content(store)


def test_a_move_from_a_store_that_changes_meanwhile_is_called_off(
    store: SqlStore, keyed: Place, opened: Callable[..., SqlStore]
) -> None:
    fill(store)
    other = opened()

    def enrol_once(done: int, total: int) -> None:
        if done == 3:
            other.enrol("late", [enrolment(1)])

    with pytest.raises(Unavailable, match="changed meanwhile, and nothing was moved: stop"):
        move_store(store, keyed.open, enrol_once)
    assert is_empty(keyed)


def test_a_move_into_a_store_of_another_key_is_refused(store: SqlStore, target: Place) -> None:
    fill(store)
    target.open().close()
    with pytest.raises(ConfigError, match="its key is not the key of"):
        move_store(store, target.open, lambda done, total: None)
    assert is_empty(target)
