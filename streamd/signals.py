"""Signals that drain the server, and the one that has it read everything again."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable


def catch_stop(stop: Callable[[], None]) -> None:
    """Have SIGTERM and Ctrl-C drain the server.

    Args:
        stop: Drains; the second time, stops at once.
    """
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)


def catch_hangup(stop: Callable[[], None], reload: Callable[[], None]) -> None:
    """Drain when the terminal closes; where there is none, have SIGHUP read everything again.

    `nohup` has SIGHUP ignored before the start, and that is left alone.

    Args:
        stop: Drains.
        reload: Has the configuration and what else may have changed read again.
    """
    if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
        return
    hung_up = stop if _has_terminal() else reload
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hung_up)


def _has_terminal() -> bool:
    """Return whether the process has a controlling terminal, which sends SIGHUP when it closes."""
    try:
        os.close(os.open(os.ctermid(), os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
