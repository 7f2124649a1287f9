"""Where the fast path cannot be relied on, streams take the plain one, and the log says why."""

import pytest
from aiohttp import web
from fakes.line import FakeEngine
from structlog.testing import capture_logs

from streamd.live.ticks import Ticks
from streamd.observability.metrics import Metrics
from streamd.transport.http import fast_path
from streamd.transport.http.fast_path import FastPath


def active(metrics: Metrics) -> float | None:
    return metrics.registry.get_sample_value("streamd_fast_path_active")


def test_with_this_aiohttp_there_is_none():
    with capture_logs() as logged:
        found = FastPath("auto", Ticks(FakeEngine()), metrics := Metrics())
    assert (found.obstacle, active(metrics), logged) == (None, 1, [])


@pytest.mark.parametrize(
    ("place", "name", "reason"),
    [
        (web.RequestHandler, "_message_tail", "aiohttp"),
        (fast_path.selectors.DefaultSelector, "fileno", "epoll"),
    ],
)
def test_what_is_missing_is_named(monkeypatch, place, name, reason):
    ticks = Ticks(FakeEngine())
    monkeypatch.delattr(place, name)
    with capture_logs() as logged:
        found = FastPath("auto", ticks, metrics := Metrics())
    assert found.obstacle is not None
    assert reason in found.obstacle
    assert active(metrics) == 0
    assert [(record["log_level"], record["reason"]) for record in logged] == [
        ("warning", found.obstacle)
    ]


def test_who_switches_it_off_is_not_warned():
    with capture_logs() as logged:
        found = FastPath("off", Ticks(FakeEngine()), metrics := Metrics())
    assert found.obstacle == "server.fast_path is off"
    assert (active(metrics), logged) == (0, [])
