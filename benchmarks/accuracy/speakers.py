"""Enrolled voices under conditions: `python -m benchmarks.accuracy.speakers OUT [--voices DIR]`.

OUT is what `benchmarks.accuracy.manifests` made of the emotion corpora, or of the fixtures. The
recordings are heard once, by the speaker module with both models, and scored as `streamd eval
speaker` does it: with the model of the configuration, and with the model of every window alone.
Prints what errors there are, and what the thresholds in force decide.
"""

import argparse
import os
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.progress import Progress

from streamd.cli.runtime import ready_library
from streamd.config import load
from streamd.evaluation import cache
from streamd.evaluation.conditions import PLAIN, Conditions, parse_noise, parse_room
from streamd.evaluation.evaluate import Module, fingerprint_of, read_manifest
from streamd.evaluation.report import Options, percent
from streamd.evaluation.running import Runner
from streamd.evaluation.streams import Stream
from streamd.evaluation.tasks import Task
from streamd.evaluation.verification import (
    Condition,
    TrialVoice,
    Verification,
    enrolled_rows,
    tested_rows,
)
from streamd.modules.voice_models import VoiceModels
from streamd.voices import voice_models

ACTED = ("ravdess", "nemo", "emodb")
"""Corpora of whole sentences. Most recordings of emospeech have one word."""


class Line(NamedTuple):
    """One line of the table."""

    name: str
    condition: Condition
    conditions: Conditions = PLAIN
    """Of the tests."""
    corpora: tuple[str, ...] = ()
    """The corpora of the voices; none takes all."""


def calm(voices):
    """Yield the lines on calm voices; those of one corpus share a room or a kind of microphone."""
    for line in read(voices):
        yield line._replace(corpora=ACTED)
    for corpus in (*ACTED, "emospeech"):
        yield Line(f"all of {corpus}", Condition("wide", 3.0, 3), corpora=(corpus,))
    for size in (1, 3):
        yield Line("all corpora", Condition("wide", 3.0, size))


def read(voices):
    """Yield the lines on any voices.

    Args:
        voices: Folder of people who talk, for babble; None takes synthetic ones.
    """
    babble = f"10:babble:{voices}" if voices else "10:babble"
    for size, seconds in ((1, 1.0), (1, 2.0), (1, 3.0), (3, 1.0), (3, 2.0), (3, 3.0)):
        yield Line("as recorded", Condition("wide", seconds, size))
    for name, conditions in (
        ("white noise, 10 dB", Conditions(noise=parse_noise("10:white"))),
        ("babble, 10 dB", Conditions(noise=parse_noise(babble))),
        ("room, RT60 0.5 s", Conditions(room=parse_room("500"))),
    ):
        for size, seconds in ((1, 2.0), (3, 3.0)):
            yield Line(name, Condition("wide", seconds, size), conditions)
    for channel, name in (("narrow", "telephone"), ("cross", "telephone, enrolled wide")):
        for size, seconds in ((1, 2.0), (3, 3.0)):
            yield Line(name, Condition(channel, seconds, size))


def moods(corpus):
    """Return the lines on voices that are enrolled calm and tested in other moods."""
    for size in (1, 3):
        yield Line(f"moods, {corpus}", Condition("wide", 2.0, size))


def main():
    parser = argparse.ArgumentParser(
        prog="benchmarks.accuracy.speakers", description=__doc__.split("\n", 1)[0]
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--voices", type=Path, help="folder of people who talk, for babble")
    parser.add_argument("--most", type=int, default=4, help="calm recordings of a voice")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--only", help="only this manifest, as in calm.csv")
    args = parser.parse_args()
    config = load(None, os.environ)
    both = voice_models(config)
    models = {both.windows: VoiceModels(both.windows), **({both.main: both} if both.main else {})}
    columns = ["condition", "enrolments", "test (speech)", "own / other", *(
        f"{what}, {model}"
        for what in ("equal error", "own accepted", "other accepted")
        for model in models
    )]  # fmt: skip
    todo = {
        "speaker.csv": list(read(args.voices)),
        "calm.csv": list(calm(args.voices)),
        **{f"moods-{corpus}.csv": list(moods(corpus)) for corpus in ACTED},
    }
    print("| " + " | ".join(columns) + " |")
    print("|" + "---|" * len(columns))
    for name, lines in todo.items():
        if args.only in (None, name) and (args.out / name).exists():
            manifest = read_manifest(Module.speaker, args.out / name, None)
            rows = some(manifest.rows, args.most) if name == "calm.csv" else manifest.rows
            voices = heard(config, manifest, rows, lines, args.jobs)
            for line in lines:
                print(written(line, rows, voices, config, models), flush=True)


def some(rows, most):
    """Return the first recordings of each voice."""
    by_speaker = {}
    for row in rows:
        by_speaker.setdefault(row.speaker, []).append(row)
    return [row for own in by_speaker.values() for row in own[:most]]


def heard(config, manifest, rows, lines, jobs):
    """Return what is heard of each row, by how it is heard."""
    enrolled, tested = set(enrolled_rows(rows)), set(tested_rows(rows))
    by_enrolment = [line.condition.enrolled_by() for line in lines]
    by_test = [line.condition.tested_by(options(config, line)) for line in lines]
    wanted = [
        tuple(dict.fromkeys(by_enrolment * (row in enrolled) + by_test * (row in tested)))
        for row in rows
    ]
    tasks = [
        Task(stream=Stream(rows=(row,)), beginnings=own)
        for row, own in zip(rows, wanted, strict=True)
    ]
    library = ready_library(config)
    name = cache.fingerprint(fingerprint_of(config, library, {}))
    directory = cache.default_directory(os.environ)
    with (
        closing(cache.Cache(directory, name)) as kept,
        Progress(console=Console(stderr=True)) as progress,
    ):
        bar = progress.add_task(manifest.path.name)

        def report(what, done, total, cached):
            progress.update(bar, completed=done, total=total)

        with closing(Runner(config, library, manifest, {}, kept, jobs, report)) as runner:
            answers = runner("voices", tasks)
    return {
        (row, beginning): TrialVoice.of(voice)
        for row, own, answer in zip(rows, wanted, answers, strict=True)
        for beginning, voice in zip(own, answer["voices"], strict=True)
    }


def options(config, line):
    return Options(config=config, conditions=line.conditions)


def written(line, rows, voices, config, models):
    """Return a row of the table."""
    own = [row for row in rows if not line.corpora or row.corpus in line.corpora]
    found = [
        Verification(line.condition, own, voices, options(config, line), one).described(
            config.speaker.thresholds
        )
        for one in models.values()
    ]
    figures = [
        percent(one[key]) for key in ("eer", "genuine_accept", "impostor_accept") for one in found
    ]
    trials = f"{found[0]['genuine']} / {found[0]['impostor']}"
    test = f"{line.condition.length} ({found[0]['test_speech_ms'] / 1000:.1f})"
    cells = [line.name, str(line.condition.enrolments), test, trials, *figures]
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
