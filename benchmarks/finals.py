"""What a server takes with each speaker model, and how late final events come.

    python benchmarks/finals.py --audio DIR --streams 64

A `streamd serve` on one core and the load on the other, in real time, every module and four wake
words on, half of the voices enrolled. Every round starts a server with each model in turns and
plays the same audio. A row has the CPU per stream-second, its ratio to GE2E in the same round, and
the latency of final `speaker` events and of `speech_end`: from sending the sample `at` to the
event. The load counts for nothing where its own messages were late.

A file belongs to the voice that its name begins with, as in `speaker_models.py`.
"""

import argparse
import itertools
import json
import multiprocessing
import os
import re
import statistics
import tempfile
from pathlib import Path

import numpy as np
from peers_runners.pace import late_ms
from rich.console import Console
from rich.table import Table
from speaker_models import (
    BASE,
    DEFAULT_SPEAKER_MODELS,
    by_voice,
    enrol_all,
    make_streams,
    parts_with,
)
from streams import cpu_s, load, serve

from streamd.store.base import DEFAULT_TENANT
from streamd.store.sqlite import open_store

SHED_NOTHING = {
    "STREAMD_LIMITS__MAX_LOAD": "0",
    "STREAMD_LIMITS__MAX_LAG_MS": "0",
    "STREAMD_LIMITS__MAX_LOOP_LAG_MS": "600000",
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--audio", type=Path, required=True, help="folder of 16 kHz files")
    parser.add_argument("--streams", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--duty", type=float, default=0.4, help="share of the time with speech")
    parser.add_argument("--models", default=",".join(DEFAULT_SPEAKER_MODELS))
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    models, voices = args.models.split(","), by_voice(args.audio)
    streams = make_streams(voices, args.streams, args.seconds, args.duty)
    found = {model: [] for model in models}
    with tempfile.TemporaryDirectory() as folder:
        homes = {model: enrolled(Path(folder, model), model, voices) for model in models}
        for _, model in itertools.product(range(args.rounds), models):
            found[model].append(played(homes[model], model, streams))
    figures = [summary(model, found[model], found.get(BASE, found[model])) for model in models]
    show(figures, f"{args.streams} streams, voiced {args.duty:.0%}")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2) + "\n")


def enrolled(home, model, voices):
    """Return a data directory in which every other voice is enrolled."""
    home.mkdir()
    store = open_store(home / "streamd.db", home / "key", DEFAULT_TENANT)
    enrol_all(store, parts_with(model), list(voices.items())[::2])
    store.close()
    return home


def played(home, model, streams):
    """Play the streams to a server with a model; return its CPU and its events' latencies."""
    cores = sorted(os.sched_getaffinity(0))
    settings = {"STREAMD_DATA": str(home), "STREAMD_SPEAKER__MODEL": model, **SHED_NOTHING}
    server, url = serve({cores[0]}, **settings)
    try:
        before = cpu_s(server.pid)
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            rest = set(cores[1:]) or {cores[0]}
            got = pool.apply(load, (re.sub("^http", "ws", url) + "/v1/stream", streams, rest))
        spent = cpu_s(server.pid) - before
    finally:
        server.terminate()
        server.wait(30)
    events = [event for events, *_ in got for event in events]
    return {
        "ms": 1000 * spent / (sum(map(len, streams)) / 16_000),
        "speaker": [e["latency_ms"] for e in events if e["type"] == "speaker" and e["final"]],
        "speech_end": [e["latency_ms"] for e in events if e["type"] == "speech_end"],
        "all": [e["latency_ms"] for e in events if "latency_ms" in e],
        "late_ms": late_ms([pace for *_, pace in got])["p99"],
    }


def summary(model, rounds, base):
    latencies = {
        f"{kind}_p{share}_ms": round(
            float(np.percentile(list(itertools.chain(*(one[kind] for one in rounds))), share)), 1
        )
        for kind in ("speaker", "speech_end", "all")
        for share in (50, 99)
    }
    ratios = [one["ms"] / other["ms"] for one, other in zip(rounds, base, strict=True)]
    return {
        "model": model,
        "ms_per_stream_second": round(statistics.median(one["ms"] for one in rounds), 2),
        "ratio": round(statistics.median(ratios), 3),
        **latencies,
        "finals": sum(len(one["speaker"]) for one in rounds),
        "load_late_ms_p99": max(one["late_ms"] for one in rounds),
    }


def show(figures, title):
    table = Table(title=title)
    names = {
        "model": "model",
        "ms_per_stream_second": "CPU, ms/s",
        "ratio": "to GE2E",
        "speaker_p50_ms": "final speaker p50",
        "speaker_p99_ms": "p99, ms",
        "speech_end_p50_ms": "speech_end p50",
        "speech_end_p99_ms": "p99, ms",
        "all_p50_ms": "all p50",
        "all_p99_ms": "p99, ms",
        "finals": "n",
        "load_late_ms_p99": "load late p99, ms",
    }
    for name in names.values():
        table.add_column(name)
    for row in figures:
        table.add_row(*(str(row[name]) for name in names))
    Console(width=150).print(table)


if __name__ == "__main__":
    main()
