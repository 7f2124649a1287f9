import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.audio.ring import Overwritten, Ring


def ramp(n, start=0):
    return np.arange(start, start + n).astype(np.int16)


@given(
    capacity=st.integers(1, 40),
    sizes=st.lists(st.integers(0, 100), max_size=20),
    data=st.data(),
)
def test_a_ring_holds_what_the_end_of_a_list_holds(capacity, sizes, data):
    ring, everything = Ring(capacity), []
    for size in sizes:
        samples = ramp(size, start=1 + len(everything))
        ring.write(samples)
        everything.extend(samples.tolist())
        assert ring.head == len(everything)
        assert ring.tail == max(0, len(everything) - capacity)
        assert ring.read(ring.tail, ring.head).tolist() == everything[-capacity:]
    start = data.draw(st.integers(ring.tail, ring.head))
    stop = data.draw(st.integers(start, ring.head))
    assert ring.read(start, stop).tolist() == everything[start:stop]


def test_no_zeros_come_before_the_first_samples():
    ring = Ring(8)
    ring.write(ramp(3, start=5))
    assert (ring.tail, ring.head) == (0, 3)
    assert ring.read(0, 3).tolist() == [5, 6, 7]


@pytest.mark.parametrize("capacity", [7, 8])
def test_an_oversize_write_keeps_its_last_part(capacity):
    ring = Ring(capacity)
    ring.write(ramp(3))
    ring.write(ramp(50, start=3))
    assert ring.head == 53
    assert ring.read(53 - capacity, 53).tolist() == list(range(53 - capacity, 53))


def test_reading_gives_a_copy():
    ring = Ring(4)
    ring.write(ramp(4))
    span = ring.read(0, 4)
    ring.write(ramp(4, start=10))
    assert span.tolist() == [0, 1, 2, 3]


def test_what_is_overwritten_is_named_so():
    ring = Ring(4)
    ring.write(ramp(10))
    with pytest.raises(Overwritten, match="oldest held is 6"):
        ring.read(5, 8)
    assert issubclass(Overwritten, LookupError)


@pytest.mark.parametrize("span", [(0, 5), (3, 2), (-1, 2), (5, 5)])
def test_a_span_that_was_never_written_is_a_value_error(span):
    ring = Ring(8)
    ring.write(ramp(4))
    with pytest.raises(ValueError, match="no span"):
        ring.read(*span)


def test_a_ring_has_room():
    with pytest.raises(ValueError, match="at least one"):
        Ring(0)
