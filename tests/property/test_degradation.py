"""What a session does without under load never touches wake words, edges and final events."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from typing import Any

import pytest
from fakes.driving import (
    ALL_ON,
    Item,
    Player,
    Stage,
    assert_order,
    assert_same_events,
    by_type,
    script,
)
from fakes.recipes import GALLERY, REGISTRY, Stream, streams
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamd.events import Event

pytestmark = pytest.mark.faults

common = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])

Call = tuple[str, Any]
"""The name of a method of the session, and its argument."""


class Loaded(Player):
    """A client whose session is told, at places of its stream, what to do without."""

    def send(self, item: Item) -> None:
        if isinstance(item, bytes) or hasattr(self.session, f"receive_{item[0]}"):
            super().send(item)
            return
        name, argument = item
        if name.endswith("skip"):  # what came that long ago
            argument = max(self.session.audio.position - argument, 0)
        match name:
            case "text skip":
                self.session.chains.skip(argument)
            case "text coalesce":
                self.session.chains.degradation.coalesces = argument
            case _:
                getattr(self.session, name)(argument)
        self.pump()


def loaded(stream: Stream, stage: Stage) -> Loaded:
    modules = ALL_ON | {"speaker": {"hop_ms": stream.hop_ms}, "transcript": {}}
    return Loaded(stage, REGISTRY, modules, stream.audio, lambda: GALLERY)


def placed(
    stream: Stream, calls: Sequence[tuple[float, Call]], cuts: Sequence[float] = ()
) -> list[Item]:
    """The stream's messages with the calls at shares of its length, cut up besides."""
    size, whole = len(stream.data), stream.audio.frame_bytes
    places = [(int(share * size) // whole * whole, call) for share, call in calls]
    return script(stream.data, [*stream.places, *places], [int(share * size) for share in cuts])


SHARES = st.floats(0, 1)
EXACT: st.SearchStrategy[Call] = st.one_of(
    st.tuples(st.just("lengthen_hops"), st.sampled_from([1, 2])),
    st.tuples(st.just("lengthen_stateful_hops"), st.sampled_from([1, 2])),
    st.tuples(st.just("speculate"), st.booleans()),
)
ANY: st.SearchStrategy[Call] = st.one_of(
    EXACT,
    st.tuples(st.just("coalesce"), st.booleans()),
    st.tuples(st.just("skip"), st.sampled_from([0, 8_000, 32_000])),
    st.tuples(st.just("text coalesce"), st.booleans()),
    st.tuples(st.just("text skip"), st.sampled_from([0, 8_000, 32_000])),
)


@settings(common, max_examples=60)
@given(
    stream=streams(),
    calls=st.lists(st.tuples(SHARES, EXACT), max_size=6),
    cuts=st.lists(SHARES, max_size=20),
    seed=st.integers(0, 2**32),
)
def test_longer_hops_from_a_place_on_mean_the_same_at_every_speed_and_chunking(
    stream: Stream, calls: list[tuple[float, Call]], cuts: list[float], seed: int
) -> None:
    slow = loaded(stream, Stage(seed=seed)).play(placed(stream, calls, cuts))
    assert_same_events(slow, loaded(stream, Stage()).play(placed(stream, calls)))


@settings(common, max_examples=40)
@given(
    stream=streams(),
    places=st.lists(st.tuples(SHARES, st.tuples(st.just("speculate"), st.booleans())), max_size=6),
    seed=st.integers(0, 2**32),
)
def test_no_event_hangs_on_speculation(
    stream: Stream, places: list[tuple[float, Call]], seed: int
) -> None:
    events = loaded(stream, Stage(seed=seed)).play(placed(stream, places))
    assert_same_events(events, loaded(stream, Stage()).play(placed(stream, ())))


@settings(common, max_examples=90)
@given(
    stream=streams(),
    calls=st.lists(st.tuples(SHARES, ANY), max_size=8),
    seed=st.integers(0, 2**32),
)
def test_wakes_edges_and_one_final_an_utterance_come_whatever_is_shed(
    stream: Stream, calls: list[tuple[float, Call]], seed: int
) -> None:
    events = loaded(stream, Stage(seed=seed)).play(placed(stream, calls))
    plain = loaded(stream, Stage()).play(placed(stream, ()))
    if ("config", {"vad": False}) not in [m for _, m in stream.messages]:
        assert_order(events)
    assert kept(events) == kept(plain)
    if {"vad": False} not in [m for _, (_, m) in stream.messages]:
        said, told = texts(events), texts(plain)
        assert said.keys() == told.keys()
        assert all(e == told[u] for u, e in said.items() if e["type"] == "transcript")
    for gap in by_type(events).get("gap", []):
        assert gap["cause"] == "client" or (gap["cause"], "module" in gap) == ("overload", True)


def kept(events: Sequence[Event]) -> dict[str, list[Any]]:
    """What must not hang on the load."""
    found = by_type(events)
    edges = {kind: found.get(kind, []) for kind in ("speech_start", "speech_end", "flushed")}
    wakes = [(e["word"], e["t0"], e["t1"], e["at"]) for e in found.get("wake", [])]
    finals = {
        kind: [e["utterance"] for e in found.get(kind, []) if e["final"]]
        for kind in ("speaker", "emotion")
    }
    return {**edges, "wake": wakes, **finals}


def texts(events: Sequence[Event]) -> dict[str, dict[str, Any]]:
    """The final text of each utterance, or the gap in its place."""
    found = by_type(events)
    finals = {e["utterance"]: e for e in found.get("transcript", []) if e["final"]}
    gaps = [e for e in found.get("gap", []) if e.get("module") == "transcript"]
    spans = {(e["t0"], e["t1"]): e["utterance"] for e in found.get("speech_end", [])}
    assert not {spans[gap["t0"], gap["t1"]] for gap in gaps} & set(finals)
    return {spans[gap["t0"], gap["t1"]]: gap for gap in gaps} | finals


def test_windows_that_are_skipped_are_named_for_each_module_and_only_once() -> None:
    stream = Stream(16000, "pcm_s16le", (("anna", 6000), ("silence", 900)), 500, ())
    stage = Stage(seed=1, slow="voice")
    player = loaded(stream, stage)
    for item in placed(stream, [(0.8, ("skip", 0))], [n / 100 for n in range(100)]):
        player.send(item)
        stage.random = random.Random(1)
    player.end()
    gaps = [gap for gap in player.of("gap") if gap["cause"] == "overload"]
    assert {gap["module"] for gap in gaps} == {"speaker", "emotion"}
    for module in ("speaker", "emotion"):
        spans = [(gap["t0"], gap["t1"]) for gap in gaps if gap["module"] == module]
        assert spans == sorted(spans)
        assert all(a[1] <= b[0] for a, b in itertools.pairwise(spans))


def test_interims_coalesce_to_the_latest_and_finals_use_every_window() -> None:
    stream = Stream(16000, "pcm_s16le", (("anna", 6000), ("silence", 900)), 500, ())

    def play(calls: list[tuple[float, Call]]) -> Loaded:
        stage = Stage(seed=1, slow="voice")  # no answer before the end
        player = loaded(stream, stage)
        player.play(placed(stream, calls))
        return player

    plain, coalesced = play([]), play([(0.0, ("coalesce", True))])
    for kind in ("speaker", "emotion"):
        finals = [[e for e in p.of(kind) if e["final"]] for p in (plain, coalesced)]
        assert finals[0] == finals[1]
        assert len(coalesced.of(kind)) < len(plain.of(kind))
    assert coalesced.session.degradation.coalesced > 0
