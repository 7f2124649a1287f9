"""The voices of utterances: which make one sample, and which do not. A voice here is an angle."""

import numpy as np
import pytest

from streamd.errors import TooShort, TwoVoices, UnknownUtterance
from streamd.modules.kept_voices import ALIKE, MAX_KEPT, KeptVoice, KeptVoices, SpokenSample
from streamd.modules.turn import Heard
from streamd.modules.voice_models import VoiceModels
from streamd.modules.voice_scale import FittedScale
from streamd.settings import SpeakerSettings
from streamd.types import RATE_HZ, Floats

SETTINGS = SpeakerSettings()
ONE, BOTH = VoiceModels("ge2e"), VoiceModels("ge2e", "main")
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
    samples = ms * RATE_HZ // 1000
    heard = {model: Heard(windows * angle(cosine), windows, 0, samples) for model in models}
    return KeptVoice(heard if windows else {}, samples, name, is_label, is_one)


def kept(*utterances: KeptVoice) -> KeptVoices:
    voices = KeptVoices()
    for number, voice in enumerate(utterances, 1):
        voices.keep(f"u{number}", voice)
    return voices


def sample(voices: KeptVoices, models: VoiceModels = ONE) -> SpokenSample:
    return voices.sample([f"u{n}" for n in range(1, len(voices) + 1)], "wide", SETTINGS, models)


def test_a_sample_is_the_mean_of_all_windows_by_model() -> None:
    both = BOTH.ids
    voices = kept(said(1.0, windows=6, models=both), said(0.8, windows=2, models=both[::-1]))
    found = sample(voices, BOTH)
    mean = 6 * angle(1.0) + 2 * angle(0.8)
    assert found.embeddings.keys() == set(both)
    for embedding in found.embeddings.values():
        np.testing.assert_allclose(embedding, mean / np.linalg.norm(mean), rtol=1e-6)
    assert (found.speech_ms, found.label, found.utterances) == (4000, "S1", ("u1", "u2"))
    assert found.is_one


def test_a_model_that_lacks_an_utterance_has_the_others() -> None:
    voices = kept(said(1.0, models=BOTH.ids), said(0.8, models=("ge2e",)))
    found = sample(voices, BOTH).embeddings
    np.testing.assert_allclose(found["main"], angle(1.0), rtol=1e-6)
    assert float(found["ge2e"] @ angle(1.0)) < 0.99


def scaled() -> VoiceModels:
    """A main model by which cosines from 0.4 on are one voice."""
    accept = np.full((2, 2), 0.4, np.float32)
    scale = FittedScale(np.zeros((2, 2), np.float32), accept, 0.1, 0.0, 0.0)
    return VoiceModels("ge2e", "main", scale)


@pytest.mark.parametrize(
    ("main", "ge2e", "is_one"),
    [(0.45, 0.5, True), (0.32, 0.5, True), (0.28, 0.9, False)],
    ids=["like", "between the bounds", "unlike"],
)
def test_the_main_model_decides_who_is_alike_on_its_own_scale(
    main: float, ge2e: float, is_one: bool
) -> None:
    def voice(cosines: dict[str, float], name: str) -> KeptVoice:
        heard = {m: Heard(3 * angle(c), 3, 0, 2 * RATE_HZ) for m, c in cosines.items()}
        return KeptVoice(heard, 2 * RATE_HZ, name, is_label=True, is_one=True)

    first = voice({"main": 1.0, "ge2e": 1.0}, "S1")
    if is_one:
        assert sample(kept(first, voice({"main": main, "ge2e": ge2e}, "S2")), scaled()).is_one
        return
    with pytest.raises(TwoVoices):
        sample(kept(first, voice({"main": main, "ge2e": ge2e}, "S2")), scaled())
    assert not sample(kept(first, voice({"main": main, "ge2e": ge2e}, "S1")), scaled()).is_one


def test_two_names_are_two_voices_where_they_are_unlike_and_one_where_they_are_alike() -> None:
    assert sample(kept(said(), said(UNLIKE + 0.01, name="S2"))).label == "S1"
    with pytest.raises(TwoVoices):
        sample(kept(said(), said(UNLIKE - 0.01, name="S2")))
    with pytest.raises(TwoVoices):
        sample(kept(said(name=None, is_label=False), said(0.5, name=None, is_label=False)))


def test_what_the_session_gave_one_name_is_one_voice() -> None:
    assert not sample(kept(said(), said(UNLIKE - 0.05))).is_one


def test_what_is_not_quite_alike_is_doubted_unless_there_is_little_of_it() -> None:
    assert sample(kept(said(), said(ALIKE + 0.01))).is_one
    assert not sample(kept(said(), said(ALIKE - 0.01))).is_one
    assert sample(kept(said(windows=1), said(ALIKE - 0.01, windows=1))).is_one


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
        voices.sample(["u1"], "wide", SETTINGS, ONE)
    assert voices.sample(["u2"], "wide", SETTINGS, ONE).speech_ms == 2000
