"""An offset of the microphone makes no other voice pass for an enrolled one."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from fakes.driving import Player, Stage, pcm

from streamd.compose import make_registry
from streamd.config import Config
from streamd.engine.backends.onnxruntime import OnnxRuntime
from streamd.engine.passes.base import Pass
from streamd.engine.passes.ge2e import Ge2eSpeculative, Ge2eVoice
from streamd.engine.passes.silero import SileroVad
from streamd.engine.passes.warm import initial_rows
from streamd.models.library import Library
from streamd.modules.gallery import Gallery
from streamd.observability.metrics import Metrics
from streamd.settings import WakeSettings
from streamd.types import RATE_HZ, Samples

pytestmark = pytest.mark.models

DATA = Path(__file__).parents[1] / "data"
WINDOW = 25_600
DC = 983
"""0.03 of full scale."""


def clip(name: str) -> Samples:
    audio, _ = soundfile.read(DATA / f"speech_{name}.flac", dtype="int16")
    return audio


def test_different_voices_differ_as_much_with_an_offset_as_without() -> None:
    backend, library = OnnxRuntime(), Library()
    voice = Ge2eVoice(backend, library)
    passes: list[Pass] = [SileroVad(backend, library), voice, Ge2eSpeculative(voice)]
    no_words = Config(wake=WakeSettings(load=(), words=()))
    registry = make_registry(no_words, passes[0], Metrics(), None)
    owner = clip("slt")
    windows = [owner[at : at + WINDOW] for at in range(0, len(owner) - WINDOW, RATE_HZ)]
    outputs, _ = voice.run(windows, [None] * len(windows), initial_rows(voice, len(windows)))
    embedding = np.mean([one.embedding for one in outputs], axis=0, keepdims=True)
    gallery = Gallery.build(["owner"], embedding, np.array([0]), np.array([0]))

    def scores(audio: Samples) -> list[float]:
        player = Player(
            Stage(passes), registry, {"vad": {}, "speaker": {}}, gallery=lambda: gallery
        )
        player.play([pcm(audio)])
        finals = [e for e in player.of("speaker") if e["final"]]
        assert all(e["decision"] != "accept" for e in finals)
        return [e["score"] for e in finals]

    room = np.rint(np.random.default_rng(0).normal(0, 8, RATE_HZ)).astype(np.int16)
    for name in ("kal16", "espeak", "rms", "awb"):
        other = clip(name)[: 6 * RATE_HZ].astype(np.float64)
        slow = np.convolve(other, np.ones(1601) / 1601, "same")
        faint = np.concatenate([room, np.rint((other - slow) / 10).astype(np.int16), room])
        without, with_dc = scores(faint), scores((faint + DC).astype(np.int16))
        assert without
        assert with_dc == pytest.approx(without, abs=0.01)
