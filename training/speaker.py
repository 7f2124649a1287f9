"""Fits the scale of CAM++'s scores that comes with streamd, and makes the cohort of calibrations.

    python -m training.speaker FOLDER [--cohort-only]

FOLDER has recordings of many speakers, in a folder `read`, one of each. Writes
`streamd/models/weights/voice-scale-campplus.npz`, and `voice-cohort.npz` beside it. Those there are
of 70 voices of LibriSpeech (CC BY 4.0), 12 to 15 s each. `streamd/evaluation/scale_fitting.py` has
the method; `streamd speakers fit` does the same with an owner's recordings.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from rich.console import Console

from streamd.audio.files import load
from streamd.calibration.cohort import FILE
from streamd.compose import make_parts
from streamd.config import Config
from streamd.engine.backends.onnxruntime import OnnxRuntime
from streamd.engine.passes.voiceprint import Voiceprint
from streamd.evaluation.scale_fitting import fit
from streamd.models import catalogue
from streamd.models.library import Library
from streamd.settings import SpeakerSettings
from streamd.voices import SCALES, SPEAKER_MODELS, voice_models


def main() -> None:
    """Write the scale and the cohort."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=Path(catalogue.__file__).parent / "weights")
    parser.add_argument("--cohort-only", action="store_true", help="leave the scale as it is")
    wanted = parser.parse_args()
    config, library = Config(speaker=SpeakerSettings(model="campplus")), Library()
    files = sorted(path for path in (wanted.folder / "read").iterdir() if path.is_file())
    recordings = [load(path) for path in files]
    model = Voiceprint(OnnxRuntime(), library)
    fitted = fit(recordings, make_parts(config, library), model, voice_models(config).ids)
    np.savez_compressed(wanted.out / FILE, **fitted.cohort)
    Console().print(f"{len(fitted.cohort['speakers'])} spans of {len(files)} speakers")
    if not wanted.cohort_only:
        np.savez(wanted.out / SCALES[SPEAKER_MODELS["campplus"]], **fitted.scale)
        accepted = fitted.scale["accept"].round(3).tolist()
        Console().print(f"{fitted.speakers} speakers, accepted from {accepted} on")


if __name__ == "__main__":
    main()
