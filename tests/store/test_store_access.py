"""What the store promises about keys, secrets, tickets, counted uses and first replies."""

import dataclasses
import hashlib
import itertools
import threading
from collections.abc import Callable
from contextlib import closing

import pytest
from databases import Place
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from streamd.errors import NameTaken, Unavailable
from streamd.store import SqlStore, shared
from streamd.store.access import Answer, KeyRecord, Spend
from streamd.store.usage import MOST_DEBT_US

NOW_MS = 1_800_000_000_000
HOUR_MS = 3_600_000
NUMBERS = itertools.count()


def key(name: str, number: int = 0, **fields: object) -> KeyRecord:
    digest = hashlib.sha256(f"{name} {number}".encode()).digest()
    record = KeyRecord(
        id=f"{name}-{number}",
        name=name,
        tenant="default",
        digest=digest,
        scopes=("stream",),
        created_ms=NOW_MS + number,
    )
    return dataclasses.replace(record, **fields)


def answer(body: bytes = b"{}", **fields: object) -> Answer:
    first = Answer(hashlib.sha256(b"asked").digest(), 201, "application/json", body)
    return dataclasses.replace(first, **fields)


@pytest.fixture
def other(opened: Callable[..., SqlStore]) -> SqlStore:
    """The same store as another process has it."""
    return opened()


def test_keys_come_back_whole_and_in_order_for_every_process(
    store: SqlStore, other: SqlStore
) -> None:
    added = [
        key("zoë"),
        key("box", scopes=("stream", "enrol"), tenant="acme", expires_ms=NOW_MS + HOUR_MS),
        key("bare", scopes=()),
    ]
    for one in added:
        store.access.add_key(one)
    expected = sorted(added, key=lambda one: one.name)
    assert store.access.keys() == other.access.keys() == expected
    assert other.of("acme").access.keys() == expected, "keys are not a tenant's own"


def test_one_name_is_one_key_in_force_and_is_free_after_revocation(store: SqlStore) -> None:
    store.access.add_key(key("box"))
    with pytest.raises(NameTaken, match="'box' already exists; revoke it first"):
        store.access.add_key(key("box", 1, tenant="acme"))
    assert store.access.revoke_key("box", NOW_MS + 5) == key("box", revoked_ms=NOW_MS + 5)
    assert store.access.revoke_key("box", NOW_MS + 6) is None
    assert store.access.revoke_key("nobody's", NOW_MS) is None
    store.access.add_key(key("box", 1))
    assert store.access.keys() == [key("box", revoked_ms=NOW_MS + 5), key("box", 1)]


def test_only_keys_among_these_change_the_version(store: SqlStore, other: SqlStore) -> None:
    versions = [other.version()]

    def is_changed() -> bool:
        versions.append(other.version())
        assert versions[-1] >= versions[-2]
        return versions[-1] != versions[-2]

    store.access.secret("tickets")
    store.access.burn("t", NOW_MS, NOW_MS)
    store.access.count("b", 1, 1000, NOW_MS)
    store.access.keep_answer("default", "k", answer(), NOW_MS + 1, NOW_MS)
    store.access.claim("p", "k", 1, 1, 1000, NOW_MS)
    store.access.spend([Spend("b", 1, NOW_MS)], NOW_MS)
    assert store.access.revoke_key("box", NOW_MS) is None
    assert not is_changed()
    store.access.add_key(key("box"))
    assert is_changed()
    with pytest.raises(NameTaken):
        store.access.add_key(key("box", 1))
    assert not is_changed()
    store.access.revoke_key("box", NOW_MS)
    assert is_changed()


FORGERIES = {
    "another digest": "UPDATE keys SET digest = CAST('' AS BLOB)",
    "more scopes": "UPDATE keys SET scopes = 'admin'",
    "another tenant": "UPDATE keys SET tenant = 'acme'",
    "no expiry": "UPDATE keys SET expires_at = NULL",
    "not revoked": "UPDATE keys SET revoked_at = NULL",
    "another name": "UPDATE keys SET name = 'other'",
}


@pytest.mark.parametrize("forgery", FORGERIES.values(), ids=FORGERIES)
def test_a_key_that_was_tampered_with_opens_nothing_and_the_others_stay(
    store: SqlStore, place: Place, forgery: str
) -> None:
    store.access.add_key(key("mallory", expires_ms=NOW_MS + HOUR_MS))
    store.access.revoke_key("mallory", NOW_MS)
    place.sql(forgery)
    store.access.add_key(key("box"))
    with capture_logs() as logs:
        assert store.access.keys() == [key("box")]
    assert "was tampered with" in logs[0]["event"]


def test_a_damaged_key_can_be_revoked(store: SqlStore, place: Place) -> None:
    store.access.add_key(key("box"))
    place.sql("UPDATE keys SET scopes = 'admin'")
    revoked = store.access.revoke_key("box", NOW_MS)
    assert revoked is not None
    assert revoked.digest == b"", "nothing has this digest"
    assert store.access.keys() == [revoked]


def test_neither_digests_nor_secrets_nor_replies_are_in_the_files(
    store: SqlStore, place: Place
) -> None:
    store.access.add_key(key("box"))
    secret = store.access.secret("tickets")
    store.access.keep_answer("default", "k", answer(b"a very particular body"), NOW_MS + 1, NOW_MS)
    store.close()
    written = b"".join(path.read_bytes() for path in place.files())
    assert b"box" in written
    for what in (key("box").digest, secret, b"particular"):
        assert what not in written


def test_a_secret_is_one_for_all_who_ask_at_once(place: Place) -> None:
    together, found = threading.Barrier(6), []

    def ask() -> None:
        with closing(place.open()) as mine:
            together.wait()
            found.append(mine.access.secret("tickets"))

    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert len(set(found)) == 1
    assert len(found[0]) == 32
    with closing(place.open()) as again:
        assert again.access.secret("tickets") == found[0]
        assert again.access.secret("others") != found[0]


def test_a_secret_that_was_tampered_with_says_so(store: SqlStore, place: Place) -> None:
    store.access.secret("tickets")
    place.sql("UPDATE secrets SET value = CAST('' AS BLOB) WHERE name LIKE 'secret:%'")
    with pytest.raises(Unavailable, match="'tickets' in the store is damaged"):
        store.access.secret("tickets")


def test_a_ticket_is_good_once_for_all_processes_together(place: Place) -> None:
    tickets = [f"t{number}" for number in range(20)]
    together, burned = threading.Barrier(4), []

    def use() -> None:
        with closing(place.open()) as mine:
            together.wait()
            burned.extend(t for t in tickets if mine.access.burn(t, NOW_MS + 60_000, NOW_MS))

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(burned) == sorted(tickets)


def test_a_used_ticket_is_remembered_until_its_time_and_not_for_ever(
    store: SqlStore, place: Place
) -> None:
    until_ms = NOW_MS + 60_000
    assert store.access.burn("t", until_ms, NOW_MS)
    assert not store.access.burn("t", until_ms, until_ms)
    assert store.access.burn("much later", until_ms + HOUR_MS, NOW_MS + HOUR_MS)
    assert place.sql("SELECT id FROM tickets") == [("much later",)]


def test_a_bucket_takes_its_limit_in_each_window_and_says_when_it_takes_more(
    store: SqlStore, other: SqlStore
) -> None:
    def use(at_ms: int, limit: int = 2, bucket: str = "b") -> int:
        return other.access.count(bucket, limit, 1000, NOW_MS + at_ms)

    assert store.access.count("b", 2, 1000, NOW_MS) == 0
    assert use(100) == 0
    assert use(200) == 800
    assert use(200, bucket="another") == 0
    assert use(200, limit=1) == 900, "a limit that was lowered"
    assert use(999) == 1
    assert use(1000) == 0
    assert use(1000) == 100
    assert use(-HOUR_MS) == 1000, "a clock that was set back blocks nobody for longer"
    with pytest.raises(ValueError, match="limit of 0"):
        use(0, limit=0)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps_ms=st.lists(st.integers(0, 700), max_size=30),
    limit=st.integers(1, 4),
)
def test_no_window_has_more_uses_than_its_limit(
    store: SqlStore, steps_ms: list[int], limit: int
) -> None:
    counted, now_ms, bucket = [], NOW_MS, f"b{next(NUMBERS)}"
    for step_ms in steps_ms:
        now_ms += step_ms
        wait_ms = store.access.count(bucket, limit, 1000, now_ms)
        recent = [at_ms for at_ms in counted if at_ms > now_ms - 1000]
        assert (wait_ms == 0) == (len(recent) < limit)
        if wait_ms == 0:
            counted.append(now_ms)
        else:
            assert sum(at_ms > now_ms + wait_ms - 1000 for at_ms in recent) < limit
            assert sum(at_ms > now_ms + wait_ms - 1001 for at_ms in recent) >= limit


def test_the_first_reply_is_the_one_that_is_kept(store: SqlStore, other: SqlStore) -> None:
    until_ms = NOW_MS + HOUR_MS
    first, second = answer(b"first"), answer(b"second", request=b"other", status=200)
    assert store.access.answered("default", "k", NOW_MS) is None
    assert store.access.keep_answer("default", "k", first, until_ms, NOW_MS) == first
    assert other.access.keep_answer("default", "k", second, until_ms, NOW_MS) == first
    assert other.access.answered("default", "k", until_ms - 1) == first
    assert other.access.answered("acme", "k", NOW_MS) is None, "another tenant's key"
    assert other.access.keep_answer("acme", "k", second, until_ms, NOW_MS) == second


def test_a_reply_is_kept_until_its_time(store: SqlStore, place: Place) -> None:
    until_ms = NOW_MS + HOUR_MS
    for name in ("k", "l"):
        store.access.keep_answer("default", name, answer(b"first"), until_ms, NOW_MS)
    assert store.access.answered("default", "k", until_ms) is None
    later = answer(b"later")
    assert store.access.keep_answer("default", "k", later, until_ms + 1, until_ms) == later
    assert place.sql("SELECT key FROM answers") == [("k",)]


def test_a_tenants_oldest_replies_go_first(store: SqlStore, monkeypatch) -> None:
    monkeypatch.setattr(shared, "MAX_ANSWERS", 3)
    monkeypatch.setattr(shared, "MAX_ANSWERS_BYTES", 1000)

    def keep(tenant: str, key: str, size_bytes: int, until_ms: int) -> None:
        store.access.keep_answer(tenant, key, answer(bytes(size_bytes)), until_ms, NOW_MS)

    def kept() -> str:
        return "".join(k for k in "abcdef" if store.access.answered("default", k, NOW_MS))

    keep("acme", "a", 900, NOW_MS + 1)
    for number, key in enumerate("abcd", start=10):
        keep("default", key, 10, NOW_MS + number)
    assert kept() == "bcd", "by number"
    keep("default", "e", 950, NOW_MS + 20)
    assert kept() == "de", "by bytes"
    keep("default", "f", 5000, NOW_MS + 21)
    assert kept() == "f", "one that is larger than all room takes it alone"
    assert store.access.answered("acme", "a", NOW_MS) is not None, "another tenant's"


def test_a_reply_that_was_tampered_with_is_none(store: SqlStore, place: Place) -> None:
    store.access.keep_answer("default", "k", answer(b"first"), NOW_MS + 1, NOW_MS)
    place.sql("UPDATE answers SET status = 200")
    assert store.access.answered("default", "k", NOW_MS) is None
    again = answer(b"again")
    assert store.access.keep_answer("default", "k", again, NOW_MS + 1, NOW_MS) == again


LEASE_MS = 10_000


def test_open_sockets_are_bounded_for_all_processes_together(
    store: SqlStore, other: SqlStore
) -> None:
    def claim(
        mine: SqlStore, process: str, sockets: int, key_id: str = "k", at_ms: int = 0
    ) -> bool:
        return mine.access.claim(process, key_id, sockets, 3, LEASE_MS, NOW_MS + at_ms)

    assert claim(store, "a", 2)
    assert claim(other, "b", 1)
    assert not claim(other, "b", 2)
    assert not claim(store, "a", 3)
    assert claim(other, "b", 3, key_id="another")
    store.access.hold("a", {"k": 1}, LEASE_MS, NOW_MS)
    assert claim(other, "b", 2)
    other.access.hold("b", {}, LEASE_MS, NOW_MS + LEASE_MS - 1)
    assert claim(store, "a", 3, at_ms=LEASE_MS - 1)
    assert not claim(other, "b", 1, at_ms=2 * LEASE_MS - 2)
    assert claim(other, "b", 3, at_ms=2 * LEASE_MS - 1), "the lease of the other is over"


def test_open_sockets_that_nobody_claims_again_are_forgotten(store: SqlStore, place: Place) -> None:
    store.access.claim("a", "k", 1, 3, LEASE_MS, NOW_MS)
    store.access.hold("b", {"k": 2, "l": 1}, LEASE_MS, NOW_MS + LEASE_MS)
    assert place.sql("SELECT process, key_id, sockets FROM open_sockets ORDER BY key_id") == [
        ("b", "k", 2),
        ("b", "l", 1),
    ]


def spend(store: SqlStore, bucket: str, used_us: int, since_ms: int, now_ms: int) -> int:
    (debt_us,) = store.access.spend([Spend(bucket, used_us, NOW_MS + since_ms)], NOW_MS + now_ms)
    return debt_us


def test_what_is_used_of_a_limit_is_one_sum_that_falls_with_time(
    store: SqlStore, other: SqlStore, place: Place
) -> None:
    assert spend(store, "b", 800_000, 0, 0) == 800_000
    assert spend(other, "b", 800_000, 0, 0) == 1_600_000
    assert spend(store, "b", 0, 500, 500) == 1_100_000
    assert spend(other, "another", 1, 500, 500) == 1
    assert spend(other, "b", 400_000, 2000, 2100) == 300_000, "used since 2000 alone"
    assert spend(store, "b", 60_000_000, 2100, 62_100) == 300_000, "at the allowed speed"
    assert spend(store, "b", 10**12, 62_100, 62_100) == MOST_DEBT_US
    assert spend(other, "later", 1, 200_000, 200_000) == 1
    assert place.sql("SELECT bucket FROM rates") == [("later",)]


def test_a_sum_from_the_future_is_no_older_than_now(store: SqlStore, other: SqlStore) -> None:
    """One process has a clock that is ahead, or the clock was set back."""
    assert spend(store, "b", 500_000, 5000, 5000) == 500_000
    assert spend(other, "b", 100_000, 0, 0) == 600_000
    assert spend(other, "b", 0, 400, 400) == 200_000


def test_a_sum_is_added_to_by_all_at_once(place: Place) -> None:
    together = threading.Barrier(4)

    def use() -> None:
        with closing(place.open()) as mine:
            together.wait()
            for _ in range(10):
                spend(mine, "b", 1000, 0, 0)

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with closing(place.open()) as store:
        assert spend(store, "b", 0, 0, 0) == 40_000
