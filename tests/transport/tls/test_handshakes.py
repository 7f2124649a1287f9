"""Handshakes have their turns one after the other, with turns of the loop between them."""

import asyncio

from streamd.observability.metrics import Metrics
from streamd.transport.tls.handshakes import Handshakes


class Fake:
    """Notes when it has its turn."""

    def __init__(self, turns: list[object], *, fails: bool = False) -> None:
        self.turns = turns
        self.fails = fails

    def shake(self) -> None:
        self.turns.append(self)
        if self.fails:
            raise RuntimeError("a bug")


async def test_each_turn_of_the_loop_does_one_step_in_order_of_arrival():
    metrics, turns = Metrics(), []
    handshakes = Handshakes(metrics)
    all_of_them = [Fake(turns) for _ in range(5)]
    for one in all_of_them:
        handshakes.submit(one)
    queued = metrics.registry.get_sample_value("streamd_tls_handshakes_queued")
    assert queued == 5
    for done in range(1, 6):
        await asyncio.sleep(0)
        assert turns == all_of_them[:done]
    assert metrics.registry.get_sample_value("streamd_tls_handshakes_queued") == 0


async def test_one_that_fails_does_not_hold_up_the_others():
    turns, faults = [], []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: faults.append(told))
    handshakes = Handshakes(Metrics())
    first, second = Fake(turns, fails=True), Fake(turns)
    handshakes.submit(first)
    handshakes.submit(second)
    for _ in range(3):
        await asyncio.sleep(0)
    assert turns == [first, second]
    assert len(faults) == 1


async def test_who_comes_during_a_step_has_the_next_turn():
    turns = []
    handshakes = Handshakes(Metrics())
    late = Fake(turns)

    class Bringing(Fake):
        def shake(self) -> None:
            super().shake()
            handshakes.submit(late)

    first = Bringing(turns)
    handshakes.submit(first)
    await asyncio.sleep(0)
    assert turns == [first]
    await asyncio.sleep(0)
    assert turns == [first, late]
