"""Sockets that systemd passes: the daemon serves them, and a restart refuses nobody."""

import asyncio
import json
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from daemons import Daemon, Received, converse, cut, dial, next_event, read_to_close, say, silence
from waiting import HANG_S

from streamd.errors import ConfigError
from streamd.transport.http.activation import exposed_address, passed

PASS = """
import fcntl, os, sys
passed = [fcntl.fcntl(int(fd), fcntl.F_DUPFD, 100) for fd in sys.argv[1].split(",")]
for number, fd in enumerate(passed, 3):
    os.dup2(fd, number)
    os.close(fd)
os.environ.update(
    LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(passed)), LISTEN_FDNAMES="streamd.socket"
)
os.execv(sys.argv[2], sys.argv[2:])
"""


@contextmanager
def listening(host: str = "127.0.0.1") -> Iterator[socket.socket]:
    """What systemd opens for a socket unit."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.create_server((host, 0), family=family) as listener:
        yield listener


def activated(home: Path, *listeners: socket.socket, **settings: object) -> Daemon:
    """A daemon to which listeners are passed."""
    home.mkdir(exist_ok=True)
    running = Daemon(home, **settings)
    numbers = tuple(listener.fileno() for listener in listeners)
    running.launcher = (sys.executable, "-c", PASS, ",".join(map(str, numbers)))
    running.pass_fds = numbers
    return running


async def test_who_connects_during_a_restart_waits_and_is_served(tmp_path):
    with listening() as listener:
        place = listener.getsockname()
        with activated(tmp_path, listener) as first:
            assert urlsplit(first.url).port == place[1]
            async with dial(first.url) as stream:
                await say(stream, {"type": "hello"})
                ready = await next_event(stream, "ready")
                first.process.terminate()
                ended = await read_to_close(stream, Received([ready]))
            assert ended.code == 1012
            assert await asyncio.to_thread(first.wait) == 0
        between = socket.create_connection(place)  # nobody accepts it
        with activated(tmp_path, listener) as second:
            assert second.url == first.url
            received = await converse(second.url, cut(silence(1)), {"type": "end"}, sock=between)
            assert received.code == 1000
            (record,) = second.records("started")
            assert record["address"] == f"127.0.0.1:{place[1]}"


def test_an_address_that_others_reach_needs_a_key_here_too(tmp_path):
    with listening("0.0.0.0") as listener:
        running = activated(tmp_path, listener)
        with pytest.raises(AssertionError, match="keys create"):
            running.__enter__()
        assert running.wait() == 3
        assert running.process.stdout is not None
        running.process.stdout.close()


def test_what_is_configured_and_not_used_is_said(tmp_path):
    with listening() as listener, activated(tmp_path, listener, server__port=1) as running:
        (warning,) = running.records(
            "systemd passes the sockets: server.host and server.port are not used"
        )
        assert "streamd.socket" in warning["advice"]
        status, _, body = running.get("/health/ready")
        assert (status, json.loads(body)["status"]) == (200, "ready")


def has_ipv6() -> bool:
    try:
        with listening("::1"):
            return True
    except OSError:
        return False


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_every_socket_is_served_whatever_its_family(tmp_path):
    with listening() as four, listening("::1") as six, activated(tmp_path, six, four) as running:
        assert urlsplit(running.http_url).netloc == f"[::1]:{six.getsockname()[1]}"
        for listener in (six, four):
            with socket.create_connection(listener.getsockname()[:2], HANG_S) as peer:
                peer.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
                assert peer.recv(1) == b"H"  # of HTTP/1.1, also where it asks for TLS


def environ_of(count: int) -> dict[str, str]:
    return {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(count), "LISTEN_FDNAMES": "x"}


def test_the_variables_are_for_no_other_process():
    others = {"LISTEN_PID": "1", "LISTEN_FDS": "1", "HOME": "/"}
    assert passed(others) == []
    assert others == {"HOME": "/"}
    assert passed({}) == []


def test_what_is_no_tcp_listener_is_refused(tmp_path):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        datagrams.bind(("127.0.0.1", 0))
        with pytest.raises(ConfigError, match="is no TCP listener"):
            passed(environ_of(1), datagrams.detach())
    with socket.socket() as unbound, pytest.raises(ConfigError, match="ListenStream="):
        passed(environ_of(1), unbound.detach())
    with (tmp_path / "file").open("w") as file, pytest.raises(ConfigError, match="descriptor"):
        passed(environ_of(1), file.fileno())


def test_the_most_exposed_listener_decides_who_needs_a_key():
    with listening() as near, listening("0.0.0.0") as far:
        assert exposed_address([near, far]) == ("0.0.0.0", far.getsockname()[1])
        assert exposed_address([near]) == ("127.0.0.1", near.getsockname()[1])
