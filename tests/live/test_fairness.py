"""What one client may have of the loop's time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.errors import RateExceeded
from streamd.live.fairness import BURST, BURST_S, FREE_S, MOST_S, Burst, Chatter


def test_messages_count_together_and_singly_and_only_for_a_while():
    burst = Burst()
    assert not burst.is_over(100.0, BURST - 1)
    assert not burst.is_over(100.0 + BURST_S / 2)
    assert burst.is_over(100.0 + BURST_S / 2)
    assert not burst.is_over(100.1 + BURST_S)


def test_a_flood_is_slowed_down_first_and_closed_if_it_goes_on():
    chatter, now_s, counted = Chatter(100), 0.0, 0
    while (wait_s := chatter.count(now_s, 0.0)) == now_s == 0.0:
        counted += 1
    assert counted == pytest.approx(100 * FREE_S, abs=10)
    closed = None
    while closed is None:
        now_s, counted = now_s + wait_s, counted + 1
        try:
            wait_s = chatter.count(now_s, 0.0)
        except RateExceeded as exceeded:
            closed = exceeded
    assert "100 messages a second without audio" in closed.message
    assert (closed.close_code, closed.retry_after_ms) == (4012, 5000)
    # It reads 200 a second, so that 100 a second come on top of what is allowed.
    assert counted == pytest.approx(100 * FREE_S + 200 * (MOST_S - FREE_S), rel=0.02)
    assert now_s == pytest.approx(MOST_S - FREE_S, rel=0.02)


@given(
    st.integers(1, 1000),
    st.lists(st.tuples(st.floats(0, 2), st.floats(0, 4), st.integers(0, 5000)), max_size=50),
)
def test_who_keeps_to_the_rate_in_time_or_in_audio_is_neither_slowed_down_nor_closed(rate, steps):
    """However fast the audio is sent that they are in."""
    chatter, now_s, audio_s = Chatter(rate), 1000.0, 0.0
    for passed_s, heard_s, messages in steps:
        now_s, audio_s = now_s + passed_s, audio_s + heard_s
        for _ in range(min(messages, int(rate * max(passed_s, heard_s)))):
            assert chatter.count(now_s, audio_s) == 0.0


def test_who_pauses_may_send_as_many_again():
    chatter = Chatter(10)
    for minute in range(5):
        for _ in range(int(10 * FREE_S) - 1):
            assert chatter.count(60.0 * minute, 0.0) == 0.0


def test_no_bound_is_no_bound():
    chatter = Chatter(0)
    assert all(chatter.count(0.0, 0.0) == 0.0 for _ in range(100_000))
