"""SIGHUP without a terminal: keys, certificate and live configuration are read again."""

import signal
import socket
import sys

import pytest
from daemons import Daemon, converse, dial, next_event, say
from waiting import HANG_S

ALONE = """
import os, sys
os.setsid()
os.execv(sys.argv[1], sys.argv[1:])
"""


@pytest.fixture
def manager(tmp_path):
    """A stand-in for systemd's end of the notify socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ours:
        ours.bind(str(tmp_path / "notify"))
        ours.settimeout(HANG_S)
        yield ours


@pytest.fixture
def running(tmp_path, manager):
    file = tmp_path / "streamd.toml"
    file.write_text('[log]\nlevel = "info"\n')
    daemon = Daemon(
        tmp_path, "--config", str(file), NOTIFY_SOCKET=tmp_path / "notify", limits__max_lag_ms=0
    )
    daemon.launcher = (sys.executable, "-c", ALONE)
    with daemon:
        until(manager, b"READY=1")
        yield daemon, file


def until(manager: socket.socket, state: bytes) -> bytes:
    """The next message of a state; those of the status line are skipped."""
    while not (message := manager.recv(4096)).startswith(state):
        assert not message.startswith((b"READY", b"RELOADING", b"STOPPING"))
    return message


def reload(daemon: Daemon, manager: socket.socket) -> None:
    daemon.process.send_signal(signal.SIGHUP)
    assert b"MONOTONIC_USEC=" in until(manager, b"RELOADING=1")
    until(manager, b"READY=1")


async def test_a_changed_configuration_takes_effect_while_streams_go_on(running, manager):
    daemon, file = running
    async with dial(daemon.url) as stream:
        await say(stream, {"type": "hello"})
        received = await next_event(stream, "ready")
        file.write_text(
            '[access]\nallow_ips = ["192.0.2.1"]\n[server]\nmax_waiting = 9\ndrain_s = 30\n'
        )
        reload(daemon, manager)
        assert daemon.get("/health/live")[0] == 403
        (taken,) = daemon.records("configuration reloaded")
        assert taken["taken"] == ["server.drain_s", "access.allow_ips"]
        (waiting,) = daemon.records("changes of the configuration wait for a restart")
        assert waiting["keys"] == ["server.max_waiting"]
        await say(stream, {"type": "end"})
        assert (await next_event(stream, "bye"))["type"] == "bye"
    assert received["type"] == "ready"
    assert daemon.complaints() == []
    assert daemon.stop() == 0
    assert b"EXTEND_TIMEOUT_USEC=50000000" in until(manager, b"STOPPING=1")


async def test_a_wrong_configuration_is_refused_and_the_old_one_stays(running, manager):
    daemon, file = running
    file.write_text('[access]\nallow_ips = ["192.0.2.1"]\n[server]\nports = 1\n')
    reload(daemon, manager)
    (refused,) = daemon.records("the new configuration cannot be used; the old one stays")
    assert refused["level"] == "error"
    assert f"{file}:4" in refused["why"]
    assert daemon.get("/health/live")[0] == 200
    file.write_text('[log]\nlevel = "debug"\n')
    reload(daemon, manager)
    (taken,) = daemon.records("configuration reloaded")
    assert taken["taken"] == ["log.level"]
    assert (await converse(daemon.url, {"type": "end"})).code == 1000
