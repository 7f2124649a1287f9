"""Sockets that drop: what a client says over a few of them, and what the log of it promises."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
from fakes.driving import Item
from fakes.returning import Event, Returning
from fakes.serving import Line, Server
from hypothesis import strategies as st
from waiting import until

from streamd.types import AudioFormat

ROOM = {
    "max_streams": 32,
    "max_held": 32,
    "max_events_queued": 100_000,
    "max_lag_ms": 0,
}
"""Limits of a server that refuses no stream, and is never too late, however busy the machine is."""


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
    line = server.connect(tenant=client.tenant)
    line.put(client.hello())
    await _ready(line, client)
    messages = list(client.rest(sizes(rng)))
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
    line = server.connect(tenant=client.tenant)
    line.put(client.hello())
    await _ready(line, client)
    line.put(*client.rest(sizes(rng)))
    assert await line.code() == 1000
    for event in line.sent:
        client.receive(event)


async def _ready(line: Line, client: Returning) -> None:
    """Wait for what `ready` says of the client's audio, whether or not the client then has it."""
    await until(lambda: line.sent)
    client.resume_from(line.sent[0])


def sizes(rng: random.Random) -> itertools.chain[int]:
    choices = rng.choice([[1, 2, 3, 640, 3200], [640], [3200, 50_000], [7, 100_000]])
    return itertools.chain.from_iterable(iter(lambda: [rng.choice(choices)], None))


def any_drop(rng: random.Random, share: float | None = None) -> Drop:
    """Return a random drop, with the `share` that is given, if any."""
    chance, read = (rng.choice([0.0, 1.0, rng.random()]) for _ in range(2))
    share = chance if share is None else share
    return Drop(share, read, rng.randrange(4), rng.choice(["closed", "racing", "half-open"]))


async def dropped(
    server: Server, client: Returning, plan: Sequence[Drop], rng: random.Random
) -> None:
    """Say everything, over sockets that drop and a last one that does not."""
    for drop in plan:
        await broken(server, client, drop, rng)
    await whole(server, client, rng)
    assert server.metric("streams_resume_refused_total") == 0


def log_over(
    plan: Sequence[Drop], client: Returning, rng: random.Random, **server: Any
) -> list[Event]:
    """Return what is promised of the log of a stream on a server of its own.

    Args:
        plan: How its sockets end before the last one.
        client: Has said nothing yet.
        rng: Decides the sizes of the messages.
        server: Arguments of the `Server`.
    """

    async def run() -> list[Event]:
        running = Server(**ROOM | server)
        try:
            await dropped(running, client, plan, rng)
            return kept(client)
        finally:
            await running.stop()

    return asyncio.run(run())


def hello_of(audio: AudioFormat, modules: dict[str, Any]) -> Event:
    """Return the fields of a `hello`."""
    fields = msgspec.to_builtins(audio)
    return {"audio": {**fields, "use": list(audio.use) if audio.use else None}, "modules": modules}


def said(places: Sequence[tuple[int, Item]]) -> list[tuple[int, Event]]:
    """Return the control messages at byte places, as a client sends them."""
    fields = {"flush": "id", "gap": "ms", "config": "modules"}
    return [
        (
            place,
            {"type": item[0], **(item[1] if item[0] == "enrol" else {fields[item[0]]: item[1]})},
        )
        for place, item in sorted(places, key=lambda place: place[0])
        if not isinstance(item, bytes)
    ]


def kept(client: Returning) -> list[Event]:
    """Return what is promised of a log: all but interim events."""
    return [event for event in client.log if event.get("final", True)]
