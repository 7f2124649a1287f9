"""The voices of utterances: which make one sample, and which do not. A voice here is an angle."""

import numpy as np
import pytest

from streamd.errors import TooShort, TwoVoices, UnknownUtterance
from streamd.modules.kept_voices import MAX_KEPT, KeptVoice, KeptVoices, SpokenSample
from streamd.settings import SpeakerSettings
from streamd.types import RATE_HZ, Floats

SETTINGS = SpeakerSettings()
UNLIKE = SETTINGS.thresholds.wide.reject


def angle(cosine: float) -> Floats:
    return np.array([cosine, np.sqrt(1 - cosine**2)], np.float32)


def said(
    cosine: float = 1.0,
    *,
    windows: int = 3,
    ms: int = 2000,
    name: str | None = "S1",
    is_label: bool = True,
    is_one: bool = True,
    models: tuple[str, ...] = ("ge2e",),
) -> KeptVoice:
    totals = {model: windows * angle(cosine) for model in models} if windows else {}
    return KeptVoice(totals, windows, ms * RATE_HZ // 1000, name, is_label, is_one)


def kept(*utterances: KeptVoice) -> KeptVoices:
    voices = KeptVoices()
    for number, voice in enumerate(utterances, 1):
        voices.keep(f"u{number}", voice)
    return voices


def sample(voices: KeptVoices) -> SpokenSample:
    return voices.sample([f"u{n}" for n in range(1, len(voices) + 1)], "wide", SETTINGS)


def test_a_sample_is_the_mean_of_all_windows_by_model() -> None:
    voices = kept(said(1.0, windows=6, models=("a", "b")), said(0.8, windows=2, models=("b", "a")))
    found = sample(voices)
    mean = 6 * angle(1.0) + 2 * angle(0.8)
    assert found.embeddings.keys() == {"a", "b"}
    for embedding in found.embeddings.values():
        np.testing.assert_allclose(embedding, mean / np.linalg.norm(mean), rtol=1e-6)
    assert (found.speech_ms, found.label, found.utterances) == (4000, "S1", ("u1", "u2"))
    assert found.unity == pytest.approx(0.8)


def test_a_model_that_lacks_an_utterance_has_no_part_in_it() -> None:
    voices = kept(said(models=("a", "b")), said(models=("b",)))
    assert sample(voices).embeddings.keys() == {"b"}


def test_two_names_are_two_voices_where_they_are_unlike_and_one_where_they_are_alike() -> None:
    assert sample(kept(said(), said(UNLIKE + 0.01, name="S2"))).label == "S1"
    with pytest.raises(TwoVoices):
        sample(kept(said(), said(UNLIKE - 0.01, name="S2")))
    with pytest.raises(TwoVoices):
        sample(kept(said(name=None, is_label=False), said(0.5, name=None, is_label=False)))


def test_what_the_session_gave_one_name_is_one_voice() -> None:
    assert sample(kept(said(), said(UNLIKE - 0.05))).unity == pytest.approx(UNLIKE - 0.05)


def test_one_that_differs_is_found_among_many() -> None:
    with pytest.raises(TwoVoices):
        sample(kept(said(), said(0.95, name="S2"), said(0.5, name="S3")))


def test_a_change_inside_an_utterance_is_two_voices() -> None:
    with pytest.raises(TwoVoices, match="inside u2"):
        sample(kept(said(), said(is_one=False)))


@pytest.mark.parametrize(
    "voices",
    [[said(ms=1599)], [said(ms=700), said(ms=899)], [said(windows=0, ms=5000)]],
)
def test_less_speech_than_a_window_is_too_short(voices: list[KeptVoice]) -> None:
    with pytest.raises(TooShort):
        sample(kept(*voices))


def test_an_utterance_without_a_window_adds_its_speech_alone() -> None:
    found = sample(kept(said(windows=0, ms=300, name=None, is_label=False), said(ms=1300)))
    assert (found.speech_ms, found.label) == (1600, "S1")


def test_only_a_sure_label_is_one() -> None:
    assert sample(kept(said(name="Ada", is_label=False))).label is None
    assert sample(kept(said(name="Ada", is_label=False), said(name="S3"))).label == "S3"


def test_the_oldest_utterance_goes_first() -> None:
    voices = kept(*[said()] * (MAX_KEPT + 1))
    assert len(voices) == MAX_KEPT
    with pytest.raises(UnknownUtterance, match="'u1'"):
        voices.sample(["u1"], "wide", SETTINGS)
    assert voices.sample(["u2"], "wide", SETTINGS).speech_ms == 2000
