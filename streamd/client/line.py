"""One WebSocket to a server: opened, greeted, read, and watched for silence."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_socket
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidStatus,
    InvalidURI,
)
from websockets.typing import Subprotocol

from streamd.client import refusal
from streamd.client.credentials import authorization, is_same_host
from streamd.client.refusal import ConnectionLost, Event, RefusedByServer
from streamd.errors import CannotConnect

DEFAULT_URL = "ws://127.0.0.1:8765/v1/stream"
CLOSE_S = 2.0
"""Seconds that the close handshake may take."""
_SUBPROTOCOL = Subprotocol("streamd.v1")
_MAX_EVENT_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Address:
    """Where and with which key a stream is opened, and how long that may take."""

    url: str
    key: str | None
    open_timeout_s: float
    tls: ssl.SSLContext | None = None
    """Whom a `wss://` server is checked against; None is the system's authorities."""


class Line:
    """One open socket. Made by `open_line`.

    `receive` does not return a fatal `error`. It is the reason of the close that follows it.
    """

    def __init__(self, socket: ClientConnection, address: Address) -> None:
        self._socket = socket
        self._address = address
        self._now_s = asyncio.get_running_loop().time
        self.opened_s = self._now_s()
        self.fatal: Event | None = None
        """The fatal `error`, once the server has sent one."""
        self._received_s = self.opened_s

    async def greet(self, hello: dict[str, Any]) -> Event:
        """Send `hello` and return the `ready` that answers it.

        Raises:
            CannotConnect: Nothing answers in time, or the socket breaks.
            RefusedByServer: The server answers with an error.
        """
        timeout_s = self._address.open_timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                await self.send(json.dumps(hello))
                while (event := await self.receive()) is not None:
                    if event["type"] == "ready":
                        return event
        except TimeoutError:
            self.abort()
            raise CannotConnect(
                f"{self._address.url} accepted the connection but sent no `ready` within "
                f"{timeout_s:g} s"
            ) from None
        raise RefusedByServer(
            "the server closed before `ready`", code="close_1000", close_code=1000
        )

    async def send(self, message: str | bytes) -> None:
        """Send a message, waiting while the server takes no more.

        After a close it does nothing: `receive` raises the reason.
        """
        try:
            await self._socket.send(message)
        except ConnectionClosed:
            return

    async def receive(self) -> Event | None:
        """Return the next event, or None after the server has closed the stream as done.

        Raises:
            ConnectionLost: The socket broke.
            RefusedByServer: The server closed it.
        """
        while True:
            try:
                message = await self._socket.recv()
            except ConnectionClosed as closed:
                code = closed.rcvd.code if closed.rcvd is not None else refusal.NO_CLOSE
                reason = closed.rcvd.reason if closed.rcvd is not None else ""
                if code == 1000:
                    return None
                if code == refusal.NO_CLOSE:
                    raise ConnectionLost(f"the connection to {self._address.url} broke") from None
                raise refusal.of_close(code, reason, self.fatal) from None
            self._received_s = self._now_s()
            event = refusal.json_object(message)
            if event.get("type") == "error" and event.get("fatal"):
                self.fatal = event
            elif "type" in event:
                return event

    async def watch(self, silence_s: float, is_read: Callable[[], bool]) -> None:
        """Drop the socket when nothing arrives, as after a network failure that nobody reports.

        A busy server reads a ping late, because audio waits before it, but it acknowledges that
        audio meanwhile. So every message counts.

        Args:
            silence_s: Seconds from the last arrival to the drop. Halfway, the client sends a ping.
            is_read: Returns whether the client reads the socket at present.
        """
        while True:
            asleep_s = self._now_s()
            await asyncio.sleep(silence_s / 4)
            # After a stop of the process, messages that arrived meanwhile are still unread.
            was_stopped = self._now_s() - asleep_s > silence_s / 2
            if not is_read() or was_stopped:
                self._received_s = self._now_s()
            silent_s = self._now_s() - self._received_s
            if silent_s >= silence_s:
                self.abort()
                return
            if silent_s >= silence_s / 2:
                await self._ping(silence_s - silent_s)

    async def close(self) -> None:
        """Close the socket, waiting for the server's answer for a moment."""
        await self._socket.close()

    def abort(self) -> None:
        """Drop the socket at once, without a close."""
        self._socket.transport.abort()

    async def _ping(self, wait_s: float) -> None:
        try:
            async with asyncio.timeout(wait_s):
                await (await self._socket.ping())  # waits while the socket is full
                self._received_s = self._now_s()
        except (TimeoutError, ConnectionClosed):
            return


class _Opening(open_socket):
    """An opening that follows no redirect by which another host would get the key."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        has_key = self.additional_headers is not None  # the other host would be sent none
        found = super().process_redirect(exc)
        leaves = isinstance(found, str) and not is_same_host(self.uri, found)
        return exc if leaves and has_key else found


async def open_line(address: Address) -> Line:
    """Open a WebSocket.

    Raises:
        CannotConnect: No server answers, or one that is not streamd.
        RefusedByServer: The server answers with an HTTP status.
    """
    url, key = address.url, address.key
    options: dict[str, Any] = {}
    if address.tls is not None and urlsplit(url).scheme == "wss":
        options["ssl"] = address.tls
    if urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1"):
        options["proxy"] = None  # a proxy of the environment cannot reach this machine's loopback
    try:
        socket = await _Opening(
            url,
            subprotocols=[_SUBPROTOCOL],
            additional_headers=authorization(key) or None,
            compression=None,  # PCM does not deflate
            open_timeout=address.open_timeout_s,
            ping_interval=None,  # `Line.watch` pings
            close_timeout=CLOSE_S,
            max_size=_MAX_EVENT_BYTES,
            **options,
        )
    except InvalidStatus as refused:
        raise refusal.of_status(refused) from None
    except InvalidURI:
        raise CannotConnect(f"{url} is not a WebSocket URL; an example is {DEFAULT_URL}") from None
    except InvalidHandshake as answer:
        raise CannotConnect(f"the server at {url} is not streamd: {answer}") from None
    except ssl.SSLCertVerificationError as doubt:
        raise CannotConnect(refusal.of_certificate(url, doubt)) from None
    except ssl.SSLError as fault:
        raise CannotConnect(
            f"the server at {url} does not speak TLS as this client does ({fault.reason}); "
            "for a server without TLS use ws://"
        ) from None
    except (OSError, TimeoutError, EOFError) as failure:
        raise CannotConnect(
            f"no server at {url} ({failure or 'no answer'}); start one with: streamd serve"
        ) from None
    return Line(socket, address)
