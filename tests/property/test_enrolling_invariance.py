"""Voices that are enrolled from a stream: at their place, whatever else differs."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Iterator

import pytest
from fakes.driving import ALL_ON, Stage, assert_order, assert_same_events, by_type, script
from fakes.dropping import ROOM, Drop, any_drop, dropped, drops, hello_of, kept, said
from fakes.enrolling import EnrollingPlayer, Voices
from fakes.recipes import Stream, conversations
from fakes.returning import Returning
from fakes.serving import Server
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from streamd.events import Event

common = settings(
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@pytest.fixture(scope="module")
def voices() -> Iterator[Voices]:
    kept = Voices()
    yield kept
    kept.close()


def player(stream: Stream, stage: Stage, voices: Voices, ring_s: int = 8) -> EnrollingPlayer:
    modules = ALL_ON | {"speaker": {"hop_ms": stream.hop_ms}}
    return EnrollingPlayer(stage, voices, modules=modules, audio=stream.audio, ring_s=ring_s)


def at_once(stream: Stream, voices: Voices) -> list[Event]:
    events = player(stream, Stage(), voices).play(script(stream.data, stream.places))
    if ("config", {"vad": False}) not in [m for _, m in stream.messages]:
        assert_order(events)
    return events


@settings(common, max_examples=30)
@given(stream=conversations(), data=st.data())
def test_an_enrolment_is_the_same_however_the_audio_and_the_answers_come(
    voices: Voices, stream: Stream, data: st.DataObject
) -> None:
    cuts = data.draw(st.lists(st.integers(0, len(stream.data)), max_size=40))
    ring_s = data.draw(st.sampled_from([2, 8]))
    seed = data.draw(st.integers(0, 2**32))
    events = player(stream, Stage(seed=seed), voices, ring_s).play(
        script(stream.data, stream.places, cuts)
    )
    assert_same_events(events, at_once(stream, voices))
    answers = [e["id"] for e in by_type(events).get("enrolled", [])]
    answers += [e["ref"] for e in by_type(events).get("error", [])]
    sent = [item for place, item in stream.places if place <= len(stream.data)]
    asked = [item[1]["id"] for item in sent if item[0] == "enrol"]
    assert sorted(answers) == sorted(asked)


@settings(common, max_examples=12)
@given(many=st.lists(conversations(), min_size=2, max_size=4), seed=st.integers(0, 2**32))
def test_an_enrolment_among_other_streams_is_what_it_is_alone(
    voices: Voices, many: list[Stream], seed: int
) -> None:
    stage, rng = Stage(seed=seed), random.Random(seed)
    players = [player(stream, stage, voices) for stream in many]
    waiting = {
        one: script(
            stream.data, stream.places, rng.sample(range(len(stream.data)), rng.randint(0, 30))
        )
        for one, stream in zip(players, many, strict=True)
    }
    while any(waiting.values()):
        one = rng.choice([p for p in players if waiting[p]])
        one.send(waiting[one].pop(0))
    for one, stream in zip(players, many, strict=True):
        assert_same_events(one.end(), at_once(stream, voices))


GREETED = Drop(0.0, 1.0, 0, "closed")
"""A socket that brings the token. Who lacks it begins a stream anew, and so enrols twice."""


def client_of(stream: Stream, tenant: str) -> Returning:
    modules = ALL_ON | {"speaker": {"hop_ms": stream.hop_ms}}
    hello = hello_of(stream.audio, modules)
    return Returning(stream.data, stream.audio.frame_bytes, said(stream.places), hello, tenant)


async def compare(
    voices: Voices, stream: Stream, plans: list[list[Drop]], rng: random.Random
) -> None:
    """A client whose sockets never drop, beside some whose do; each is a tenant of its own."""
    server = Server(threads=2, gallery=voices.gallery, enroller=voices.enroller, **ROOM)
    try:
        clients = [client_of(stream, voices.tenant()) for _ in range(len(plans) + 1)]
        await dropped(server, clients[0], [], rng)
        rngs = [random.Random(rng.random()) for _ in plans]
        await asyncio.gather(
            *itertools.starmap(
                dropped, zip(itertools.repeat(server), clients[1:], plans, rngs, strict=False)
            )
        )
        for client in clients[1:]:
            assert_same_events(kept(clients[0]), kept(client))
            assert enrolments(voices, clients[0]) == enrolments(voices, client)
    finally:
        await server.stop()


def enrolments(voices: Voices, client: Returning) -> list[tuple[str, int, int]]:
    found = voices.store.of(client.tenant).speakers()
    return [(one.name, one.enrolments, one.speech_ms) for one in found]


# To shrink an example of several sockets takes minutes, and says no more than its recipe does.
@settings(common, max_examples=12, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(
    stream=conversations(),
    plan=st.lists(drops, min_size=1, max_size=5),
    seed=st.integers(0, 2**32),
)
def test_a_dropped_stream_enrols_nobody_twice_and_gets_every_answer(
    voices: Voices, stream: Stream, plan: list[Drop], seed: int
) -> None:
    rng = random.Random(seed)
    plans = [plan, *([any_drop(rng) for _ in range(rng.randrange(1, 4))] for _ in range(3))]
    asyncio.run(compare(voices, stream, [[GREETED, *drops] for drops in plans], rng))
