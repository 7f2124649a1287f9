"""Custom wake words: misses of words made of a few clips, at 2 false accepts an hour.

    python -m benchmarks.words FIXTURES [--negatives MANIFEST] [--draws 3] [--json FILE]

FIXTURES has `manifest.csv` with `path`, `category`, `label`, `licence`. For each word that has
enough clips, N of them are drawn and made into a word just as `streamd words add` does; all others
are scored, as they are and in recorded noise (category `noise`) at 10 dB. Two thresholds are
looked at: the one that gives 2 false accepts an hour on negatives that no head was trained on, and
the one that the word would be served with. Held-out negatives are the recordings of MANIFEST whose
licence kept them out of the built-in ones. Beside it the baseline: the same logistic regression,
on the clips as they are, against random negatives.
"""

import argparse
import csv
import json
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from streamd.audio.files import load
from streamd.engine.backends.onnxruntime import OnnxRuntime
from streamd.engine.passes.heads import WordHead
from streamd.engine.passes.openwakeword import OpenWakeWord
from streamd.engine.passes.silero import SileroVad
from streamd.errors import NotAudio
from streamd.intervals import poisson, wilson
from streamd.models.library import Library
from streamd.types import RATE_HZ
from streamd.words.augment import plain_copy
from streamd.words.clips import load_clip
from streamd.words.features import SETTLING, STEP, embed
from streamd.words.making import make_word
from streamd.words.negatives import built_in
from streamd.words.training import (
    EmbeddedCopy,
    Linear,
    crossings,
    threshold_for,
    train,
    window_for,
)

SNR_DB = 10
NOISES = 3
SIZES = (3, 5, 10)
LEAST_TESTED = 3
STREAM = 60 * RATE_HZ


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("fixtures", type=Path)
    parser.add_argument("--negatives", type=Path, help="manifest of held-out speech")
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--words", nargs="*", help="labels; all that have enough clips")
    parser.add_argument("--json", type=Path)
    wanted = parser.parse_args()
    backend, library = OnnxRuntime(), Library()
    wake, vad = OpenWakeWord(backend, library, ()), SileroVad(backend, library)

    rows = read_manifest(wanted.fixtures / "manifest.csv")
    noises = [load(path) for path, row in rows if row["category"] == "noise"]
    by_word = defaultdict(list)
    for path, row in rows:
        if row["category"] == "wake" and (not wanted.words or row["label"] in wanted.words):
            try:
                by_word[row["label"]].append(load_clip(path, vad))
            except NotAudio as error:
                print(f"left out: {error}")
    held_out = embedded_negatives(wanted.negatives, wake)
    hours = sum(map(len, held_out)) * STEP / RATE_HZ / 3600
    print(f"{built_in().seconds / 3600:.1f} h of negatives to train on, {hours:.1f} h held out")

    found = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    for word, clips in sorted(by_word.items()):
        if len(clips) < SIZES[0] + LEAST_TESTED:
            continue
        rng = np.random.default_rng(len(clips))
        tests = {"clean": test_copies(clips, None, rng), "10 dB": test_copies(clips, noises, rng)}
        tests = {c: [embed(wake, copies) for copies in each] for c, each in tests.items()}
        for size in (size for size in SIZES if size + LEAST_TESTED <= len(clips)):
            for _ in range(wanted.draws):
                order = rng.permutation(len(clips))
                drawn, rest = [clips[i] for i in order[:size]], order[size:]
                began = time.monotonic()
                packed = make_word("a", drawn, wake, built_in()).word.head
                head, served = WordHead.unpack(packed), 0.0
                took = time.monotonic() - began
                recipes = {
                    "recipe": (Linear(head.weights, head.bias), served),
                    "baseline": (baseline(drawn, wake, rng), None),
                }
                for recipe, (linear, own) in recipes.items():
                    logits = [linear.logits(stream) for stream in held_out]
                    points = {"2 FA/h": threshold_for(logits, 2 * hours), "as served": own}
                    for point, threshold in points.items():
                        if threshold is None:
                            continue
                        for condition, copies in tests.items():
                            missed = [
                                linear.best(EmbeddedCopy(e, 0, 0)) < threshold
                                for i in rest
                                for e in copies[i]
                            ]
                            for label in (word, "all"):
                                counts = found[recipe, point, size, condition][label]
                                counts[0] += sum(missed)
                                counts[1] += len(missed)
                        events = sum(crossings(stream, threshold) for stream in logits)
                        for label in (word, "all"):
                            counts = found[recipe, point, size, "false accepts"][label]
                            counts[0] += events
                            counts[1] += hours
                print(f"{word} N={size}: {took:.0f} s", file=sys.stderr, flush=True)
    report(found)
    if wanted.json:
        flat = [
            {"recipe": r, "point": p, "clips": n, "condition": c, "word": w, "count": k, "of": of}
            for (r, p, n, c), words in found.items()
            for w, (k, of) in words.items()
        ]
        wanted.json.write_text(json.dumps(flat, indent=1))


def baseline(clips, wake, rng):
    copies = [plain_copy(clip, rng) for clip in clips for _ in range(4)]
    found = embed(wake, [copy.samples for copy in copies])
    embedded = [EmbeddedCopy.of(c, e) for c, e in zip(copies, found, strict=True)]
    window = window_for(max(clip.stop - clip.start for clip in clips))
    return train(embedded, [], built_in(), window, 0, rounds=1)


def test_copies(clips, noises, rng):
    """Each clip in a quiet room, or several times in noise: int16 with a second before it."""
    each = []
    for clip in clips:
        copies = []
        for _ in range(NOISES if noises else 1):
            before = RATE_HZ + int(rng.integers(STEP))
            sound = np.pad(clip.samples.astype(float), (before, RATE_HZ // 2))
            sound += rng.normal(0, 8, len(sound))
            if noises:
                noise = noises[rng.integers(len(noises))].astype(float)
                noise = np.resize(np.roll(noise, rng.integers(len(noise))), len(sound))
                phrase = sound[before + clip.start : before + clip.stop]
                level = np.sqrt(np.mean(phrase**2) / max(np.mean(noise**2), 1e-9))
                sound += noise * level * 10 ** (-SNR_DB / 20)
            copies.append(sound.clip(-32_768, 32_767).astype(np.int16))
        each.append(copies)
    return each


def embedded_negatives(manifest, wake):
    """Held-out streams; without a manifest a part of the built-in ones, which flatters."""
    if manifest is None:
        return list(built_in().streams[::4])
    rng, streams, held = np.random.default_rng(0), [], []
    rows = [path for path, row in read_manifest(manifest) if "NC" in row["licence"]]
    for i in rng.permutation(len(rows)):
        held.append(load(rows[i]))
        if sum(map(len, held)) > STREAM:
            streams.append(np.concatenate(held))
            held = []
    return [e[SETTLING:] for e in embed(wake, streams)]


def read_manifest(manifest):
    with manifest.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    bases = (manifest.parent, manifest.parent.parent)
    return [(next(b / r["path"] for b in bases if (b / r["path"]).exists()), r) for r in rows]


def report(found):
    for (recipe, point, size, condition), words in sorted(found.items(), key=str):
        cells = []
        for word, (count, of) in sorted(words.items(), key=lambda item: item[0] != "all"):
            if condition == "false accepts":
                low, high = (bound / of for bound in poisson(count))
                cells.append(f"{word} {count / of:.1f}/h [{low:.1f}, {high:.1f}]")
            else:
                low, high = wilson(count, of)
                cells.append(
                    f"{word} {100 * count / of:.1f} % [{100 * low:.1f}, {100 * high:.1f}] of {of}"
                )
        print(f"{recipe:8} {point:9} N={size:<2} {condition:13} " + "  ".join(cells))


if __name__ == "__main__":
    main()
