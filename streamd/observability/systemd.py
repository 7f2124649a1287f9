"""Notifications of a `Type=notify` service to systemd: sd_notify(3), without its library."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import Callable, Mapping

STATUS_S = 2.0
"""Seconds between two looks whether the status line has changed."""


class Notifier:
    """Notifies systemd of the state of the service. Does nothing if systemd did not start it."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        name = environ.get("NOTIFY_SOCKET", "")
        # A leading @ stands for the NUL of Linux's abstract name space.
        self._address = "\0" + name[1:] if name.startswith("@") else name
        self._feed_s = watchdog_interval_s(environ)

    @property
    def is_listening(self) -> bool:
        """Return whether there is a service manager to notify."""
        return self._address.startswith(("/", "\0"))

    def ready(self, status: str = "") -> bool:
        """Report that the service is ready. True if the message was sent, here and below."""
        return self._send("READY=1", _status(status))

    def reloading(self, status: str = "") -> bool:
        """Report that the service reads its configuration again; `ready` says that it has."""
        at_us = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
        return self._send("RELOADING=1", f"MONOTONIC_USEC={at_us}", _status(status))

    def stopping(self, within_s: float, status: str = "") -> bool:
        """Report that the service drains and will end.

        Args:
            within_s: Seconds that it may take, even if `TimeoutStopSec=` is less.
            status: The line that `systemctl status` shows.
        """
        extended = f"EXTEND_TIMEOUT_USEC={int(within_s * 1e6)}"
        return self._send("STOPPING=1", extended, _status(status))

    def status(self, text: str) -> bool:
        """Set the line that `systemctl status` shows."""
        return self._send(_status(text))

    def watchdog(self) -> bool:
        """Report that all workers are alive; see `watchdog_interval_s`."""
        return self._send("WATCHDOG=1")

    async def watch(self, is_healthy: Callable[[], bool], status: Callable[[], str]) -> None:
        """Feed the watchdog and keep the status line up to date, for ever.

        Args:
            is_healthy: Whether no worker hangs. Otherwise the watchdog is not fed, so that systemd
                restarts the service.
            status: Returns the line that `systemctl status` shows.
        """
        if not self.is_listening:
            return
        sent = ""
        while True:
            if self._feed_s is not None and is_healthy():
                self.watchdog()
            if (text := status()) != sent and self.status(text):
                sent = text
            await asyncio.sleep(min(self._feed_s or STATUS_S, STATUS_S))

    def _send(self, *assignments: str) -> bool:
        if not self.is_listening:
            return False
        message = "\n".join(filter(None, assignments)).encode()
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.setblocking(False)  # never wait in the event loop for the manager
                sock.sendto(message, self._address)
        except OSError:
            return False
        return True


def watchdog_interval_s(environ: Mapping[str, str]) -> float | None:
    """Return seconds between calls of `Notifier.watchdog`: half of WatchdogSec, None without it."""
    if environ.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None  # meant for the process that started us
    try:
        limit_us = int(environ.get("WATCHDOG_USEC", "0"))
    except ValueError:
        return None
    return limit_us / 2e6 if limit_us > 0 else None


def _status(text: str) -> str:
    return f"STATUS={' '.join(text.split())}" if text else ""
