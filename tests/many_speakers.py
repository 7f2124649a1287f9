"""Recordings of ten speakers, for what is fitted to many."""

from pathlib import Path

import numpy as np
import soundfile
from daemons import DATA, RATE_HZ, VOICES

SECONDS = 8


def record(folder: Path) -> Path:
    """Write a folder for each speaker: the committed voices as they are, and higher."""
    for voice in VOICES:
        samples, _ = soundfile.read(DATA / f"speech_{voice}.flac", dtype="int16")
        for name, step in (("low", 1.0), ("high", 1.18)):
            places = np.arange(0, len(samples) - 1, step)[: SECONDS * RATE_HZ]
            higher = np.interp(places, np.arange(len(samples)), samples).astype(np.int16)
            (folder / f"{voice}-{name}").mkdir(parents=True)
            soundfile.write(folder / f"{voice}-{name}" / "a.flac", higher, RATE_HZ)
    return folder
