"""A wall clock that jumps."""

import asyncio
import itertools
import time
from pathlib import Path

import pytest
from daemons import assert_same_log, converse, cut, speech
from unshed import Daemon

pytestmark = pytest.mark.faults

END = {"type": "end"}
HOOK = '''
"""Python imports this before all else: the wall clock is off by what a file says, in seconds."""

import os
import time

_WALL, _WALL_NS = time.time, time.time_ns


def _offset_s():
    with open(os.environ["CLOCK_OFFSET"]) as file:
        return int(file.read() or 0)


time.time = lambda: _WALL() + _offset_s()
time.time_ns = lambda: _WALL_NS() + _offset_s() * 10**9
'''
JUMPS_S = (86_400 * 365, -86_400 * 365, 0, 3600, -3600, 60, -60)


async def test_a_wall_clock_that_jumps_shows_in_ready_alone(tmp_path: Path):
    offset = tmp_path / "offset"
    offset.write_text("0")
    (tmp_path / "sitecustomize.py").write_text(HOOK)
    settings = {"PYTHONPATH": tmp_path, "CLOCK_OFFSET": offset, "limits__idle_s": 5}
    with Daemon(tmp_path, **settings, server__request_timeout_s=5) as running:
        alone = await converse(running.url, cut(speech()), END)
        jumps = itertools.cycle(JUMPS_S)

        async def jumping():
            for part in cut(speech()):
                replace(offset, next(jumps))
                yield part
                await asyncio.sleep(0.05)

        streams = (converse(running.url, jumping(), END) for _ in range(6))
        for received in await asyncio.gather(*streams):
            assert received.code == 1000
            assert_same_log(alone.events, received.events)
        for jump_s in JUMPS_S:
            replace(offset, jump_s)
            received = await converse(running.url, cut(speech(seconds=0.5)), END)
            # Within an hour of what the clock says: nothing else can move it so far.
            off_s = received.events[0]["epoch_ms"] / 1000 - time.time() - jump_s
            assert abs(off_s) < 3600
        assert running.get("/health/live")[0] == 200
        assert running.complaints() == []
        assert await asyncio.to_thread(running.stop) == 0


def replace(file: Path, jump_s: int) -> None:
    """Write as a whole: the daemon may read at any moment."""
    new = file.with_suffix(".new")
    new.write_text(str(jump_s))
    new.replace(file)
