"""Enrolled voices under conditions: `python -m benchmarks.accuracy.speakers OUT [--voices DIR]`.

OUT is what `benchmarks.accuracy.manifests` made of the emotion corpora. Runs `streamd eval speaker`
with each model in each condition, and prints what errors there are and what the thresholds in force
decide.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

from streamd.evaluation.report import percent

MODELS = ("ge2e", "campplus")


class Line(NamedTuple):
    """One condition of one evaluation."""

    name: str
    channel: str
    enrolments: int
    length_s: float | None

    @property
    def where(self):
        return {"channel": self.channel, "enrolments": self.enrolments, "length_s": self.length_s}


class Run(NamedTuple):
    """One evaluation, of which some lines are shown."""

    manifest: str
    options: tuple[str, ...]
    lines: tuple[Line, ...]


def runs(voices):
    babble = f"10:babble:{voices}" if voices else "10:babble"
    pairs = [(1, 1), (1, 2), (1, 3), (3, 2), (3, 3)]
    wide = tuple(Line("as recorded", "wide", size, length) for size, length in pairs)
    telephone = tuple(
        Line(name, channel, size, length)
        for channel, name in (("narrow", "telephone"), ("cross", "telephone, enrolled wide"))
        for size, length in ((1, 2), (3, 3))
    )
    yield Run("calm.csv", (), (*wide, *telephone))
    for name, options in (
        ("white noise at 10 dB", ("--noise", "10:white")),
        ("babble at 10 dB", ("--noise", babble)),
        ("room, RT60 0.5 s", ("--room", "500")),
    ):
        lines = tuple(Line(name, "wide", size, length) for size, length in ((1, 2), (3, 3)))
        yield Run(
            "calm.csv", ("--channel", "wide", "--length", "2", "--length", "3", *options), lines
        )
    for corpus in ("ravdess", "nemo", "emodb"):
        lines = tuple(
            Line(f"moods, {corpus}", "wide", size, length) for size, length in ((1, 2), (3, 2))
        )
        yield Run(f"moods-{corpus}.csv", ("--channel", "wide", "--length", "2"), lines)


def main():
    parser = argparse.ArgumentParser(
        prog="benchmarks.accuracy.speakers", description=__doc__.split("\n", 1)[0]
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--voices", type=Path, help="folder of people who talk, for babble")
    parser.add_argument("--models", nargs="+", default=MODELS)
    args = parser.parse_args()
    columns = ["condition", "enrolments", "test", "own / other", *(
        f"{what}, {model}"
        for what in ("equal error", "own accepted", "other accepted")
        for model in args.models
    )]  # fmt: skip
    print("| " + " | ".join(columns) + " |")
    print("|" + "---|" * len(columns))
    for run in runs(args.voices):
        found = [evaluate(args.out / run.manifest, model, run.options) for model in args.models]
        for line in run.lines:
            print(written(line, found), flush=True)


def evaluate(manifest, model, options):
    command = [sys.executable, "-m", "streamd", "eval", "speaker", manifest, "--json", *options]
    done = subprocess.run(
        command,
        check=True,
        stdout=subprocess.PIPE,
        env=os.environ | {"STREAMD_SPEAKER__MODEL": model},
    )
    return json.loads(done.stdout)["thresholds"]


def written(line, found):
    """Return a row of the table, from the results by model."""
    own = [next(one for one in all_ if line.where.items() <= one.items()) for all_ in found]
    figures = [
        percent(one[key]) for key in ("eer", "genuine_accept", "impostor_accept") for one in own
    ]
    test = f"{line.length_s:g} s"
    trials = f"{own[0]['genuine']} / {own[0]['impostor']}"
    return "| " + " | ".join([line.name, str(line.enrolments), test, trials, *figures]) + " |"


if __name__ == "__main__":
    main()
