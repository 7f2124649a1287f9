"""Accepts connections, also when the process may open no more files."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import time
from collections.abc import Callable, Sequence

import structlog

from streamd.observability.metrics import Metrics
from streamd.transport.http.waiting import Waiting

log = structlog.get_logger("streamd.http")

BURST = 64
"""Connections that are accepted in one turn of the loop."""
RESERVED_S = 2.0
"""Seconds for which a connection may use the descriptor in reserve: others wait for it."""
RETRY_S = 0.1
RECOVERED_S = 60.0
"""Seconds for which descriptors must suffice before the log says so."""
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}


class Acceptor:
    """Hands accepted connections to HTTP, and keeps one file descriptor in reserve.

    Without a free descriptor a connection cannot even be refused. Then the oldest connection that
    waits for a request is closed, and the newcomer gets the descriptor in reserve: its request is
    answered, `Requests` refuses all but health and metrics, and the connection is closed. The
    listeners rest until the reserve is back.

    Args:
        make: Makes the protocol of a connection. Its argument is a function to call when a
            connection that uses the reserve is lost, else None.
        waiting: Connections without a request, of which one can be closed.
        metrics: Counts the connections that found no free descriptor.
    """

    def __init__(
        self,
        make: Callable[[Callable[[], None] | None], asyncio.Protocol],
        waiting: Waiting,
        metrics: Metrics,
    ) -> None:
        self._make = make
        self._waiting = waiting
        self._exhausted = metrics.descriptors_exhausted
        self._listeners: Sequence[socket.socket] = ()
        self._reserve: int | None = None
        self._opening: set[asyncio.Task[None]] = set()
        self._exhausted_at: float | None = None
        """When descriptors last ran out, monotonic seconds; None once that is over."""

    def start(self, listeners: Sequence[socket.socket]) -> None:
        """Accept connections, on the running loop."""
        self._loop = asyncio.get_running_loop()
        self._listeners = listeners
        self._take_reserve()

    def stop(self) -> None:
        """Accept no more connections. The listeners stay the caller's."""
        self._rest()
        self._listeners = ()
        if self._reserve is not None:
            os.close(self._reserve)
            self._reserve = None

    def _rest(self) -> None:
        for listener in self._listeners:
            self._loop.remove_reader(listener)

    def _take_reserve(self) -> None:
        """Open the descriptor in reserve, as soon as there is one, and then go on accepting."""
        if not self._listeners or self._reserve is not None:
            return
        try:
            self._reserve = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._loop.call_later(RETRY_S, self._take_reserve)
            return
        for listener in self._listeners:
            self._loop.add_reader(listener, self._accept, listener)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(BURST):
            try:
                peer, _ = listener.accept()
            except OSError as error:
                # Other errors mean that no connection waits, or that the peer has left already.
                if error.errno in _EXHAUSTED:
                    self._run_out(listener, error)
                return
            self._note_recovery()
            self._serve(peer, None)

    def _run_out(self, listener: socket.socket, error: OSError) -> None:
        self._exhausted.inc()
        if self._exhausted_at is None:
            log.error(
                "no file descriptor is left: new streams are refused",
                error=error.strerror,
                advice="raise the limit (LimitNOFILE= or ulimit -n), or lower limits.max_streams",
            )
        self._exhausted_at = time.monotonic()
        self._waiting.make_room()
        self._rest()
        if self._reserve is not None:
            os.close(self._reserve)
            self._reserve = None
        try:
            peer, _ = listener.accept()
        except OSError:  # another thread took the descriptor, or the peer has left
            self._loop.call_later(RETRY_S, self._take_reserve)
            return
        self._serve(peer, self._reclaim)

    def _reclaim(self) -> None:
        # When the protocol learns that its connection is lost, the descriptor is still open.
        self._loop.call_soon(self._take_reserve)

    def _note_recovery(self) -> None:
        if self._exhausted_at is not None and time.monotonic() - self._exhausted_at > RECOVERED_S:
            self._exhausted_at = None
            log.info("file descriptors suffice again")

    def _serve(self, peer: socket.socket, lost: Callable[[], None] | None) -> None:
        opening = self._loop.create_task(self._open(peer, lost))
        self._opening.add(opening)
        opening.add_done_callback(self._opening.discard)

    async def _open(self, peer: socket.socket, lost: Callable[[], None] | None) -> None:
        peer.setblocking(False)
        try:
            transport, _ = await self._loop.connect_accepted_socket(lambda: self._make(lost), peer)
        except OSError as error:
            log.debug("a connection was lost at once", error=str(error))
            peer.close()
            if lost is not None:
                lost()
            return
        if lost is not None:
            self._loop.call_later(RESERVED_S, transport.abort)
