"""The verdict on an enrolment, and what is told about each issue."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamd.events import Quality
from streamd.files.quality import (
    CLIPPED,
    ENOUGH_MS,
    LITTLE_MS,
    MUCH_CLIPPED,
    NOISY_DB,
    QUIET_DBFS,
    VERY_NOISY_DB,
    VERY_QUIET_DBFS,
    Earlier,
    decoded,
    encoded,
)
from streamd.files.quality import assess as assessed
from streamd.files.unity import ALIKE, is_one_voice, unity
from streamd.files.voice_reading import VoiceSample
from streamd.modules.gallery import Channel
from streamd.modules.speech_levels import SignalLevels
from streamd.modules.voice_models import VoiceModels
from streamd.modules.voice_scale import FittedScale
from streamd.settings import ChannelThresholds
from streamd.types import Floats

CLEAR = SignalLevels(speech_dbfs=-20.0, snr_db=20.0, clipped=0.0)
BOUNDS = ChannelThresholds()


def towards(angle: float, dim: int = 8) -> Floats:
    """A unit vector whose cosine to `towards(0)` is that of the angle, in degrees."""
    vector = np.zeros(dim, np.float32)
    vector[:2] = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    return vector


MODELS = VoiceModels("ge2e")
GOOD = VoiceSample("wide", ENOUGH_MS, {"ge2e": towards(0)}, True, (), 1600, "a.wav", CLEAR)


def before(*earlier: tuple[float, Channel]) -> list[Earlier]:
    return [Earlier({"ge2e": towards(angle)}, channel) for angle, channel in earlier]


def assess(sample: VoiceSample, *earlier: tuple[float, Channel]) -> Quality:
    return assessed(sample, before(*earlier), BOUNDS, MODELS)


def test_a_good_enrolment_has_no_issue() -> None:
    assert assess(GOOD, (20, "wide")) == assess(replace(GOOD, levels=None))
    quality = assess(GOOD)
    assert (quality.verdict, quality.issues) == ("good", ())


CASES = {
    "short": (replace(GOOD, speech_ms=ENOUGH_MS - 1), "short", "usable"),
    "very short": (replace(GOOD, speech_ms=LITTLE_MS - 1), "short", "poor"),
    "clipped": (replace(GOOD, levels=CLEAR._replace(clipped=CLIPPED)), "clipped", "usable"),
    "much clipped": (
        replace(GOOD, levels=CLEAR._replace(clipped=MUCH_CLIPPED)),
        "clipped",
        "poor",
    ),
    "noisy": (replace(GOOD, levels=CLEAR._replace(snr_db=NOISY_DB - 0.1)), "noisy", "usable"),
    "very noisy": (
        replace(GOOD, levels=CLEAR._replace(snr_db=VERY_NOISY_DB - 0.1)),
        "noisy",
        "poor",
    ),
    "quiet": (replace(GOOD, levels=CLEAR._replace(speech_dbfs=QUIET_DBFS - 1)), "quiet", "usable"),
    "very quiet": (
        replace(GOOD, levels=CLEAR._replace(speech_dbfs=VERY_QUIET_DBFS - 1)),
        "quiet",
        "poor",
    ),
    "two voices": (replace(GOOD, is_one=False), "two_voices", "poor"),
}


@pytest.mark.parametrize(("sample", "code", "verdict"), CASES.values(), ids=CASES)
def test_each_issue_is_found_alone_and_says_what_to_do(
    sample: VoiceSample, code: str, verdict: str
) -> None:
    quality = assess(sample)
    (issue,) = quality.issues
    assert (issue.code, quality.verdict) == (code, verdict)
    assert "record" in issue.message


def test_an_enrolment_unlike_the_ones_before_is_poor() -> None:
    quality = assess(GOOD, (70, "wide"), (80, "wide"))
    assert [issue.code for issue in quality.issues] == ["unlike_before"]
    assert quality.verdict == "poor"


@pytest.mark.parametrize(
    ("earlier", "is_unlike"),
    [
        ([(52.0, "wide")], True),
        ([(52.0, "narrow")], False),
        ([(60.0, "narrow")], True),
        ([(60.0, "narrow"), (10.0, "wide")], False),
        ([(10.0, "narrow"), (60.0, "wide")], True),
    ],
)
def test_it_is_compared_with_those_of_its_channel_where_there_are_any(
    earlier: list[tuple[float, Channel]], is_unlike: bool
) -> None:
    assert bool(assess(GOOD, *earlier).issues) is is_unlike


def scaled() -> VoiceModels:
    """A main model that accepts from a cosine of 0.4 on and rejects below 0.3."""
    accept = np.full((2, 2), 0.4, np.float32)
    scale = FittedScale(np.zeros((2, 8), np.float32), accept, 0.1, 0.0, 0.0)
    return VoiceModels("ge2e", "main", scale)


@pytest.mark.parametrize(
    ("main", "ge2e", "channel", "is_unlike"),
    [
        (66, 80, "wide", False),
        (80, 10, "wide", True),
        (66, 80, "narrow", False),
        (80, 10, "narrow", True),
        (None, 80, "wide", True),
        (None, 10, "wide", False),
        (None, 52, "narrow", False),
        (None, 60, "narrow", True),
    ],
)
def test_the_main_model_says_what_is_unlike_where_it_heard_both(
    main: float | None, ge2e: float, channel: Channel, is_unlike: bool
) -> None:
    sample = replace(GOOD, heard={"main": towards(0), "ge2e": towards(0)})
    heard = {"ge2e": towards(ge2e)} | ({} if main is None else {"main": towards(main)})
    quality = assessed(sample, [Earlier(heard, channel)], BOUNDS, scaled())
    assert [issue.code for issue in quality.issues] == ["unlike_before"] * is_unlike


def test_the_verdict_comes_back_from_the_store_as_it_was() -> None:
    for sample, _, _ in CASES.values():
        quality = assess(sample, (90, "wide"))
        assert decoded(encoded(quality)) == quality
    assert decoded("") is None


@pytest.mark.parametrize("count", range(4))
def test_of_few_windows_nothing_is_said(count: int) -> None:
    assert unity([towards(90 * n) for n in range(count)]) == 1.0


@pytest.mark.parametrize(
    "angles",
    [
        [0, 0, 0, 0, 70, 70],
        [70, 70, 0, 0, 0, 0],
        [0, 0, 70, 70, 0, 0, 70, 70],
        [0, 70, 0, 70],
    ],
    ids=["one after another", "the other way round", "in turns", "window by window"],
)
def test_two_voices_are_as_unlike_as_they_are(angles: list[float]) -> None:
    assert unity([towards(angle) for angle in angles]) == pytest.approx(
        np.cos(np.radians(70)), abs=1e-6
    )


@pytest.mark.parametrize(
    ("windows", "main", "is_one"),
    [
        ([0, 0, 60, 60], [], False),
        ([0, 0, 60, 60], [0], False),
        ([0, 0, 60, 60], [0, 60], True),
        ([0, 0, 20, 20], [0, 80], False),
        ([0, 0, 20, 20], [], True),
    ],
)
def test_the_main_model_tells_two_voices_from_one_where_it_heard_two_windows(
    windows: list[float], main: list[float], is_one: bool
) -> None:
    assert is_one_voice([*map(towards, windows)], [*map(towards, main)]) is is_one


@given(st.lists(st.floats(0, 359), min_size=4, max_size=40), st.integers(0, 10**6))
def test_unity_depends_on_no_common_rotation_and_stays_a_cosine(
    angles: list[float], seed: int
) -> None:
    windows = np.stack([towards(angle) for angle in angles])
    found = unity(list(windows))
    assert -1 - 1e-6 <= found <= 1
    rotation, _ = np.linalg.qr(np.random.default_rng(seed).standard_normal((8, 8)))
    turned = (windows @ rotation).astype(np.float32)
    # In which of two equal directions the windows are parted is left to chance.
    spread = np.linalg.svd(windows - windows.mean(0), compute_uv=False)
    if spread[0] - spread[1] > 1e-2:
        assert unity(list(turned)) == pytest.approx(found, abs=1e-3)


@given(st.floats(0, 30), st.integers(4, 20), st.integers(0, 10**6))
def test_windows_of_one_voice_are_one_voice(spread: float, count: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    assert unity([towards(angle) for angle in random.uniform(0, spread, count)]) > ALIKE
