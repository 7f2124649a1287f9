"""Tenants: whatever one of them does, no other sees it, and no record can be given to another."""

from collections.abc import Callable

import numpy as np
import pytest
from databases import Place
from fakes.own_words import word

from streamd.errors import Unavailable
from streamd.store import DEFAULT_TENANT, Enrolment, SqlStore

BASELINE = "mood"


def enrolment(seed: int) -> Enrolment:
    vector = np.random.default_rng(seed).standard_normal(8).astype(np.float32)
    return Enrolment(vector, "m", "wide", 1000 + seed, f"{seed}.wav")


def content(store: SqlStore) -> object:
    """All that a tenant can see."""
    gallery = store.load_gallery("m", BASELINE)
    return (
        [(s.name, s.enrolments, s.speech_ms) for s in store.speakers()],
        [(name, [e.tolist() for e in store.embeddings(name, "m")]) for name in ("ada", "bob")],
        gallery.names,
        dict(gallery.baselines),
        {name: w.info.clips for name, w in store.load_words().items()},
    )


def fill(store: SqlStore, seed: int) -> None:
    store.enrol("ada", [enrolment(seed)], {BASELINE: b"ada %d" % seed})
    store.enrol("bob", [enrolment(seed + 1)])
    store.add_word(word("own", clips=seed))


@pytest.fixture
def acme(store: SqlStore) -> SqlStore:
    return store.of("acme")


def test_equal_names_are_other_voices_and_words(store: SqlStore, acme: SqlStore) -> None:
    fill(store, 1)
    before = content(store)
    assert content(acme) == ([], [("ada", []), ("bob", [])], (), {}, {})
    fill(acme, 10)
    assert content(store) == before != content(acme)


CHANGES: dict[str, Callable[[SqlStore], object]] = {
    "enrol": lambda store: store.enrol("ada", [enrolment(5)], {BASELINE: b"other"}),
    "rename": lambda store: store.rename("ada", "eve"),
    "delete": lambda store: store.delete("ada"),
    "keep baselines": lambda store: store.keep_baselines(BASELINE, {"ada": b"x", "bob": b"y"}),
    "replace a word": lambda store: store.add_word(word("own", clips=77), replace=True),
    "remove a word": lambda store: store.remove_word("own"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_no_change_of_one_tenant_touches_another(
    store: SqlStore, acme: SqlStore, change: Callable[[SqlStore], object]
) -> None:
    fill(store, 1)
    fill(acme, 10)
    ours, theirs = content(store), content(acme)
    change(acme)
    assert content(acme) != theirs
    assert content(store) == ours


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_nobody_changes_what_only_another_tenant_has(
    store: SqlStore, acme: SqlStore, change: Callable[[SqlStore], object]
) -> None:
    fill(store, 1)
    ours = content(store)
    change(acme)
    assert content(store) == ours


def test_the_tenants_are_those_that_have_a_voice_or_a_word(store: SqlStore, acme: SqlStore) -> None:
    assert store.tenants() == []
    acme.enrol("ada", [enrolment(1)])
    store.of("words only").add_word(word("own"))
    store.enrol("ada", [enrolment(1)])
    assert acme.tenants() == ["acme", DEFAULT_TENANT, "words only"]
    acme.delete("ada")
    store.of("words only").remove_word("own")
    assert store.tenants() == [DEFAULT_TENANT]


def test_the_version_is_that_of_the_whole_store(store: SqlStore, acme: SqlStore) -> None:
    before = store.version()
    acme.enrol("ada", [enrolment(1)])
    assert store.version() == acme.version() > before


def test_what_a_tenant_deleted_is_erased_by_whoever_looks_next(
    store: SqlStore, acme: SqlStore, place: Place
) -> None:
    acme.enrol("ada", [enrolment(1)])
    ((sealed,),) = place.sql("SELECT embedding FROM enrolments")
    assert acme.delete("ada")
    assert store.erase()
    assert not any(sealed in file.read_bytes() for file in place.tables())


@pytest.mark.parametrize("table", ["speakers", "words"])
def test_a_record_that_is_given_to_another_tenant_cannot_be_read(
    store: SqlStore, acme: SqlStore, place: Place, table: str
) -> None:
    fill(acme, 10)
    place.sql(f"UPDATE {table} SET tenant = '{DEFAULT_TENANT}'")
    with pytest.raises(Unavailable, match="tampered"):
        content(store)
