"""How late one live voice is beside senders of files: `python benchmarks/fairness.py`.

Starts `streamd serve` on one core. One stream plays a wake word in real time; beside it none, two
or eight clients send recordings as fast as the server takes them. Prints how long after its last
sample was sent each wake event came, and how much audio the others got through. The cases take
turns in rounds, as the machine may be busy: compare figures of one run only. With `--against`
another checkout takes turns too.
"""

import argparse
import asyncio
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
from rich.console import Console
from rich.table import Table
from websockets.asyncio.client import connect

HERE = Path(__file__).resolve().parents[1]
CLIPS = HERE / "tests" / "data"
RATE_HZ = 16_000
MESSAGE_MS = 20
MESSAGE_BYTES = 2 * RATE_HZ * MESSAGE_MS // 1000
FAST_BYTES = 8 * MESSAGE_BYTES
WORD_EVERY_S = 3.0
"""Seconds between two words: more than the word's refractory time."""
WORD_S = 1.3
VOICES = ("slt", "kal16")
"""Voices whose clips begin with the word."""
HELLO = {"type": "hello", "modules": {"vad": {}, "wake": {"words": ["alexa"]}, "speaker": {}}}


def main():
    if sys.argv[1:2] == ["fast"]:
        asyncio.run(send_fast(sys.argv[2], int(sys.argv[3])))
        return
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--senders", type=int, nargs="+", default=[0, 2, 8])
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--against", type=Path, help="another checkout, as before a change")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    trees = [HERE] if args.against is None else [args.against.resolve(), HERE]
    waits = {(n, tree): [] for n in args.senders for tree in trees}
    speeds = {case: [] for case in waits}
    for _, (senders, tree) in itertools.product(range(args.rounds), waits):
        found, speed = measure(tree, senders, args.seconds)
        waits[senders, tree] += found
        speeds[senders, tree].append(speed)
    table = Table(title="wake events of one live stream on one core")
    for head in ("fast senders", "checkout", "events", "p50, ms", "p90", "most", "× real time"):
        table.add_column(head, justify="right")
    figures = []
    for (senders, tree), found in waits.items():
        if not found:
            sys.exit("no wake event")
        p50, p90 = (round(float(np.percentile(found, q)), 1) for q in (50, 90))
        speed = round(float(np.mean(speeds[senders, tree])), 1)
        row = (senders, tree.name, len(found), p50, p90, round(max(found), 1), speed)
        names = ("senders", "checkout", "n", "p50", "p90", "max", "x")
        figures.append(dict(zip(names, row, strict=True)))
        table.add_row(*map(str, row))
    Console().print(table)
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2) + "\n")


def phrase(number):
    """Return a voice that says the word, and quiet up to the next one."""
    path = CLIPS / f"speech_{VOICES[number % len(VOICES)]}.flac"
    samples, _ = soundfile.read(path, dtype="int16", frames=int(WORD_S * RATE_HZ))
    quiet = np.random.default_rng(number).normal(0, 8, int(WORD_EVERY_S * RATE_HZ))
    quiet[: len(samples)] += samples
    return quiet.astype("<i2").tobytes()


def measure(tree, senders, seconds):
    """Return milliseconds from last sample to event of each word, and the others' speed."""
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as home:
        environ = os.environ | {
            "PYTHONPATH": str(tree),
            "STREAMD_DATA": home,
            "STREAMD_LOG__LEVEL": "warning",
            "STREAMD_ENGINE__THREADS": "1",
        }
        server = subprocess.Popen(
            [sys.executable, "-m", "streamd", "serve", "--port", "0"],
            env=environ,
            stdout=subprocess.PIPE,
            text=True,
        )
        os.sched_setaffinity(server.pid, cores[:1])
        others = []
        try:
            url = server.stdout.readline().removeprefix("listening on ").strip()
            url = url.replace("http", "ws", 1) + "/v1/stream"
            others = [
                subprocess.Popen(
                    [sys.executable, __file__, "fast", url, str(number)],
                    stdout=subprocess.PIPE,
                    text=True,
                )
                for number in range(senders)
            ]
            for other in others:
                os.sched_setaffinity(other.pid, cores[1:] or cores)
            waits = asyncio.run(live(url, seconds))
        finally:
            for other in others:
                other.terminate()
            printed = [other.communicate()[0] for other in others]
            server.terminate()
            server.wait(60)
            server.stdout.close()
        return waits, sum(float(text) for text in printed if text) / seconds


async def live(url, seconds):
    """Play words in real time, and return the milliseconds until their events."""
    sent_s, waits = [], []

    async def receive(socket):
        async for text in socket:
            event = json.loads(text)
            if event["type"] == "wake":
                last = min((event["at"] + MESSAGE_MS - 1) // MESSAGE_MS, len(sent_s)) - 1
                waits.append(1000 * (time.monotonic() - sent_s[last]))

    async with connect(url, compression=None, proxy=None, ping_timeout=None) as socket:
        await socket.send(json.dumps(HELLO))
        receiving = asyncio.create_task(receive(socket))
        await asyncio.sleep(2)  # until the others are under way
        pcm = b"".join(phrase(n) for n in range(int(seconds / WORD_EVERY_S)))
        began_s = time.monotonic()
        for at in range(0, len(pcm), MESSAGE_BYTES):
            due_s = began_s + (at + MESSAGE_BYTES) / 2 / RATE_HZ
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            sent_s.append(time.monotonic())
            await socket.send(pcm[at : at + MESSAGE_BYTES])
        await socket.send('{"type":"end"}')
        await receiving
    return waits


async def send_fast(url, number):
    """Send speech as fast as it is taken until stopped, and print the seconds of audio."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    loop.add_signal_handler(15, stop.set)
    samples, _ = soundfile.read(sorted(CLIPS.glob("speech_*.flac"))[number % 5], dtype="int16")
    pcm, acked = samples.tobytes(), 0

    async def receive(socket):
        nonlocal acked
        async for text in socket:
            if '"ack"' in text:
                acked = json.loads(text)["samples"]

    async def send(socket):
        await socket.send(json.dumps(HELLO))
        for at in itertools.cycle(range(0, len(pcm) - FAST_BYTES, FAST_BYTES)):
            await socket.send(pcm[at : at + FAST_BYTES])

    async with connect(url, compression=None, proxy=None, ping_timeout=None) as socket:
        tasks = [asyncio.create_task(work(socket)) for work in (receive, send)]
        await stop.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        socket.transport.abort()
    print(acked / RATE_HZ)


if __name__ == "__main__":
    main()
