"""Decisions on two voices, and on one among those that are enrolled."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.errors import TooShort
from streamd.files.comparison import MIN_SPEECH_MS, identify, required, verify
from streamd.files.voice_cache import FileVoice
from streamd.modules.gallery import Gallery
from streamd.modules.voice_models import VoiceModels
from streamd.modules.voice_scale import FittedScale
from streamd.settings import ChannelThresholds

THRESHOLDS = ChannelThresholds()
MODELS = VoiceModels("windows")


def voice(cosine: float = 1.0, channel: str = "wide", speech_ms: int = 3000) -> FileVoice:
    """A voice whose cosine to `voice()` is this."""
    vector = np.array([cosine, np.sqrt(max(1 - cosine**2, 0)), 0], np.float32)
    return FileVoice(vector, speech_ms, channel)  # type: ignore[arg-type]


def gallery(**cosines: float) -> Gallery:
    rows = np.stack([voice(cosine).embedding for cosine in cosines.values()])  # type: ignore[misc]
    owners = np.arange(len(cosines))
    return Gallery.build(tuple(cosines), rows, owners, np.zeros(len(cosines), int))


@pytest.mark.parametrize(
    ("cosine", "channels", "decision", "threshold"),
    [
        (0.79, ("wide", "wide"), "accept", 0.78),
        (0.77, ("wide", "wide"), "unsure", 0.78),
        (0.66, ("wide", "wide"), "unsure", 0.78),
        (0.64, ("wide", "wide"), "reject", 0.78),
        (0.79, ("wide", "narrow"), "unsure", 0.8),
        (0.79, ("narrow", "wide"), "unsure", 0.8),
        (0.81, ("narrow", "narrow"), "accept", 0.8),
        (0.69, ("narrow", "narrow"), "reject", 0.8),
    ],
)
def test_the_decision_follows_the_thresholds_of_the_channels(
    cosine: float, channels: tuple[str, str], decision: str, threshold: float
) -> None:
    found = verify(voice(1.0, channels[0]), voice(cosine, channels[1]), MODELS, THRESHOLDS)
    assert (found.decision, found.threshold) == (decision, threshold)
    assert found.similarity == pytest.approx(cosine, abs=1e-6)


@given(st.floats(-1, 1), st.floats(-1, 1))
def test_verification_is_symmetric_and_a_cosine(one: float, other: float) -> None:
    there = verify(voice(one), voice(other), MODELS, THRESHOLDS)
    assert there == verify(voice(other), voice(one), MODELS, THRESHOLDS)
    assert -1 <= there.similarity <= 1


def test_the_nearest_voice_is_named_unless_it_is_rejected() -> None:
    enrolled = gallery(ada=0.9, bob=0.7, eve=0.1)
    found = identify(voice(), enrolled, MODELS, THRESHOLDS, limit=2)
    assert (found.decision, found.speaker) == ("accept", "ada")
    assert found.score == pytest.approx(0.9)
    assert found.margin == pytest.approx(0.2)
    assert [match.name for match in found.candidates] == ["ada", "bob"]
    unsure = identify(voice(), gallery(bob=0.7, eve=0.1), MODELS, THRESHOLDS, limit=1)
    assert (unsure.decision, unsure.speaker) == ("unsure", "bob")
    assert unsure.margin == pytest.approx(0.6)
    assert [match.name for match in unsure.candidates] == ["bob"]
    stranger = identify(voice(), gallery(eve=0.1), MODELS, THRESHOLDS, limit=5)
    assert (stranger.decision, stranger.speaker, stranger.margin) == ("reject", None, None)
    assert [match.name for match in stranger.candidates] == ["eve"]


def test_of_an_empty_gallery_everybody_is_rejected() -> None:
    found = identify(voice(), Gallery.empty(), MODELS, THRESHOLDS, limit=5)
    assert (found.decision, found.speaker, found.score) == ("reject", None, 0.0)
    assert (found.margin, list(found.candidates)) == (None, [])


@pytest.mark.parametrize(
    "short", [voice(speech_ms=MIN_SPEECH_MS - 1), FileVoice(None, 5000, "wide")]
)
def test_too_little_speech_is_refused_with_the_amount(short: FileVoice) -> None:
    with pytest.raises(TooShort, match=rf"a\.wav: {short.speech_ms} ms of speech; .*{500} ms"):
        required(short, "a.wav")
    assert required(voice(speech_ms=MIN_SPEECH_MS), "a.wav") is not None


def test_a_main_model_decides_on_its_own_scale_and_the_other_helps_with_little_speech() -> None:
    accept = np.full((2, 2), 0.4, np.float32)
    scale = FittedScale(np.zeros((2, 3), np.float32), accept, 0.13, 0.0, 0.0)
    models = VoiceModels("windows", "main", scale)

    def heard(main: float, windows: float, speech_ms: int = 3000) -> FileVoice:
        other = voice(windows).embedding
        assert other is not None
        return voice(main, speech_ms=speech_ms)._replace(others={"windows": other})

    found = verify(heard(1, 1), heard(0.5, -1), models, THRESHOLDS)
    assert (found.decision, found.threshold) == ("accept", 0.78)
    assert verify(heard(1, 1), heard(0.3, 1), models, THRESHOLDS).decision == "unsure"
    assert verify(heard(1, 1), heard(0.2, 1), models, THRESHOLDS).decision == "reject"
    short = verify(heard(1, 1), heard(0.3, 1, 900), models, THRESHOLDS)
    assert short.decision == "accept"
