"""Manifests for `streamd eval`: `python -m benchmarks.accuracy.manifests FOLDER OUT_DIR`.

FOLDER holds the fixtures' `manifest.csv`, or that of the emotion corpora. Of the fixtures it makes
`vad.csv`, `wake.csv`, `speaker.csv`, `emotion.csv`, and `meetings.csv` for the labels of
`streamd eval speaker`; of the corpora `emotion.csv`, and from the same recordings `speech.csv`
(speech without a wake word), `calm.csv` (calm voices to verify), `turns.csv` (two of them that take
turns) and for each corpus `calm-CORPUS.csv` (voices of one room) and `moods-CORPUS.csv` (voices
that are enrolled calm and tested in other moods).
"""

import argparse
import csv
import os
import random
from itertools import chain
from pathlib import Path

from streamd.evaluation.manifest import OPTIONAL, REQUIRED

from .sessions import annotations


def main():
    parser = argparse.ArgumentParser(prog="benchmarks.accuracy.manifests", description=__doc__)
    parser.add_argument("folder", type=Path, help="with manifest.csv")
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    with (args.folder / "manifest.csv").open(encoding="utf-8", newline="") as file:
        found = list(csv.DictReader(file))
    args.out.mkdir(parents=True, exist_ok=True)
    corpora = "corpus" in found[0]
    # The corpora's paths begin with the name of their folder.
    base = args.folder.parent if corpora else args.folder
    for row in found:
        row["path"] = os.path.relpath((base / row["path"]).absolute(), args.out.absolute())
    if corpora:
        write(args.out / "emotion.csv", found)
        write(args.out / "speech.csv", [{**row, "label": "speech"} for row in found])
        voices = calm_voices(found)
        write(args.out / "calm.csv", chain.from_iterable(voices.values()))
        write(args.out / "turns.csv", turns(voices))
        for corpus in sorted({row["corpus"] for row in found}):
            own = [r for r in chain.from_iterable(voices.values()) if r["corpus"] == corpus]
            write(args.out / f"calm-{corpus}.csv", own)
            if tests := list(moods(found, corpus)):
                write(args.out / f"moods-{corpus}.csv", tests)
        return
    by_category = {}
    for row in found:
        by_category.setdefault(row["category"], []).append(row)
    spoken = list(meetings(by_category, base))
    write(args.out / "vad.csv", [*spoken, *noise(by_category)])
    write(args.out / "meetings.csv", [{**row, "session": Path(row["path"]).stem} for row in spoken])
    write(args.out / "wake.csv", found)
    write(args.out / "speaker.csv", by_category["speaker"])
    write(args.out / "emotion.csv", by_category["emotion"])


def meetings(by_category, base):
    """RTTM's turns as rows."""
    for row in by_category["conversation"]:
        length_ms = round(1000 * float(row["seconds"]))
        for speaker, start_ms, end_ms in annotations(base, Path(row["path"]).stem):
            if start_ms < length_ms:
                times = {"start_ms": start_ms, "end_ms": min(end_ms, length_ms)}
                yield {"path": row["path"], "label": "speech", "speaker": speaker, **times}


def calm_voices(found):
    """Up to six calm recordings of more than 1.6 s of each voice that has four."""
    chosen = random.Random(1)
    voices = {}
    for row in found:
        if row["label"] in ("neutral", "calm") and float(row["seconds"]) > 1.6:
            voices.setdefault(row["speaker"], []).append(row)
    return {
        name: chosen.sample(rows, min(6, len(rows)))
        for name, rows in voices.items()
        if len(rows) >= 4
    }


def moods(found, corpus):
    """Neutral recordings to enrol, and those in other moods as tests; calm is neither.

    Of each voice up to eight in a mood.
    """
    chosen = random.Random(3)
    by_mood = {}
    for row in found:
        if row["corpus"] == corpus and row["label"] != "calm":
            by_mood.setdefault((row["speaker"], row["label"]), []).append(row)
    for (speaker, label), rows in by_mood.items():
        if (speaker, "neutral") in by_mood:
            for row in chosen.sample(rows, min(8, len(rows))):
                yield {**row, "split": "enrol" if label == "neutral" else "test"}


def turns(voices):
    """Sessions of two voices of one corpus that take turns."""
    chosen = random.Random(2)
    corpora = {}
    for name, rows in voices.items():
        corpora.setdefault(rows[0]["corpus"], []).append(name)
    for corpus, names in corpora.items():
        chosen.shuffle(names)
        for one, other in zip(names[::2], names[1::2], strict=False):
            for pair in zip(voices[one], voices[other], strict=False):
                for row in pair:
                    yield {**row, "label": "speech", "session": f"{corpus} {one} {other}"}


def noise(by_category):
    return [{**row, "label": "noise"} for row in by_category["noise"]]


def write(path, rows):
    rows = list(rows)
    with path.open("w", encoding="utf-8", newline="") as file:
        columns = [*REQUIRED, *OPTIONAL]
        writer = csv.DictWriter(file, columns, restval="", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    print(f"{path}: {len(rows)} rows")


if __name__ == "__main__":
    main()
