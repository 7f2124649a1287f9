"""Keywords beside wake words with a head: the same audio gives the same events, asleep or awake."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import soundfile
from fakes import spelling
from fakes.driving import (
    Item,
    Player,
    Stage,
    assert_same_events,
    hum,
    pcm,
    script,
    silence,
    word,
)
from fakes.dropping import Drop, drops, log_over
from fakes.returning import Returning
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamd.modules.registry import Registry
from streamd.types import Job, Samples

common = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
SPEECH = soundfile.read(
    Path(__file__).parents[1] / "data" / "speech_slt.flac", dtype="int16", frames=64_000
)[0]
PARTS: dict[str, Samples] = {
    "word": word(),
    "pause": silence(500),
    "long pause": silence(4000),
    "hum": hum(700),
    **{f"talk {number}": SPEECH[at : at + 16_000] for number, at in enumerate((0, 17_000, 40_000))},
}
KEYWORDS = spelling.said(SPEECH)[:3]
MODULES: dict[str, Any] = {
    "vad": {},
    "wake": {"words": ["alexa", *KEYWORDS], "threshold": {KEYWORDS[0]: 0.4}, "refractory_ms": 900},
}
OTHER = {"wake": {"words": [KEYWORDS[1], KEYWORDS[2], "alexa"], "threshold": 0.3}}


@pytest.fixture(scope="module")
def registry() -> Registry:
    return spelling.registry(thresholds={KEYWORDS[1]: 0.45})


@pytest.fixture(scope="module")
def wide_awake() -> Registry:
    return spelling.registry(thresholds={KEYWORDS[1]: 0.45}, gate=False)


def player(
    registry: Registry, seed: int | None = None, slow: str | None = None, ring_s: int = 8
) -> Player:
    return Player(Stage(spelling.passes(), seed, slow), registry, MODULES, ring_s=ring_s)


QUIET_OR_TALK = tuple(name for name in sorted(PARTS) if name != "hum")
"""Without the sound in which this network of drawn weights hears characters although nobody
speaks: what a sleeping search has not heard, it does not know."""


def recipes(parts: Sequence[str] = tuple(sorted(PARTS))) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(parts), min_size=1, max_size=6)


controls = st.sampled_from(
    [("flush", "f"), ("gap", 250), ("config", OTHER), ("config", {"wake": False})]
)


@st.composite
def scripts(
    draw: st.DrawFn, parts: Sequence[str] = tuple(sorted(PARTS))
) -> tuple[bytes, list[tuple[int, Item]]]:
    """Audio, and messages at fixed byte places."""
    data = pcm(*(PARTS[part] for part in draw(recipes(parts))))
    places = draw(st.lists(st.tuples(st.integers(0, len(data) // 2), controls), max_size=3))
    return data, [(2 * at, message) for at, message in places]


def test_the_keywords_of_these_tests_are_heard_and_stand_among_the_other_words(
    registry: Registry,
) -> None:
    sound = pcm(*(PARTS[part] for part in ("talk 0", "word", "talk 1", "pause", "word", "talk 2")))
    wakes = player(registry).play([sound])
    found = [event.word for event in wakes if event.__struct_config__.tag == "wake"]
    assert {"alexa", *KEYWORDS} == set(found)
    ats = [event.at for event in wakes if event.__struct_config__.tag == "wake"]
    assert ats == sorted(ats)


@settings(common, max_examples=30)
@given(told=scripts(), data=st.data())
def test_events_do_not_hang_on_chunks_and_on_the_order_and_delay_of_answers(
    told: tuple[bytes, list[tuple[int, Item]]], data: st.DataObject, registry: Registry
) -> None:
    sound, places = told
    cuts = data.draw(st.lists(st.integers(0, len(sound)), max_size=20))
    slow = data.draw(st.sampled_from([None, "vad", "wake", "keyword"]))
    seed = data.draw(st.integers(0, 2**32))
    at_once = player(registry).play(script(sound, places))
    ring_s = data.draw(st.sampled_from([2, 8]))
    scheduled = player(registry, seed, slow, ring_s).play(script(sound, places, cuts))
    assert_same_events(scheduled, at_once)
    kinds = ("wake", "flushed")
    assert [e for e in map(_told, scheduled) if e[0] in kinds] == [
        e for e in map(_told, at_once) if e[0] in kinds
    ]


def _told(event: Any) -> tuple[str, Any]:
    return event.__struct_config__.tag, getattr(event, "word", None)


@settings(common, max_examples=12)
@given(told=scripts(QUIET_OR_TALK))
def test_asleep_it_finds_what_it_finds_awake(
    told: tuple[bytes, list[tuple[int, Item]]], registry: Registry, wide_awake: Registry
) -> None:
    sound, places = told
    asleep, awake = (player(r).play(script(sound, places)) for r in (registry, wide_awake))
    assert_same_events(asleep, awake)


@settings(common, max_examples=5)
@given(parts=recipes(), plan=st.lists(drops, min_size=1, max_size=3), seed=st.integers(0, 2**32))
def test_with_any_drops_the_events_are_the_same(
    parts: list[str], plan: list[Drop], seed: int, registry: Registry
) -> None:
    rng = random.Random(seed)
    data = pcm(*(PARTS[part] for part in parts))
    resumed, unbroken = (
        log_over(
            ends,
            Returning(data, 2, [], {"modules": MODULES}),
            rng,
            passes=spelling.passes(),
            registry=registry,
        )
        for ends in (plan, [])
    )
    assert_same_events(resumed, unbroken)


@settings(common, max_examples=5)
@given(many=st.lists(scripts(), min_size=2, max_size=4), seed=st.integers(0, 2**32))
def test_a_stream_among_others_is_what_it_is_alone(
    many: list[tuple[bytes, list[tuple[int, Item]]]], seed: int, registry: Registry
) -> None:
    stage = Stage(spelling.passes(), seed)
    rng = random.Random(seed)
    players = [Player(stage, registry, MODULES) for _ in many]
    waiting = [script(sound, places, rng.sample(range(len(sound)), 10)) for sound, places in many]
    while any(waiting):
        number = rng.choice([n for n, items in enumerate(waiting) if items])
        players[number].send(waiting[number].pop(0))
    for one, (sound, places) in zip(players, many, strict=True):
        assert_same_events(one.end(), player(registry).play(script(sound, places)))


def test_a_phrase_at_a_flush_is_reported_before_it_and_not_again(registry: Registry) -> None:
    sound, are_early = pcm(SPEECH), 0
    whole = player(registry)
    whole.play([sound])
    for wake in whole.of("wake"):
        for early_ms in (40, 150, 250):
            cut = 32 * (wake["at"] - early_ms)
            one = player(registry)
            one.play([sound[:cut], ("flush", "f"), sound[cut:]])
            (flushed_at,) = [n for n, e in enumerate(one.events) if _told(e)[0] == "flushed"]
            early = [e.word for e in one.events[:flushed_at] if _told(e)[0] == "wake"]
            so_far = [e for e in whole.of("wake") if e["at"] <= wake["at"] - early_ms]
            are_early += early.count(wake["word"]) > [e["word"] for e in so_far].count(wake["word"])
            by_word: dict[str, list[tuple[int, int]]] = {}
            for event in one.of("wake"):
                by_word.setdefault(event["word"], []).append((event["t0"], event["t1"]))
            for spans in by_word.values():
                for (_, end), (start, _) in itertools.pairwise(spans):
                    assert start > end - 240
    assert are_early >= 3


def test_it_sleeps_while_nobody_speaks(registry: Registry, wide_awake: Registry) -> None:
    sound = pcm(SPEECH[:16_000], silence(20_000), SPEECH[:16_000])
    steps = []
    for chosen in (registry, wide_awake):
        one = Counting(Stage(spelling.passes()), chosen, MODULES)
        one.play([sound])
        steps.append(one.steps)
    assert steps[0] < 0.45 * steps[1]


class Counting(Player):
    """Counts the steps of the network."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.steps = 0
        complete = self.session.complete

        def count(job: Job, output: Any) -> None:
            self.steps += job.steps if job.pass_name == "keyword" else 0
            complete(job, output)

        self.session.complete = count  # type: ignore[method-assign]


def test_without_keywords_the_network_never_runs(registry: Registry) -> None:
    one = Counting(Stage(spelling.passes()), registry, {"vad": {}, "wake": {"words": ["alexa"]}})
    one.play([pcm(SPEECH, word())])
    assert one.steps == 0
    assert [event["word"] for event in one.of("wake")] == ["alexa"]


def test_keywords_alone_leave_the_other_model_alone(registry: Registry) -> None:
    words = {"vad": {}, "wake": {"words": list(KEYWORDS), "threshold": 0.3}}
    one = Player(Stage(spelling.passes()), registry, words)
    one.play([pcm(SPEECH, word())])
    assert {event["word"] for event in one.of("wake")} <= set(KEYWORDS)
    assert one.of("wake")


def test_keywords_alone_need_no_more_than_the_smallest_ring(registry: Registry) -> None:
    words = {"wake": {"words": list(KEYWORDS), "threshold": 0.3}}
    found = []
    for ring_s, seed in ((2, 3), (8, None)):
        one = Player(Stage(spelling.passes(), seed), registry, words, ring_s=ring_s)
        one.play([pcm(SPEECH, silence(3000), SPEECH[:20_000])])
        found.append(one.of("wake"))
    assert found[0] == found[1]
    assert found[0]


def test_words_change_at_the_next_step(registry: Registry) -> None:
    sound = pcm(SPEECH)
    whole = Player(Stage(spelling.passes()), registry, MODULES)
    whole.play([sound])
    first = next(event for event in whole.of("wake") if event["word"] == KEYWORDS[0])
    off = ("config", {"wake": {"words": ["alexa"]}})
    for at, is_found in ((first["at"] + 1, True), (first["at"] - 91, False)):
        one = Player(Stage(spelling.passes()), registry, MODULES)
        one.play([sound[: 32 * at], off, sound[32 * at :]])
        found = [(event["word"], event["at"]) for event in one.of("wake")]
        assert ((KEYWORDS[0], first["at"]) in found) is is_found


def test_what_is_found_lies_around_where_it_was_said(registry: Registry) -> None:
    one = Player(Stage(spelling.passes()), registry, MODULES)
    one.play([pcm(SPEECH)])
    for event in one.of("wake"):
        assert event["t0"] < event["t1"] <= event["at"] <= event["t1"] + 345
        assert event["t1"] - event["t0"] >= 200
