"""Makes the negatives that every custom wake word is trained against.

    python -m training.words.negatives MANIFEST… [--synthetic-min 105]

Each manifest is a CSV with `path` and `licence`, and `category` where it has one: recordings of
wake words are left out. So are those whose licence forbids commercial use, and their number is
said: what is made of them would bind whoever trains a word. Needs flite, espeak-ng and the models.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import soundfile

from streamd.audio.files import load
from streamd.engine.backends.onnxruntime import OnnxRuntime
from streamd.engine.passes.openwakeword import OpenWakeWord
from streamd.models.library import Library
from streamd.types import RATE_HZ, Samples
from streamd.words.augment import background, convolve, room
from streamd.words.features import SETTLING, embed
from streamd.words.negatives import Negatives
from training.words.speech import sentences

DATA = Path(__file__).parents[2] / "streamd" / "words" / "data"
STREAM = 60 * RATE_HZ
TALK_S = 150
NOISE_MIN = 6
ALTERED = 0.3
"""Share of the streams of speech that get a room and noise."""
_TALK_SEED, _NEGATIVES_SEED = 1, 2
_SENTENCES_PER_MIN = 20


def main() -> None:
    """Write `talk.ogg` and `negatives.npz`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("manifests", nargs="*", type=Path, metavar="MANIFEST")
    parser.add_argument("--synthetic-min", type=float, default=105.0)
    parser.add_argument("--out", type=Path, default=DATA)
    wanted = parser.parse_args()
    rng = np.random.default_rng(_NEGATIVES_SEED)

    talk = np.concatenate(list(_cut(sentences(_TALK_SEED, 60), TALK_S * RATE_HZ)))[
        : TALK_S * RATE_HZ
    ]
    soundfile.write(wanted.out / "talk.ogg", talk, RATE_HZ, format="OGG", subtype="OPUS")

    streams: list[tuple[str, Samples]] = []
    for manifest in wanted.manifests:
        for source, files in _chosen(manifest).items():
            order = rng.permutation(len(files))
            streams += [(source, s) for s in _cut((load(files[i]) for i in order), STREAM)]
    spoken = sentences(_NEGATIVES_SEED, int(wanted.synthetic_min * _SENTENCES_PER_MIN))
    streams += [("synthetic speech", s) for s in _cut(spoken, STREAM)]
    streams = [
        (source, _altered(s, rng) if "noise" not in source and rng.random() < ALTERED else s)
        for source, s in streams
    ]
    streams += [("synthetic noise", _noise(rng)) for _ in range(NOISE_MIN)]

    wake = OpenWakeWord(OnnxRuntime(), Library(), ())
    embedded = [e[SETTLING:] for e in embed(wake, [s for _, s in streams])]
    negatives = Negatives(tuple(embedded), tuple(source for source, _ in streams))
    negatives.save(wanted.out / "negatives.npz")
    for source in dict.fromkeys(negatives.sources):
        steps = sum(len(e) for e, s in zip(embedded, negatives.sources, strict=True) if s == source)
        sys.stdout.write(f"{steps * 0.08 / 60:7.1f} min  {source}\n")


def _chosen(manifest: Path) -> dict[str, list[Path]]:
    """Files that may be used, by source and licence."""
    found: dict[str, list[Path]] = {}
    refused = 0
    with manifest.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            category = row.get("category") or row.get("corpus") or "speech"
            if category == "wake":
                continue
            if "NC" in row["licence"]:
                refused += 1
                continue
            base = manifest.parent
            path = (
                base / row["path"] if (base / row["path"]).exists() else base.parent / row["path"]
            )
            source = row["source"].partition("@")[0].removeprefix("github:")
            found.setdefault(f"{category}: {source}, {row['licence']}", []).append(path)
    sys.stderr.write(f"{manifest}: {refused} recordings left out for their licence\n")
    return found


def _cut(recordings: Iterable[Samples], length: int) -> Iterator[Samples]:
    """Recordings one after the other, as streams of some length."""
    held: list[Samples] = []
    for recording in recordings:
        held.append(recording)
        if sum(map(len, held)) >= length:
            yield np.concatenate(held)
            held = []
    if held:
        yield np.concatenate(held)


def _altered(samples: Samples, rng: np.random.Generator) -> Samples:
    sound = samples.astype(np.float64)
    level = np.sqrt(np.mean(sound**2))
    if rng.random() < 0.5:
        sound = convolve(sound, room(rng))
    sound += background(len(sound), rng) * level * 10 ** (-rng.uniform(3, 25) / 20)
    sound *= 10 ** (rng.uniform(-20, 3) / 20)
    return np.clip(np.rint(sound), -32_768, 32_767).astype(np.int16)


def _noise(rng: np.random.Generator) -> Samples:
    parts = [background(5 * RATE_HZ, rng) * 10 ** rng.uniform(1, 3.7) for _ in range(12)]
    return np.clip(np.rint(np.concatenate(parts)), -32_768, 32_767).astype(np.int16)


if __name__ == "__main__":
    main()
