"""Uses a second, counted by several processes that tell each other now and then."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from structlog.testing import capture_logs

from streamd.access import rates
from streamd.access.rates import Rates
from streamd.access.shared import SharedByStore
from streamd.access.trouble import Trouble
from streamd.errors import Unavailable
from streamd.observability.metrics import Metrics


class Process:
    """What one process knows of the limits; all have the clock of the test."""

    def __init__(self, store, clock, metrics=None) -> None:
        metrics = metrics or Metrics()
        self.shared = SharedByStore(store.access, metrics, clock)
        self.rates = Rates(self.shared, Trouble(metrics), lambda: clock.now_ms / 1000)

    def use(self, uses: int, per_s: int, **options: bool) -> int:
        """Try so many uses, and return how many were let in."""
        return sum(self.rates.use("requests", per_s, **options) == 0 for _ in range(uses))


@contextmanager
def processes(store, clock, count: int = 2) -> Iterator[list[Process]]:
    made = [Process(store, clock) for _ in range(count)]
    yield made
    for one in made:
        one.shared.close()


async def share(*told: Process) -> None:
    for one in told:
        await one.rates.share()


async def test_what_one_process_let_in_the_others_do_not(store, clock):
    with processes(store, clock) as (here, there):
        assert here.use(100, 10) == 10
        await share(here)
        assert there.use(1, 10) == 1, "it does not know yet"
        await share(there)
        assert there.use(100, 10) == 0
        assert here.use(100, 10) == 0
        clock.now_ms += 1100
        assert there.use(100, 10) == 10
        await share(there)
        assert here.use(1, 10) == 1
        await share(here)
        assert here.use(100, 10) == 0


async def test_a_limit_of_one_process_is_no_other_ones(store, clock):
    with processes(store, clock) as (here, there):
        assert here.use(20, 10, is_shared=False) == 10
        assert there.use(1, 10, is_shared=False) == 1
        await share(here, there)
        assert there.use(20, 10, is_shared=False) == 9


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.integers(1, 50),
    st.integers(1, 4),
    st.lists(
        st.tuples(st.integers(0, 3), st.integers(0, 100), st.integers(0, 400)),
        min_size=1,
        max_size=60,
    ),
)
def test_over_any_time_all_processes_together_keep_to_the_limit(store, clock, rate, count, steps):
    """All but the uses of which they had not told each other yet."""
    clock.now_ms += 10_000_000  # what an earlier example used is over
    began_ms, used = clock.now_ms, 0

    async def run() -> None:
        nonlocal used
        with processes(store, clock, count) as made:
            for which, tries, pass_ms in steps:
                process = made[which % count]
                used += process.use(tries, rate)
                clock.now_ms += pass_ms
                await share(*made)
                passed_s = (clock.now_ms - began_ms) / 1000
                assert used <= rate * (1 + passed_s) + count * rate + 1
            # Each of them has told, so that none lets in more than what is left of the limit.
            clock.now_ms += 1
            for process in made:
                process.use(1, rate)
            await share(*made)
            left = sum(process.use(1000, rate) for process in made)
            assert left <= count * rate

    asyncio.run(run())


async def test_in_steady_use_two_processes_let_in_as_many_as_one(store, clock):
    with processes(store, clock) as (here, there):
        used = 0
        for _ in range(200):  # of 0.1 s each
            used += here.use(10, 20) + there.use(10, 20)
            clock.now_ms += 100
            if clock.now_ms % 500 == 0:
                await share(here, there)
    assert 0.9 * 20 * 20 <= used <= 20 * 20 + 2 * 20 + 20, "20 s of 20 a second, and two bursts"


async def test_a_clock_that_was_set_back_blocks_nobody_for_longer(store, clock):
    with processes(store, clock, 1) as (here,):
        assert here.use(100, 10) == 10
        await share(here)
    clock.now_ms -= 3_600_000
    with processes(store, clock, 1) as (again,):
        again.use(1, 10)
        await share(again)
        clock.now_ms += 1200
        assert again.use(100, 10) == 10


async def test_without_the_store_each_process_counts_alone_and_tells_later(
    store, clock, monkeypatch
):
    metrics = Metrics()
    here, there = Process(store, clock, metrics), Process(store, clock)

    def fail(*_: object) -> list[int]:
        raise Unavailable("the disk is full")

    with capture_logs() as logs, monkeypatch.context() as broken:
        broken.setattr(here.shared, "_store", type("Broken", (), {"spend": fail})())
        assert here.use(100, 10) == 10
        await share(here, here)
    assert [record["error"] for record in logs] == ["the disk is full"], "once"
    failures = metrics.registry.get_sample_value(
        "streamd_store_failures_total", {"operation": "limits"}
    )
    assert failures == 2
    with capture_logs() as logs:
        await share(here)
    assert "all processes of the store again" in logs[0]["event"]
    there.use(1, 10)
    await share(there)
    assert there.use(100, 10) == 0, "it knows of those of before"
    for process in (here, there):
        process.shared.close()


async def test_an_outage_is_not_made_up_for_afterwards(store, clock):
    """What was used at the allowed speed meanwhile is no debt."""
    with processes(store, clock, 1) as (here,):
        for _ in range(600):
            here.use(1, 10)
            clock.now_ms += 100
        await share(here)
        assert here.use(100, 10) >= 9


def test_many_names_take_bounded_memory(shared, monkeypatch, clock):
    monkeypatch.setattr(rates, "MAX_BUCKETS", 10)
    bounded = Rates(shared, Trouble(Metrics()), lambda: clock.now_ms / 1000)
    for number in range(100):
        assert bounded.use(f"address:{number}", 1, is_shared=False) == 0
        assert len(bounded._buckets) <= 10
        clock.now_ms += 150
    assert bounded.use("address:99", 1, is_shared=False) > 0, "those in use are kept"


@pytest.mark.parametrize("rate", [1, 3, 7, 1000, 999_983])
def test_a_whole_second_may_be_used_at_once_and_no_more(shared, clock, rate):
    bounded = Rates(shared, Trouble(Metrics()), lambda: clock.now_ms / 1000)
    let_in = sum(bounded.use("n", rate) == 0 for _ in range(min(rate, 5000) + 2))
    assert let_in == min(rate, 5002)
