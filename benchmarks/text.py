"""What text costs live streams: latencies by type of event, with transcripts off and on.

    python benchmarks/text.py --streams 1 4 8 --seconds 30 --audio DIR

As `benchmarks/streams.py`, whose streams it plays to a server on one core: two fifths of them have
a voice at every moment. With text on it also prints how many final texts were left out, and how
many streams got fewer interim ones.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import streams
from rich.console import Console
from rich.table import Table

TYPES = ("speech_start", "wake", "speaker", "speech_end", "interim text", "final text")


def load(url: str, audio: list[np.ndarray], cores: set[int], modules: dict[str, Any]) -> Any:
    """Play all streams with these modules on."""
    streams.MODULES = modules
    return streams.load(url, audio, cores)


def kind(event: dict[str, Any]) -> str:
    """Return the row that an event belongs to."""
    if event["type"] == "transcript":
        return "final text" if event["final"] else "interim text"
    return str(event["type"])


def run(count: int, seconds: float, folder: Path, seed: int, *, text: bool) -> dict[str, Any]:
    """Play so many streams, and return the figures."""
    cores = sorted(os.sched_getaffinity(0))
    modules = streams.MODULES | ({"transcript": {}} if text else {})
    audio = streams.make_streams(folder, count, seconds, seed)
    settings = {"STREAMD_TRANSCRIPT__MODEL": "whisper-tiny-en"} if text else {}
    server, url = streams.serve({cores[0]}, **settings)
    try:
        before_s = streams.cpu_s(server.pid)
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            where = re.sub("^http", "ws", url) + "/v1/stream"
            played = pool.apply(load, (where, audio, set(cores[1:]) or {cores[0]}, modules))
        spent_s = streams.cpu_s(server.pid) - before_s
    finally:
        server.terminate()
        server.wait(30)
    events = [event for one, *_ in played for event in one]
    figures: dict[str, Any] = {
        "streams": count,
        "text": text,
        "cpu_ms_per_stream_second": round(spent_s * 1000 / (count * seconds), 1),
    }
    for name in TYPES:
        late = [e["latency_ms"] for e in events if "latency_ms" in e and kind(e) == name]
        if late:
            p50, p99 = np.percentile(late, [50, 99])
            figures[name] = {"count": len(late), "p50_ms": round(p50), "p99_ms": round(p99)}
    if text:
        lost = [e for e in events if e["type"] == "gap" and e.get("module") == "transcript"]
        fewer = sum(
            any(e["type"] == "degraded" and e["module"] == "transcript" for e in one)
            for one, *_ in played
        )
        figures |= {"final_texts_left_out": len(lost), "streams_degraded": fewer}
    return figures


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--streams", type=int, nargs="+", default=[4])
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--audio", type=Path, default=streams.CLIPS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    found = [
        run(count, args.seconds, args.audio, args.seed, text=text)
        for count in args.streams
        for text in (False, True)
    ]
    table = Table("", *(f"{f['streams']}, text {'on' if f['text'] else 'off'}" for f in found))
    for name in dict.fromkeys(name for figures in found for name in figures):
        table.add_row(name, *(_shown(figures.get(name)) for figures in found))
    Console(width=160).print(table)
    if args.json:
        args.json.write_text(json.dumps(found, indent=2) + "\n")


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return f"{value['p50_ms']} / {value['p99_ms']} ms ({value['count']})"
    return "" if value is None else str(value)


if __name__ == "__main__":
    main()
