"""The load: newcomers are counted at once, late streams shed, and all is given back in time."""

import pytest
from fakes.driving import fake_passes

from streamd.engine.local import LocalEngine
from streamd.live.headroom import SUSTAINED_S, Bounds
from streamd.live.load import (
    ALONE_S,
    CALM_S,
    EVERY_S,
    GIVE_WAY,
    LATE,
    RESTORED,
    RISING,
    RISING_S,
    STALL_S,
    Load,
)
from streamd.live.shedding import Level
from streamd.observability.metrics import Metrics

MAX_LAG_S = 5.0


class FakeStream:
    """A stream that sends in real time and is as late as a test likes."""

    def __init__(self, machine: "Machine", late_s: float = 0.0, *, ahead: bool = False) -> None:
        self.machine = machine
        self.opened_s = machine.now_s
        self.late = late_s
        self.live_late = 0.0
        self.ahead = ahead
        self.sends = True
        self.is_shedding = self.is_degraded = self.is_held = False

    @property
    def audio_s(self) -> float:
        return self.machine.now_s - self.opened_s if self.sends else 0.0

    def is_ahead(self, now_s: float) -> bool:
        return self.ahead

    def late_s(self, now_s: float) -> float:
        return self.late

    def live_late_s(self, now_s: float) -> float:
        return self.live_late

    def shed(self, now_s: float, at_least: Level = Level.NOTHING) -> int:
        self.is_shedding |= at_least is not Level.NOTHING or self.late > 1
        self.is_degraded |= at_least is Level.HOPS or self.late > 1
        return int(self.late > MAX_LAG_S)

    def may_restore(self, now_s: float) -> bool:
        return self.is_shedding

    def restore(self, now_s: float) -> None:
        self.is_shedding = self.is_degraded = False


class Machine:
    """Streams with an engine, and the clock in a test's hand."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.metrics = Metrics()
        self.engine = LocalEngine(fake_passes()[:3], 200, 1, self.metrics)
        bounds = Bounds(1, 0.9, MAX_LAG_S * LATE, 1.0)
        self.load = Load(self.engine, bounds, self.metrics, self._cpu_s, lambda: 0.0)
        self.streams: list[FakeStream] = []

    def connect(self, count: int, **options: bool) -> None:
        for _ in range(count):
            self.engine.open()
            self.streams.append(FakeStream(self, **options))
            self.load.add(self.streams[-1])

    def run(self, seconds: float, loop_lag_s: float = 0.0) -> None:
        for _ in range(round(seconds / EVERY_S)):
            self.now_s += EVERY_S
            self.load.look(self.now_s, loop_lag_s)

    def _cpu_s(self) -> float:
        return 0.01 * sum(stream.audio_s for stream in self.streams)

    def metric(self, name: str) -> float:
        return self.metrics.registry.get_sample_value(f"streamd_{name}") or 0.0

    @property
    def is_open(self) -> bool:
        return self.load.admits()

    @property
    def shedding(self) -> int:
        return sum(stream.is_shedding for stream in self.streams)


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_those_who_have_connected_and_said_nothing_yet_count_as_streams(machine: Machine) -> None:
    machine.run(1)
    admitted = 0
    while machine.is_open:
        machine.engine.open()
        admitted += 1
        assert admitted < 200
    assert 80 <= admitted <= 100
    machine.run(1)
    assert not machine.is_open


def test_a_stream_that_sends_nothing_leaves_its_place_to_another(machine: Machine) -> None:
    machine.connect(90)
    for stream in machine.streams:
        stream.sends = False
    machine.run(1)
    assert not machine.is_open
    machine.run(30)
    assert machine.is_open


def test_a_held_stream_leaves_its_place_at_once(machine: Machine) -> None:
    machine.connect(90)
    machine.run(1)
    assert not machine.is_open
    for stream in machine.streams:
        stream.is_held, stream.sends = True, False
    machine.run(0.5)
    assert machine.is_open


def test_late_streams_shed_and_nobody_new_is_admitted(machine: Machine) -> None:
    machine.connect(10)
    machine.run(10)
    assert machine.is_open
    for stream in machine.streams:
        stream.late = 2.0
    machine.run(SUSTAINED_S + 1)
    assert machine.shedding == 10
    assert not machine.is_open
    assert machine.metric("streams_degraded") == 10
    assert machine.metric("live_lag_seconds_sum") == pytest.approx(
        2.0 * 10 * (SUSTAINED_S + 1) / EVERY_S
    )
    assert machine.metric("headroom_ratio") == 0.0


def test_while_live_work_is_late_it_runs_alone_and_all_streams_shed(machine: Machine) -> None:
    held: list[bool] = []
    machine.engine.run_live_only = held.append  # type: ignore[method-assign]
    machine.connect(10)
    machine.run(6)
    assert machine.is_open
    for stream in machine.streams[:5]:
        stream.live_late = 1.1 * GIVE_WAY * MAX_LAG_S
    machine.run(EVERY_S)
    assert held[-2:] == [False, True]
    assert machine.shedding == 0  # a hiccup
    assert machine.is_open
    machine.run(EVERY_S)
    assert held[-1]
    assert machine.shedding == 10
    assert not machine.is_open
    assert machine.metric("streams_degraded") == 0
    machine.run(ALONE_S)
    assert machine.metric("streams_degraded") == 10
    for stream in machine.streams:
        stream.live_late = 0.9 * GIVE_WAY * MAX_LAG_S
    machine.run(EVERY_S)
    assert held[-1]
    for stream in machine.streams:
        stream.live_late = 0.0
    machine.run(EVERY_S)
    assert not held[-1]
    machine.run(10)
    assert machine.shedding == 0
    machine.run(30)  # ten were too many a moment ago
    assert machine.is_open


def test_a_loop_that_is_late_once_refuses_nobody_and_sheds_nothing(machine: Machine) -> None:
    machine.connect(10)
    machine.run(6)
    machine.run(EVERY_S, loop_lag_s=0.5)
    assert machine.is_open
    machine.run(EVERY_S)
    assert machine.is_open
    assert machine.shedding == 0


def test_newcomers_are_refused_when_results_begin_to_get_late(machine: Machine) -> None:
    machine.connect(10)
    machine.run(6)
    for stream in machine.streams:
        stream.late = 1.1 * RISING * MAX_LAG_S
    machine.run(EVERY_S)
    assert machine.is_open  # a hiccup
    machine.run(5 * RISING_S)
    assert not machine.is_open
    assert machine.shedding == 0
    for stream in machine.streams:
        stream.late = 0.0
    machine.run(RISING_S)
    assert machine.is_open


def test_a_single_late_stream_does_not_stop_the_windows_of_others(machine: Machine) -> None:
    held: list[bool] = []
    machine.engine.run_live_only = held.append  # type: ignore[method-assign]
    machine.connect(20)
    machine.streams[0].live_late = 60.0
    machine.run(10)
    assert not any(held)
    assert machine.is_open


def test_a_sender_that_is_ahead_of_real_time_never_sheds_nor_counts_as_late(machine: Machine):
    machine.connect(10, ahead=True)
    for stream in machine.streams:
        stream.late = 60.0
    machine.run(30)
    assert machine.shedding == 0
    assert machine.metric("live_lag_seconds_count") == 0


def test_windows_that_were_left_out_are_counted(machine: Machine) -> None:
    machine.connect(3)
    machine.streams[0].late = 9.0
    machine.run(1)
    assert machine.metric("windows_skipped_total") == 1 / EVERY_S


def test_what_streams_do_without_is_given_back_one_after_the_other(machine: Machine) -> None:
    machine.connect(2 * RESTORED)
    for stream in machine.streams:
        stream.late = 2.0
    machine.run(5)
    assert machine.shedding == 2 * RESTORED
    for stream in machine.streams:
        stream.late = 0.0
    machine.run(CALM_S - EVERY_S)
    assert machine.shedding == 2 * RESTORED
    machine.run(3 * EVERY_S)
    assert 0 < machine.shedding < 2 * RESTORED
    machine.run(10 - CALM_S - 2 * EVERY_S)
    assert machine.shedding == 0


def test_nothing_is_given_back_while_anybody_is_late(machine: Machine) -> None:
    machine.connect(10)
    for stream in machine.streams:
        stream.late = 2.0
    machine.run(5)
    for stream in machine.streams[:7]:
        stream.late = 0.0
    machine.run(30)
    assert machine.shedding == 10


def test_a_process_that_stood_still_sheds_nothing_for_it(machine: Machine) -> None:
    machine.connect(5)
    machine.run(5)
    for stream in machine.streams:
        stream.late = 20.0
    machine.run(EVERY_S, loop_lag_s=20.0)
    for stream in machine.streams:
        stream.late = 0.0
    machine.run(5)
    assert machine.shedding == 0
    assert machine.metric("windows_skipped_total") == 0


def test_a_loop_that_is_always_late_is_no_excuse(machine: Machine) -> None:
    machine.connect(5)
    for stream in machine.streams:
        stream.late = 2.0
    machine.run(1, loop_lag_s=STALL_S + 0.1)
    assert machine.shedding == 5
