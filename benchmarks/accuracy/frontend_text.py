"""Word errors behind each front end: `python -m benchmarks.accuracy.frontend_text --audio DIR`.

DIR holds the emotion corpora; their RAVDESS clips have known words (`benchmarks/transcripts.py`).
whisper-tiny-en hears whole clips without a voice activity detector, after the front end, whatever
streamd lets the transcript read. Each clip is the start of a stream of its own; with `--joined` one
front end hears all clips of a line one after the other, so that only the first finds it fresh. The
intervals draw speakers.
"""

import argparse
import time
from pathlib import Path

import numpy as np

from benchmarks.transcripts import errors, ours, read, sentences, words
from streamd.evaluation.conditions import (
    Conditions,
    Piece,
    carry,
    parse_loudspeaker,
    parse_noise,
)
from streamd.evaluation.report import written
from streamd.evaluation.statistics import Draws, Metric, ratio
from streamd.front_ends import Kind

from .frontend import made_clean


def cells(voices):
    """Conditions and front ends; those that cost most are last."""
    quiet = Conditions()
    pink = Conditions(noise=parse_noise("10:pink"))
    babble = Conditions(noise=parse_noise(f"10:babble:{voices}"))
    echo = Conditions(loudspeaker=parse_loudspeaker(f"0:{voices}"), far_end=True)
    open_air = {"clean": quiet, "pink noise, 10 dB": pink, "babble, 10 dB": babble}
    for kind in ("off", "webrtc"):
        for name, condition in open_air.items():
            yield name, condition, kind
    for kind in ("off", "echo", "echo+webrtc"):
        yield "loudspeaker, 0 dB", echo, kind
    for name, condition in open_air.items():
        yield name, condition, "deep"


def main():
    parser = argparse.ArgumentParser(prog="benchmarks.accuracy.frontend_text", description=__doc__)
    parser.add_argument("--audio", type=Path, required=True)
    parser.add_argument("--voices", type=Path, required=True, help="folder of people who talk")
    parser.add_argument("--every", type=int, default=60, help="take each n-th clip")
    parser.add_argument("--joined", action="store_true")
    parser.add_argument("--only", action="append", help="one front end, as echo+webrtc; repeat")
    args = parser.parse_args()
    rows = sentences(args.audio)[:: args.every]
    clips = [(row, *read(args.audio, row)) for row in rows]
    transcribe = ours()
    print("| condition | front end | word errors | wrong / words | CPU, s |")
    print("|---|---|---|---|---|")
    for name, condition, kind in cells(args.voices):
        if args.only and kind not in args.only:
            continue
        started = time.process_time()
        wrong, total, metric = word_errors(transcribe, clips, condition, kind, args.joined)
        spent = time.process_time() - started
        shown = written(metric, 100, 0, " %")
        print(f"| {name} | {kind} | {shown} | {wrong} / {total} | {spent:.0f} |", flush=True)


def word_errors(transcribe, clips, condition, kind, is_joined):
    """Return wrong words, words that were said, and their ratio with its interval."""
    wrong, total = [], []
    sounds = [sent(row, samples, condition) for row, samples, _ in clips]
    cleaned = clean_sounds(sounds, kind, is_joined)
    for (_, _, said), samples in zip(clips, cleaned, strict=True):
        wrong.append(errors(words(said), words(transcribe(samples))))
        total.append(len(words(said)))
    counts = np.array(wrong, np.float64), np.array(total, np.float64)
    interval = Draws([row["speaker"] for row, *_ in clips]).interval(ratio(*counts))
    return sum(wrong), sum(total), Metric(sum(wrong) / sum(total), sum(total), interval)


def sent(row, samples, condition):
    """Return what a client sends of a clip: int16 `[n, channels]`."""
    piece = Piece(row["source_path"], 0, len(samples), 0, len(samples))
    data, fmt = carry(samples, [piece], condition, is_narrow=False)
    return np.frombuffer(data, np.int16).reshape(-1, fmt.channels)


def clean_sounds(sounds, kind, is_joined):
    """Return each sound behind the front end: int16 `[n]`."""
    front_end = Kind(() if kind == "off" else tuple(kind.split("+")))
    if not front_end.has_echo:
        sounds = [sound[:, 0] for sound in sounds]
    if not is_joined:
        return [made_clean(sound, front_end) for sound in sounds]
    ends = np.cumsum([len(sound) for sound in sounds])
    return np.split(made_clean(np.concatenate(sounds), front_end), ends[:-1])


if __name__ == "__main__":
    main()
