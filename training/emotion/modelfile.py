"""The file that config's `emotion.model` selects: weights, and what to know of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from streamd.engine.passes.prosody import DESCRIPTORS
from streamd.errors import Unavailable
from streamd.modules.emotion_model import FEATURES, FORMAT, LABELS
from training.emotion.fitting import Fitted
from training.emotion.validate import Calibration

MIN_SPEECH_MS = 1000
"""Less than that is too little to be sure of anything."""


def write(
    path: Path,
    fitted: Fitted,
    calibration: Calibration,
    plain_from: float,
    name: str,
    card: Mapping[str, str],
    results: Mapping[str, Any],
) -> None:
    """Write a model; half precision where it does not matter.

    Args:
        path: the file, replaced if it is there.
        fitted: weights.
        calibration: temperatures and thresholds.
        plain_from: probability of plain speech below which the model abstains.
        name: what `ready` calls it.
        card: `license`, `source` and `training_data`.
        results: what was measured, for the file's reader.

    Raises:
        Unavailable: it cannot be written.
    """
    meta = {
        "format": FORMAT,
        "features": FEATURES,
        "name": name,
        "labels": LABELS,
        "descriptors": DESCRIPTORS,
        "temperature": calibration.temperature,
        "threshold": calibration.threshold,
        "plain_from": plain_from,
        "min_speech_ms": MIN_SPEECH_MS,
        "card": card,
        "results": results,
    }
    network = fitted.network
    arrays = {
        "meta": np.frombuffer(json.dumps(meta, indent=1).encode(), np.uint8),
        "center": fitted.center,
        "scale": fitted.scale,
        "project": fitted.project.astype(np.float16),
        "spread": fitted.spread,
        "hidden": network.hidden.astype(np.float16),
        "hidden_bias": network.hidden_bias,
        "out": network.out.astype(np.float16),
        "out_bias": network.out_bias,
        "plain": fitted.plain,
        "plain_bias": np.float32(fitted.plain_bias),
        "farthest": np.float32(fitted.farthest),
    }
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            np.savez_compressed(file, **arrays)
    except OSError as error:
        raise Unavailable(f"{path}: cannot be written: {error.strerror or error}") from error
