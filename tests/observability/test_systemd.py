"""sd_notify against a socket like systemd's."""

import asyncio
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from waiting import HANG_S

from streamd.observability.systemd import Notifier, watchdog_interval_s


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[socket.socket, str]]:
    if request.param == "abstract" and sys.platform != "linux":
        pytest.skip("abstract sockets are Linux's")
    named = f"@streamd-test-{os.getpid()}" if request.param == "abstract" else str(tmp_path / "n")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(named.replace("@", "\0"))
        sock.settimeout(HANG_S)
        yield sock, named


def test_systemd_receives_each_state(manager: tuple[socket.socket, str]) -> None:
    sock, name = manager
    notifier = Notifier({"NOTIFY_SOCKET": name})
    for sent, received in (
        (notifier.ready("listening on :8765"), b"READY=1\nSTATUS=listening on :8765"),
        (notifier.ready(), b"READY=1"),
        (notifier.watchdog(), b"WATCHDOG=1"),
        (notifier.status("3 streams\nMAINPID=1"), b"STATUS=3 streams MAINPID=1"),
        (notifier.stopping(30.5), b"STOPPING=1\nEXTEND_TIMEOUT_USEC=30500000"),
    ):
        assert sent
        assert sock.recv(4096) == received


def test_a_reload_says_when_it_began(manager: tuple[socket.socket, str]) -> None:
    sock, name = manager
    before_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
    assert Notifier({"NOTIFY_SOCKET": name}).reloading()
    first, second = sock.recv(4096).decode().splitlines()
    assert first == "RELOADING=1"
    at_us = int(second.removeprefix("MONOTONIC_USEC="))
    assert before_us <= at_us <= time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000


async def test_the_watchdog_starves_while_a_worker_hangs(
    manager: tuple[socket.socket, str],
) -> None:
    sock, name = manager
    sock.setblocking(False)
    loop = asyncio.get_running_loop()
    notifier = Notifier({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "2000"})
    healthy = True

    def status() -> str:
        return "ready" if healthy else "stuck"

    watching = asyncio.create_task(notifier.watch(lambda: healthy, status))
    try:
        async with asyncio.timeout(HANG_S):
            assert await loop.sock_recv(sock, 4096) == b"WATCHDOG=1"
            assert await loop.sock_recv(sock, 4096) == b"STATUS=ready"
            healthy = False
            while (found := await loop.sock_recv(sock, 4096)) == b"WATCHDOG=1":
                pass  # sent before the worker hung
            assert found == b"STATUS=stuck"
            await asyncio.sleep(0.05)  # at its interval, 1 ms, it were fed
            with pytest.raises(BlockingIOError):
                sock.recv(4096)
            healthy = True
            assert await loop.sock_recv(sock, 4096) == b"WATCHDOG=1"
    finally:
        watching.cancel()


async def test_without_systemd_nothing_is_watched() -> None:
    await asyncio.wait_for(Notifier({}).watch(lambda: True, lambda: "ready"), HANG_S)


@pytest.mark.parametrize(
    "name", ["", "relative", "vsock:2:1", "/no/such/socket", "@nobody-listens"]
)
def test_without_systemd_nothing_happens(name: str) -> None:
    assert not Notifier({"NOTIFY_SOCKET": name} if name else {}).ready()


def test_a_manager_that_does_not_read_blocks_nothing(tmp_path: Path) -> None:
    name = str(tmp_path / "full")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(name)
        notifier = Notifier({"NOTIFY_SOCKET": name})
        assert not all(notifier.watchdog() for _ in range(10_000))


@pytest.mark.parametrize(
    ("environ", "interval_s"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": str(os.getpid())}, 0.25),
        ({"WATCHDOG_USEC": "500000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
    ],
)
def test_the_watchdog_is_fed_twice_per_limit(
    environ: dict[str, str], interval_s: float | None
) -> None:
    assert watchdog_interval_s(environ) == interval_s
