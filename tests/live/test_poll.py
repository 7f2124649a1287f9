"""Which sockets have something to read, as epoll and as the other ways of the system say it."""

from __future__ import annotations

import select
import selectors
import socket
from collections.abc import Iterator

import pytest

from streamd.live.poll import Poll


class Pair:
    """Two sockets that are connected; the first is watched."""

    def __init__(self) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.descriptor = self.ours.fileno()


@pytest.fixture(params=["the system's best", "without epoll"])
def poll(request, monkeypatch) -> Iterator[Poll[Pair]]:
    if request.param == "without epoll":
        if not hasattr(select, "epoll"):
            pytest.skip("the same as the other")
        monkeypatch.delattr(select, "epoll")
    made: Poll[Pair] = Poll()
    assert isinstance(made.fileno(), int)
    yield made
    made.close()


@pytest.fixture
def pairs() -> Iterator[list[Pair]]:
    made = [Pair() for _ in range(3)]
    yield made
    for pair in made:
        pair.ours.close()
        pair.theirs.close()


def test_only_those_with_bytes_or_an_end_are_ready(poll, pairs):
    for pair in pairs:
        poll.add(pair)
    assert poll.ready() == []
    pairs[0].theirs.send(b"1")
    pairs[2].theirs.shutdown(socket.SHUT_WR)
    assert sorted(map(id, poll.ready())) == sorted(map(id, (pairs[0], pairs[2])))
    pairs[0].ours.recv(1)
    assert poll.ready() == [pairs[2]]


def test_one_that_is_removed_is_never_ready(poll, pairs):
    poll.add(pairs[0])
    poll.add(pairs[1])
    pairs[0].theirs.send(b"1")
    poll.remove(pairs[0])
    assert poll.ready() == []
    assert list(poll.watched.values()) == [pairs[1]]
    poll.add(pairs[0])
    assert poll.ready() == [pairs[0]]


def test_the_set_is_readable_when_one_of_its_sockets_is(poll, pairs):
    poll.add(pairs[0])
    with selectors.SelectSelector() as outer:
        outer.register(poll.fileno(), selectors.EVENT_READ)
        assert outer.select(0) == []
        pairs[0].theirs.send(b"1")
        assert len(outer.select(0)) == 1
