"""Hours of faults in one run: `make soak`. Prints progress, and at the end a table.

A row is an injection: how many there were, how long they took, and what was found after them.
Any finding that is not `held` makes the exit code 1.
"""

import argparse
import asyncio
import itertools
import random
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from confirming import kill_writers
from daemons import VOICES, assert_same_log, converse, cut, dial, next_event, say, speech
from databases import SqlitePlace
from drops import drops
from garbage import MESSAGES, check, conversations, send
from hypothesis import HealthCheck, Phase, given, seed, settings
from kills import Crowd, kills
from unshed import Daemon

END = {"type": "end"}
CLIENTS = 50
ROUND = 400
"""Conversations of garbage that hypothesis makes up in one go."""
PACE = 50.0
"""Seconds of stream time in a second."""
LOOK_S = 300
"""Seconds of stream time between two looks at memory and cost."""
RATE_BYTES = 32_000
MOST_GROWTH = 0.05
"""Of memory, from the second quarter of a stream to its last."""
MOST_DRIFT = 0.25
"""Of the cost of a second, between the same; other work on the machine moves it too."""


class Row(NamedTuple):
    injected: str
    count: int
    seconds: float
    finding: str


async def drop(home: Path, count: int) -> str:
    with Daemon(home) as running:
        alone = await converse(running.url, cut(speech()), END)
        await drops(running.url, count, note=every(count, "drops"))
        await running.eventually(lambda: running.streams == 0)
        return await after(running, alone.events)


async def garble(home: Path, count: int) -> str:
    with Daemon(home) as running:
        alone = await converse(running.url, cut(speech()), END)
        sent, note = 0, every(count, "messages of garbage")

        @settings(
            max_examples=ROUND,
            suppress_health_check=list(HealthCheck),
            database=None,
            deadline=None,
            phases=[Phase.generate],
        )
        @given(conversation=conversations)
        def flood(conversation: tuple[list[bytes], bytes]) -> None:
            nonlocal sent
            sent += MESSAGES
            check(send(running.url, *conversation))
            note(sent)

        round_ = 0
        while sent < count:  # in rounds, as hypothesis remembers what it made up
            await asyncio.to_thread(seed(round_)(flood))
            round_ += 1
        await running.eventually(lambda: running.streams == 0)
        return await after(running, alone.events)


async def kill(home: Path, count: int) -> str:
    async with Crowd(home, CLIENTS) as crowd:
        await kills(crowd, count, note=every(count, f"kills under {CLIENTS} streams"))
        await crowd.finish()
        return f"held: {crowd.whole} streams whole, {crowd.broken} cut off and begun afresh"


async def write(home: Path, count: int) -> str:
    note = every(count, "kills of a process that enrols voices and adds keys")
    place = SqlitePlace(home)
    confirmed = await asyncio.to_thread(kill_writers, place, count, random.Random(17), note)
    return f"held: {confirmed} changes confirmed, all there, each whole"


async def endure(home: Path, count: int) -> str:
    """Send one stream of `count` seconds at `PACE`; its memory and its cost stay as they are."""
    count -= count % LOOK_S
    clip = b"".join(speech(voice) for voice in VOICES) + bytes(RATE_BYTES * 10)
    looks: list[tuple[float, float]] = []
    with Daemon(home) as running:

        def look() -> tuple[float, float]:
            """Resident memory in MB, and CPU seconds."""
            resident = running.metric("process_resident_memory_bytes") / 1e6
            return resident, running.metric("process_cpu_seconds_total")

        async with dial(running.url) as socket:
            await say(socket, {"type": "hello"})
            ended = asyncio.create_task(next_event(socket, "bye"))
            began = time.monotonic()
            note = every(count, "seconds of one stream")
            for second in range(count):
                at = second * RATE_BYTES % (len(clip) - RATE_BYTES)
                await socket.send(clip[at : at + RATE_BYTES])
                await asyncio.sleep(max(0.0, began + second / PACE - time.monotonic()))
                if second % LOOK_S == 0:
                    looks.append(await asyncio.to_thread(look))
                    note(second + 1)
            looks.append(await asyncio.to_thread(look))
            pace = count / (time.monotonic() - began)
            await say(socket, END)
            bye = await ended
        if running.complaints():
            return f"not held: {running.complaints()[0]}"
    quarter = len(looks) // 4
    assert quarter, f"a stream of {count} s has no quarters of {LOOK_S} s"
    memory = [resident for resident, _ in looks]
    costs = [(b - a) / LOOK_S for (_, a), (_, b) in itertools.pairwise(looks)]
    early, late = mean(costs[quarter : 2 * quarter]), mean(costs[3 * quarter :])
    grown = max(memory[3 * quarter :]) / max(memory[quarter : 2 * quarter]) - 1
    figures = (
        f"{pace:.0f} times real time, {bye['duration_ms'] / 1000:.0f} s received; memory "
        f"{max(memory[quarter : 2 * quarter]):.0f} to {max(memory[3 * quarter :]):.0f} MB, "
        f"cost {early * 1000:.1f} to {late * 1000:.1f} ms a second"
    )
    is_flat = grown < MOST_GROWTH and late / early - 1 < MOST_DRIFT
    return f"{'held' if is_flat else 'not held'}: {figures}"


async def after(running: Daemon, alone: list[dict[str, object]]) -> str:
    """What is left of a daemon after faults: a stream's events must be as they were."""
    received = await converse(running.url, cut(speech()), END)
    assert_same_log(alone, received.events)
    if running.complaints():
        return f"not held: {running.complaints()[0]}"
    resident = running.metric("process_resident_memory_bytes") / 1e6
    return f"held: no error logged, no stream left, events as before, {resident:.0f} MB"


def mean(numbers: list[float]) -> float:
    return sum(numbers) / len(numbers)


def every(count: int, what: str) -> Callable[[int], None]:
    """Show how far it is, a hundred times at the most."""
    shown = 0

    def note(done: int) -> None:
        nonlocal shown
        if done * 100 // count > shown or done == count:
            shown = done * 100 // count
            sys.stderr.write(f"\r{done} of {count} {what} ")
            sys.stderr.flush()

    return note


KINDS = {"drops": drop, "garbage": garble, "kills": kill, "writes": write, "stream": endure}
COUNTS = {"drops": 1000, "garbage": 1_000_000, "kills": 200, "writes": 200, "stream": 7200}


async def soak(counts: dict[str, int]) -> list[Row]:
    rows = []
    for kind, count in counts.items():
        with tempfile.TemporaryDirectory() as home:
            began = time.monotonic()
            try:
                finding = await KINDS[kind](Path(home), count)
            except AssertionError as error:
                finding = f"not held: {error}"
            rows.append(Row(kind, count, time.monotonic() - began, finding))
            sys.stderr.write("\n")
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    for kind, count in COUNTS.items():
        parser.add_argument(f"--{kind}", type=int, default=count, help=f"default {count}")
    chosen = {kind: count for kind, count in vars(parser.parse_args()).items() if count}
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, 4096)), hard))
    rows = asyncio.run(soak(chosen))
    sys.stdout.write("| injected | count | minutes | finding |\n|---|---|---|---|\n")
    for row in rows:
        minutes = f"{row.seconds / 60:.1f}"
        sys.stdout.write(f"| {row.injected} | {row.count:,} | {minutes} | {row.finding} |\n")
    return int(any(not row.finding.startswith("held") for row in rows))


if __name__ == "__main__":
    sys.exit(main())
