"""The speech that is played: clips of the package, or the user's audio."""

from __future__ import annotations

import random
from collections.abc import Iterator
from importlib import resources
from io import BytesIO
from pathlib import Path

import numpy as np

from streamd.audio.files import as_pcm16, load, read
from streamd.audio.source import AudioIn
from streamd.errors import NotAudio
from streamd.types import RATE_HZ, Samples

MAX_CLIP_S = 10
"""Longest clip, seconds. Longer audio is split, so that no two streams play it in step."""
MIN_CLIP_S = 0.5
MAX_TOTAL_S = 600
"""Most audio, seconds: enough for variety; every process of the load holds it (19 MB)."""
_SUFFIXES = {
    ".aac", ".aif", ".aiff", ".flac", ".m4a", ".mp3", ".mp4", ".oga", ".ogg", ".opus", ".wav",
    ".webm",
}  # fmt: skip


def read_clips(place: Path | None, seed: int = 1) -> list[Samples]:
    """Read clips, int16 at 16 kHz, of 0.5 to 10 s each and at most 600 s in all.

    Args:
        place: a file, or a folder with its subfolders; None for the clips of the package.
        seed: decides which files of a large folder are taken.

    Raises:
        NotAudio: there is no audio.
        Unavailable: it cannot be read.
    """
    if place is None:
        return _own()
    if not place.is_dir():
        clips = list(_pieces(place, MAX_TOTAL_S))
        if not clips:
            raise NotAudio(f"{place}: shorter than {MIN_CLIP_S} s; take a longer recording")
        return clips
    files = sorted(f for f in place.rglob("*") if f.suffix.lower() in _SUFFIXES and f.is_file())
    random.Random(seed).shuffle(files)
    clips, left_s = [], float(MAX_TOTAL_S)
    for file in files:
        try:
            for clip in _pieces(file, left_s):
                clips.append(clip)
                left_s -= len(clip) / RATE_HZ
        except NotAudio:
            continue  # one broken file in a folder does not matter
        if left_s < MIN_CLIP_S:
            break
    if not clips:
        found = f"none of {len(files)} files can be decoded" if files else "no audio files in it"
        raise NotAudio(f"{place}: {found}; name a recording, or a folder of WAV, FLAC or MP3")
    return clips


def _own() -> list[Samples]:
    files = resources.files("streamd.bench").joinpath("clips").iterdir()
    clips = []
    for file in sorted((f for f in files if f.name.endswith(".flac")), key=lambda f: f.name):
        with file.open("rb") as opened:
            clips.append(load(BytesIO(opened.read()), name=file.name))
    return clips


def _pieces(file: Path, most_s: float) -> Iterator[Samples]:
    """Yield the first `most_s` of a file in clips; a remainder that is too short is dropped."""
    source = read(file)
    audio = AudioIn(source.format)
    size, left = MAX_CLIP_S * RATE_HZ, int(most_s * RATE_HZ)
    held = np.zeros(0, np.int16)
    for block in source.blocks:
        held = np.concatenate([held, audio.push(as_pcm16(block))])
        while len(held) >= size and left >= size:
            yield held[:size]
            held, left = held[size:], left - size
        if len(held) >= left:
            break
    else:
        held = np.concatenate([held, audio.tail()])
    held = held[:left]
    if len(held) >= MIN_CLIP_S * RATE_HZ:
        yield held
