"""Synthetic talk by flite and espeak-ng: hours of speech that nobody has to license.

Sentences are random common words and words that do not exist; voices, pace and
pitch are drawn anew for each. All of it follows from a seed and the versions of the two programs.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import soundfile
import soxr

from streamd.types import RATE_HZ, Samples
from streamd.words.phrases import common_words

FLITE_VOICES = {"slt": 180, "rms": 105, "awb": 125, "kal16": 110}
"""Voices and their usual pitch, Hz."""
LANGUAGES = """
en-us en-us en-us en-gb en-gb en-gb-scotland en-029 en-gb-x-rp de fr-fr es it nl pt-br sv da fi
pl cs ru tr el hu ro id sw vi hi ar ja ko cmn
"""
"""Of espeak-ng. English text read by the rules of another language is speech all the same."""
VARIANTS = "m1 m2 m3 m4 m5 m6 m7 m8 f1 f2 f3 f4 f5 klatt klatt2 klatt3 Andy Annie Gene steph"
ONSETS = "b bl br ch d dr f fl fr g gl gr h j k kl kr l m n p pl pr r s sh sk sl st t tr v w y z"
NUCLEI = "a e i o u ai ay ee oo ou oi ar er or"
CODAS = "b d f g k l m n ng p r s sh t x v z"
NO_CODA = 0.15

_VOCABULARY = sorted(common_words())


def sentences(seed: int, count: int) -> Iterator[Samples]:
    """Spoken sentences, int16 at 16 kHz.

    Args:
        seed: of words and voices.
        count: how many.

    Raises:
        FileNotFoundError: flite or espeak-ng is not installed.
    """
    rng = np.random.default_rng(seed)
    commands = [_command(_sentence(rng), rng) for _ in range(count)]
    with ThreadPoolExecutor(2) as pool:
        yield from pool.map(_spoken, commands)


def _sentence(rng: np.random.Generator) -> str:
    words = []
    for _ in range(rng.integers(2, 13)):
        word = str(rng.choice(_VOCABULARY)) if rng.random() < 0.8 else _nonsense(rng)
        words.append(word + (str(rng.choice([",", ".", "?"])) if rng.random() < 0.15 else ""))
    return " ".join(words)


def _nonsense(rng: np.random.Generator) -> str:
    return "".join(
        rng.choice(ONSETS.split()) + rng.choice(NUCLEI.split()) + _coda(rng)
        for _ in range(rng.integers(1, 5))
    )


def _coda(rng: np.random.Generator) -> str:
    return "" if rng.random() < NO_CODA else str(rng.choice(CODAS.split()))


def _command(text: str, rng: np.random.Generator) -> list[str]:
    pace = rng.uniform(0.75, 1.3)
    if rng.random() < 0.45:
        voice = str(rng.choice(list(FLITE_VOICES)))
        pitch = FLITE_VOICES[voice] * rng.uniform(0.8, 1.35)
        sets = [
            "--setf",
            f"duration_stretch={pace:.3f}",
            "--setf",
            f"int_f0_target_mean={pitch:.0f}",
        ]
        return ["flite", "-voice", voice, *sets, "-t", text, "-o"]
    voice = f"{rng.choice(LANGUAGES.split())}+{rng.choice(VARIANTS.split())}"
    pitch = str(rng.integers(15, 85))
    return ["espeak-ng", "-v", voice, "-s", f"{170 / pace:.0f}", "-p", pitch, text, "-w"]


def _spoken(command: list[str]) -> Samples:
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        subprocess.run([*command, file.name], check=True, capture_output=True)
        sound, rate_hz = soundfile.read(file.name, dtype="float32")
    if rate_hz != RATE_HZ:
        sound = soxr.resample(sound, rate_hz, RATE_HZ)
    return np.rint(np.clip(sound, -1, 1) * 32767).astype(np.int16)
