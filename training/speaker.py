"""Fits the scale on which CAM++'s scores lie, and makes the cohort of a calibration.

    python -m training.speaker FOLDER [--cohort-only]

FOLDER has recordings of many speakers, in a folder `read` and named `SPEAKER-….opus` or so. Each
is heard as it is and as over a telephone. The means of both channels are what all voices share on
them. Strangers' cosines, less these means, give the cosine from which a voice is accepted: their
mean, and three standard deviations, and `SHARED`. Writes
`streamd/models/weights/voice-scale-campplus.npz`, and `voice-cohort.npz` beside it, which
`training/cohort.py` describes. Those there are of 70 voices of LibriSpeech (CC BY 4.0), 12 to 15 s
each.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soxr
from rich.console import Console
from rich.progress import track

from streamd.audio.decode import Decoder
from streamd.audio.files import load
from streamd.compose import make_parts
from streamd.config import Config
from streamd.engine.backends.onnxruntime import OnnxRuntime
from streamd.engine.passes.voiceprint import Voiceprint
from streamd.evaluation.codecs import NARROW_HZ, telephone
from streamd.models import catalogue
from streamd.models.library import Library
from streamd.modules.voice_scale import CHANNELS, unit
from streamd.settings import SpeakerSettings
from streamd.types import RATE_HZ, AudioFormat, Floats, Samples
from streamd.voices import SCALES, SPEAKER_MODELS, voice_models
from training import cohort

SHARED, SHARED_BY_TELEPHONE = 0.1, 0.07
"""By how much more alike voices are that share a room and a microphone. Strangers of other corpora
score so much higher than those of the cohort, less its own mean; both on the telephone, less so."""
SIGMAS = 3.0
WIDTH = 0.13
"""Cosine of acceptance less that of rejection: as much as the thresholds differ."""
FOR_SPEECH, FOR_ENROLMENTS = 0.06, 0.08
"""By how much owners may be asked for more with 3 s of speech, and with three enrolments on their
channel: their cosines are 0.1 higher with either, those of strangers 0.01, or 0.03 in one room.
Enrolments on the other channel add nothing that one may ask for."""


def main() -> None:
    """Write the scale."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--out", type=Path, default=Path(catalogue.__file__).parent / "weights")
    parser.add_argument("--cohort-only", action="store_true", help="leave the scale as it is")
    wanted = parser.parse_args()
    files = sorted(path for path in (wanted.folder / "read").iterdir() if path.is_file())
    speakers = [path.name.split("-")[0] for path in files]
    recordings = [load(path) for path in files]
    count = cohort.write(recordings, _PARTS, voice_models(_CONFIG).ids, wanted.out)
    Console().print(f"{count} spans of {len(files)} speakers")
    if wanted.cohort_only:
        return
    voiced = [list(_voiced(samples)) for samples in track(recordings, "finding speech")]
    model = Voiceprint(OnnxRuntime(), Library())
    heard = {
        channel: [_embeddings(model, windows) for windows in track(said, f"listening, {channel}")]
        for channel, said in (
            ("wide", voiced),
            ("narrow", [[_on_the_telephone(w) for w in windows] for windows in voiced]),
        )
    }
    voices = {c: unit(np.stack([e.mean(axis=0) for e in heard[c]])) for c in CHANNELS}
    means = np.stack([voices[channel].mean(axis=0) for channel in CHANNELS])
    others = np.array(speakers)[:, None] != np.array(speakers)
    accept = np.zeros((2, 2), np.float32)
    for row, channel in enumerate(CHANNELS):
        tests = unit(unit(np.stack([e[0] for e in heard[channel]])) - means[row])
        for column, theirs in enumerate(CHANNELS):
            cosines = (tests @ unit(voices[theirs] - means[column]).T)[others]
            accept[row, column] = cosines.mean() + SIGMAS * cosines.std()
            accept[row, column] += SHARED_BY_TELEPHONE if row and column else SHARED
    np.savez(
        wanted.out / SCALES[SPEAKER_MODELS["campplus"]],
        means=means.astype(np.float32),
        accept=accept,
        bounds=np.array([WIDTH, FOR_SPEECH, FOR_ENROLMENTS], np.float32),
    )
    Console().print(f"{len(files)} recordings, accepted from {accept.round(3).tolist()} on")


def _voiced(samples: Samples) -> Iterator[Samples]:
    """Yield the speech of a recording, in windows of 1.6 s one after the other."""
    speech = np.concatenate([samples[a:b] for a, b in cohort.runs(samples, _PARTS)])
    size = Voiceprint.max_samples
    for start in range(0, len(speech) - size + 1, size):
        yield speech[start : start + size]


def _on_the_telephone(samples: Samples) -> Samples:
    narrow = Decoder(AudioFormat(rate=NARROW_HZ, codec="mulaw")).push(telephone(samples))
    wide = soxr.resample(narrow, NARROW_HZ, RATE_HZ)
    return np.round(wide * 32767).astype(np.int16)[: len(samples)]


def _embeddings(model: Voiceprint, windows: list[Samples]) -> Floats:
    outputs, _ = model.run(windows, [None] * len(windows), {})
    return np.stack([output.embedding for output in outputs])


_CONFIG = Config(speaker=SpeakerSettings(model="campplus"))
_PARTS = make_parts(_CONFIG, Library())

if __name__ == "__main__":
    main()
