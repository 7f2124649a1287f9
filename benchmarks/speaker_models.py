"""What each speaker model costs: `python benchmarks/speaker_models.py --audio DIR`.

The serving session and engine in one thread, without sockets, every module and four wake words on:
all streams are fed 20 ms at a time, so that batches form as they do live. Every round runs the same
audio with every model in turns. The table has the median of the CPU milliseconds per second of
audio and stream, and of the ratios to GE2E in the same round.

A file belongs to the voice that its name begins with, up to the first `-` or `_`. The first half of
a voice's files enrols it, where it is enrolled; streams play the other half, in random order, with
quiet between. So streams meet no voice that has enrolled, only such, or as many of the one kind as
of the other.
"""

import argparse
import itertools
import json
import os
import re
import statistics
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as `streamd serve` sets it, before numpy

import numpy as np
from modules import SETS, run
from rich.console import Console
from rich.progress import track
from rich.table import Table

from streamd.audio.files import load
from streamd.bench.mixing import Mixer
from streamd.compose import make_parts
from streamd.config import Config
from streamd.config.sections import EngineConfig
from streamd.files.enrolment import enrol
from streamd.files.recording import Recording
from streamd.files.voice_reading import read_voice, voice_models
from streamd.models.library import Library
from streamd.modules.emotion import BASELINE_MODEL
from streamd.settings import SpeakerSettings
from streamd.store.base import DEFAULT_TENANT
from streamd.store.sqlite import open_store
from streamd.types import RATE_HZ, AudioFormat
from streamd.voices import DEFAULT_SPEAKER_MODELS

MESSAGE_MS = 20
MODULES = list(SETS.values())[-1]
ENROLLED = {"nobody": 0, "half": 2, "everybody": 1}
"""Who is enrolled: none, or every so-manyth voice."""
BASE = "ge2e"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--audio", type=Path, required=True, help="folder of 16 kHz files")
    parser.add_argument("--streams", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--duty", type=float, default=0.4, help="share of the time with speech")
    parser.add_argument("--models", default=",".join(DEFAULT_SPEAKER_MODELS))
    parser.add_argument("--enrolled", default=",".join(ENROLLED))
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    models = args.models.split(",")
    enrolled = {who: ENROLLED[who] for who in args.enrolled.split(",")}
    voices = by_voice(args.audio)
    parts = {model: parts_with(model) for model in models}
    streams = make_streams(voices, args.streams, args.seconds, args.duty)
    galleries = {
        (who, model): gallery(parts[model], list(voices.items())[:: every or 1] if every else [])
        for who, every in enrolled.items()
        for model in models
    }
    cost = {key: [] for key in galleries}
    heard = {}
    console = Console()
    for _, (who, model) in track(
        list(itertools.product(range(args.rounds), galleries)), "rounds", console=console
    ):
        before = windows(parts[model])
        spent = run(parts[model], MODULES, streams, galleries[who, model])
        cost[who, model].append(1000 * spent / (args.streams * args.seconds))
        heard[who, model] = (windows(parts[model]) - before) / (args.streams * args.seconds)
    figures = [
        {"enrolled": who, "model": model, "windows_per_s": round(heard[who, model], 3)}
        | compared(cost[who, model], cost[who, BASE])
        for who, model in galleries
    ]
    show(console, figures, f"{args.streams} streams, voiced {args.duty:.0%}")
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2) + "\n")


def compared(values, base):
    """Return the cost of a model, ms/s, and its ratios to GE2E in the same rounds."""
    ratios = [a / b for a, b in zip(values, base, strict=True)]
    return {
        "ms_per_stream_second": round(statistics.median(values), 2),
        "ratio": round(statistics.median(ratios), 3),
        "ratio_least": round(min(ratios), 3),
        "ratio_most": round(max(ratios), 3),
    }


def show(console, figures, title):
    table = Table(title=f"{title}, CPU ms per stream-second")
    for column in ("enrolled", "model", "ms/s", "to GE2E", "least", "most", "its windows a second"):
        table.add_column(column)
    for row in figures:
        numbers = ("ms_per_stream_second", "ratio", "ratio_least", "ratio_most", "windows_per_s")
        table.add_row(row["enrolled"], row["model"], *(str(row[name]) for name in numbers))
    console.print(table)


def by_voice(folder):
    """Return the files of each voice, samples by name; the first half of them enrols it."""
    voices = {}
    for path in sorted(p for p in folder.iterdir() if p.suffix in (".flac", ".wav", ".opus")):
        with path.open("rb") as opened:
            samples = load(opened, name=path.name)
        voices.setdefault(re.split("[-_]", path.stem)[0], []).append(samples)
    for name, files in voices.items():
        if len(files) == 1:  # a voice with one file: its first half enrols it
            voices[name] = np.array_split(files[0], 2)
    return voices or sys.exit(f"no recordings in {folder}")


def parts_with(model):
    speaker = SpeakerSettings(model=model)
    return make_parts(Config(engine=EngineConfig(threads=1), speaker=speaker), Library())


def make_streams(voices, count, seconds, duty):
    """Return what streams play: int16 at 16 kHz."""
    clips = [clip for files in voices.values() for clip in files[len(files) // 2 :]]
    mixer = Mixer(clips, MESSAGE_MS, duty)
    messages = int(seconds * 1000 / MESSAGE_MS)
    played = (
        b"".join(message.pcm for message in itertools.islice(mixer.stream(index), messages))
        for index in range(count)
    )
    return [np.frombuffer(pcm, np.int16) for pcm in played]


def gallery(parts, voices):
    """Return the gallery of these voices."""
    with tempfile.TemporaryDirectory() as home:
        store = open_store(Path(home, "streamd.db"), Path(home, "key"), DEFAULT_TENANT)
        enrol_all(store, parts, voices)
        found = store.load_gallery(voice_models(parts.registry), BASELINE_MODEL)
        store.close()
    return found


def enrol_all(store, parts, voices):
    """Enrol these voices with the first half of their files, as `streamd enroll` does it."""
    for name, files in voices:
        samples = [
            read_voice(recording(name, audio), parts, 8, lambda _: None)
            for audio in files[: len(files) // 2]
        ]
        enrol(store, name, [one for one in samples if one.is_enough], parts.registry)


def recording(name, audio):
    step = RATE_HZ // 10
    blocks = (audio[at : at + step].tobytes() for at in range(0, len(audio), step))
    return Recording(name, AudioFormat(), blocks, len(audio) / RATE_HZ)


def windows(parts):
    """Return how many windows the costlier model has computed."""
    (family,) = parts.metrics.jobs.collect()
    return sum(
        sample.value
        for sample in family.samples
        if sample.name.endswith("_total") and sample.labels["pass"] == "voiceprint"
    )


if __name__ == "__main__":
    main()
