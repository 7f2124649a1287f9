"""Audio that comes faster than the session takes it waits, and costs nothing while it waits."""

import asyncio

import numpy as np
from fakes.driving import Player, Stage, fake_registry

from streamd.live.event_counts import EventCounts
from streamd.live.input import Input
from streamd.live.meter import Meter
from streamd.live.pace import Pace
from streamd.observability.metrics import Metrics
from streamd.types import RATE_HZ, AudioFormat

TURNS = 100
"""Turns of the loop in which a waiting reader would have shown that it does not rest."""


class Desk:
    """A session whose engine answers when the test says so, and the input in front of it."""

    def __init__(self) -> None:
        self.player = Player(Stage(), fake_registry(), audio=AudioFormat())
        self.advances = 0
        metrics = Metrics()
        self.input = Input(
            self.player.session,
            3600,
            Meter(metrics, EventCounts(metrics, fake_registry())),
            Pace(0.0),
            lambda ack: None,
            lambda: asyncio.get_running_loop().call_soon(self.advance),
            self.player.pump,
        )

    def advance(self) -> None:
        self.advances += 1
        self.player.pump()
        self.input.advanced()


def noise(seconds: float) -> bytes:
    chance = np.random.default_rng(0)
    return chance.integers(-9000, 9000, int(seconds * RATE_HZ), np.int16).tobytes()


async def test_a_reader_that_waits_for_room_leaves_the_loop_alone() -> None:
    desk = Desk()
    feeding = asyncio.create_task(desk.input.feed(noise(10.0), 0.0))
    for _ in range(TURNS):
        await asyncio.sleep(0)
    assert not feeding.done()
    assert desk.advances == 1
    while not feeding.done():
        desk.player.stage.step()
        desk.advance()
        await asyncio.sleep(0)
    assert desk.player.session.audio.frames == 10 * RATE_HZ
