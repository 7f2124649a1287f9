"""A real Prometheus reads a real server: names, alerts and every panel of the dashboard."""

import asyncio
import itertools
import json
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from daemons import Daemon, converse, cut, dial, next_event, say, silence, speech
from needs import needs
from prometheus_server import PrometheusServer, scraping
from uploading import PHRASE, post
from waiting import HANG_S, wait_until

pytestmark = [pytest.mark.services, pytest.mark.models]

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "deploy/prometheus/alerts.yml"
DASHBOARD = json.loads((ROOT / "deploy/grafana/streamd.json").read_text())
END = {"type": "end"}

MOVES = {
    "Ready",
    "Up for",
    "Version",
    "Streams",
    "Headroom",
    "CPU for each stream",
    "Memory",
    "Disk and descriptors",
    "Event lag, median",
    "Event lag, nine in ten",
    "Event lag, 99 in 100",
    "Lag of live streams",
    "Wait for a model, 99 in 100",
    "Event loop, 99 in 100",
    "CPU by pass",
    "Batch size",
    "Time of a batch, 99 in 100",
    "Gaps",
    "Sockets closed",
    "Drops and resumes",
    "Wake words",
    "Who speaks",
    "Moods",
    "Utterances",
    "Audio and speech",
    "Events",
    "Length of streams",
    "HTTP errors",
    "Files",
    "Files decoded",
    "Models",
}
"""Panels that the traffic below makes show more than 0."""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    # A busy machine refuses no stream and leaves nothing out: that is not what is tested here.
    unshed = {"limits__max_load": 0, "limits__max_lag_ms": 0}
    with Daemon(tmp_path_factory.mktemp("served"), resume__window_s=1, **unshed) as running:
        yield running


@pytest.fixture(scope="module")
def prometheus(
    tmp_path_factory: pytest.TempPathFactory, daemon: Daemon
) -> Iterator[PrometheusServer]:
    place = daemon.http_url.removeprefix("http://")
    server = PrometheusServer(tmp_path_factory.mktemp("prometheus"), scraping(place, ALERTS))
    yield server
    server.close()


async def use(daemon: Daemon) -> None:
    """One of everything: speech, a wake word, a gap, a drop, a file, and a path that is none."""
    await converse(daemon.url, cut(speech()), END)
    await converse(daemon.url, speech("rms"), {"type": "gap", "ms": 200}, silence(1), END)
    async with dial(daemon.url) as socket:
        await say(socket, silence(0.5))
        await next_event(socket, "ready")
        socket.transport.abort()
    assert (await asyncio.to_thread(post, daemon, "/v1/detect", ("audio", PHRASE))).status == 200
    assert (await asyncio.to_thread(daemon.get, "/nothing"))[0] == 404


@asynccontextmanager
async def traffic(daemon: Daemon) -> AsyncIterator[asyncio.Task[None]]:
    """Use the daemon again and again, because a rate needs an increase between two scrapes."""

    is_over = asyncio.Event()

    async def go_on() -> None:
        while not is_over.is_set():
            await use(daemon)

    task = asyncio.create_task(go_on())
    try:
        yield task
    finally:
        is_over.set()
        await task


def promtool(*args: str | Path, given: bytes = b"") -> tuple[int, str]:
    """Run promtool, and return its exit code and what it prints."""
    needs("promtool")
    done = subprocess.run(["promtool", *args], check=False, input=given, capture_output=True)
    return done.returncode, (done.stdout + done.stderr).decode()


async def test_promtool_finds_nothing_to_complain_of_after_real_traffic(daemon: Daemon) -> None:
    await use(daemon)
    shown = daemon.get("/metrics")[2]
    assert await asyncio.to_thread(promtool, "check", "metrics", given=shown) == (0, "")


def test_the_alerts_do_what_their_unit_tests_say() -> None:
    for command in ("check", ALERTS), ("test", ALERTS.with_name("alerts_test.yml")):
        code, complaints = promtool(command[0], "rules", command[1])
        assert code == 0, complaints


async def test_every_panel_of_the_dashboard_shows_what_the_server_does(
    daemon: Daemon, prometheus: PrometheusServer
) -> None:
    panels = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
    assert {panel["title"] for panel in panels} >= MOVES

    async def shown(title: str, query: str) -> bool:
        found = await asyncio.to_thread(prometheus.series, query)
        return bool(found) and (title not in MOVES or _moves(found))

    waiting = {
        panel["title"]: [_as_grafana_asks(target["expr"]) for target in panel["targets"]]
        for panel in panels
    }
    for query in itertools.chain(*waiting.values()):
        prometheus.get("query", query=query)  # it parses, whatever there is
    give_up_at = time.monotonic() + HANG_S
    async with traffic(daemon) as task:
        while waiting:
            assert not task.done(), task.exception()
            assert time.monotonic() < give_up_at, f"nothing to see in {waiting}"
            for title, queries in list(waiting.items()):
                if any([await shown(title, query) for query in queries]):
                    del waiting[title]
            await asyncio.sleep(0.5)
    assert not daemon.complaints()


def test_the_alerts_run_and_none_fires_on_a_server_that_works(
    prometheus: PrometheusServer,
) -> None:
    def evaluated() -> list[dict[str, Any]]:
        (group,) = prometheus.get("rules")["groups"]
        return group["rules"]

    wait_until(lambda: all(rule["health"] != "unknown" for rule in evaluated()))
    rules = evaluated()
    assert len(rules) > 10
    assert {rule["name"]: rule.get("lastError") for rule in rules if rule["health"] != "ok"} == {}
    assert prometheus.series('ALERTS{alertstate="firing", severity="critical"}') == []


def _as_grafana_asks(query: str) -> str:
    """Put in what Grafana puts in for its variables."""
    return query.replace("$__rate_interval", "30s").replace("$instance", ".+")


def _moves(found: list[dict[str, Any]]) -> bool:
    return any(float(value) > 0 for series in found for _, value in series["values"])
