"""What a second of audio costs in an evaluation, against a server with live streams.

    python benchmarks/evaluation.py --streams 24 --seconds 30 --rounds 2 --audio DIR

The same streams with the same modules, in turns: played in real time to a `streamd serve` on one
core, as `benchmarks/streams.py` does it, and as rows of a manifest through the workers of
`streamd eval`. Prints CPU milliseconds per second of audio, and how many times the server's the
evaluation's are.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import re
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
from streams import CLIPS, MODULES, RATE_HZ, cpu_s, load, make_streams, serve

from streamd.config import Config
from streamd.evaluation.manifest import Manifest, Row
from streamd.evaluation.streams import Stream
from streamd.evaluation.tasks import Executor, Task
from streamd.evaluation.workers import do_here
from streamd.models.library import Library


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--streams", type=int, default=24)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--audio", type=Path, default=CLIPS, help="folder of 16 kHz FLAC files")
    args = parser.parse_args()
    streams = make_streams(args.audio, args.streams, args.seconds, 1)
    heard_s = args.streams * args.seconds
    with tempfile.TemporaryDirectory() as folder:
        rows = []
        for number, samples in enumerate(streams):
            soundfile.write(Path(folder) / f"{number}.flac", samples, RATE_HZ)
            rows.append(Row(line=number + 2, path=f"{number}.flac"))
        manifest = Manifest(path=Path(folder) / "m.csv", rows=tuple(rows))
        executor = Executor(Config(), Library(), manifest)
        for _ in range(args.rounds):
            server = served(streams) * 1000 / heard_s
            evaluation = evaluated(executor, manifest) * 1000 / heard_s
            print(
                f"server {server:.2f} ms/s, evaluation {evaluation:.2f} ms/s, "
                f"{evaluation / server:.2f} times"
            )


def served(streams: list[np.ndarray]) -> float:
    """Return the CPU seconds of a server with live streams."""
    cores = sorted(os.sched_getaffinity(0))
    server, url = serve({cores[0]})
    try:
        before = cpu_s(server.pid)
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            others = set(cores[1:]) or {cores[0]}
            pool.apply(load, (re.sub("^http", "ws", url) + "/v1/stream", streams, others))
        return cpu_s(server.pid) - before
    finally:
        server.terminate()
        server.wait(30)


def evaluated(executor: Executor, manifest: Manifest) -> float:
    """Return the CPU seconds of an evaluation whose models are loaded."""
    tasks = [
        Task(stream=Stream(rows=(row,)), modules=MODULES, keep=("speech_end", "wake"))
        for row in manifest.rows
    ]
    before = time.process_time()
    for _ in do_here(executor, tasks):
        pass
    return time.process_time() - before


if __name__ == "__main__":
    main()
