"""Many records of one kind are written a few times and then counted."""

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from streamd.observability.logging import configure
from streamd.observability.throttle import BURST, KINDS, PERIOD_S, Throttle


def record(name: str, msg: Any, level: int = logging.WARNING) -> logging.LogRecord:
    return logging.LogRecord(name, level, "", 0, msg, (), None)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_kind_is_written_so_often_in_a_period_and_then_says_what_was_left_out() -> None:
    clock = Clock()
    throttle = Throttle(clock)
    admitted = [throttle.admits(record("a", {"event": "x"})) for _ in range(BURST + 5)]
    assert admitted == [True] * BURST + [False] * 5
    clock.now = PERIOD_S - 1
    assert not throttle.admits(record("a", {"event": "x"}))
    clock.now = PERIOD_S
    later = record("a", {"event": "x"})
    assert throttle.admits(later)
    assert later.msg == {"event": "x", "left_out": 6}
    again = record("a", {"event": "x"})
    assert throttle.admits(again)
    assert again.msg == {"event": "x"}


def test_other_kinds_are_counted_apart_and_what_is_no_warning_not_at_all() -> None:
    throttle = Throttle(Clock())
    for _ in range(BURST + 1):
        throttle.admits(record("a", {"event": "x"}))
    assert throttle.admits(record("a", {"event": "y"}))
    assert throttle.admits(record("b", {"event": "x"}))
    assert all(throttle.admits(record("a", {"event": "x"}, logging.INFO)) for _ in range(100))


def test_of_other_libraries_all_texts_are_one_kind() -> None:
    clock = Clock()
    throttle = Throttle(clock)
    admitted = [throttle.admits(record("aiohttp.server", f"bad {n}")) for n in range(BURST + 2)]
    assert admitted.count(True) == BURST
    clock.now = PERIOD_S
    later = record("aiohttp.server", "bad 99%")
    assert throttle.admits(later)
    assert later.getMessage() == "bad 99% (2 more left out)"


def test_what_is_remembered_has_a_bound() -> None:
    throttle = Throttle(Clock())
    for number in range(10 * KINDS):
        throttle.admits(record("a", {"event": str(number)}))
    assert len(throttle._kinds) == KINDS


@pytest.fixture
def _logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.mark.usefixtures("_logging_as_it_was")
def test_the_log_is_throttled() -> None:
    stream = io.StringIO()
    configure("info", "json", stream)
    for number in range(1000):
        structlog.get_logger("streamd.test").warning("refused", origin=number)
    records = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [record["origin"] for record in records] == list(range(BURST))
