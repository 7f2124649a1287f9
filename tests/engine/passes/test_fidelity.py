"""The converted models say what the published ones say."""

import numpy as np
import pytest
from pass_driver import DATA, items, outputs

from streamd.engine.passes.ge2e import Ge2eVoice
from streamd.engine.passes.openwakeword import OpenWakeWord
from streamd.engine.passes.silero import SileroVad, run_in
from streamd.engine.passes.voiceprint import Voiceprint
from streamd.engine.passes.warm import initial_rows

pytestmark = pytest.mark.models

WORDS = ("alexa", "hey_jarvis", "hey_mycroft", "hey_marvin", "weather", "timer")
ZEROED = 5
"""Steps for which openwakeword reports 0 instead of what it computed."""


@pytest.mark.filterwarnings("ignore:Specified provider:UserWarning")  # it asks for CUDA
def test_wake_scores_are_those_of_openwakeword_over_minutes(
    backend, library, openwakeword, published, minutes
):
    heads = published / "openwakeword" / "resources" / "models"
    theirs = openwakeword.Model([str(heads / f"{word}_v0.1.onnx") for word in WORDS])
    ours = OpenWakeWord(backend, library)
    worst, best = dict.fromkeys(WORDS, 0.0), dict.fromkeys(WORDS, 0.0)
    for step, (item, got) in enumerate(
        zip(items(ours, minutes), outputs(ours, minutes, WORDS), strict=True)
    ):
        want = theirs.predict(item[ours.context_samples :])
        if step < ZEROED:
            continue
        for word in WORDS:
            score, class_name = got[word]
            # Given paths, openwakeword names timer's classes by number.
            if word == "timer":
                classes = {str(n): float(want[str(n)]) for n in range(1, 7)}
                expected = max(classes.values())
                if expected > 0.01:
                    number = int(max(classes, key=classes.get))
                    assert class_name == openwakeword.model_class_mappings["timer"][str(number)]
            else:
                expected = float(want[f"{word}_v0.1"])
                assert class_name is None
            worst[word] = max(worst[word], abs(score - expected))
            best[word] = max(best[word], score)
    assert max(worst.values()) <= 1e-4, worst
    assert min(best.values()) > 0.5, f"the speech must make every word fire: {best}"


def test_silero_probabilities_are_those_of_the_shipped_graph_over_minutes(
    backend, reference, library, published, minutes
):
    theirs = reference.load(published / "silero_vad" / "data" / "silero_vad.onnx")
    ours = SileroVad(backend, library)
    state = np.zeros((2, 1, 128), np.float32)
    for item in run_in():
        audio = item[None].astype(np.float32) / 32768
        _, state = theirs({"input": audio, "state": state, "sr": np.array(16_000)})
    worst, spoken, frames = 0.0, 0, 0
    for item, got in zip(items(ours, minutes), outputs(ours, minutes), strict=True):
        audio = item[None].astype(np.float32) / 32768
        want, state = theirs({"input": audio, "state": state, "sr": np.array(16_000)})
        worst = max(worst, abs(got - float(want[0, 0])))
        spoken += got > 0.5
        frames += 1
    assert worst <= 1e-4
    assert 0.2 < spoken / frames < 0.9, "the stream must have speech and none"


@pytest.mark.parametrize(
    ("file", "cosine", "difference"), [("ge2e", 0.9999, 1e-4), ("ge2e_int8", 0.997, 0.05)]
)
def test_embeddings_are_those_of_resemblyzers_own_network(
    backend, library, voices, file, cosine, difference
):
    ours = Ge2eVoice(backend, library, file)
    reference = np.load(DATA / "ge2e_reference.npz")
    windows = [
        voices[clip][start : start + length]
        for clip, start, length in zip(
            reference["clip"], reference["start"], reference["length"], strict=True
        )
    ]
    for first in range(0, len(windows), ours.max_batch):
        batch = windows[first : first + ours.max_batch]
        got, _ = ours.run(batch, [None] * len(batch), initial_rows(ours, len(batch)))
        for number, voice in enumerate(got, first):
            assert float(voice.embedding @ reference["embedding"][number]) >= cosine
            np.testing.assert_allclose(voice.states, reference["states"][number], atol=difference)


@pytest.mark.parametrize(
    ("file", "cosine", "mean"), [("campplus", 0.99999, 0.99999), ("campplus_int8", 0.98, 0.99)]
)
def test_embeddings_are_those_of_the_published_campplus(
    backend, library, voices, file, cosine, mean
):
    ours = Voiceprint(backend, library, file)
    reference = np.load(DATA / "campplus_reference.npz")
    windows = [
        voices[clip][start : start + ours.max_samples] // divisor
        for clip, start, divisor in zip(
            reference["clip"], reference["start"], reference["divisor"], strict=True
        )
    ]
    assert len(windows) == 30
    got, _ = ours.run(windows, [None] * len(windows), {})
    cosines = [
        float(voice.embedding @ want)
        for voice, want in zip(got, reference["embedding"], strict=True)
    ]
    assert min(cosines) >= cosine
    assert np.mean(cosines) >= mean
    assert np.mean(reference["embedding"][::2] @ reference["embedding"][::2].T) < 0.6
