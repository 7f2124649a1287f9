"""Listeners on what addresses a host has: those that the machine lacks are left out."""

import array
import contextlib
import fcntl
import socket
import termios
from collections.abc import Callable

import pytest
from waiting import wait_until

from streamd.errors import Unavailable
from streamd.transport.http.server import bind

MISSING = (socket.AF_INET6, ("2001:db8::1", 0, 0, 0))
"""Of documentation (RFC 3849): no machine has it, so that binding it fails in earnest."""
MISSING_4 = (socket.AF_INET, ("192.0.2.1", 0))
NO_FAMILY = (9999, ("x", 0))
"""Stands for IPv6 in a kernel without it."""
LOOPBACK = (socket.AF_INET, ("127.0.0.1", 0))
BUFFER = 65_536

TURNS = 200

Resolve = Callable[..., None]


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Resolve:
    """Has every host name stand for the given addresses."""

    def resolve(*found: tuple[int, tuple]) -> None:
        def getaddrinfo(host, port, **_):
            return [(f, socket.SOCK_STREAM, 0, "", (a[0], port, *a[2:])) for f, a in found]

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    return resolve


@pytest.mark.parametrize(
    "found",
    [(MISSING, LOOPBACK), (LOOPBACK, MISSING), (NO_FAMILY, LOOPBACK), (MISSING_4, LOOPBACK)],
    ids=["first", "last", "family", "same family"],
)
def test_an_address_that_is_not_there_is_left_out(resolve, found):
    resolve(*found)
    (listener,) = bind("localhost", 0, BUFFER, BUFFER)
    with listener, socket.socket() as client:
        client.connect(listener.getsockname())
        assert client.getpeername()[0] == "127.0.0.1"


@pytest.mark.parametrize("found", [(MISSING,), (NO_FAMILY, MISSING)])
def test_where_no_address_is_there_it_says_so(resolve, found):
    resolve(*found)
    with pytest.raises(Unavailable, match=r"cannot listen on localhost:0: .*--host"):
        bind("localhost", 0, BUFFER, BUFFER)


@pytest.mark.parametrize("order", [1, -1])
def test_a_port_in_use_at_one_address_is_in_use(resolve, order):
    resolve(*[LOOPBACK, MISSING][::order])
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(Unavailable, match=r"in use.*--port"),
    ):
        bind("localhost", taken.getsockname()[1], BUFFER, BUFFER)


def test_the_free_port_is_the_same_at_every_address(resolve):
    resolve(LOOPBACK, (socket.AF_INET, ("127.0.0.2", 0)))
    one, two = bind("localhost", 0, BUFFER, BUFFER)
    with one, two:
        assert one.getsockname()[1] == two.getsockname()[1] > 0


def test_no_more_than_twice_the_receive_buffer_waits_in_the_kernel(resolve):
    """Linux doubles what it is told, for its own accounts, and may fill all of it with payload."""
    resolve(LOOPBACK)
    (listener,) = bind("localhost", 0, BUFFER, BUFFER)
    with listener, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        client.connect(listener.getsockname())
        client.setblocking(False)
        with accepted(listener) as peer:
            wait_until(lambda: push(client) and waiting(peer) > BUFFER // 2)
            for _ in range(TURNS):
                push(client)
                assert waiting(peer) <= 2 * BUFFER


def accepted(listener: socket.socket) -> socket.socket:
    listener.setblocking(True)
    return listener.accept()[0]


def push(client: socket.socket) -> bool:
    """Send as much as goes."""
    with contextlib.suppress(BlockingIOError):
        while client.send(bytes(6400)):
            pass
    return True


def waiting(peer: socket.socket) -> int:
    """Bytes that the kernel has received and nobody has read."""
    count = array.array("i", [0])
    fcntl.ioctl(peer.fileno(), termios.FIONREAD, count)
    return count[0]
