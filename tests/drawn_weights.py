"""Checkpoints of the published speaker networks, as torch writes them, with drawn weights."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from checkpoints import entries, write

from streamd.models.convert import campplus_shapes, eres2netv2

SMALL = eres2netv2.Sizes(channels=16, width=26, parts=2, expansion=2, embedding=24)
PUBLISHED = eres2netv2.Sizes(channels=64, width=26, parts=2, expansion=2, embedding=192)


def drawn(shapes: Iterable[tuple[str, tuple[int, ...]]], seed: int = 3) -> dict[str, np.ndarray]:
    """Weights that keep the activations of each layer near 1, as trained ones do."""
    rng = np.random.default_rng(seed)
    weights = {}
    for name, shape in shapes:
        if name.endswith("num_batches_tracked"):
            weights[name] = np.array(7, "<i8")
            continue
        if len(shape) > 1:
            values = rng.normal(0, np.prod(shape[1:]) ** -0.5, shape)
        elif name.endswith(("running_var", ".weight")):
            values = rng.uniform(0.5, 1.5, shape)
        else:
            values = rng.normal(0, 0.2, shape)
        weights[name] = values.astype("<f4")
    return weights


def eres2netv2_file(path: Path, sizes: eres2netv2.Sizes = SMALL, seed: int = 3) -> Path:
    """Write a checkpoint of ERes2NetV2."""
    return write(path, entries(drawn(eres2netv2.shapes(sizes), seed)))


def campplus_file(path: Path, seed: int = 3) -> Path:
    """Write a checkpoint of CAM++, whose sizes are those of the published one."""
    return write(path, entries(drawn(campplus_shapes.shapes(), seed)))
