"""What files cost live streams, and how many there are a second: `python benchmarks/files.py`.

Starts a server on one core, whose decoding processes share that core. From the other cores it
plays live streams in real time, and has the server run files as fast as it can in every second
window: identifications of 3 s of speech, and analyses of longer recordings with all modules.
Prints the latency of the live streams' events without and with files, pair by pair, and how many
files there were. Then it compares identifications over HTTP, by a server without streams on all
cores, with those of `benchmarks/verification.py`, which reads audio from memory; the client that
sends the requests shares the cores.
"""

import argparse
import asyncio
import io
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import asynccontextmanager, closing
from functools import partial
from http import HTTPStatus
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as `streamd serve` sets it, before numpy

import aiohttp
import numpy as np
import soundfile
from peers_runners.pace import Pace, late_ms
from rich.console import Console
from rich.table import Table
from streams import CLIPS, Live, make_streams
from verification import CHANNEL, InSession, Whole, keep_busy, middle, verify_one
from websockets.uri import parse_uri

from streamd.app import Daemon
from streamd.bench.speech import read_clips
from streamd.bench.worker import loop_factory
from streamd.cli.runtime import open_voices
from streamd.compose import make_parts
from streamd.config import Config, load
from streamd.files.analysis import Analysis
from streamd.files.uploads import Uploads
from streamd.models.library import Library
from streamd.modules.enrolment import VoiceModule, VoiceReader
from streamd.modules.gallery import Gallery
from streamd.modules.registry import Registry
from streamd.observability import logging
from streamd.types import RATE_HZ

SETTLE_S = 3.0
"""Seconds at the begin of a window that do not count: files of the window before may be in work."""
IN_FLIGHT = 16
PIECE_BYTES = 1 << 16
GOAL_RISE, GOAL_SHARE = 1.25, 0.7


def main():
    if sys.argv[1:2] == ["serve"]:
        serve(Path(sys.argv[2]))
        return
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--streams", type=int, default=64)
    parser.add_argument("--pairs", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=12.0, help="of each window")
    parser.add_argument("--audio", type=Path, default=CLIPS, help="folder of 16 kHz FLAC files")
    parser.add_argument("--skip", choices=("live", "rate"), help="leave one part out")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    console, figures = Console(), {}
    if args.skip != "live":
        figures["live"] = beside_streams(args)
        print_live(console, figures["live"])
    if args.skip != "rate":
        figures["rate"] = asyncio.Runner(loop_factory=loop_factory()).run(rates(args))
        print_rates(console, figures["rate"])
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2) + "\n")


# The server, on one core.


def serve(audio):
    """Serve as `streamd serve` does; SIGUSR1 begins to run files, and ends it."""
    config = load(None, os.environ)
    logging.configure(config.log.level, config.log.format)
    parts = make_parts(config, Library())
    with (
        closing(open_voices(config)) as store,
        asyncio.Runner(loop_factory=loop_factory()) as runner,
    ):
        runner.run(serve_with_files(Daemon(config, parts, store), config, parts, audio))


async def serve_with_files(daemon, config, parts, audio):
    clips = read_clips(audio)
    short, long = [wav(middle(clip)) for clip in clips], [wav(clip) for clip in clips]
    uploads = Uploads(config.files, parts.metrics)
    on, done = asyncio.Event(), {"identified": 0, "analysed": 0}

    async def identifying(first):
        for number in itertools.count(first):
            await on.wait()
            await identify(uploads, parts, short[number % len(short)])
            done["identified"] += 1

    async def analysing(first):
        for number in itertools.count(first):
            await on.wait()
            await analyse(uploads, parts, long[number % len(long)])
            done["analysed"] += 1

    def toggle():
        if not on.is_set():
            done.update(identified=0, analysed=0)
            on.set()
            return
        on.clear()  # files in work are finished, as clients that stop would have them
        print(json.dumps(done), flush=True)

    ways = (identifying, analysing)
    running = {asyncio.ensure_future(ways[n % 2](n)) for n in range(IN_FLIGHT)}
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, toggle)
    await daemon.run(lambda url: print(url, flush=True))
    for task in running:
        task.cancel()
    await uploads.close()


def wav(samples):
    file = io.BytesIO()
    soundfile.write(file, samples, RATE_HZ, format="WAV")
    return file.getvalue()


async def body(data):
    for start in range(0, len(data), PIECE_BYTES):
        yield data[start : start + PIECE_BYTES]


async def identify(uploads, parts, data, gallery=None):
    """Return the decision about an upload, and how many windows it took."""
    speaker = parts.registry.readers["speaker"].settings
    reader = VoiceReader(speaker)
    module = VoiceModule(reader)
    registry = Registry(parts.registry.vad, [], [module], ())
    async with uploads.open(body(data)) as upload:
        analysis = Analysis(
            parts.engine, registry, {module.name: None}, upload.format, Gallery.empty()
        )
        try:
            async for _ in analysis.events(upload.parts):
                pass
        finally:
            analysis.close()
    if not reader.embeddings or gallery is None:
        return "too_short", len(reader.embeddings)
    (match,) = gallery.search(reader.mean, CHANNEL)
    accept = speaker.thresholds.of(CHANNEL).accept
    return ("accept" if match.score >= accept else "reject"), len(reader.embeddings)


async def analyse(uploads, parts, data):
    modules, _ = parts.registry.resolve(None)
    async with uploads.open(body(data)) as upload:
        analysis = Analysis(parts.engine, parts.registry, modules, upload.format, Gallery.empty())
        try:
            return [event async for event in analysis.events(upload.parts)]
        finally:
            analysis.close()


# The live streams, from the other cores.


def beside_streams(args):
    """Return latencies of live streams without and with files, pair by pair."""
    cores = sorted(os.sched_getaffinity(0))
    total_s = 2 * SETTLE_S + (2 * args.pairs + 1) * args.seconds + 2
    streams = make_streams(args.audio, args.streams, total_s, 1)
    with tempfile.TemporaryDirectory() as home:
        environ = os.environ | {
            "STREAMD_DATA": home,
            "STREAMD_LOG__LEVEL": "warning",
            "STREAMD_ENGINE__THREADS": "1",
            "STREAMD_SERVER__PORT": "0",
            "STREAMD_LIMITS__MAX_LOAD": "0",
        }
        server = subprocess.Popen(
            [sys.executable, __file__, "serve", str(args.audio)],
            env=environ,
            stdout=subprocess.PIPE,
            text=True,
        )
        os.sched_setaffinity(server.pid, cores[:1])
        try:
            url = re.sub("^http", "ws", server.stdout.readline().strip()) + "/v1/stream"
            os.sched_setaffinity(0, cores[1:] or cores)
            with asyncio.Runner(loop_factory=loop_factory()) as runner:
                return runner.run(play_all(url, streams, server, args))
        finally:
            os.sched_setaffinity(0, cores)
            server.terminate()
            server.wait(60)


async def play_all(url, streams, server, args):
    lives, paces = [], []
    windows, files = [], []

    async def play(audio, offset_s):
        await asyncio.sleep(offset_s)
        live, pace = Live(url, audio), Pace()
        uri = parse_uri(url)
        await asyncio.get_running_loop().create_connection(lambda: live, uri.host, uri.port)
        await live.opened.wait()
        lives.append(live)
        paces.append(pace)
        for due_s in live.due_s:
            await pace.until(live.began_s + due_s)
            if live.is_over:
                raise ConnectionError("the server closed the stream")
            live.send(time.monotonic())
        live.end()
        await live.ended.wait()

    async def switch():
        await asyncio.sleep(2 * SETTLE_S)
        server.send_signal(signal.SIGUSR1)  # once before it counts: decoding processes start
        await asyncio.sleep(args.seconds)
        server.send_signal(signal.SIGUSR1)
        await asyncio.to_thread(server.stdout.readline)
        for number in range(2 * args.pairs):
            if number:
                server.send_signal(signal.SIGUSR1)
                if number % 2 == 0:
                    files.append(json.loads(await asyncio.to_thread(server.stdout.readline)))
            began_s = time.monotonic()
            await asyncio.sleep(args.seconds)
            windows.append((began_s + SETTLE_S, time.monotonic()))
        server.send_signal(signal.SIGUSR1)
        files.append(json.loads(await asyncio.to_thread(server.stdout.readline)))

    offsets = np.linspace(0, 1, len(streams), endpoint=False)
    await asyncio.gather(switch(), *map(play, streams, offsets))
    found = [
        [
            1000 * now_s - event["at"]
            for live in lives
            for now_s, event in live.said
            if "at" in event and event["type"] != "bye" and from_s <= live.began_s + now_s < to_s
        ]
        for from_s, to_s in windows
    ]
    pairs = []
    for number, (without, beside) in enumerate(zip(found[::2], found[1::2], strict=True)):
        row = {"files": files[number]}
        for name, values in (("without", without), ("beside", beside)):
            row[name] = {
                "events": len(values),
                "p50_ms": round(float(np.percentile(values, 50)), 1),
                "p99_ms": round(float(np.percentile(values, 99)), 1),
            }
        row["rise"] = round(row["beside"]["p99_ms"] / row["without"]["p99_ms"], 3)
        pairs.append(row)
    return {
        "streams": len(streams),
        "window_s": args.seconds,
        "pairs": pairs,
        "median_rise": round(float(np.median([pair["rise"] for pair in pairs])), 3),
        "goal": GOAL_RISE,
        "load_late_ms": late_ms(paces),
    }


# The rate of identifications, without streams.


@asynccontextmanager
async def over_http():
    """Start a server, and give a function that has it identify one file."""
    with tempfile.TemporaryDirectory() as home:
        environ = os.environ | {
            "STREAMD_DATA": home,
            "STREAMD_LOG__LEVEL": "warning",
            "STREAMD_SERVER__PORT": "0",
            "STREAMD_CACHE__MAX_VOICES": "0",
        }
        command = [sys.executable, "-m", "streamd", "serve"]
        server = await asyncio.create_subprocess_exec(*command, env=environ, stdout=-1)
        try:
            line = (await server.stdout.readline()).decode()
            url = re.search(r"http://[\w.:]+", line)[0] + "/v1/identify"
            headers = {"Content-Type": "audio/wav"}
            async with aiohttp.ClientSession(headers=headers) as client:

                async def identify_there(data):
                    async with client.post(url, data=data) as answer:
                        reply = await answer.json()
                        if answer.status == HTTPStatus.UNPROCESSABLE_ENTITY:
                            return reply["error"]["code"], 0
                        return reply["decision"], 1

                yield identify_there, server.pid
        finally:
            server.terminate()
            await server.wait()


async def rates(args):
    """Return identifications a second from memory, from uploads and over HTTP, in turns."""
    async with over_http() as (identify_there, _):
        return await rates_beside(args, identify_there)


async def rates_beside(args, identify_there):
    parts = make_parts(Config(), Library())
    uploads = Uploads(Config().files, parts.metrics)
    parts.engine.start()
    recordings = [middle(clip) for clip in read_clips(args.audio)]
    files = [wav(samples) for samples in recordings]
    settings = parts.registry.readers["speaker"].settings
    embedding, _ = await InSession(parts, recordings[0]).voice()
    gallery = Gallery.build(["a"], embedding[None], np.zeros(1, int), np.zeros(1, int))
    band = settings.thresholds.of("wide")
    ways = {
        "from memory, all windows": (partial(verify_one, Whole, parts, gallery, band), recordings),
        "from memory": (partial(verify_one, InSession, parts, gallery, band), recordings),
        "upload": (partial(identify, uploads, parts, gallery=gallery), files),
        "over HTTP": (identify_there, files),
    }
    try:
        rows = {name: [] for name in ways}
        for _ in range(args.pairs):
            for name, (verify, items) in ways.items():
                rows[name].append(await keep_busy(verify, items, IN_FLIGHT, 2.5))
    finally:
        await uploads.close()
        parts.engine.stop()
    per_s = {name: [row["per_s"] for row in each] for name, each in rows.items()}
    shares = [a / b for a, b in zip(per_s["over HTTP"], per_s["from memory"], strict=True)]
    return {
        "in_flight": IN_FLIGHT,
        "per_s": {name: round(float(np.median(each)), 1) for name, each in per_s.items()},
        "cpu_ms": {
            n: round(float(np.median([r["cpu_ms"] for r in e])), 1) for n, e in rows.items()
        },
        "median_share": round(float(np.median(shares)), 3),
        "goal": GOAL_SHARE,
    }


def print_live(console, figures):
    table = Table(title=f"{figures['streams']} live streams and files on one core")
    for head in (
        "pair",
        "p50, ms",
        "p99",
        "p50 beside files",
        "p99",
        "rise",
        "identified",
        "analysed",
    ):
        table.add_column(head, justify="right")
    for number, pair in enumerate(figures["pairs"], 1):
        cells = [pair[w][k] for w in ("without", "beside") for k in ("p50_ms", "p99_ms")]
        row = (number, *cells, pair["rise"], *pair["files"].values())
        table.add_row(*map(str, row))
    console.print(table)
    console.print(f"median rise of p99 {figures['median_rise']}, goal {figures['goal']}")


def print_rates(console, figures):
    table = Table(title=f"identifications of 3 s, {figures['in_flight']} in flight")
    for head in ("way", "a second", "CPU, ms"):
        table.add_column(head, justify="right")
    for name, per_s in figures["per_s"].items():
        table.add_row(name, str(per_s), str(figures["cpu_ms"][name]))
    console.print(table)
    console.print(f"over HTTP / from memory {figures['median_share']}, goal {figures['goal']}")


if __name__ == "__main__":
    main()
