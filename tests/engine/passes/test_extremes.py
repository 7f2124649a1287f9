"""Any int16 there is gives an answer in range."""

import numpy as np
import pytest
from pass_driver import outputs

from streamd.engine.passes.fake import FakeVad, FakeVoice, FakeWake
from streamd.engine.passes.ge2e import Ge2eVoice, raise_level
from streamd.engine.passes.openwakeword import OpenWakeWord
from streamd.engine.passes.silero import SileroVad
from streamd.engine.passes.voiceprint import Voiceprint
from streamd.engine.passes.webrtc import WebrtcVad

LOW, HIGH = -32_768, 32_767
EXTREMES = {
    "silence": np.zeros(16_000),
    "highest": np.full(16_000, HIGH),
    "lowest": np.full(16_000, LOW),
    "every other sample": np.tile([LOW, HIGH], 8_000),
    "one click": np.where(np.arange(16_000) == 7_000, LOW, 0),
    "one bit": np.arange(16_000) % 2,
}


@pytest.fixture(params=EXTREMES, ids=str)
def extreme(request):
    return EXTREMES[request.param].astype(np.int16)


@pytest.mark.models
def test_silero_gives_a_probability(backend, library, extreme):
    assert all(0 <= p <= 1 for p in outputs(SileroVad(backend, library), extreme))


@pytest.mark.parametrize("model", [WebrtcVad(), FakeVad()], ids=["webrtc", "fake"])
def test_the_vads_without_a_model_give_a_probability(model, extreme):
    assert all(0 <= p <= 1 for p in outputs(model, extreme))


@pytest.mark.models
def test_every_word_gets_a_score_and_the_state_stays_finite(backend, library, extreme):
    model = OpenWakeWord(backend, library)
    for scores in outputs(model, extreme, model.words):
        assert set(scores) == set(model.words)
        assert all(0 <= score <= 1 for score, _ in scores.values())


def test_the_fake_wake_gives_a_score(extreme):
    assert all(0 <= s["alexa"][0] <= 1 for s in outputs(FakeWake(), extreme, ("alexa",)))


@pytest.mark.models
def test_an_embedding_is_of_length_one_and_finite(backend, library, extreme):
    (voice,), _ = Ge2eVoice(backend, library).run([extreme], [None], {})
    assert voice.embedding.shape == (256,)
    assert voice.states.shape == (1024,)
    assert np.linalg.norm(voice.embedding) == pytest.approx(1, abs=1e-5)
    assert np.isfinite(voice.states).all()


@pytest.mark.models
@pytest.mark.parametrize("file", ["campplus", "campplus_int8"])
def test_an_embedding_by_campplus_is_of_length_one(backend, library, file, extreme):
    model = Voiceprint(backend, library, file)
    window = np.resize(extreme, model.max_samples)
    (voice,), _ = model.run([window], [None], {})
    assert voice.embedding.shape == voice.shapes["embedding"]
    assert voice.embedding.dtype == np.float32
    assert np.linalg.norm(voice.embedding) == pytest.approx(1, abs=1e-5)


def test_a_fake_embedding_is_of_length_one(extreme):
    (voice,), _ = FakeVoice().run([extreme], [None], {})
    assert np.linalg.norm(voice.embedding) == pytest.approx(1, abs=1e-5)


@pytest.mark.models
@pytest.mark.parametrize("length", [0, 6_399, 25_601])
def test_a_window_that_the_network_cannot_take_is_refused(backend, library, length):
    with pytest.raises(ValueError, match="6400 to 25600"):
        Ge2eVoice(backend, library).run([np.zeros(length, np.int16)], [None], {})


@pytest.mark.models
@pytest.mark.parametrize("length", [0, 6_399, 25_601])
def test_campplus_refuses_windows_of_other_lengths(backend, library, length):
    model = Voiceprint(backend, library)
    windows = [np.zeros(25_600, np.int16), np.zeros(length, np.int16)]
    with pytest.raises(ValueError, match=f"6400 to 25600 samples, not {length}"):
        model.run(windows, [None] * 2, {})


@pytest.mark.models
def test_campplus_hears_a_short_window_again_and_again(backend, library, minutes):
    model = Voiceprint(backend, library)
    short = minutes[40_000:][:9_000]
    got, _ = model.run([short, np.resize(short, 25_600)], [None] * 2, {})
    assert (got[0].embedding == got[1].embedding).all()


def test_level_is_raised_to_minus_30_dbfs_and_never_lowered():
    tone = np.sin(np.arange(16_000) / 5)
    faint, loud = (np.round(a * tone).astype(np.int16) for a in (100, 20_000))
    raised = raise_level(faint)
    assert 10 * np.log10(np.mean(raised**2)) == pytest.approx(-30, abs=0.01)
    np.testing.assert_array_equal(raise_level(loud), loud.astype(np.float32) / 32_768)
    assert not raise_level(np.zeros(400, np.int16)).any()
