"""Notifications of a `Type=notify` service to systemd: sd_notify(3), without its library."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping


class Notifier:
    """Notifies systemd of the state of the service. Does nothing if systemd did not start it."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        name = environ.get("NOTIFY_SOCKET", "")
        # A leading @ stands for the NUL of Linux's abstract name space.
        self._address = "\0" + name[1:] if name.startswith("@") else name

    def ready(self, status: str = "") -> bool:
        """Report that the service is ready. True if the message was sent, here and below."""
        return self._send("READY=1", _status(status))

    def stopping(self, status: str = "") -> bool:
        """Report that the service drains and will end."""
        return self._send("STOPPING=1", _status(status))

    def status(self, text: str) -> bool:
        """Set the line that `systemctl status` shows."""
        return self._send(_status(text))

    def watchdog(self) -> bool:
        """Report that all workers are alive; see `watchdog_interval_s`."""
        return self._send("WATCHDOG=1")

    def _send(self, *assignments: str) -> bool:
        if not self._address.startswith(("/", "\0")):
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
