"""Whether cost grows as the work does, and no faster: `python benchmarks/scaling.py`.

The serving session and engine in one thread without sockets, every module on, all streams fed 20 ms
at a time. CPU milliseconds per second of audio and stream, the least of the rounds, for growing
numbers of streams, wake words and enrolled voices. Every row of a table has the same audio: fewer
streams than there are recordings play them in turns, more play them again, shifted. "times" is a
row's cost to the first one's.

Words beyond the shipped ones are heads of the kind that `streamd words add` makes, with random
weights and a bias with which none is recognised; the voices are random directions. A search of them
cannot cost less than the product that it is: "of it products" is that times the searches. "Of it
passes" is what the models take; the rest is the session and the engine, in Python.
"""

import argparse
import json
import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as `streamd serve` sets it, before numpy

import numpy as np
from modules import run
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from streams import CLIPS, make_streams

from streamd.compose import make_parts
from streamd.config import Config
from streamd.config.sections import EngineConfig
from streamd.engine.passes.heads import WordHead
from streamd.models.library import Library
from streamd.modules.gallery import Gallery
from streamd.modules.words import EMBEDDING_DIM, CustomWord, WordEstimate, WordInfo
from streamd.types import RATE_HZ

STREAMS = (1, 2, 4, 8, 16, 32, 64, 128)
WORDS = (1, 4, 16)
VOICES = (10, 1_000, 100_000)
RECORDINGS = 16
DIM = 256
SHIPPED = ("alexa", "hey_jarvis", "hey_mycroft", "hey_marvin", "weather", "timer")
OWN = tuple(f"own_word_{number}" for number in range(1, 17))
KINDS = {"streams": "streams", "words": "wake words", "voices": "enrolled voices"}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seconds", type=float, default=6, help="of each recording")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--audio", type=Path, default=CLIPS, help="folder of 16 kHz FLAC files")
    parser.add_argument("--only", choices=KINDS, action="append", help="repeat for more")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path, metavar="FILE", help=".png, .svg or .pdf")
    args = parser.parse_args()
    if args.plot:
        from streamd.bench.plots import check

        check(args.plot)
    bench = SimpleNamespace(
        parts=make_parts(Config(engine=EngineConfig(threads=1)), Library()),
        recordings=make_streams(args.audio, RECORDINGS, args.seconds, seed=1),
        words=own_words(),
    )
    cases = [case for kind in args.only or KINDS for case in CASES[kind](bench)]
    costs = [[] for _ in cases]
    console = Console()
    with Progress(console=console) as bar:
        task = bar.add_task("rounds", total=args.rounds * len(cases))
        for _ in range(args.rounds):
            for case, cost in zip(cases, costs, strict=True):
                cost.append(measure(bench, case))
                bar.advance(task)
    for case, cost in zip(cases, costs, strict=True):
        first = next(c for c in cases if (c["kind"], c["of"]) == (case["kind"], case["of"]))
        case["ms"], case["passes_ms"] = (round(ms, 2) for ms in min(cost))
        case["times"] = round(case["ms"] / first["ms"], 2)
    figures = {kind: rows(cases, kind) for kind in dict.fromkeys(c["kind"] for c in cases)}
    for kind, found in figures.items():
        print_table(console, kind, found)
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2) + "\n")
    if args.plot:
        draw(figures, args.plot)


class CountingGallery(Gallery):
    """Counts its searches."""

    searches = 0

    def find(self, spoken, channel, limit=2):
        CountingGallery.searches += 1
        return super().find(spoken, channel, limit)


def stream_cases(bench):
    return [case("streams", "", n, list(SHIPPED[:4]), Gallery.empty()) for n in STREAMS]


def word_cases(bench):
    chosen = (
        *(("shipped", SHIPPED[:count]) for count in (1, 4, 6)),
        *(("of one's own", OWN[:count]) for count in WORDS),
        *(("shipped, then one's own", (*SHIPPED, *OWN)[:count]) for count in WORDS),
    )
    return [
        {**case("words", of, RECORDINGS, list(words), Gallery.empty()), "count": len(words)}
        for of, words in chosen
    ]


def voice_cases(bench):
    cases = []
    for count in VOICES:
        gallery = make_gallery(count)
        cases.append({**case("voices", "", RECORDINGS, list(SHIPPED[:4]), gallery), "count": count})
        cases[-1] |= search_costs(gallery)
    return cases


CASES = {"streams": stream_cases, "words": word_cases, "voices": voice_cases}


def case(kind, of, streams, words, gallery):
    modules = {"vad": {}, "speaker": {}, "emotion": {}, "wake": {"words": words}}
    return {
        "kind": kind, "of": of, "count": streams,
        "streams": streams, "modules": modules, "gallery": gallery,
    }  # fmt: skip


def measure(bench, case):
    """CPU milliseconds per stream-second, all and in model passes; so many streams at a time."""
    count, recordings = case["streams"], bench.recordings
    CountingGallery.searches, passes_s = 0, cpu_of_passes(bench.parts)
    again = -(-count // len(recordings))
    shift = len(recordings[0]) // again
    streams = [np.roll(audio, shift * turn) for turn in range(again) for audio in recordings]
    spent = sum(
        run(bench.parts, case["modules"], streams[i : i + count], case["gallery"], bench.words)
        for i in range(0, len(streams), count)
    )
    seconds = sum(map(len, streams)) / RATE_HZ
    if case["kind"] == "voices":
        products_ms = case["product_ms"] * CountingGallery.searches / seconds
        case["products_ms"] = round(products_ms, 2)
    passes_s = cpu_of_passes(bench.parts) - passes_s
    return 1000 * spent / seconds, 1000 * passes_s / seconds


def cpu_of_passes(parts):
    """CPU seconds of all batches until now."""
    (family,) = parts.metrics.pass_cpu.collect()
    return sum(sample.value for sample in family.samples if sample.name.endswith("_total"))


def own_words():
    """Heads that cost what trained ones do."""
    rng = np.random.default_rng(0)
    estimate = WordEstimate(
        missed=0, tries=1, missed_clean=0, tries_clean=1, false_accepts=0, negatives_s=1.0
    )
    found = {}
    for name in OWN:
        weights = rng.normal(0, 0.01, (16, EMBEDDING_DIM)).astype(np.float32)
        info = WordInfo(
            name=name, clips=0, phrase_ms=700, threshold=0.9, estimate=estimate, training_data=""
        )
        found[name] = CustomWord(info, WordHead(weights, -20.0).pack())
    return found


def make_gallery(count):
    rng = np.random.default_rng(0)
    voices = rng.normal(size=(count, DIM)).astype(np.float32)
    names = tuple(f"voice {number}" for number in range(count))
    return CountingGallery.build(names, voices, np.arange(count), np.zeros(count, int))


def search_costs(gallery):
    """Milliseconds of a search, and of the product that it cannot do without."""
    rng = np.random.default_rng(1)
    voice = rng.normal(size=DIM).astype(np.float32)
    voices = rng.normal(size=(len(gallery), DIM)).astype(np.float32)
    times = {
        "search_ms": lambda: gallery.search(voice, "wide"),
        "product_ms": lambda: voices @ voice,
    }
    return {name: round(1000 * least(function), 3) for name, function in times.items()}


def least(function, rounds=20):
    taken = []
    for _ in range(rounds):
        began = time.thread_time()
        function()
        taken.append(time.thread_time() - began)
    return min(taken)


def rows(cases, kind):
    kept = ("of", "count", "ms", "times", "passes_ms", "products_ms", "search_ms", "product_ms")
    return [{k: c[k] for k in kept if k in c} for c in cases if c["kind"] == kind]


def print_table(console, kind, found):
    columns = {
        "of": "which",
        "count": KINDS[kind],
        "ms": "CPU, ms/s",
        "times": "times",
        "passes_ms": "of it passes",
        "products_ms": "of it products",
        "search_ms": "a search, ms",
        "product_ms": "its product alone, ms",
    }
    shown = [name for name in columns if any(row.get(name) not in (None, "") for row in found)]
    table = Table(title=f"{KINDS[kind]}: CPU per stream-second")
    for name in shown:
        table.add_column(columns[name], justify="left" if name == "of" else "right")
    for row in found:
        table.add_row(*(f"{row[n]:,}".replace(",", " ") if n == "count" else str(row[n])
                        for n in shown))  # fmt: skip
    console.print(table)


def draw(figures, file):
    from streamd.evaluation.plots import SERIES, STYLE, need

    need()
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4 * len(figures), 3.4), layout="constrained")
        (places,) = figure.subplots(1, len(figures), squeeze=False)
        for axes, (kind, found) in zip(places, figures.items(), strict=True):
            of = dict.fromkeys(row["of"] for row in found)
            for color, name in zip(SERIES, of, strict=False):
                points = [(row["count"], row["ms"]) for row in found if row["of"] == name]
                axes.plot(*zip(*points, strict=True), "-o", ms=4, color=color, label=name)
            if len(of) > 1:
                axes.legend()
            axes.set_xscale("log")
            counts = sorted({row["count"] for row in found})
            axes.set_xticks(counts, [f"{count:,}".replace(",", " ") for count in counts])
            axes.minorticks_off()
            axes.set_ylim(0, 1.15 * max(row["ms"] for row in found))
            axes.set_xlabel(KINDS[kind])
            axes.set_title(f"CPU by {KINDS[kind]}")
        places[0].set_ylabel("ms of CPU per stream-second")
        figure.savefig(file)


if __name__ == "__main__":
    sys.exit(main())
