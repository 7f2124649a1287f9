"""A stream whose socket drops, again and again, has the log of one whose socket never did."""

from __future__ import annotations

import asyncio
import random

import pytest
from fakes.driving import ALL_ON, assert_same_events
from fakes.dropping import Drop, any_drop, dropped, drops, hello_of, kept, log_over, said, whole
from fakes.recipes import Stream, streams
from fakes.returning import Returning
from fakes.serving import Server
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

pytestmark = pytest.mark.faults

common = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def client_of(stream: Stream) -> Returning:
    modules = ALL_ON | {"speaker": {"hop_ms": stream.hop_ms}, "transcript": {}}
    hello = hello_of(stream.audio, modules)
    return Returning(stream.data, stream.audio.frame_bytes, said(stream.places), hello)


@settings(common, max_examples=60)
@given(stream=streams(), plan=st.lists(drops, min_size=1, max_size=5), seed=st.integers(0, 2**32))
def test_drops_anywhere_change_no_event_that_is_promised(
    stream: Stream, plan: list[Drop], seed: int
) -> None:
    rng = random.Random(seed)
    assert_same_events(*(log_over(ends, client_of(stream), rng) for ends in ([], plan)))


CROWD = 64


async def speak(server: Server, client: Returning, rng: random.Random) -> None:
    """Say everything, over a few sockets that drop and one that does not."""
    await dropped(server, client, [any_drop(rng) for _ in range(rng.randrange(4))], rng)


async def compare_crowd(recipes: list[Stream], seed: int) -> None:
    server = Server(threads=2, max_streams=CROWD, max_held=CROWD, max_events_queued=100_000)
    rng = random.Random(seed)
    try:
        alone = [client_of(recipe) for recipe in recipes]
        for client in alone:
            await whole(server, client, rng)
        crowd = [client_of(recipes[number % len(recipes)]) for number in range(CROWD)]
        speakers = [speak(server, client, random.Random(rng.random())) for client in crowd]
        await asyncio.gather(*speakers)
        for number, client in enumerate(crowd):
            assert_same_events(kept(alone[number % len(recipes)]), kept(client))
    finally:
        await server.stop()


# To shrink an example of 64 streams takes minutes, and says no more than its recipes do.
@settings(common, max_examples=4, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(
    recipes=st.lists(streams(), min_size=4, max_size=8),
    seed=st.integers(0, 2**32),
)
def test_drops_of_one_stream_show_in_none_of_64(recipes: list[Stream], seed: int) -> None:
    asyncio.run(compare_crowd(recipes, seed))
