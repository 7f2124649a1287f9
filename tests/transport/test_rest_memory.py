"""What requests have in memory is bounded over all of them, and given back."""

import pytest

from streamd.errors import Overloaded
from streamd.observability.metrics import Metrics
from streamd.transport.http.rest.memory import Memory


def test_one_request_more_than_fits_is_refused_and_takes_nothing() -> None:
    metrics = Metrics()
    memory = Memory(metrics, 100)
    with memory.lend() as one, memory.lend() as other:
        one.take(60)
        with pytest.raises(Overloaded) as refused:
            other.take(41)
        assert refused.value.retry_after_ms
        other.take(40)
        assert metrics.registry.get_sample_value("streamd_request_memory_bytes") == 100
    assert memory.taken == 0


def test_memory_is_given_back_when_a_request_fails() -> None:
    memory = Memory(Metrics(), 100)

    def overtake() -> None:
        with memory.lend() as lease:
            lease.take(100)
            lease.take(1)

    with pytest.raises(Overloaded):
        overtake()
    assert memory.taken == 0


def test_what_is_given_back_early_is_not_given_back_again() -> None:
    memory = Memory(Metrics(), 100)
    with memory.lend() as lease:
        lease.take(90)
        assert lease.has_room(10)
        assert not lease.has_room(11)
        lease.give_back(50)
        assert memory.taken == 40
        lease.take(60)
    assert memory.taken == 0
