"""Do calibrated thresholds keep what they promise? Voices that calibration has never heard.

    python -m benchmarks.calibration MANIFEST.csv --target-far 0.01 --voices 6

run from the repository's root, with streamd installed. The manifest has the columns `path`
(relative to it) and `speaker`; each recording is of one speaker, in the same room as all others.

Galleries are drawn at random, with three enrolments for each voice; the rest of the recordings are
tests: those of enrolled speakers and those of all others. It prints what a calibration of each
gallery promises and what the tests show, as means over the galleries.
"""

from __future__ import annotations

import argparse
import csv
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.progress import track

from streamd.audio.files import load
from streamd.calibration.calibrate import Material, calibrate
from streamd.calibration.cohort import Cohort
from streamd.calibration.scores import made_of
from streamd.compose import Parts, make_parts
from streamd.config import Config
from streamd.files.offline import OfflineAnalysis
from streamd.files.voice_reading import VoiceReading
from streamd.models.library import Library
from streamd.modules.gallery import Gallery, Match, Spoken
from streamd.modules.voice_models import VoiceModels
from streamd.settings import SpeakerSettings
from streamd.store.base import Recording
from streamd.types import RATE_HZ, AudioFormat
from streamd.voices import voice_models

ENROLMENTS = 3
GALLERIES = 20
MIN_SPEECH_MS = 1000


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.calibration", description=__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--target-far", type=float, default=0.01)
    parser.add_argument("--voices", type=int, default=6, help="voices of a gallery")
    parser.add_argument("--model", default="campplus", help="speaker.model")
    parser.add_argument("--most", type=int, default=10, help="recordings of each speaker")
    args = parser.parse_args(arguments)
    config = Config(speaker=SpeakerSettings(model=args.model))
    models, parts = voice_models(config), make_parts(config, Library())
    heard = _read(args.manifest, args.most, models, parts)
    by_speaker = {
        name: own
        for name in sorted({one.voice for one in heard})
        if len(own := [one for one in heard if one.voice == name]) > ENROLMENTS
    }
    configured = config.speaker.thresholds.wide.accept
    cohort, draw = Cohort.load(models.ids), random.Random(0)
    rows = []
    for _ in range(GALLERIES):
        enrolled = draw.sample(sorted(by_speaker), args.voices)
        shuffled = {name: draw.sample(own, len(own)) for name, own in by_speaker.items()}
        recordings = [one for name in enrolled for one in shuffled[name][:ENROLMENTS]]
        gallery = made_of(recordings, models)
        found = calibrate(
            Material(gallery, recordings, ()), cohort, models, args.target_far
        ).channels["wide"]
        owners = [one for name in enrolled for one in shuffled[name][ENROLMENTS:]]
        best = [_best(one, gallery) for one in heard if one.voice not in enrolled]
        strangers = np.array([match.score for match in best])
        own = np.array(
            [m.score if (m := _best(one, gallery)).name == one.voice else -1 for one in owners]
        )
        rows.append(
            (
                found.threshold,
                (strangers >= found.threshold).mean(),
                (strangers >= configured).mean(),
                found.frr[0],
                (own < found.threshold).mean(),
            )
        )
    threshold, far, far_before, said, missed = np.mean(rows, axis=0)
    print(f"{len(by_speaker)} speakers, galleries of {args.voices}, {GALLERIES} of them")
    print(f"threshold {threshold:.3f}; with the configuration's {configured}: ", end="")
    print(f"strangers accepted {100 * far_before:.1f} %")
    print(f"strangers: promised {100 * args.target_far:.1f} %, accepted {100 * far:.1f} %")
    print(f"owners: said {100 * said:.1f} %, not accepted {100 * missed:.1f} %")


def _read(manifest: Path, most: int, models: VoiceModels, parts: Parts) -> list[Recording]:
    """Return what the models hear in the recordings."""
    with manifest.open(newline="") as file:
        rows = list(csv.DictReader(file))
    counts: dict[str, int] = {}
    found = []
    random.Random(0).shuffle(rows)
    for row in track(rows, "listening"):
        name = row["speaker"]
        if counts.get(name, 0) >= most:
            continue
        counts[name] = counts.get(name, 0) + 1
        samples = load(manifest.parent / row["path"])
        reading = VoiceReading(parts.registry)
        analysis = OfflineAnalysis(
            parts.engine, reading.registry, reading.modules, AudioFormat(), Gallery.empty()
        )
        try:
            for start in range(0, len(samples), RATE_HZ):
                list(analysis.feed(samples[start : start + RATE_HZ].tobytes()))
            list(analysis.end())
        finally:
            analysis.close()
        voice = reading.voice("wide")
        if voice.embedding is not None and voice.speech_ms >= MIN_SPEECH_MS:
            embeddings = {models.deciding: voice.embedding, **voice.others}
            found.append(Recording(name, "wide", voice.speech_ms, embeddings))
    return found


def _best(one: Recording, gallery: Gallery) -> Match:
    """Return the voice that somebody is taken for."""
    spoken = {model: Spoken(row, one.speech_ms / 1000) for model, row in one.embeddings.items()}
    return gallery.find(spoken, "wide", 1)[0]


if __name__ == "__main__":
    main()
