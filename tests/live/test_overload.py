"""A core that loses most of its capacity for a while, in simulated time with the real policy."""

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from fakes.machine import COST_S, Machine, Talker

from streamd.session.session import MAX_BACKLOG
from streamd.types import RATE_HZ

STREAMS = 12
"""They need four fifths of the core, and two fifths for VAD, wake words and the event loop."""
FROM_S, UNTIL_S, SETTLED_S, END_S = 5.0, 25.0, 35.0, 38.0
"""When the capacity goes and comes back, when all is as before, and the end."""


def simulate(play: Callable[[Machine], None], **options: Any) -> Machine:
    """Run a play with a loop, which the engine wants."""

    async def inside() -> Machine:
        machine = Machine(**options)
        play(machine)
        return machine

    return asyncio.run(inside())


def overload(capacity: float) -> Callable[[Machine], None]:
    def play(machine: Machine) -> None:
        machine.connect(STREAMS)
        machine.run(FROM_S)
        machine.admitted.append(machine.load.admits())
        machine.capacity = capacity
        machine.run(3)
        machine.admitted.append(machine.load.admits())
        machine.run(UNTIL_S - FROM_S - 3)
        machine.admitted.append(machine.load.admits())
        machine.capacity = 1.0
        machine.run(END_S - UNTIL_S)

    return play


@pytest.fixture(scope="module")
def halved() -> Machine:
    """VAD and wake words fit into what is left."""
    return simulate(overload(0.5), max_load=0)


@pytest.fixture(scope="module")
def starved() -> Machine:
    """VAD and wake words do not fit."""
    return simulate(overload(0.3), max_load=0)


def most_late_s(machine: Machine, since_s: float, until_s: float, *kinds: str) -> float:
    return max(talker.late_s(since_s, until_s, *kinds) for talker in machine.talkers)


def wakes(talker: Talker, until_ms: int) -> list[tuple[str, int, int]]:
    found = [event for _, event in talker.events if event.__struct_config__.tag == "wake"]
    return [(e.word, e.t0, e.at) for e in found if e.at <= until_ms]  # type: ignore[attr-defined]


def test_a_machine_that_is_four_fifths_full_sheds_nothing(halved: Machine) -> None:
    assert most_late_s(halved, 0, FROM_S, "wake", "speaker", "emotion") < 0.5
    assert not any(at_s < FROM_S for talker in halved.talkers for at_s, _ in talker.told)


def test_wake_events_stay_in_time_while_their_own_cost_fits(halved: Machine) -> None:
    assert halved.most_late_s(0) < 0.5
    assert most_late_s(halved, 0, END_S, "wake") < 0.5


def test_an_overload_changes_no_wake_event(halved: Machine, starved: Machine) -> None:
    def play(machine: Machine) -> None:
        machine.connect(STREAMS)
        machine.run(END_S)

    alone = simulate(play)
    until_ms = int(1000 * (END_S - 1))
    for machine in halved, starved:
        for mine, expected in zip(machine.talkers, alone.talkers, strict=True):
            assert wakes(mine, until_ms) == wakes(expected, until_ms) != []


def test_windows_that_are_too_late_are_named_and_none_is_answered_later(halved: Machine) -> None:
    # A batch may be under way, and whoever is late is noticed at the next look.
    assert most_late_s(halved, 0, END_S, "speaker", "emotion") < halved.max_lag_s + 1.5
    gaps = Counter(
        event.module  # type: ignore[attr-defined]
        for talker in halved.talkers
        for at_s, event in talker.events
        if event.__struct_config__.tag == "gap"
    )
    assert gaps.keys() == {"speaker", "emotion"}


def test_all_is_as_before_within_ten_seconds(halved: Machine, starved: Machine) -> None:
    for machine in halved, starved:
        assert most_late_s(machine, SETTLED_S, END_S, "wake") < 0.2
        assert machine.most_late_s(SETTLED_S) < 0.3
        assert not any(talker.shedding.is_degraded for talker in machine.talkers)
        assert machine.used_s["speculative-0"] > 0
        assert most_late_s(machine, SETTLED_S, END_S, "speaker", "emotion") < 0.5


def test_a_stream_that_catches_up_is_not_ahead_of_real_time(starved: Machine) -> None:
    assert starved.most_late_s(FROM_S) > 2
    assert not starved.ahead


def test_only_live_work_runs_where_even_that_does_not_fit(starved: Machine) -> None:
    windows = starved.used_between(FROM_S + 2, UNTIL_S, "batch-0", "speculative-0")
    assert windows < 2 * sum(COST_S["voice"])


def test_a_slow_machine_reads_no_more_than_it_can_hold(starved: Machine) -> None:
    assert starved.most_backlog <= MAX_BACKLOG + RATE_HZ // 4


def test_newcomers_are_refused_before_anybody_is_a_second_late(halved: Machine) -> None:
    assert halved.admitted == [True, False, False]
