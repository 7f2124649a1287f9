"""One measurement: step after step until the search is over."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple, Protocol

import msgspec

from streamd.bench.load import Loaders
from streamd.bench.messages import Play
from streamd.bench.metrics import Snapshot
from streamd.bench.search import Search
from streamd.bench.step import Bounds, Step, sum_up

LEAD_S = 0.2
"""Seconds from the order to the first stream."""
SETTLE_S = 5.0
"""Most seconds to settle, for a few streams; short steps settle faster."""
OPENED_PER_S = 200
"""Streams that open per second, if there are many."""
SPREAD = 0.6
"""Share of the settling time in which the streams open."""
GIVE_UP_S = 4.0
"""Seconds of lag beyond the bound at which a step ends: the server only falls further behind."""


QUIET_S = 60.0
LOOK_S = 0.2


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """Options of a measurement."""

    step_s: float
    message_ms: int
    bounds: Bounds


class Watcher(Protocol):
    """Follows the progress of a measurement."""

    def began(self, streams: int, seconds: float) -> None:
        """A step begins, which takes so many seconds."""

    def at(self, seconds: float) -> None:
        """The step has lasted so many seconds."""

    def done(self, step: Step) -> None:
        """The step is over."""


class Times(NamedTuple):
    """Times of a step, seconds."""

    spread_s: float
    settle_s: float


def times(streams: int, step_s: float) -> Times:
    """Return how long the streams of a step open, and how long they settle."""
    settle_s = min(SETTLE_S, step_s / 4) + streams / OPENED_PER_S
    return Times(SPREAD * settle_s, settle_s)


def ramp(
    options: Options,
    search: Search,
    loaders: Loaders,
    look: Callable[[], Snapshot | None],
    check: Callable[[], None],
    watcher: Watcher,
) -> None:
    """Measure until the search ends; the watcher gets every step at once.

    Args:
        options: of the measurement.
        search: for the capacity.
        loaders: the processes of the load.
        look: reads the server's metrics.
        check: raises if the server has ended.
        watcher: follows the progress.

    Raises:
        StreamdError: the server or the load failed.
    """
    before = look()
    while (streams := search.next()) is not None:
        step = measure(streams, options, loaders, look, watcher)
        check()
        search.tell(streams, step.has_held)
        watcher.done(step)
        if not step.has_held and before is not None:
            await_quiet(before.sessions, look)


def await_quiet(sessions: int, look: Callable[[], Snapshot | None]) -> None:
    """Wait until an overloaded server has ended its streams; at most a minute."""
    until_s = time.monotonic() + QUIET_S
    while time.monotonic() < until_s:
        now = look()
        if now is not None and now.sessions <= sessions:
            return
        time.sleep(LOOK_S)


def measure(
    streams: int,
    options: Options,
    loaders: Loaders,
    look: Callable[[], Snapshot | None],
    watcher: Watcher,
) -> Step:
    """Run one step."""
    loaders.prepare(streams)
    spread_s, settle_s = times(streams, options.step_s)
    began_s = time.monotonic() + LEAD_S
    from_s = began_s + settle_s
    until_s = from_s + options.step_s
    order = Play(
        streams=list(range(streams)),
        open_s=began_s,
        spread_s=spread_s,
        from_s=from_s,
        until_s=until_s,
        give_up_s=options.bounds.lag_ms / 1000 + GIVE_UP_S,
    )
    looks: list[Snapshot | None] = []

    def watch(now_s: float) -> None:
        if len(looks) < 2 and now_s >= (from_s, until_s)[len(looks)]:
            looks.append(look())
        watcher.at(min(now_s, until_s) - began_s)

    watcher.began(streams, settle_s + options.step_s)
    answers = loaders.play(order, watch)
    before, after = looks if len(looks) == 2 else (None, None)
    return sum_up(streams, options.message_ms, answers, (before, after), options.bounds)
