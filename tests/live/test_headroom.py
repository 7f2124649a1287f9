"""Admission: newcomers are refused before they hurt those who are there, and not for a hiccup."""

import pytest

from streamd.live.headroom import ALWAYS, CALM_S, SUSTAINED_S, Bounds, Headroom, Reading

BOUNDS = Bounds(cores=1, max_load=0.9, max_lag_s=1.0, max_loop_lag_s=1.0)
STEP_S = 0.25


class Machine:
    """A machine on which a second of audio costs so much, and its readings one after the other."""

    def __init__(self, cost_s: float = 0.01, bounds: Bounds = BOUNDS) -> None:
        self.headroom = Headroom(bounds)
        self.cost_s = cost_s
        self.loop_cost_s = 0.001
        self.now_s = self.cpu_s = self.loop_s = self.audio_s = 0.0
        self.streams = 0

    def run(
        self,
        seconds: float,
        *,
        lag_s: float = 0.0,
        loop_lag_s: float = 0.0,
        is_shedding: bool = False,
    ) -> None:
        """Carry the streams for a while, each in real time."""
        for _ in range(round(seconds / STEP_S)):
            self.now_s += STEP_S
            self.audio_s += self.streams * STEP_S
            self.cpu_s += self.streams * STEP_S * self.cost_s
            self.loop_s += self.streams * STEP_S * self.loop_cost_s
            reading = Reading(
                self.now_s,
                self.cpu_s,
                self.loop_s,
                self.audio_s,
                float(self.streams),
                self.streams,
                lag_s,
                loop_lag_s,
                is_shedding,
            )
            self.headroom.look(reading)

    def crowd(self, count: int) -> int:
        """So many connect at the same moment; how many of them are admitted."""
        return sum(self.headroom.admits(already) for already in range(count))


def test_a_crowd_at_a_server_that_has_just_started_is_admitted_up_to_what_streams_usually_cost():
    assert Machine().crowd(1000) == 90


def test_sixty_eight_at_once_are_admitted_by_one_core() -> None:
    assert Machine().crowd(68) == 68


@pytest.mark.parametrize("cost_s", [0.004, 0.01, 0.03])
def test_as_many_streams_are_admitted_as_the_cores_carry_at_the_cost_that_was_measured(cost_s):
    machine = Machine(cost_s)
    machine.streams = 20
    machine.run(60)
    most = 0.9 / cost_s
    assert machine.streams + machine.crowd(1000) == pytest.approx(most, rel=0.15)


def test_newcomers_count_before_they_have_sent_anything() -> None:
    machine = Machine()
    machine.streams = 40
    machine.run(60)
    admitted = machine.crowd(1000)
    machine.streams += admitted
    machine.run(STEP_S)
    assert machine.crowd(1000) <= 1


def test_streams_that_shed_do_not_make_a_stream_look_cheap() -> None:
    machine = Machine()
    machine.streams = 60
    machine.run(60)
    cost_s = machine.headroom.cost_s
    machine.cost_s /= 2
    machine.run(60, is_shedding=True)
    assert machine.headroom.cost_s == cost_s


def test_streams_that_shed_to_stay_in_time_are_too_many_already() -> None:
    machine = Machine()
    machine.streams = 60
    machine.run(10, is_shedding=True)
    assert machine.crowd(1) == 0
    machine.run(CALM_S + 1)
    assert machine.crowd(1) == 0  # nine tenths of sixty
    machine.streams = 50
    machine.run(1)
    assert 0 < machine.crowd(10) < 10


def test_two_cores_carry_twice_as_many() -> None:
    two = Machine(bounds=Bounds(2, 0.9, 1.0, 1.0))
    assert two.crowd(1000) == pytest.approx(2 * Machine().crowd(1000), abs=2)


def test_half_a_core_carries_half_as_many() -> None:
    half = Machine(bounds=Bounds(0.5, 0.9, 1.0, 1.0))
    assert half.crowd(1000) == pytest.approx(Machine().crowd(1000) / 2, abs=1)


def test_no_more_cores_help_where_the_event_loop_has_used_up_its_one() -> None:
    machine = Machine(cost_s=0.01, bounds=Bounds(16, 0.9, 1.0, 1.0))
    machine.loop_cost_s = 0.005
    machine.streams = 100
    machine.run(60)
    assert machine.streams + machine.crowd(1000) == pytest.approx(0.9 / 0.005, rel=0.1)


def test_the_cost_of_a_few_streams_says_nothing_about_many() -> None:
    machine = Machine(cost_s=0.2)
    machine.streams = 3
    machine.run(60)
    assert machine.crowd(68) >= 60


@pytest.mark.parametrize("what", ["lag_s", "loop_lag_s"])
def test_who_comes_while_all_are_late_is_refused(what) -> None:
    machine = Machine()
    machine.streams = 10
    machine.run(60)
    machine.run(SUSTAINED_S + 1, **{what: 1.5})
    assert machine.crowd(1) == 0
    assert machine.headroom.left == 0.0


@pytest.mark.parametrize("what", ["lag_s", "loop_lag_s"])
def test_a_hiccup_refuses_nobody(what) -> None:
    machine = Machine()
    machine.streams = 10
    for _ in range(10):
        machine.run(SUSTAINED_S - 1, **{what: 5.0})
        assert machine.crowd(1) == 1
        machine.run(1)


def test_a_handful_of_streams_is_never_refused_for_being_late() -> None:
    machine = Machine()
    machine.streams = ALWAYS - 1
    machine.run(60, lag_s=9.0, loop_lag_s=9.0)
    assert machine.crowd(1) == 1


def test_a_machine_that_was_full_does_not_take_all_back_at_once() -> None:
    machine = Machine(cost_s=0.002)  # half of the core is somebody else's, which no CPU time shows
    machine.streams = 100
    machine.run(60)
    machine.run(SUSTAINED_S + 1, lag_s=2.0)
    machine.run(CALM_S + 1)
    assert machine.crowd(100) == 0
    machine.streams = 80
    machine.run(1)
    assert 1 <= machine.crowd(100) <= 20


def test_the_ceiling_is_forgotten_when_all_goes_well() -> None:
    machine = Machine(cost_s=0.002)
    machine.streams = 100
    machine.run(60)
    machine.run(SUSTAINED_S + 1, lag_s=2.0)
    machine.run(600)
    assert machine.crowd(100) == 100


def test_without_a_bound_on_the_load_lag_alone_refuses() -> None:
    machine = Machine(cost_s=0.1, bounds=Bounds(1, 0.0, 1.0, 1.0))
    machine.streams = 100
    machine.run(60)
    assert machine.crowd(100) == 100
    machine.run(SUSTAINED_S + 1, lag_s=2.0)
    assert machine.crowd(100) == 0


def test_headroom_is_whole_on_an_idle_server_and_shrinks_with_its_streams() -> None:
    machine = Machine()
    machine.run(1)
    assert machine.headroom.left == 1.0
    machine.streams = 45
    machine.run(60)
    assert machine.headroom.left == pytest.approx(0.5, abs=0.1)
