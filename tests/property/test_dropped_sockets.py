"""A stream whose socket drops, again and again, has the log of one whose socket never did."""

from __future__ import annotations

import asyncio
import itertools
import random
from dataclasses import dataclass

import msgspec
from fakes.driving import ALL_ON, assert_same_events
from fakes.recipes import Stream, streams
from fakes.returning import Event, Returning
from fakes.serving import Line, Server
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from waiting import until

common = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
ROOM = {"max_streams": 32, "max_held": 32, "max_events_queued": 100_000}


@dataclass(frozen=True)
class Drop:
    """How one socket ends."""

    share: float
    """Of what the client has to say on it, how much arrives."""
    read: float
    """Of what the server sends on it, how much arrives."""
    turns: int
    """Turns of the loop that the server has for each message."""
    kind: str
    """`closed`: the server knows before the client comes back; `racing`: it learns of it meanwhile;
    `half-open`: it never does."""


drops = st.builds(
    Drop,
    st.one_of(st.just(0.0), st.just(1.0), st.floats(0, 1)),
    st.one_of(st.just(0.0), st.just(1.0), st.floats(0, 1)),
    st.integers(0, 5),
    st.sampled_from(["closed", "racing", "half-open"]),
)


async def broken(server: Server, client: Returning, drop: Drop, rng: random.Random) -> None:
    """One socket that does not last."""
    line = server.connect()
    line.put(client.hello())
    await _ready(line, client)
    messages = list(client.rest(_sizes(rng)))
    for message in messages[: round(drop.share * len(messages))]:
        line.put(message)
        for _ in range(drop.turns):
            await asyncio.sleep(0)
    if drop.kind != "half-open":
        line.put(None)
    if drop.kind == "closed":
        await line.code()
    # Who comes back sends nothing before it has read `ready`.
    least = 1 if client.token is not None and drop.share > 0 else 0
    for event in line.sent[: max(round(drop.read * len(line.sent)), least)]:
        client.receive(event)


async def whole(server: Server, client: Returning, rng: random.Random) -> None:
    """The last socket."""
    line = server.connect()
    line.put(client.hello())
    await _ready(line, client)
    line.put(*client.rest(_sizes(rng)))
    assert await line.code() == 1000
    for event in line.sent:
        client.receive(event)


async def _ready(line: Line, client: Returning) -> None:
    """Wait for what `ready` says of the client's audio, whether or not the client then has it."""
    await until(lambda: line.sent)
    client.resume_from(line.sent[0])


def _sizes(rng: random.Random) -> itertools.chain[int]:
    choices = rng.choice([[1, 2, 3, 640, 3200], [640], [3200, 50_000], [7, 100_000]])
    return itertools.chain.from_iterable(iter(lambda: [rng.choice(choices)], None))


def said_by(stream: Stream) -> list[tuple[int, Event]]:
    """The control messages of a recipe, as a client sends them."""
    fields = {"flush": "id", "gap": "ms", "config": "modules"}
    return [
        (place, {"type": kind, fields[kind]: value})
        for place, (kind, value) in sorted(stream.places, key=lambda item: item[0])
    ]


def client_of(stream: Stream) -> Returning:
    modules = ALL_ON | {"speaker": {"hop_ms": stream.hop_ms}}
    audio = msgspec.to_builtins(stream.audio)
    audio["use"] = list(audio["use"]) if audio.get("use") else None
    return Returning(
        stream.data, stream.audio.frame_bytes, said_by(stream), {"audio": audio, "modules": modules}
    )


def kept(log: list[Event]) -> list[Event]:
    """What the promise is about: all but interim events."""
    return [event for event in log if event.get("final", True)]


async def compare(stream: Stream, plan: list[Drop], seed: int) -> None:
    server = Server(**ROOM)
    rng = random.Random(seed)
    try:
        unbroken, client = client_of(stream), client_of(stream)
        await whole(server, unbroken, rng)
        for drop in plan:
            await broken(server, client, drop, rng)
        await whole(server, client, rng)
        assert_same_events(kept(unbroken.log), kept(client.log))
        assert server.metric("resume_refused_total") == 0
    finally:
        await server.stop()


@settings(common, max_examples=60)
@given(stream=streams(), plan=st.lists(drops, min_size=1, max_size=5), seed=st.integers(0, 2**32))
def test_drops_anywhere_change_no_event_that_is_promised(
    stream: Stream, plan: list[Drop], seed: int
) -> None:
    asyncio.run(compare(stream, plan, seed))


CROWD = 64


def any_drop(rng: random.Random) -> Drop:
    share, read = (rng.choice([0.0, 1.0, rng.random()]) for _ in range(2))
    return Drop(share, read, rng.randrange(4), rng.choice(["closed", "racing", "half-open"]))


async def speak(server: Server, client: Returning, rng: random.Random) -> None:
    """Say everything, over a few sockets that drop and one that does not."""
    for _ in range(rng.randrange(4)):
        await broken(server, client, any_drop(rng), rng)
    await whole(server, client, rng)


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
            assert_same_events(kept(alone[number % len(recipes)].log), kept(client.log))
        assert server.metric("resume_refused_total") == 0
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
