"""Hours of faults in one run: `make soak`. Shows progress, and at the end a table.

A row is an injection: how many there were, how long they took, and what was found after them.
Any finding that is not `held` makes the exit code 1.
"""

import argparse
import asyncio
import contextlib
import itertools
import multiprocessing
import os
import random
import resource
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial
from pathlib import Path
from typing import NamedTuple

from confirming import kill_writers
from daemons import VOICES, assert_same_log, converse, cut, dial, next_event, say, speech
from databases import SqlitePlace
from drops import drops
from garbage import AGAIN, MADE_UP, MESSAGES, flood
from kills import Crowd, kills
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from unshed import Daemon

END = {"type": "end"}
SERVERS, CLIENTS = 4, 4
"""Servers that are killed side by side, and the clients of each."""
PAUSE_S = 0.1
"""Seconds between two messages of 200 ms, so that these clients leave the restarts their time."""
PACE = 50.0
"""Seconds of stream time that the sender of the long stream offers in a second."""
LOOK_S = 300
"""Seconds of stream time between two looks at memory and cost."""
RATE_BYTES = 32_000
MOST_GROWTH = 0.05
"""Of memory, from the second quarter of an injection to its last."""
FEW = 8
"""Looks at memory that say nothing yet of its growth."""
MOST_DRIFT = 0.25
"""Of the cost of a second, between the same; other work on the machine moves it too."""

Note = Callable[[int], None]
"""Shows how many are done."""
Injection = Callable[[Path, int, Note], Awaitable[str]]
"""Injects as many faults as it is told into a daemon in a folder, and returns what it found."""


class Row(NamedTuple):
    injected: str
    count: int
    seconds: float
    finding: str


async def drop(home: Path, count: int, note: Note) -> str:
    """Break off connections anywhere."""
    with Daemon(home) as running:
        alone = await converse(running.url, cut(speech()), END)
        await drops(running.url, count, note=note)
        await running.eventually(lambda: running.streams == 0)
        return await after(running, alone.events, [])


async def garble(home: Path, count: int, note: Note) -> str:
    """Send garbage from as many processes as there are cores."""
    with Daemon(home) as running:
        alone = await converse(running.url, cut(speech()), END)
        memory = await asyncio.to_thread(garbage, running, count, note)
        await running.eventually(lambda: running.streams == 0)
        return await after(running, alone.events, memory)


def garbage(running: Daemon, count: int, note: Note) -> list[float]:
    """Send at least `count` messages of garbage, and return the memory in MB now and then."""
    memory, sent = [], 0
    rounds = -(-count // (MADE_UP * MESSAGES * AGAIN))
    fresh = multiprocessing.get_context("spawn")  # a fork would share the event loop
    with ProcessPoolExecutor(os.cpu_count(), fresh) as pool:
        floods = [pool.submit(flood, running.url, number) for number in range(rounds)]
        try:
            for done in as_completed(floods):
                sent += done.result()
                memory.append(resident(running))
                note(min(sent, count))
        finally:
            pool.shutdown(cancel_futures=True)
    return memory


async def kill(home: Path, count: int, note: Note) -> str:
    """Kill several servers side by side."""
    servers = min(SERVERS, count)
    done = 0

    def one_more(_: int) -> None:
        nonlocal done
        done += 1
        note(done)

    async with contextlib.AsyncExitStack() as stack:
        crowds = []
        for number in range(servers):
            (own := home / str(number)).mkdir()
            crowd = Crowd(own, CLIENTS, PAUSE_S)
            crowds.append(await stack.enter_async_context(crowd))
        async with asyncio.TaskGroup() as group:
            for number, crowd in enumerate(crowds):
                its = count // servers + (number < count % servers)
                group.create_task(kills(crowd, its, seed=number, note=one_more))
        for crowd in crowds:
            await crowd.finish()
    whole, broken = sum(c.whole for c in crowds), sum(c.broken for c in crowds)
    return f"held: {whole} streams whole, {broken} cut off and begun afresh"


async def write(home: Path, count: int, note: Note) -> str:
    """Kill a process that enrols voices and adds keys."""
    place, chance = SqlitePlace(home), random.Random(17)
    confirmed = await asyncio.to_thread(kill_writers, place, count, chance, note)
    return f"held: {confirmed} changes confirmed, all there, each whole"


async def endure(home: Path, count: int, note: Note, pace: float = PACE) -> str:
    """Send one stream of `count` seconds; its memory and its cost stay as they are.

    Args:
        home: The daemon's data directory.
        count: Seconds of stream time.
        note: Shows how many were sent.
        pace: Seconds of stream time to offer in a second.
    """
    count -= count % LOOK_S
    clip = b"".join(speech(voice) for voice in VOICES) + bytes(RATE_BYTES * 10)
    looks: list[tuple[float, float]] = []
    with Daemon(home) as running:

        def look() -> tuple[float, float]:
            """Resident memory in MB, and CPU seconds."""
            return resident(running), running.metric("process_cpu_seconds_total")

        async with dial(running.url) as socket:
            await say(socket, {"type": "hello"})
            ended = asyncio.create_task(next_event(socket, "bye"))
            began = time.monotonic()
            for second in range(count):
                at = second * RATE_BYTES % (len(clip) - RATE_BYTES)
                await socket.send(clip[at : at + RATE_BYTES])
                await asyncio.sleep(max(0.0, began + second / pace - time.monotonic()))
                if second % LOOK_S == 0:
                    looks.append(await asyncio.to_thread(look))
                    note(second + 1)
            looks.append(await asyncio.to_thread(look))
            speed = count / (time.monotonic() - began)
            await say(socket, END)
            bye = await ended
        if running.complaints():
            return f"not held: {running.complaints()[0]}"
    quarter = len(looks) // 4
    assert quarter, f"a stream of {count} s has no quarters of {LOOK_S} s"
    early_mb, late_mb = quarters([mb for mb, _ in looks])
    costs = [(b - a) / LOOK_S for (_, a), (_, b) in itertools.pairwise(looks)]
    early, late = mean(costs[quarter : 2 * quarter]), mean(costs[3 * quarter :])
    figures = (
        f"{speed:.0f} times real time, {bye['duration_ms'] / 1000:.0f} s received; memory "
        f"{early_mb:.0f} to {late_mb:.0f} MB, "
        f"cost {early * 1000:.1f} to {late * 1000:.1f} ms a second"
    )
    is_flat = late_mb / early_mb - 1 < MOST_GROWTH and late / early - 1 < MOST_DRIFT
    return f"{'held' if is_flat else 'not held'}: {figures}"


async def after(running: Daemon, alone: list[dict[str, object]], memory: list[float]) -> str:
    """What is left of a daemon after faults: a stream's events must be as they were."""
    received = await converse(running.url, cut(speech()), END)
    assert_same_log(alone, received.events)
    if running.complaints():
        return f"not held: {running.complaints()[0]}"
    found = "no error logged, no stream left, events as before"
    if len(memory) < FEW:
        return f"held: {found}, {resident(running):.0f} MB"
    early_mb, late_mb = quarters(memory)
    is_flat = late_mb / early_mb - 1 < MOST_GROWTH
    return f"{'held' if is_flat else 'not held'}: {found}, {early_mb:.0f} to {late_mb:.0f} MB"


def resident(running: Daemon) -> float:
    """Resident memory of a daemon, MB."""
    return running.metric("process_resident_memory_bytes") / 1e6


def quarters(memory: list[float]) -> tuple[float, float]:
    """The most in the second quarter and in the last."""
    quarter = len(memory) // 4
    return max(memory[quarter : 2 * quarter]), max(memory[3 * quarter :])


def mean(numbers: list[float]) -> float:
    return sum(numbers) / len(numbers)


UNITS = {
    "drops": "drops",
    "garbage": "messages of garbage",
    "kills": f"kills, {SERVERS} servers with {CLIENTS} streams each",
    "writes": "kills of a process that writes to the store",
    "stream": "seconds of one stream",
}
KINDS: dict[str, Injection] = {
    "drops": drop,
    "garbage": garble,
    "kills": kill,
    "writes": write,
    "stream": endure,
}
COUNTS = {"drops": 1000, "garbage": 1_000_000, "kills": 200, "writes": 200, "stream": 7200}


async def soak(
    kinds: dict[str, Injection], counts: dict[str, int], progress: Progress
) -> list[Row]:
    rows = []
    bars = {kind: progress.add_task(UNITS[kind], total=count) for kind, count in counts.items()}
    for kind, count in counts.items():
        note = partial(show, progress, bars[kind])
        with tempfile.TemporaryDirectory() as home:
            began = time.monotonic()
            try:
                finding = await kinds[kind](Path(home), count, note)
            except AssertionError as error:
                finding = f"not held: {error}"
            rows.append(Row(kind, count, time.monotonic() - began, finding))
    return rows


def show(progress: Progress, bar: TaskID, done: int) -> None:
    progress.update(bar, completed=done)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    for kind, count in COUNTS.items():
        parser.add_argument(f"--{kind}", type=int, default=count, help=f"default {count}")
    parser.add_argument("--pace", type=float, default=PACE, help=f"default {PACE:g}")
    args = vars(parser.parse_args())
    kinds = KINDS | {"stream": partial(endure, pace=args.pop("pace"))}
    chosen = {kind: count for kind, count in args.items() if count}
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4096)), hard))
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True)) as progress:
        rows = asyncio.run(soak(kinds, chosen, progress))
    sys.stdout.write("| injected | count | minutes | finding |\n|---|---|---|---|\n")
    for row in rows:
        minutes = f"{row.seconds / 60:.1f}"
        sys.stdout.write(f"| {row.injected} | {row.count:,} | {minutes} | {row.finding} |\n")
    return int(any(not row.finding.startswith("held") for row in rows))


if __name__ == "__main__":
    sys.exit(main())
