"""What one key may do, and that it costs no other key anything."""

import asyncio
import sqlite3
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.access.limits import HOUR_MS, KeyLimits
from streamd.access.principal import ANYBODY, Principal
from streamd.access.rates import Rates
from streamd.access.shared import MAX_WAITING, SharedByStore
from streamd.access.trouble import Trouble
from streamd.config import LimitsConfig
from streamd.errors import RateExceeded, Unavailable
from streamd.observability.metrics import Metrics

ONE = Principal("acme", frozenset({"stream"}), "one")
OTHER = Principal("acme", frozenset({"stream"}), "other")


def limits(shared, clock=None, **bounds: int) -> KeyLimits:
    rates = Rates(shared, Trouble(Metrics()), *([clock] if clock else []))
    return KeyLimits(LimitsConfig(**bounds), rates, shared)


def requests(shared, per_s: int, clock=None) -> KeyLimits:
    return limits(shared, clock, requests_per_s_per_key=per_s)


def wait_ms(bounded: KeyLimits, principal: Principal) -> int:
    """0 if a request is let in, else when it may come again."""
    try:
        bounded.request(principal)
    except RateExceeded as refused:
        return refused.retry_after_ms or 0
    return 0


class Seconds:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def test_requests_a_second_are_bounded_for_each_key(shared):
    seconds = Seconds()
    bounded = requests(shared, 3, seconds)
    for _ in range(3):
        bounded.request(ONE)
    with pytest.raises(RateExceeded) as refused:
        bounded.request(ONE)
    assert refused.value.retry_after_ms == 334
    bounded.request(OTHER)
    for _ in range(100):
        bounded.request(ANYBODY)
    seconds.now_s += 0.334
    bounded.request(ONE)
    with pytest.raises(RateExceeded):
        bounded.request(ONE)


@given(st.integers(1, 20), st.lists(st.floats(0, 0.5), min_size=1, max_size=200))
def test_no_second_has_more_than_the_limit_after_the_first_burst(rate, gaps_s):
    seconds = Seconds()
    bounded = requests(None, rate, seconds)
    taken = []
    for gap_s in gaps_s:
        seconds.now_s += gap_s
        if (wait := wait_ms(bounded, ONE)) == 0:
            taken.append(seconds.now_s)
        assert wait <= 1000 / rate + 1
    for at_s in taken:
        assert sum(at_s <= other < at_s + 1 for other in taken) <= 2 * rate


def test_a_retry_at_the_time_that_was_said_is_let_in(shared):
    seconds = Seconds()
    bounded = requests(shared, 7, seconds)
    for _ in range(50):
        if wait := wait_ms(bounded, ONE):
            seconds.now_s += wait / 1000
            bounded.request(ONE)


def test_no_limit_is_no_limit(shared):
    unbounded = limits(shared)
    for _ in range(1000):
        unbounded.request(ONE)
        unbounded.socket("one", "192.0.2.1")
        unbounded.socket(None, "192.0.2.1")


def test_new_sockets_a_second_are_bounded_by_key_and_without_one_by_address(shared):
    bounded = limits(shared, Seconds(), connections_per_s=1)
    for key_id, address in (("one", "a"), ("other", "a"), (None, "a"), (None, "b")):
        bounded.socket(key_id, address)
    for key_id, address, whose in (("one", "b", "this key"), (None, "a", "this address")):
        with pytest.raises(RateExceeded, match=f"{whose} may open 1 sockets a second") as refused:
            bounded.socket(key_id, address)
        assert refused.value.retry_after_ms == 1000


async def test_enrolments_an_hour_are_counted_by_all_processes_together(store, clock):
    processes = [SharedByStore(store.access, Metrics(), clock) for _ in range(2)]
    here, there = (limits(process, enrolments_per_h_per_key=3) for process in processes)
    await here.enrolment(ONE)
    await there.enrolment(ONE)
    await here.enrolment(ONE)
    for process in (here, there):
        with pytest.raises(RateExceeded) as refused:
            await process.enrolment(ONE)
        assert refused.value.retry_after_ms is not None
        assert 0 < refused.value.retry_after_ms <= HOUR_MS
    await there.enrolment(OTHER)
    await there.enrolment(ANYBODY)
    clock.now_ms += HOUR_MS
    await here.enrolment(ONE)
    for process in processes:
        process.close()


async def test_a_store_that_stands_still_keeps_no_request_waiting(store, clock, tmp_path):
    shared = SharedByStore(store.access, Metrics(), clock, timeout_s=0.05)
    with closing(sqlite3.connect(tmp_path / "v.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for ticket in ("begun", "waiting"):
            with pytest.raises(Unavailable, match="did not answer") as refused:
                await shared.burn(ticket, clock() + 1)
            assert refused.value.retry_after_ms
        other.execute("ROLLBACK")
    shared.close()
    later = SharedByStore(store.access, Metrics(), clock)
    assert await later.burn("waiting", clock() + 1), "it was never carried out"
    later.close()


async def test_calls_that_wait_for_the_store_are_bounded(store, clock):
    metrics = Metrics()
    shared = SharedByStore(store.access, metrics, clock)
    calls = [asyncio.create_task(shared.burn(str(n), clock() + 1)) for n in range(MAX_WAITING)]
    await asyncio.sleep(0)
    assert (
        metrics.registry.get_sample_value("streamd_queue_length", {"queue": "access"})
        == MAX_WAITING
    )
    with pytest.raises(Unavailable, match="too many"):
        await shared.burn("more", clock() + 1)
    assert all(await asyncio.gather(*calls))
    assert metrics.registry.get_sample_value("streamd_queue_length", {"queue": "access"}) == 0
    shared.close()
