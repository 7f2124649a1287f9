"""A sender's pace: who is ahead of real time, and when each part of the audio came."""

import pytest

from streamd.live.pace import CREDIT_S, Pace


def send(pace: Pace, seconds: float, speed: float, now_s: float, step_s: float = 0.02) -> float:
    """Send so much audio at a speed; the time when all of it has come."""
    for _ in range(round(seconds / step_s)):
        now_s += step_s / speed
        pace.took(step_s, round((pace.audio_s + step_s) * 16_000), now_s)
    return now_s


def test_a_microphone_is_never_ahead() -> None:
    pace = Pace(0.0)
    now_s = send(pace, 600, 1.0, 0.0)
    assert not pace.is_ahead(now_s)


def test_a_microphone_whose_clock_runs_fast_is_never_ahead() -> None:
    pace = Pace(0.0)
    now_s = send(pace, 3600, 1.001, 0.0, step_s=0.1)
    assert not pace.is_ahead(now_s)


def test_a_file_sent_fast_is_ahead_after_a_second() -> None:
    pace = Pace(0.0)
    assert not pace.is_ahead(send(pace, 0.98, 50.0, 0.0))
    now_s = send(pace, 0.1, 50.0, 0.02)
    assert pace.is_ahead(now_s)


def test_who_stops_sending_is_ahead_until_the_clock_has_caught_up() -> None:
    pace = Pace(0.0)
    now_s = send(pace, 10, 100.0, 0.0)
    assert pace.is_ahead(now_s + 8)
    assert not pace.is_ahead(now_s + 10)


def drag(pace: Pace, seconds: float, speed: float, now_s: float, step_s: float = 0.1) -> float:
    """Take audio that waits for room, at a speed; the time when all of it is taken."""
    for _ in range(round(seconds / step_s)):
        pace.held_up(now_s)
        now_s += step_s / speed
        pace.took(step_s, round((pace.audio_s + step_s) * 16_000), now_s)
    return now_s


def test_audio_that_a_slow_server_reads_late_came_when_it_was_sent() -> None:
    pace = Pace(0.0)
    now_s = send(pace, 5, 1.0, 0.0)
    now_s = drag(pace, 5, 0.5, now_s)
    assert pace.waited_s(10 * 16_000, now_s) == pytest.approx(5, abs=0.2)
    now_s = drag(pace, 7, 2.0, now_s)  # it catches up, and is still late
    assert pace.waited_s(17 * 16_000, now_s) == pytest.approx(1.5, abs=0.2)


def test_a_server_that_has_caught_up_owes_nothing() -> None:
    pace = Pace(0.0)
    now_s = drag(pace, 5, 0.5, 0.0)
    now_s = send(pace, 2, 1.0, now_s + 5)
    assert pace.waited_s(7 * 16_000, now_s) == pytest.approx(0, abs=0.2)
    assert pace.waited_s(6 * 16_000, now_s) == pytest.approx(1, abs=0.2)


@pytest.mark.parametrize("speed", [1.5, 50.0])
def test_audio_that_comes_faster_than_it_can_be_taken_is_not_late(speed: float) -> None:
    pace = Pace(0.0)
    now_s = drag(pace, 60, speed, 0.0)
    assert pace.waited_s(60 * 16_000, now_s) == pytest.approx(0, abs=0.2)


def test_a_stream_that_resumes_owes_nothing_for_what_was_before() -> None:
    pace = Pace(0.0)
    now_s = drag(pace, 5, 0.1, 0.0)
    pace.restart(now_s)
    now_s = send(pace, 1, 1.0, now_s)
    assert pace.waited_s(6 * 16_000, now_s) == pytest.approx(0, abs=0.2)


def test_what_a_network_held_back_for_a_while_may_come_at_once() -> None:
    pace = Pace(0.0)
    now_s = send(pace, 10, 1.0, 0.0) + CREDIT_S - 1
    now_s = send(pace, CREDIT_S - 1, 100.0, now_s)
    assert not pace.is_ahead(now_s)


def test_a_long_silence_of_the_socket_does_not_make_a_file_live() -> None:
    pace = Pace(0.0)
    now_s = send(pace, 120, 100.0, 3600.0)
    assert pace.is_ahead(now_s)


def test_a_new_socket_is_measured_from_its_own_beginning() -> None:
    pace = Pace(0.0)
    now_s = send(pace, 30, 100.0, 0.0)
    pace.restart(now_s)
    assert not pace.is_ahead(now_s)
    assert pace.audio_s > 29


def test_audio_has_waited_since_it_came_however_it_was_cut() -> None:
    for step_s in (0.02, 0.1):
        pace = Pace(0.0)
        now_s = send(pace, 5, 1.0, 0.0, step_s)
        for ms in (100, 2500, 4900):
            assert abs(pace.waited_s(ms * 16, now_s) - (5 - ms / 1000)) < 0.15


def test_what_has_not_come_has_not_waited() -> None:
    pace = Pace(0.0)
    assert pace.waited_s(1600, 9.0) == 0.0
    now_s = send(pace, 1, 1.0, 0.0)
    assert pace.waited_s(24_000, now_s + 9) == 0.0


def test_what_had_come_at_a_moment_is_known_until_it_is_forgotten() -> None:
    pace = Pace(0.0)
    send(pace, 5, 1.0, 0.0)
    assert 30_400 <= pace.came_before(2.0) <= 32_000
    pace.forget_before(40_000)
    assert pace.came_before(2.0) == 0
    assert 46_400 <= pace.came_before(3.0) <= 48_000
