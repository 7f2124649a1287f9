"""Traces of speech, as of a sample."""

from hypothesis import given
from hypothesis import strategies as st

from streamd.session.activity import Activity

FRAME, STEP, HOLD = 512, 1280, 3000


@given(
    probabilities=st.lists(st.sampled_from([0.0, 0.09, 0.1, 0.9]), min_size=1, max_size=80),
    ahead=st.lists(st.integers(0, 20)),
)
def test_it_is_there_from_the_frame_that_had_it_until_the_hold_is_over(
    probabilities: list[float], ahead: list[int]
) -> None:
    """The answer is the same however far the VAD is ahead."""
    activity, known, ahead = Activity(0.1, HOLD), 0, ahead[::-1]
    for stop in range(STEP, len(probabilities) * FRAME + 1, STEP):
        until = stop // FRAME + (ahead.pop() if ahead else 0)
        for n in range(known, min(until, len(probabilities))):
            activity.frame(n * FRAME, (n + 1) * FRAME, probabilities[n])
        known = max(known, until)
        ends = [(n + 1) * FRAME for n, p in enumerate(probabilities) if p >= 0.1]
        assert activity.at(stop) == any(stop - HOLD < end <= stop for end in ends)


def test_it_is_over_when_the_hold_has_passed_and_what_lies_behind_is_forgotten() -> None:
    activity = Activity(0.1, HOLD)
    assert activity.is_over(0)
    activity.frame(0, 512, 0.5)
    activity.frame(512, 1024, 0.5)
    activity.frame(1024, 1536, 0.05)
    assert not activity.is_over(1024 + HOLD - 1)
    assert activity.is_over(1024 + HOLD)
    activity.forget_before(1024 + HOLD - 1)
    assert activity.at(1024)
    activity.forget_before(1024 + HOLD)
    assert not activity._runs
