"""What the verdict on an enrolment finds: `python benchmarks/enrolment.py AUDIO`.

AUDIO is a folder of recordings of one voice each, FLAC or Opus, 16 kHz, whose names begin with the
speaker's number. Each is judged as it is and made worse: with noise, clipped, quieter, and followed
by another voice. Prints how many of each kind have which issue.
"""

import argparse
import os
import sys
from collections import Counter
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as `streamd serve` sets it, before numpy

import msgspec
import numpy as np
import soundfile
from rich.console import Console
from rich.progress import track
from rich.table import Table

from streamd.compose import make_parts
from streamd.config import Config
from streamd.config.sections import EngineConfig
from streamd.files.quality import assess
from streamd.files.recording import Recording
from streamd.files.voice_reading import read_voice, speaker_settings, voice_models
from streamd.models.library import Library
from streamd.types import RATE_HZ, AudioFormat

CODES = ("short", "clipped", "noisy", "quiet", "two_voices")
SPLITS = ((5, 5), (6, 4), (3, 3), (8, 2))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("audio", type=Path, nargs="+", help="folders of recordings of one voice")
    parser.add_argument("--noise", type=Path, help="folder of recordings of noise")
    parser.add_argument("--model", help="speaker.model; the default one if left out")
    parser.add_argument("--every", type=int, default=4, help="recordings that are made worse")
    args = parser.parse_args()
    recordings = [read(path) for folder in args.audio for path in files(folder)]
    noises = [read(path) for path in files(args.noise)] if args.noise else []
    config = Config(engine=EngineConfig(threads=1))
    speaker = msgspec.structs.replace(config.speaker, model=args.model or config.speaker.model)
    parts = make_parts(msgspec.structs.replace(config, speaker=speaker), Library())
    console, found = Console(width=100), {}
    for kind, samples in track(list(cases(recordings, noises, args.every)), console=console):
        found.setdefault(kind, []).append(judged(parts, samples))
    table = Table(title="enrolments that have an issue")
    for head in ("recordings", "n", *CODES, "good", "poor"):
        table.add_column(head, justify="right")
    for kind, all_ in found.items():
        codes = Counter(issue.code for quality in all_ for issue in quality.issues)
        verdicts = Counter(quality.verdict for quality in all_)
        figures = [len(all_), *(codes[code] for code in CODES), verdicts["good"], verdicts["poor"]]
        table.add_row(kind, *map(str, figures))
    console.print(table)


def files(folder):
    return sorted(path for path in folder.iterdir() if path.suffix in (".flac", ".opus", ".wav"))


def read(path):
    samples, rate = soundfile.read(path, dtype="float64", always_2d=True)
    assert rate == RATE_HZ, path
    return samples.mean(axis=1)


def cases(recordings, noises, every):
    """Yield the kind and the samples of each recording to judge."""
    random = np.random.default_rng(0)
    for samples in recordings:
        yield "as they are", samples
    for number, samples in enumerate(recordings[::every]):
        for snr_db in (20, 15, 10, 5):
            hiss = random.standard_normal(len(samples))
            yield f"white noise, {snr_db} dB", mixed(samples, hiss, snr_db)
            if noises:
                noise = np.resize(noises[7 * number % len(noises)], len(samples))
                yield f"noises, {snr_db} dB", mixed(samples, noise, snr_db)
        for db in (3, 10, 20):
            yield f"{db} dB over", samples / np.abs(samples).max() * 10 ** (db / 20)
        for db in (20, 35):
            yield f"{db} dB quieter", samples * 10 ** (-db / 20)
    long = [samples for samples in recordings if len(samples) >= 8 * RATE_HZ]
    for number, samples in enumerate(long):
        other = long[(number + 7) % len(long)]
        first, second = SPLITS[number % len(SPLITS)]
        yield (
            f"two voices, {first} + {second} s",
            np.concatenate([samples[: first * RATE_HZ], other[: second * RATE_HZ]]),
        )


def mixed(samples, noise, snr_db):
    power = np.mean(samples**2) / max(np.mean(noise**2), 1e-12) / 10 ** (snr_db / 10)
    return samples + noise * np.sqrt(power)


def judged(parts, samples):
    pcm = np.clip(np.round(samples * 32768), -32768, 32767).astype("<i2").tobytes()
    blocks = (pcm[start : start + 16_384] for start in range(0, len(pcm), 16_384))
    recording = Recording("a", AudioFormat(), blocks)
    sample = read_voice(recording, parts, 8, lambda seconds: None)
    thresholds = speaker_settings(parts.registry).thresholds
    return assess(sample, [], thresholds, voice_models(parts.registry))


if __name__ == "__main__":
    sys.exit(main())
