"""An offset of the microphone makes no other voice pass for an enrolled one."""

from pathlib import Path
from typing import Literal

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
from streamd.engine.passes.voiceprint import Voiceprint
from streamd.engine.passes.warm import initial_rows
from streamd.models.library import Library
from streamd.modules.centroids import Centroids
from streamd.modules.gallery import Gallery
from streamd.observability.metrics import Metrics
from streamd.settings import SpeakerSettings, WakeSettings
from streamd.types import RATE_HZ, Samples
from streamd.voices import voice_models

pytestmark = pytest.mark.models

DATA = Path(__file__).parents[1] / "data"
WINDOW = 25_600
DC = 983
"""0.03 of full scale."""


def clip(name: str) -> Samples:
    audio, _ = soundfile.read(DATA / f"speech_{name}.flac", dtype="int16")
    return audio


@pytest.mark.parametrize("model", ["ge2e", "campplus"])
def test_different_voices_differ_as_much_with_an_offset_as_without(
    model: Literal["ge2e", "campplus"],
) -> None:
    backend, library = OnnxRuntime(), Library()
    voice, voiceprint = Ge2eVoice(backend, library), Voiceprint(backend, library)
    passes: list[Pass] = [SileroVad(backend, library), voice, Ge2eSpeculative(voice), voiceprint]
    config = Config(wake=WakeSettings(load=(), words=()), speaker=SpeakerSettings(model=model))
    registry = make_registry(config, passes[0], Metrics(), None)
    owner = clip("slt")
    windows = [owner[at : at + WINDOW] for at in range(0, len(owner) - WINDOW, RATE_HZ)]
    models = voice_models(config)
    deciding = voiceprint if models.main else voice
    outputs, _ = deciding.run(windows, [None] * len(windows), initial_rows(deciding, len(windows)))
    embedding = np.mean([one.embedding for one in outputs], axis=0, keepdims=True)
    enrolled = Centroids.build(embedding, np.array([0]), np.array([0]), models.scale)
    gallery = Gallery.of(["owner"], {models.deciding: enrolled})

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
