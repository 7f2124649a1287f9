"""Asks the kernel which of the watched sockets have something to read."""

from __future__ import annotations

import select
import selectors
from typing import Generic, Protocol, TypeVar


class Watched(Protocol):
    """A socket that is watched."""

    descriptor: int


WatchedT = TypeVar("WatchedT", bound=Watched)


class Poll(Generic[WatchedT]):
    """A set of watched sockets, with a descriptor of its own: epoll, or what the system has.

    A descriptor must be removed before it is closed.
    """

    def __init__(self) -> None:
        self.watched: dict[int, WatchedT] = {}
        """The sockets by descriptor; only this object changes it."""
        # The standard selector makes an object for each ready socket at each tick. That costs more
        # than the system call.
        self._epoll = select.epoll() if hasattr(select, "epoll") else None
        self._selector = selectors.DefaultSelector() if self._epoll is None else None

    def add(self, socket: WatchedT) -> None:
        """Watch a socket."""
        if self._epoll is not None:
            self._epoll.register(socket.descriptor, select.EPOLLIN)
        elif self._selector is not None:
            self._selector.register(socket.descriptor, selectors.EVENT_READ)
        self.watched[socket.descriptor] = socket

    def remove(self, socket: WatchedT) -> None:
        """Watch a socket no longer."""
        del self.watched[socket.descriptor]
        if self._epoll is not None:
            self._epoll.unregister(socket.descriptor)
        elif self._selector is not None:
            self._selector.unregister(socket.descriptor)

    def ready(self) -> list[WatchedT]:
        """Return the sockets that have bytes or an end to read, without waiting."""
        watched = self.watched
        if self._epoll is not None:
            return [watched[descriptor] for descriptor, _ in self._epoll.poll(0)]
        assert self._selector is not None
        return [watched[key.fd] for key, _ in self._selector.select(0)]

    def fileno(self) -> int:
        """Return the descriptor of the set, which is readable when one of the sockets is."""
        if self._epoll is not None:
            return self._epoll.fileno()
        fileno: int = self._selector.fileno()  # type: ignore[union-attr]  # kqueue has one, too
        return fileno

    def close(self) -> None:
        """Close the set, but none of the sockets."""
        if self._epoll is not None:
            self._epoll.close()
        elif self._selector is not None:
            self._selector.close()
