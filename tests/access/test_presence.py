"""Open sockets by key, of one process and of several that share a store."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager

import pytest
from structlog.testing import capture_logs
from waiting import until

from streamd.access.presence import LEASE_MS, Presence
from streamd.access.principal import ANYBODY, Principal
from streamd.access.shared import SharedByStore
from streamd.access.trouble import Trouble
from streamd.errors import RateExceeded, Unauthenticated, Unavailable
from streamd.observability.metrics import Metrics

ONE = Principal("acme", frozenset({"stream"}), "one")
OTHER = Principal("acme", frozenset({"stream"}), "other")


@contextmanager
def processes(store, clock, most: int, count: int = 2) -> Iterator[list[Presence]]:
    """The open sockets as several processes have them."""
    shared = [SharedByStore(store.access, Metrics(), clock) for _ in range(count)]
    yield [Presence(most, one, Trouble(Metrics())) for one in shared]
    for one in shared:
        one.close()


async def is_full(presence: Presence, principal: Principal) -> bool:
    async with presence.enter(principal) as visit:
        if visit.is_beyond:
            assert isinstance(visit.refusal, RateExceeded)
        else:
            assert visit.refusal is None
        return visit.is_beyond


async def test_a_key_is_full_at_its_bound_and_no_other_key_is():
    presence = Presence(2)
    async with AsyncExitStack() as stack:
        for _ in range(2):
            assert not await is_full(presence, ONE)
            await stack.enter_async_context(presence.enter(ONE))
            await stack.enter_async_context(presence.enter(ANYBODY))
        assert await is_full(presence, ONE)
        assert not await is_full(presence, OTHER)
        assert not await is_full(presence, ANYBODY)
    assert not await is_full(presence, ONE)
    assert not presence._visits
    assert not presence._counts


async def test_without_a_bound_no_key_is_full_and_nobody_is_asked():
    presence = Presence(0, shared=object())  # type: ignore[arg-type]
    async with presence.enter(ONE):
        assert not await is_full(presence, ONE)
        await presence.share()


async def test_only_the_sockets_of_keys_that_are_invalid_end_and_only_once():
    presence = Presence(0)
    ended: list[tuple[str, Unauthenticated]] = []
    async with AsyncExitStack() as stack:
        for name, principal in (("one", ONE), ("other", OTHER), ("anybody", ANYBODY)):
            visit = await stack.enter_async_context(presence.enter(principal))
            visit.on_end(lambda error, name=name: ended.append((name, error)))
        for _ in range(2):
            presence.end_where(lambda key_id: key_id == "one")
    ((name, error),) = ended
    assert name == "one"
    assert error.close_code == 4001


async def test_a_socket_that_opens_while_its_key_is_revoked_ends_too():
    presence = Presence(0)
    ended: list[Unauthenticated] = []
    async with presence.enter(ONE) as visit:
        presence.end_where(lambda key_id: True)
        visit.on_end(ended.append)
    assert len(ended) == 1


async def test_a_bound_holds_for_all_processes_together(store, clock):
    with processes(store, clock, 3) as (here, there):
        async with AsyncExitStack() as stack:
            for presence in (here, there, here):
                assert not (await stack.enter_async_context(presence.enter(ONE))).is_beyond
            for presence in (here, there):
                assert await is_full(presence, ONE)
                assert not await is_full(presence, OTHER)
        for presence in (here, there):
            await presence.share()
            assert not await is_full(presence, ONE)


async def test_a_rush_at_all_processes_opens_no_more_than_the_bound(store, clock):
    with processes(store, clock, 5, count=3) as made:
        over, begun = asyncio.Event(), []

        async def visit(presence: Presence) -> None:
            async with presence.enter(ONE) as entered:
                begun.append(entered.is_beyond)
                if not entered.is_beyond:
                    await over.wait()

        visits = [asyncio.create_task(visit(made[n % 3])) for n in range(30)]
        await until(lambda: len(begun) == 30)
        assert begun.count(False) == 5
        over.set()
        await asyncio.gather(*visits)


async def test_a_place_that_is_free_again_is_told_without_a_question(store, clock):
    """Closing and opening again asks the store nothing, as long as others were not told."""
    with processes(store, clock, 1) as (here, there):
        async with here.enter(ONE):
            pass
        asked = []
        here._shared.claim = lambda *_: asked.append(1)  # type: ignore[union-attr,method-assign]
        async with here.enter(ONE) as visit:
            assert not visit.is_beyond
            assert await is_full(there, ONE)
        assert not asked
        await here.share()
        assert not await is_full(there, ONE)


async def test_the_sockets_of_a_process_that_was_killed_count_until_its_lease_ends(store, clock):
    with processes(store, clock, 2) as (killed, alive):
        async with killed.enter(ONE), alive.enter(ONE):
            assert await is_full(alive, ONE)
            clock.now_ms += LEASE_MS - 1
            await alive.share()
            assert await is_full(alive, ONE)
            clock.now_ms += 1
            assert not await is_full(alive, ONE)


async def test_what_a_process_says_again_and_again_is_believed_for_as_long(store, clock):
    with processes(store, clock, 1) as (here, there):
        async with here.enter(ONE):
            for _ in range(5):
                clock.now_ms += LEASE_MS - 1
                await here.share()
                assert await is_full(there, ONE)


async def test_a_clock_that_was_set_back_keeps_no_killed_process_for_longer(store, clock):
    with processes(store, clock, 1) as (killed, alive):
        async with killed.enter(ONE):
            clock.now_ms -= 3_600_000
            assert await is_full(alive, ONE)
            clock.now_ms += LEASE_MS
            assert not await is_full(alive, ONE)


@pytest.mark.parametrize("answered_s", [0, 0.2], ids=["before the answer", "as it comes"])
async def test_a_socket_that_gave_up_while_it_waited_for_its_place_leaves_none(
    store, clock, answered_s
):
    with processes(store, clock, 1) as (here, there):
        entering = asyncio.create_task(is_full(here, ONE))
        await asyncio.sleep(0)
        # The loop stands still, and the store's thread does not.
        time.sleep(answered_s)  # noqa: ASYNC251
        entering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await entering
        await here.share()
        assert not await is_full(there, ONE)


async def test_a_process_that_cannot_ask_the_store_bounds_its_own(store, clock):
    with processes(store, clock, 2, count=1) as (here,), capture_logs() as logs:

        def fail(*_: object) -> bool:
            raise Unavailable("the disk is full")

        here._shared._store = type("Broken", (), {"claim": fail, "hold": fail})()  # type: ignore[union-attr]
        async with here.enter(ONE), here.enter(ONE):
            await here.share()
            assert await is_full(here, ONE)
    assert [record["error"] for record in logs] == ["the disk is full"]


async def test_a_socket_that_waits_for_its_place_is_not_told_as_one_that_has_it(store, clock):
    with processes(store, clock, 1) as (here, there):
        async with there.enter(ONE):
            waiting = asyncio.create_task(is_full(here, ONE))
            await asyncio.sleep(0)
            await here.share()
            assert await waiting
            assert await is_full(here, ONE), "a place that it never had is not free"
        await there.share()
        assert not await is_full(here, ONE)


async def test_a_place_that_was_given_while_others_were_told_is_told_next(store, clock):
    with processes(store, clock, 1) as (here, there):
        async with AsyncExitStack() as stack:
            entering = stack.enter_async_context(here.enter(ONE))
            waiting = asyncio.create_task(entering)
            await asyncio.sleep(0)
            here._told["other"] = 0
            await here.share()  # of no socket, as this one waits
            assert not (await waiting).is_beyond
            assert here._is_stale.is_set()
            await here.share()
            assert await is_full(there, ONE)
