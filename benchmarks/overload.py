"""What a full box does: `python benchmarks/overload.py [--minutes 5]`.

Starts `streamd serve` on one core and plays live speech to it from another process. First it learns
from two dozen streams how many this core carries. Then:

a. Four fifths of that many streams for a while, then twice as many are offered, each trying again
   as `Retry-After` says. The surplus is to be refused, and the admitted streams are to stay in
   time.
b. Four fifths of that many streams, and half of the core is taken away. Windows of speech are to be
   shed, and wake events are to be those of the same audio analysed without a server.

After both, all is to be as before within 10 s. Other work on the core is overload, too.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import multiprocessing
import os
import re
import sys
import time
import urllib.request
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from rich.console import Console
from rich.table import Table
from streams import MODULES, alone, make_streams, serve
from websockets.uri import parse_uri

from streamd.bench.mixing import Message
from streamd.bench.player import Player
from streamd.bench.tally import Tally
from streamd.bench.worker import loop_factory

CLIPS = Path(__file__).parents[1] / "streamd" / "bench" / "clips"
RATE_HZ = 16_000
MESSAGE_MS = 40
STEP = RATE_HZ * MESSAGE_MS // 1000
POOL, POOL_S = 12, 40.0
"""Recordings that the streams play round and round, and their length."""
LEARN = 24
"""Streams that show what a stream costs."""
ARRIVALS_S = 0.2
"""From one newcomer to the next."""
RETRY_S = 5.0
SHARE = 0.8
DECIDE_WAKES = {name: MODULES[name] for name in ("vad", "wake")}
SETTLED_S = 10.0
"""After the end of an overload, all is as before."""


class Voice(Player):
    """A live stream that plays a recording round and round."""

    def __init__(self, crowd: Crowd, number: int) -> None:
        self.recording = number % POOL
        pcm = memoryview(crowd.pool[self.recording].tobytes())
        pcm = pcm[: len(pcm) // (2 * STEP) * 2 * STEP]
        rounds = itertools.cycle(range(0, len(pcm), 2 * STEP))
        self.due_s = float("inf")
        self.wakes: list[tuple[str, int, int, int]] = []
        self.is_refused = False
        self._crowd = crowd
        super().__init__(
            parse_uri(crowd.url),
            msgspec.json.encode({"type": "hello", "modules": MODULES}),
            (Message(pcm[at : at + 2 * STEP], True) for at in rounds),
            STEP,
            Tally(0.0, 0.0),
            self._begin,
        )

    def _begin(self, _: Player) -> None:
        self.due_s = time.monotonic() + MESSAGE_MS / 1000

    def receive(self, text: bytes | bytearray | memoryview, now_s: float) -> None:
        """Take an event."""
        super().receive(text, now_s)
        event = msgspec.json.decode(text)
        kind = event["type"]
        self._crowd.events[kind] += 1
        if "at" in event and kind != "gap":
            late_s = now_s - self._sent_at(event["at"] * RATE_HZ // 1000)
            self._crowd.late.append((now_s, kind, late_s))
        if kind == "wake":
            self.wakes.append((event["word"], event["t0"], event["t1"], event["at"]))

    def connection_lost(self, exc: Exception | None) -> None:
        """Note a socket that never opened."""
        self.is_refused = not self.began_s
        super().connection_lost(exc)


class Crowd:
    """Live streams, as many as are wanted and admitted."""

    def __init__(self, url: str, pool: list[np.ndarray]) -> None:
        self.url = url
        self.pool = pool
        self.wanted = 0
        self.voices: list[Voice] = []
        self.refusals = 0
        self.lost = 0
        self.events: Counter[str] = Counter()
        self.late: list[tuple[float, str, float]] = []
        """When an event came, its type, and how long after its last sample was sent."""
        self._count = itertools.count()
        self._retries: list[float] = []

    async def run(self) -> None:
        """Send what is due and keep up the number, for ever."""
        next_s = 0.0
        uri = parse_uri(self.url)
        while True:
            now_s = time.monotonic()
            for voice in self.voices:
                while voice.due_s <= now_s and not voice.is_over:
                    voice.send(now_s)
                    voice.due_s += MESSAGE_MS / 1000
            gone = [voice for voice in self.voices if voice.is_over]
            for voice in gone:
                self.voices.remove(voice)
                if voice.is_refused:
                    self.refusals += 1
                    self._retries.append(now_s + RETRY_S)
                else:
                    self.lost += 1
            self._retries = [until_s for until_s in self._retries if until_s > now_s]
            if len(self.voices) + len(self._retries) < self.wanted and now_s >= next_s:
                next_s = now_s + ARRIVALS_S
                voice = Voice(self, next(self._count))
                self.voices.append(voice)
                loop = asyncio.get_running_loop()
                await loop.create_connection(lambda v=voice: v, uri.host, uri.port)
            await asyncio.sleep(0.004)

    async def leave(self, kept: int) -> None:
        """Have the newest streams end."""
        self.wanted = kept
        self._retries = []
        leaving, self.voices = self.voices[kept:], self.voices[:kept]
        for voice in leaving:
            voice.end()

    def p99_ms(self, since_s: float, *kinds: str) -> float:
        """How late events were since a moment, the wake events alone or all."""
        late = [s for at, kind, s in self.late if at >= since_s and (not kinds or kind in kinds)]
        return round(1000 * float(np.percentile(late, 99)), 1) if late else float("nan")


def metrics(url: str) -> dict[str, float]:
    """The server's metrics, summed over their labels."""
    found: dict[str, float] = {}
    text = urllib.request.urlopen(url + "/metrics").read().decode()
    for name, value in re.findall(r"^(\w+)(?:\{.*\})? (\S+)$", text, re.MULTILINE):
        found[name] = found.get(name, 0.0) + float(value)
    return found


async def looked(url: str) -> dict[str, float]:
    """The metrics, without holding up the streams."""
    return await asyncio.to_thread(metrics, url)


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


async def measure(url: str, pool: list[np.ndarray], seconds: float, core: int) -> dict[str, Any]:
    """Both overloads, one after the other."""
    crowd = Crowd(url.replace("http", "ws", 1) + "/v1/stream", pool)
    running = asyncio.create_task(crowd.run())
    told: dict[str, Any] = {}

    async def hold(count: int, for_s: float) -> float:
        """So many streams for a while; when they were all there."""
        crowd.wanted = count
        await asyncio.sleep(count * ARRIVALS_S)
        from_s = time.monotonic()
        await asyncio.sleep(for_s)
        if running.done():
            await running
        return from_s

    crowd.wanted = LEARN
    await asyncio.sleep(LEARN * ARRIVALS_S + 10)
    before = await looked(url)
    await asyncio.sleep(15)
    after = await looked(url)
    spent_s = after["process_cpu_seconds_total"] - before["process_cpu_seconds_total"]
    audio_s = after["streamd_audio_seconds_total"] - before["streamd_audio_seconds_total"]
    told["cost_ms"] = round(1000 * spent_s / audio_s, 2)
    box = told["box"] = int(0.9 * audio_s / spent_s)
    most = told["at 80 %"] = int(SHARE * box)

    from_s = await hold(most, seconds / 3)
    told["p99 at 80 %, ms"] = crowd.p99_ms(from_s)
    told["p99 of wakes at 80 %, ms"] = crowd.p99_ms(from_s, "wake")
    told["a: RSS before, MB"] = round((await looked(url))["process_resident_memory_bytes"] / 1e6)
    crowd.refusals = 0
    told["a: offered"] = 2 * box
    crowd.wanted = 2 * box
    await asyncio.sleep(2 * box * ARRIVALS_S / 2)
    from_s = time.monotonic()
    await asyncio.sleep(seconds)
    told["a: open at the end"] = sum(bool(voice.began_s) for voice in crowd.voices)
    told["a: refusals"] = crowd.refusals
    told["a: p99, ms"] = crowd.p99_ms(from_s)
    told["a: p99 of wakes, ms"] = crowd.p99_ms(from_s, "wake")
    told["a: p99 against 80 %"] = round(told["a: p99, ms"] / told["p99 at 80 %, ms"], 2)
    told["a: degraded"] = crowd.events["degraded"]
    told["a: RSS after, MB"] = round((await looked(url))["process_resident_memory_bytes"] / 1e6)
    await crowd.leave(most)
    await asyncio.sleep(SETTLED_S)
    told |= {f"a: {name}": value for name, value in (await settled(url, crowd)).items()}

    before = await looked(url)
    counts = Counter(crowd.events)
    thief = multiprocessing.get_context("spawn").Process(target=steal, args=(core,), daemon=True)
    thief.start()
    from_s = time.monotonic()
    await asyncio.sleep(seconds)
    told["b: p99, ms"] = crowd.p99_ms(from_s)
    told["b: p99 of wakes, ms"] = crowd.p99_ms(from_s, "wake")
    thief.terminate()
    thief.join()
    await asyncio.sleep(SETTLED_S)
    after = await looked(url)
    told["b: RSS before, MB"] = round(before["process_resident_memory_bytes"] / 1e6)
    told["b: RSS after, MB"] = round(after["process_resident_memory_bytes"] / 1e6)
    for name in ("degraded", "recovered", "gap"):
        told[f"b: {name}"] = crowd.events[name] - counts[name]
    skipped = "streamd_windows_skipped_total"
    told["b: windows skipped"] = int(after[skipped] - before[skipped])
    told |= {f"b: {name}": value for name, value in (await settled(url, crowd)).items()}
    told["streams lost"] = crowd.lost
    heard = [(v.recording, v.sent * MESSAGE_MS - 4000, v.wakes) for v in crowd.voices]
    await crowd.leave(0)
    running.cancel()
    return told | {"heard": heard}


async def settled(url: str, crowd: Crowd) -> dict[str, Any]:
    """How it is after the overload: over some seconds more."""
    from_s = time.monotonic()
    await asyncio.sleep(5)
    found = await looked(url)
    return {
        "p99 10 s later, ms": crowd.p99_ms(from_s),
        "degraded streams 10 s later": int(found["streamd_streams_degraded"]),
    }


def play(url: str, pool: list[np.ndarray], seconds: float, core: int, own: set[int]) -> Any:
    """Measure, in a process of its own on other cores."""
    os.sched_setaffinity(0, own)
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(measure(url, pool, seconds, core))


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
            told = processes.submit(play, url, pool, 60 * args.minutes, cores[0], others).result()
    finally:
        server.terminate()
        server.wait(60)
    told["b: streams whose wakes differ"], told["wakes"] = differing(told.pop("heard"), pool)
    table = Table(title="overload of one core", show_header=False)
    for name, value in told.items():
        table.add_row(name, str(value))
    Console().print(table)
    if args.json:
        args.json.write_text(json.dumps(told, indent=2) + "\n")


if __name__ == "__main__":
    main()
