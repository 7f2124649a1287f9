"""A process that may open no more files."""

import asyncio
import json
import resource
import sys
from pathlib import Path

import pytest
from daemons import assert_same_log, converse, cut, dial, next_event, say, speech
from fakes.wire import Wire
from unshed import Daemon
from waiting import wait_until
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import InvalidStatus
from websockets.http11 import Response

pytestmark = pytest.mark.faults

END = {"type": "end"}
EXHAUSTED = "no file descriptor is left: new streams are refused"
SHORT = "too few file descriptors for limits.max_streams"


class Limited(Daemon):
    """A daemon with a soft and a hard limit of open files."""

    soft = hard = 64

    @property
    def launcher(self) -> tuple[str, ...]:
        set_limits = f"resource.setrlimit(resource.RLIMIT_NOFILE, ({self.soft}, {self.hard}))"
        execute = "os.execv(sys.argv[1], sys.argv[1:])"
        return (sys.executable, "-c", f"import os, resource, sys; {set_limits}; {execute}")


def fill(running: Daemon) -> list[Wire]:
    """Open connections that never say anything until the daemon has no descriptor left."""
    wires: list[Wire] = []
    while running.metric("streamd_descriptors_exhausted_total") == 0:
        wires += [Wire(running.http_url) for _ in range(8)]
        assert len(wires) < 10 * Limited.hard
    return wires


async def open_streams(url: str) -> tuple[list[ClientConnection], Response]:
    """Open streams until one is refused; the streams, and the refusal."""
    opened: list[ClientConnection] = []
    while True:
        try:
            opened.append(await dial(url))
        except InvalidStatus as refused:
            return opened, refused.response


async def test_health_answers_and_open_streams_go_on_when_descriptors_run_out(tmp_path: Path):
    settings = {"server__request_timeout_s": 600, "server__max_waiting": 1000}
    with Limited(tmp_path, **settings) as running:
        alone = await converse(running.url, cut(speech()), END)
        async with dial(running.url) as socket:
            await say(socket, {"type": "hello"})
            await next_event(socket, "ready")
            opened, refusal = await open_streams(running.url)
            assert refusal.status_code == 503
            assert json.loads(refusal.body)["error"]["code"] == "overloaded"
            assert "Retry-After" in refusal.headers
            for _ in range(20):
                status, headers, body = await asyncio.to_thread(running.get, "/health/ready")
                assert (status, headers["Connection"]) == (200, "close")
                assert json.loads(body)["streams"] == len(opened) + 1
            assert running.metric("streamd_descriptors_exhausted_total") > 20
            assert running.metric("streamd_streams_refused_total", reason="descriptors") == 1
            for part in cut(speech()):
                await say(socket, part)
            await say(socket, END)
            events = []
            while not events or events[-1]["type"] != "bye":
                events.append(await next_event(socket))
            assert_same_log(alone.events, events)
            for stream in opened:
                await stream.close()
        await running.eventually(lambda: running.streams == 0)
        assert (await converse(running.url, cut(speech()), END)).code == 1000
        assert len(running.records(EXHAUSTED)) == 1
        assert len(running.complaints()) == 1


def test_silent_connections_make_room_for_new_ones(tmp_path: Path):
    settings = {"server__request_timeout_s": 600, "server__max_waiting": 1000}
    with Limited(tmp_path, **settings) as running:
        wires = fill(running)
        for _ in range(3 * Limited.hard):
            assert running.get("/health/live")[0] == 200
        closed = "streamd_connections_closed_total"
        assert running.metric(closed, reason="crowded") > 0
        for wire in wires:
            wire.socket.close()
        wait_until(lambda: running.get("/v1/info")[0] == 200)
        assert len(running.records(EXHAUSTED)) == 1


def test_the_soft_limit_is_raised_to_what_a_full_server_needs(tmp_path: Path):
    class Low(Limited):
        soft, hard = 64, min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 4096)

    with Low(tmp_path) as running:
        assert running.metric("process_max_fds") == Low.hard
        assert running.records(SHORT) == []


def test_a_hard_limit_that_is_too_low_is_logged_with_what_to_raise(tmp_path: Path):
    with Limited(tmp_path, limits__max_streams=100, server__max_waiting=50) as running:
        (record,) = running.records(SHORT)
    assert (record["allowed"], record["needed"], record["level"]) == (64, 250, "warning")
    assert "LimitNOFILE=250" in record["advice"]
