"""How many live streams a core carries, and whether each gets the events that it would get alone.

    python benchmarks/streams.py --streams 32 --seconds 60 --audio DIR

Starts a `streamd serve` of its own on one core, plays real speech to it in real time from
another process, and prints CPU per stream, latency from sending the sample `at` to the event,
and how many streams' events differ from the same audio analyzed alone.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import multiprocessing
import os
import random
import re
import ssl
import subprocess
import sys
import time
import urllib.request
from collections import defaultdict
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import soundfile
from peers_runners.pace import Pace, late_ms
from rich.console import Console
from rich.progress import track
from rich.table import Table
from websockets.uri import parse_uri

from streamd.bench.mixing import Message, place
from streamd.bench.player import Player
from streamd.bench.tally import Tally
from streamd.bench.worker import loop_factory

RATE_HZ = 16_000
MESSAGE_MS = 20
CLIPS = Path(__file__).parents[1] / "tests" / "data"
MODULES = {
    "vad": {},
    "wake": {"words": ["alexa", "hey_jarvis", "hey_mycroft", "hey_marvin"]},
    "speaker": {},
    "emotion": {},
}
TIMED = ("speech_start", "wake", "speaker", "speaker_change", "emotion", "speech_end")


def make_streams(folder: Path, count: int, seconds: float, seed: int) -> list[np.ndarray]:
    """Return clips in random order, each followed by 1.5 times its length of noise at -72 dBFS.

    Each stream begins in a place of its own in its first clip or the noise behind it: two fifths of
    them have a voice at every moment.
    """
    # Those in `tests/data/containers` state no length, or a wrong one.
    paths = sorted(p for p in folder.rglob("*.flac") if p.parent.name != "containers")
    if not paths:
        sys.exit(f"no .flac files in {folder}")
    rng = random.Random(seed)
    noise = np.random.default_rng(seed)
    streams = []
    for number in range(count):
        parts: list[np.ndarray] = []
        held = 0
        while held < seconds * RATE_HZ:
            clip, rate = soundfile.read(rng.choice(paths), dtype="int16", always_2d=True)
            if rate != RATE_HZ:
                continue
            quiet = noise.normal(0, 32768 * 10 ** (-72 / 20), len(clip) * 3 // 2)
            both = np.concatenate([clip[:, 0], np.rint(quiet).astype(np.int16)])
            if not parts:
                both = both[skipped(number, len(both)) :]
            parts.append(both)
            held += len(both)
        streams.append(np.concatenate(parts)[: int(seconds * RATE_HZ)])
    return streams


def skipped(number: int, samples: int) -> int:
    """Return how many samples of its first clip and quiet a stream does not play."""
    return int(place(number) * samples)


class Live(Player):
    """A live stream that keeps the events that it receives, with their times.

    Args:
        url: of the streams.
        audio: int16 samples.
    """

    def __init__(self, url: str, audio: np.ndarray) -> None:
        step = RATE_HZ * MESSAGE_MS // 1000
        hello = msgspec.json.encode({"type": "hello", "modules": MODULES})
        pcm = memoryview(audio.tobytes())
        self.due_s = [
            min(start + step, len(audio)) / RATE_HZ for start in range(0, len(audio), step)
        ]
        """Seconds from the stream's begin at which each message is due."""
        self.opened = asyncio.Event()
        self.said: list[tuple[float, dict[str, Any]]] = []
        """Seconds from the stream's begin, and the event."""
        messages = (Message(pcm[at : at + 2 * step], True) for at in range(0, len(pcm), 2 * step))
        nothing = Tally(math.inf, math.inf)
        super().__init__(
            parse_uri(url), {}, hello, messages, step, nothing, lambda _: self.opened.set()
        )

    def receive(self, text: bytes | bytearray | memoryview, now_s: float) -> None:
        """Take an event."""
        super().receive(text, now_s)
        self.said.append((now_s - self.began_s, msgspec.json.decode(text)))

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note that the socket is closed."""
        super().connection_lost(exc)
        self.opened.set()


async def play(
    url: str, audio: np.ndarray, offset_s: float, trusts: ssl.SSLContext | None = None
) -> tuple[list[dict[str, Any]], float, Pace]:
    """Play one live stream.

    Events get `latency_ms`, acks `lag_ms`, and `bye` how long it came `after_s`, the end.
    Also gives the worst lag of an ack, seconds, and how late its own messages were.
    """
    await asyncio.sleep(offset_s)
    live, pace = Live(url, audio), Pace()
    uri = parse_uri(url)
    loop = asyncio.get_running_loop()
    await loop.create_connection(lambda: live, uri.host, uri.port, ssl=trusts)
    await live.opened.wait()
    for due_s in live.due_s:
        await pace.until(live.began_s + due_s)
        if live.is_over:
            raise ConnectionError("the server closed the stream")
        live.send(time.monotonic())
    ended = time.monotonic()
    live.end()
    await live.ended.wait()
    after_s = time.monotonic() - ended
    worst_lag_s = 0.0
    for now_s, event in live.said:
        if event["type"] == "ack":
            lag_s = now_s - event["samples"] / RATE_HZ
            event["lag_ms"] = 1000 * lag_s
            worst_lag_s = max(worst_lag_s, lag_s)
        elif event["type"] == "bye":
            event["after_s"] = after_s
        elif "at" in event:
            event["latency_ms"] = now_s * 1000 - event["at"]
    return [event for _, event in live.said], worst_lag_s, pace


def load(url: str, streams: list[np.ndarray], cores: set[int], ca: str | None = None) -> Any:
    """Play all streams, in a process of its own; with a `ca` file over TLS."""
    os.sched_setaffinity(0, cores)
    trusts = ssl.create_default_context(cafile=ca) if ca else None

    async def run() -> Any:
        offsets = np.linspace(0, 1, len(streams), endpoint=False)
        return await asyncio.gather(
            *(play(url, audio, o, trusts) for audio, o in zip(streams, offsets, strict=True))
        )

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(run())


def alone(audio: np.ndarray, modules: dict[str, Any] = MODULES) -> list[dict[str, Any]]:
    """Return the events of the same audio without a server."""
    from streamd.compose import make_parts
    from streamd.config import Config
    from streamd.files.offline import OfflineAnalysis
    from streamd.models.library import Library
    from streamd.modules.gallery import Gallery
    from streamd.types import AudioFormat

    global _parts
    if _parts is None:
        _parts = make_parts(Config(), Library())
    chosen, _ = _parts.registry.resolve(modules)
    analysis = OfflineAnalysis(
        _parts.engine, _parts.registry, chosen, AudioFormat(), Gallery.empty()
    )
    events = [msgspec.to_builtins(e) for e in analysis.events([audio.tobytes()])]
    analysis.close()
    return events


_parts: Any = None


def by_type(events: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Return timed events by type, without what may differ."""
    found = defaultdict(list)
    for event in events:
        if event["type"] in TIMED:
            found[event["type"]].append(
                {k: v for k, v in event.items() if k not in ("seq", "latency_ms")}
            )
    return found


def same(a: Any, b: Any) -> bool:
    """Return whether events are equal, but for scores, which may differ by 1e-3."""
    if isinstance(a, float) and isinstance(b, float):
        return abs(a - b) <= 1e-3
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


def serve(cores: set[int], **settings: str) -> tuple[subprocess.Popen[str], str]:
    """Start a server on these cores; settings are environment variables."""
    environ = os.environ | {
        "STREAMD_LOG__LEVEL": "warning",
        "STREAMD_ENGINE__THREADS": str(len(cores)),
        **settings,
    }
    server = subprocess.Popen(
        [sys.executable, "-m", "streamd", "serve", "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        env=environ,
    )
    os.sched_setaffinity(server.pid, cores)
    assert server.stdout is not None
    url = server.stdout.readline().removeprefix("listening on ").strip()
    return server, url


def cpu_s(pid: int) -> float:
    """Return the CPU seconds of a process, all threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--streams", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--audio", type=Path, default=CLIPS, help="folder of 16 kHz FLAC files")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    console = Console()
    cores = sorted(os.sched_getaffinity(0))
    server_cores, load_cores = {cores[0]}, set(cores[1:]) or {cores[0]}
    streams = make_streams(args.audio, args.streams, args.seconds, args.seed)
    server, url = serve(server_cores)
    try:
        before = cpu_s(server.pid)
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            played = pool.apply(
                load, (re.sub("^http", "ws", url) + "/v1/stream", streams, load_cores)
            )
        cost_ms = (cpu_s(server.pid) - before) * 1000 / (args.streams * args.seconds)
        metrics = urllib.request.urlopen(url + "/metrics").read().decode()
    finally:
        server.terminate()
        server.wait(30)
    latencies = [e["latency_ms"] for events, *_ in played for e in events if "latency_ms" in e]
    different = [
        i
        for i, audio in enumerate(
            track(streams, "comparing with each stream alone", console=console)
        )
        if not same(by_type(played[i][0]), by_type(alone(audio)))
    ]
    batches = {
        name: _mean(metrics, "streamd_batch_size", name) for name in ("vad", "wake", "voice")
    }
    figures = {
        "streams": args.streams,
        "seconds": args.seconds,
        "cpu_ms_per_stream_second": round(cost_ms, 2),
        "streams_per_core": round(1000 / cost_ms),
        "latency_ms_p50": round(float(np.percentile(latencies, 50)), 1),
        "latency_ms_p99": round(float(np.percentile(latencies, 99)), 1),
        "worst_ack_lag_ms": round(1000 * max(lag for _, lag, _ in played)),
        "load_late_ms_p99": late_ms([pace for *_, pace in played])["p99"],
        "events": sum(len(v) for events, *_ in played for v in by_type(events).values()),
        "streams_that_differ_from_alone": len(different),
        "mean_batch": batches,
    }
    table = Table(title="live streams on one core", show_header=False)
    for name, value in figures.items():
        table.add_row(name.replace("_", " "), str(value))
    console.print(table)
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2) + "\n")
    sys.exit(1 if different else 0)


def _mean(metrics: str, name: str, model_pass: str) -> float:
    value = dict(re.findall(rf'{name}_(sum|count){{pass="{model_pass}"}} (\S+)', metrics))
    return round(float(value["sum"]) / max(float(value["count"]), 1), 2) if value else 0.0


if __name__ == "__main__":
    main()
