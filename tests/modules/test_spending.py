"""Which windows the costlier model takes to decide who speaks."""

from streamd.modules.base import Window
from streamd.modules.spending import LEAST_NEW, MOST, Spending

LENGTH, HOP = 25_600, 6_400


def windows(count: int) -> list[Window]:
    return [Window(k * HOP, k * HOP + LENGTH, k * HOP + LENGTH) for k in range(count)]


def taken(spending: Spending, count: int, *, is_open: bool) -> list[int]:
    return [w.start for w in windows(count) if spending.wants(w, is_open=is_open)]


def test_a_turn_has_one_window_even_if_its_decision_is_clear() -> None:
    assert taken(Spending(), 20, is_open=False) == [0]


def test_while_the_decision_is_open_windows_follow_each_other_up_to_the_most() -> None:
    assert taken(Spending(), 40, is_open=True) == [k * LENGTH for k in range(MOST)]


def test_a_turn_that_took_over_begins_behind_the_windows_that_found_it() -> None:
    spending = Spending()
    spending.begin(3 * HOP + LENGTH, 1)
    assert taken(spending, 10, is_open=False) == []
    assert taken(spending, 10, is_open=True) == [7 * HOP]


def test_the_last_window_may_reach_back_if_enough_of_it_is_new() -> None:
    for new, is_wanted in ((LEAST_NEW, True), (LEAST_NEW - 1, False)):
        spending = Spending()
        assert spending.wants(Window(0, LENGTH, LENGTH), is_open=True)
        stop = LENGTH + new
        last = Window(stop - LENGTH, stop, stop, is_last=True)
        assert spending.wants(last, is_open=True) is is_wanted
