"""CPU microseconds that each model pass and each graph takes for an item: `benchmarks/kernels.py`.

CPU time of one thread, which does all the work: what else runs on the machine costs it caches, but
not its turn. The stages of a pass take turns, so that their ratios are of one time; the figure is
the least of the rounds. With the published mel no batch can be made (its floor spans the batch)
and the published heads take one item, so there the batch is a loop, as its users have it.
Resemblyzer's network is torch and has no graph to time.
"""

import argparse
import json
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from statistics import median

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from streamd.engine.backends.onnxruntime import OnnxRuntime
from streamd.engine.passes.ge2e import Ge2eSpeculative, Ge2eVoice
from streamd.engine.passes.openwakeword import OpenWakeWord
from streamd.engine.passes.silero import SileroVad
from streamd.engine.passes.voiceprint import Voiceprint
from streamd.engine.passes.warm import initial_rows
from streamd.models import catalogue
from streamd.models.convert.graph import input_name
from streamd.models.fetch import fetch
from streamd.models.library import Library, default_directory
from streamd.types import WindowRequest

BATCHES = (1, 2, 4, 8, 16, 32, 64)
WORDS = ("alexa", "hey_jarvis", "weather", "timer")
MIN_ROUNDS = 5
RNG = np.random.default_rng(1)


def main():
    parser = argparse.ArgumentParser(prog="benchmarks/kernels.py", description=__doc__)
    parser.add_argument("--batch", type=int, action="append", help=f"default: {BATCHES}")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each pass and batch size")
    parser.add_argument("--json", action="store_true", help="with medians and numbers of rounds")
    args = parser.parse_args()
    batches = args.batch or BATCHES
    with tempfile.TemporaryDirectory() as scratch:
        passes = make_stages(unpack(Path(scratch)))
        figures = {}
        for batch in track(batches, "batch sizes", console=Console(stderr=True), transient=True):
            for stages in passes:
                for name, figure in measure(stages, batch, args.seconds).items():
                    figures.setdefault(name, {})[batch] = figure
    if args.json:
        print(json.dumps({"unit": "CPU microseconds an item", "stages": figures}, indent=2))
        return
    table = Table(box=None, header_style="dim")
    table.add_column("CPU µs an item, at batch")
    for batch in batches:
        table.add_column(str(batch), justify="right")
    for name, by_batch in figures.items():
        table.add_row(name, *(f"{by_batch[batch]['least']:.0f}" for batch in batches))
    Console().print(table)


def make_stages(originals):
    """Return the stages of each pass by name, each a function that prepares a batch's run."""
    backend, library = OnnxRuntime(), Library()
    wake = OpenWakeWord(backend, library)
    fp32, int8 = (Ge2eVoice(backend, library, f) for f in ("ge2e", "ge2e_int8"))
    return (
        {
            "silero, a frame of 32 ms": ours(SileroVad(backend, library), 576),
            "  as shipped": shipped_silero(backend.load(originals["silero_vad.onnx"])),
        },
        {
            "wake word, a step of 80 ms, no head": ours(wake, 1760, ()),
            "  with 1 word": ours(wake, 1760, WORDS[:1]),
            "  with 4 words": ours(wake, 1760, WORDS),
            "  as shipped, 4 words": shipped_wake(backend.load, originals),
        },
        {
            "GE2E, a window of 1.6 s": ours(fp32, 25_600),
            "  its beginning": ours(Ge2eSpeculative(fp32), Ge2eSpeculative.samples),
            "  and what is left then": left(fp32, 25_600),
            "GE2E int8, a window of 1.6 s": ours(int8, 25_600),
            "  its beginning ": ours(Ge2eSpeculative(int8), Ge2eSpeculative.samples),
            "  and what is left then ": left(int8, 25_600),
            "GE2E, a window of 0.8 s": ours(fp32, 12_800),
            "GE2E int8, a window of 0.8 s": ours(int8, 12_800),
        },
        {
            "CAM++, a window of 1.6 s": ours(Voiceprint(backend, library), 25_600),
            "CAM++ int8, a window of 1.6 s": ours(
                Voiceprint(backend, library, "campplus_int8"), 25_600
            ),
            "  GE2E beside it": ours(fp32, 25_600),
            "  GE2E int8 beside it": ours(int8, 25_600),
        },
    )


def measure(stages, batch, seconds):
    """Return the median and least CPU microseconds an item of each stage; the stages take turns."""
    runs = {name: prepare(batch) for name, prepare in stages.items()}
    times = {name: [] for name in runs}
    until, rounds = time.perf_counter() + seconds, 0
    while rounds < MIN_ROUNDS or time.perf_counter() < until:
        for name, run in runs.items():
            run()  # not counted: the stage before has left its weights in the caches
            began = time.thread_time()
            run()
            times[name].append((time.thread_time() - began) * 1e6 / batch)
        rounds += 1
    return {
        name: {"median": round(median(taken), 1), "least": round(min(taken), 1), "rounds": rounds}
        for name, taken in times.items()
    }


def unpack(directory):
    """Return the published graphs by file name."""
    wheels = {m.wheel.name: m.wheel for m in catalogue.MODELS if m.wheel}
    for wheel in (wheels["openwakeword"], wheels["silero-vad"]):
        with zipfile.ZipFile(fetch(wheel, default_directory().with_name("wheels"))) as archive:
            archive.extractall(directory)
    silero = directory / "silero_vad" / "data" / "silero_vad.onnx"
    wake = directory / "openwakeword" / "resources" / "models"
    return {path.name: path for path in wake.glob("*.onnx")} | {silero.name: silero}


def ours(model, samples, option=None):
    def prepare(batch):
        items = [RNG.integers(-3000, 3000, samples, dtype=np.int16) for _ in range(batch)]
        state = initial_rows(model, batch)
        return lambda: model.run(items, [option] * batch, state)

    return prepare


def left(voice, samples):
    """Return the rest of windows whose beginning has run."""

    def prepare(batch):
        speculative = Ge2eSpeculative(voice)
        items = [RNG.integers(-3000, 3000, samples, dtype=np.int16) for _ in range(batch)]
        begun, _ = speculative.run([i[: speculative.samples] for i in items], [None] * batch, {})
        requests = [WindowRequest(frozenset(), 0, one) for one in begun]
        return lambda: voice.run(items, requests, {})

    return prepare


def shipped_silero(graph):
    def prepare(batch):
        audio = RNG.normal(0, 0.1, (batch, 576)).astype(np.float32)
        state = np.zeros((2, batch, 128), np.float32)
        return lambda: graph({"input": audio, "state": state, "sr": np.array(16_000)})

    return prepare


def shipped_wake(load, originals):
    mel, embed = (load(originals[f"{n}.onnx"]) for n in ("melspectrogram", "embedding_model"))
    heads = []
    for word in WORDS:
        path, window = originals[f"{word}_v0.1.onnx"], catalogue.word(word).window
        features = RNG.normal(0, 10, (1, window, 96)).astype(np.float32)
        heads.append((load(path), {input_name(path): features}))

    def prepare(batch):
        audio = RNG.normal(0, 1000, (1, 1760)).astype(np.float32)
        frames = RNG.normal(0, 1, (batch, 76, 32, 1)).astype(np.float32)

        def run():
            for _ in range(batch):
                mel({"input": audio})
            embed({"input_1": frames})
            for head, features in heads:
                for _ in range(batch):
                    head(features)

        return run

    return prepare


if __name__ == "__main__":
    sys.exit(main())
