"""Manifests for `streamd eval`: `python -m benchmarks.accuracy.manifests FOLDER OUT_DIR`.

FOLDER holds the fixtures' `manifest.csv`, or that of the emotion corpora. Of the fixtures it makes
`vad.csv`, `wake.csv`, `speaker.csv`, `emotion.csv`, and `meetings.csv` for the labels of
`streamd eval speaker`; of the corpora `emotion.csv`.
"""

import argparse
import csv
import os
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
        return
    by_category = {}
    for row in found:
        by_category.setdefault(row["category"], []).append(row)
    turns = list(meetings(by_category, base))
    write(args.out / "vad.csv", [*turns, *noise(by_category)])
    write(args.out / "meetings.csv", [{**row, "session": Path(row["path"]).stem} for row in turns])
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


def noise(by_category):
    return [{**row, "label": "noise"} for row in by_category["noise"]]


def write(path, rows):
    with path.open("w", encoding="utf-8", newline="") as file:
        columns = [*REQUIRED, *OPTIONAL]
        writer = csv.DictWriter(file, columns, restval="", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    print(f"{path}: {len(rows)} rows")


if __name__ == "__main__":
    main()
