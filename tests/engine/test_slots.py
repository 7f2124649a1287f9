"""State of streams as rows of arrays."""

import numpy as np
import pytest

from streamd.engine.slots import HostSlots, StateSpec
from streamd.errors import Overloaded

INITIAL = np.array([7, 8], np.int32)


@pytest.fixture
def states() -> HostSlots:
    return HostSlots({"x": StateSpec(INITIAL), "y": StateSpec(np.float32(0.5).reshape(()))}, 4)


def rows(*numbers: int) -> dict[str, np.ndarray]:
    return {
        "x": np.array([[n, -n] for n in numbers], np.int32),
        "y": np.array(numbers, np.float32),
    }


def test_what_is_scattered_is_gathered_in_any_order(states: HostSlots) -> None:
    states.scatter([2, 0, 3], rows(20, 1, 30))
    gathered = states.gather([3, 2, 0, 2])
    assert gathered["x"].tolist() == [[30, -30], [20, -20], [1, -1], [20, -20]]
    assert gathered["y"].tolist() == [30, 20, 1, 20]


def test_minus_one_loads_the_initial_state_and_stores_nothing(states: HostSlots) -> None:
    states.scatter([0, 1], rows(1, 2))
    states.scatter([-1, 1, -1], rows(9, 5, 9))
    gathered = states.gather([-1, 0, -1, 1])
    assert gathered["x"].tolist() == [[7, 8], [1, -1], [7, 8], [5, -5]]
    assert gathered["y"].tolist() == [0.5, 1, 0.5, 5]
    states.scatter([-1], rows(9))
    assert states.gather([3])["x"].tolist() == [[0, 0]]


def test_what_was_gathered_is_a_copy(states: HostSlots) -> None:
    for slots in ([0], [-1], [0, -1]):
        states.gather(slots)["x"][:] = 99
    assert states.gather([0, -1])["x"].tolist() == [[0, 0], [7, 8]]
    assert INITIAL.tolist() == [7, 8]


def test_every_slot_is_given_once_and_then_it_is_full(states: HostSlots) -> None:
    slots = [states.acquire() for _ in range(4)]
    assert sorted(slots) == [0, 1, 2, 3]
    with pytest.raises(Overloaded) as caught:
        states.acquire()
    assert caught.value.retry_after_ms
    states.release(slots[2])
    assert states.acquire() == slots[2]


def test_an_object_in_a_slot_that_is_released_is_let_go() -> None:
    states = HostSlots({"detector": StateSpec(np.empty((), object))}, 2)
    (fresh,) = states.gather([-1])["detector"]
    assert fresh is None
    slot = states.acquire()
    states.scatter([slot], {"detector": np.array([{"an": "object"}], object)})
    assert states.gather([slot])["detector"][0] == {"an": "object"}
    states.release(slot)
    assert states.gather([slot])["detector"][0] is None
