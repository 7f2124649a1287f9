"""A wake word that tests may use: "hey lantern", made of four committed clips."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from streamd.engine.backends.onnxruntime import OnnxRuntime
from streamd.engine.passes.openwakeword import OpenWakeWord
from streamd.engine.passes.silero import SileroVad
from streamd.models.library import Library
from streamd.words.clips import Clip, load_clip
from streamd.words.making import Making, make_word
from streamd.words.negatives import Negatives, built_in

DATA = Path(__file__).parents[1] / "data"
PHRASES = {v: DATA / f"phrase_{v}.flac" for v in ("slt", "rms", "awb", "kal16", "espeak")}
CLIP_VOICES = ("slt", "rms", "espeak", "kal16")
"""Voices in the clips that the word is made of."""


@cache
def passes() -> tuple[OpenWakeWord, SileroVad]:
    backend, library = OnnxRuntime(), Library()
    return OpenWakeWord(backend, library, ()), SileroVad(backend, library)


def clips() -> list[Clip]:
    return [load_clip(PHRASES[voice], passes()[1]) for voice in CLIP_VOICES]


def few_negatives() -> Negatives:
    """A few minutes of the built-in ones: enough for a test, and fast."""
    return built_in().part(0, 30)


@cache
def lantern() -> Making:
    """Made once per process."""
    return make_word("hey_lantern", clips(), passes()[0], few_negatives())
