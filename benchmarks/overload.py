"""What a full box does: `python benchmarks/overload.py [--minutes 5] [--only a|b]`.

Starts `streamd serve` on one core and plays live speech to it from another process. First it offers
more and more streams until the server admits no other: that is the box. Then:

a. Four fifths of the box for a while, then twice the box is offered, each refused client trying
   again as `Retry-After` says. The surplus is to be refused, and the admitted streams are to stay
   in time.
b. Four fifths of the box, and half of the core is taken away. Windows of speech are to be shed, and
   wake events are to be those of the same audio analysed without a server.

After both, all is to be as before within 10 s. Other work on the core is overload, too. The table
says how late the sender itself was: where that is more than some milliseconds, the machine stood
still, and the figures beside it say nothing about the server.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from crowd import ARRIVALS_S, MESSAGE_MS, RATE_HZ, STEP, Crowd, looked
from rich.console import Console
from rich.table import Table
from streams import MODULES, alone, make_streams, serve

from streamd.bench.worker import loop_factory

CLIPS = Path(__file__).parents[1] / "streamd" / "bench" / "clips"
POOL, POOL_S = 6, 40.0
"""Recordings that the streams play round and round, and their length."""
STEADY_S = 15.0
"""Seconds in which no other stream is admitted, after which the box is full."""
SHARE = 0.8
AT_SHARE_S = 60.0
"""Seconds for which four fifths are measured, or as long as an overload if that is shorter."""
DECIDE_WAKES = {name: MODULES[name] for name in ("vad", "wake")}
SETTLED_S = 10.0
"""After the end of an overload, all is as before."""


def steal(core: int) -> None:
    """Use half of a core, before all others where that is allowed."""
    os.sched_setaffinity(0, {core})
    try:
        os.setpriority(os.PRIO_PROCESS, 0, -20)
    except OSError:
        sys.stderr.write(
            "no permission for a negative nice value: the thief takes an equal share\n"
        )
    while True:
        until_s = time.monotonic() + 0.005
        while time.monotonic() < until_s:
            pass
        time.sleep(0.005)


class Measuring:
    """One run: what was found so far, and the streams that are played.

    Args:
        url: of the server.
        pool: Recordings.
        seconds: How long each overload lasts.
        core: The server's.
    """

    def __init__(self, url: str, pool: list[np.ndarray], seconds: float, core: int) -> None:
        self.told: dict[str, Any] = {}
        self._url = url
        self._seconds = seconds
        self._core = core
        self._crowd = Crowd(url.replace("http", "ws", 1) + "/v1/stream", pool)
        self._most = 0
        """Four fifths of the box."""

    async def run(self, which: str) -> dict[str, Any]:
        """Measure one of the overloads, or both one after the other."""
        crowd = self._crowd
        running = asyncio.create_task(crowd.run())
        await self._learn(running)
        if "a" in which:
            await self._offer()
        if "b" in which:
            await self._take()
        if running.done():
            await running
        self.told["streams lost"] = crowd.lost
        heard = [(v.recording, v.sent * MESSAGE_MS - 4000, v.wakes) for v in crowd.voices]
        await crowd.leave(0)
        running.cancel()
        return self.told | {"heard": heard}

    async def _learn(self, running: asyncio.Task[None]) -> None:
        """Offer streams without end, until no other is admitted; then let a fifth leave."""
        crowd = self._crowd
        crowd.wanted = 10_000
        most, since_s = 0, time.monotonic()
        while time.monotonic() - since_s < STEADY_S:
            await asyncio.sleep(0.5)
            if running.done():
                await running
            if crowd.open > most:
                most, since_s = crowd.open, time.monotonic()
        self.told["box"] = most
        self._most = self.told["at 80 %"] = int(SHARE * most)
        await crowd.leave(self._most)
        await asyncio.sleep(SETTLED_S)
        await self._watch("at 80 %", min(AT_SHARE_S, self._seconds))

    async def _offer(self) -> None:
        """Overload a."""
        crowd, told = self._crowd, self.told
        crowd.refusals = 0
        told["a: offered"] = crowd.wanted = 2 * told["box"]
        await asyncio.sleep(2 * told["box"] * ARRIVALS_S)
        await self._watch("a", self._seconds)
        told["a: p99 against 80 %"] = round(told["a: p99, ms"] / told["at 80 %: p99, ms"], 2)
        told["a: open at the end"] = crowd.open
        told["a: refusals"] = crowd.refusals
        await crowd.leave(self._most)
        await self._settle("a")

    async def _take(self) -> None:
        """Overload b."""
        context = multiprocessing.get_context("spawn")
        thief = context.Process(target=steal, args=(self._core,), daemon=True)
        thief.start()
        await self._watch("b", self._seconds)
        thief.terminate()
        thief.join()
        await self._settle("b")

    async def _watch(self, name: str, seconds: float) -> None:
        """Measure for a while."""
        crowd, told = self._crowd, self.told
        counts, before = Counter(crowd.events), await looked(self._url)
        from_s = time.monotonic()
        await asyncio.sleep(seconds)
        passed_s, after = time.monotonic() - from_s, await looked(self._url)

        def used(metric: str) -> float:
            return after[metric] - before[metric]

        told[f"{name}: share of the core"] = round(used("process_cpu_seconds_total") / passed_s, 3)
        told[f"{name}: p99, ms"] = crowd.p99_ms(from_s)
        told[f"{name}: p99 of wakes, ms"] = crowd.p99_ms(from_s, "wake")
        told[f"{name}: p99 of the sender, ms"] = crowd.own_p99_ms(from_s)
        for kind in ("degraded", "gap"):
            told[f"{name}: {kind}"] = crowd.events[kind] - counts[kind]
        told[f"{name}: windows skipped"] = int(used("streamd_windows_skipped_total"))
        for when, found in ("before", before), ("after", after):
            told[f"{name}: RSS {when}, MB"] = round(found["process_resident_memory_bytes"] / 1e6)

    async def _settle(self, name: str) -> None:
        """Measure how it is after an overload, over some seconds more."""
        await asyncio.sleep(SETTLED_S)
        from_s = time.monotonic()
        await asyncio.sleep(5)
        degraded = (await looked(self._url))["streamd_streams_degraded"]
        self.told[f"{name}: p99 10 s later, ms"] = self._crowd.p99_ms(from_s)
        self.told[f"{name}: degraded streams 10 s later"] = int(degraded)


def play(
    url: str, pool: list[np.ndarray], seconds: float, core: int, own: set[int], which: str
) -> Any:
    """Measure, in a process of its own on other cores."""
    os.sched_setaffinity(0, own)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(Measuring(url, pool, seconds, core).run(which))


def differing(heard: list[Any], pool: list[np.ndarray]) -> tuple[int, int]:
    """Streams whose wake events are not those of the same audio alone, and all wake events."""
    longest = max(ms for _, ms, _ in heard) / 1000 + 4
    expected = {}
    for number in {recording for recording, *_ in heard}:
        whole = pool[number][: len(pool[number]) // STEP * STEP]
        audio = np.tile(whole, int(longest * RATE_HZ) // len(whole) + 1)
        found = alone(audio[: int(longest * RATE_HZ)], DECIDE_WAKES)
        events = [e for e in found if e["type"] == "wake"]
        expected[number] = [(e["word"], e["t0"], e["t1"], e["at"]) for e in events]
    different = 0
    for recording, until_ms, wakes in heard:
        mine, others = (
            [w for w in some if w[3] <= until_ms] for some in (wakes, expected[recording])
        )
        different += mine != others
    return different, sum(len(wakes) for *_, wakes in heard)


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--minutes", type=float, default=5.0, help="of each overload")
    parser.add_argument("--only", choices=["a", "b"], help="one of the two")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    pool = make_streams(CLIPS, POOL, POOL_S, seed=1)
    os.sched_setaffinity(0, {cores[0]})  # so that the server knows of one core
    server, url = serve({cores[0]})
    os.sched_setaffinity(0, cores)
    try:
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, spawn) as processes:
            others = set(cores[1:]) or set(cores)
            seconds, which = 60 * args.minutes, args.only or "ab"
            told = processes.submit(play, url, pool, seconds, cores[0], others, which).result()
    finally:
        server.terminate()
        server.wait(60)
    heard = told.pop("heard")
    table = Table(title="overload of one core", show_header=False)
    for name, value in told.items():
        table.add_row(name, str(value))
    console = Console()
    console.print(table)
    with console.status("comparing the wake events with those of the same audio alone"):
        told["streams whose wakes differ"], told["wakes"] = differing(heard, pool)
    console.print(
        f"{told['wakes']} wake events; they differ from those of the same audio alone in "
        f"{told['streams whose wakes differ']} streams"
    )
    if args.json:
        args.json.write_text(json.dumps(told, indent=2) + "\n")


if __name__ == "__main__":
    main()
