"""SIGHUP: a closed terminal drains; where there is no terminal, the configuration is read again."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest
from daemons import Daemon, Received, dial, next_event, read_to_close, say

ALONE = """
import os, sys
os.setsid()
os.execv(sys.argv[1], sys.argv[1:])
"""
ON_A_TERMINAL = """
import fcntl, os, signal, sys, termios
os.setsid()
fcntl.ioctl(int(sys.argv[1]), termios.TIOCSCTTY, 0)
if sys.argv[2] == "nohup":
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
os.execv(sys.argv[3], sys.argv[3:])
"""


def launched(home: Path, launcher: str, *args: str, pass_fds: tuple[int, ...] = ()) -> Daemon:
    """A daemon whose session is arranged first."""
    running = Daemon(home)
    running.launcher = (sys.executable, "-c", launcher, *args)
    running.pass_fds = pass_fds
    return running


async def opened(socket) -> Received:
    await say(socket, {"type": "hello"})
    return Received([await next_event(socket, "ready")])


@pytest.mark.parametrize("nohup", ["", "nohup"])
async def test_a_closed_terminal_drains_unless_it_was_to_be_outlived(tmp_path, nohup):
    ours, theirs = os.openpty()
    with launched(tmp_path, ON_A_TERMINAL, str(theirs), nohup, pass_fds=(theirs,)) as running:
        os.close(theirs)
        async with dial(running.url) as socket:
            received = await opened(socket)
            os.close(ours)
            if nohup:
                await say(socket, {"type": "end"})
            received = await read_to_close(socket, received)
        assert received.code == (1000 if nohup else 1012)
        assert bool(received.of("draining")) is not bool(nohup)
        if not nohup:
            assert await asyncio.to_thread(running.wait) == 0
        assert running.complaints() == []


async def test_without_a_terminal_streams_go_on(tmp_path):
    with launched(tmp_path, ALONE) as running:
        async with dial(running.url) as socket:
            received = await opened(socket)
            running.process.send_signal(signal.SIGHUP)
            await running.eventually(lambda: running.records("configuration reloaded") != [])
            await say(socket, {"type": "end"})
            assert (await read_to_close(socket, received)).code == 1000
        assert await asyncio.to_thread(running.stop) == 0
    assert running.complaints() == []
