"""A tunable is declared once; what a client may set is some of it."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from fakes.driving import fake_registry
from msgspec import UNSET, inspect

from streamd.modules.emotion import EmotionOptions
from streamd.modules.gallery import Gallery
from streamd.modules.registry import Registry
from streamd.modules.speaker import SpeakerOptions, described
from streamd.modules.vad import HYSTERESIS, VadOptions
from streamd.modules.wake import WakeOptions
from streamd.settings import (
    EmotionSettings,
    SpeakerSettings,
    VadSettings,
    WakeSettings,
    given,
    overridden,
)

MODULES: list[tuple[Any, Any]] = [
    (VadSettings, VadOptions),
    (WakeSettings, WakeOptions),
    (SpeakerSettings, SpeakerOptions),
    (EmotionSettings, EmotionOptions),
]
SHARED = [
    (settings, options, name)
    for settings, options in MODULES
    for name in options.__struct_fields__
    if name in settings.__struct_fields__
]


def numbers(kind: Any, name: str) -> inspect.IntType | inspect.FloatType | None:
    """What a field takes for one number."""
    (field,) = [f for f in inspect.type_info(kind).fields if f.name == name]
    members = field.type.types if isinstance(field.type, inspect.UnionType) else (field.type,)
    found = [m for m in members if isinstance(m, inspect.IntType | inspect.FloatType)]
    return found[0] if found else None


@pytest.mark.parametrize(
    ("settings", "options", "name"), SHARED, ids=lambda part: getattr(part, "__name__", part)
)
def test_a_client_may_set_no_more_than_the_operator(settings: Any, options: Any, name: str) -> None:
    theirs, ours = numbers(options, name), numbers(settings, name)
    assert type(theirs) is type(ours)
    if theirs is not None and ours is not None:
        assert ours.ge <= theirs.ge <= theirs.le <= ours.le


def test_options_take_the_place_of_the_settings_of_their_name_and_of_no_others() -> None:
    settings = VadSettings(on=0.9, gate=False)
    options = VadOptions(hangover_ms=500, threshold=0.6)
    assert overridden(settings, options) == VadSettings(on=0.9, gate=False, hangover_ms=500)
    assert overridden(settings, VadOptions()) == settings
    assert (given(UNSET, 5), given(0, 5)) == (5, 0)


@pytest.fixture(scope="module")
def registry() -> Registry:
    sections: dict[str, dict[str, Any]] = {
        "vad": {"on": 0.9, "off": 0.8, "pre_roll_ms": 100},
        "wake": {"threshold": 0.3, "thresholds": {"timer": 0.4}, "patience": 3},
        "speaker": {"hop_ms": 250, "window_ms": 800, "thresholds": {"narrow": {"accept": 0.9}}},
        "emotion": {"hop_ms": 1000, "threshold": 0.25},
    }
    return fake_registry(**sections)


def test_every_module_has_what_its_section_says(registry: Registry) -> None:
    modules, _ = registry.resolve({"vad": {}, "wake": {"words": ["timer", "alexa"]}})
    more, _ = registry.resolve({"speaker": {}, "emotion": {}}, modules)
    said = registry.describe(more)
    assert (said["vad"]["threshold"], said["vad"]["pre_roll_ms"]) == (0.9, 100)
    assert said["wake"]["thresholds"] == {"timer": 0.4, "alexa": 0.3}
    assert said["wake"]["patience"] == {"timer": 3, "alexa": 3}
    assert (said["speaker"]["hop_ms"], said["speaker"]["window_ms"]) == (250, 800)
    assert said["speaker"]["thresholds"] == {
        "wide": {"accept": 0.78, "reject": 0.65},
        "narrow": {"accept": 0.9, "reject": 0.7},
    }
    assert (said["emotion"]["hop_ms"], said["emotion"]["threshold"]) == (1000, 0.25)


def test_calibrated_thresholds_are_described_unless_a_client_sets_its_own(
    registry: Registry,
) -> None:
    gallery = replace(Gallery.empty(), accept={"wide": 0.6})
    modules, _ = registry.resolve({"vad": {}, "speaker": {}})
    said = described(registry, modules, gallery)
    assert said["vad"] == registry.describe(modules)["vad"]
    assert said["speaker"]["thresholds"] == {
        "wide": {"accept": 0.6, "reject": pytest.approx(0.47)},
        "narrow": {"accept": 0.9, "reject": 0.7},
    }
    modules, _ = registry.resolve({"speaker": {"threshold": 0.5}})
    said = described(registry, modules, gallery)
    assert said["speaker"]["thresholds"]["wide"]["accept"] == 0.5
    assert "speaker" not in described(registry, registry.resolve({"vad": {}})[0], gallery)


def test_what_a_client_sets_comes_before_the_section(registry: Registry) -> None:
    asked = {
        "vad": {"threshold": 0.5, "hangover_ms": 640},
        "wake": {"words": ["timer", "alexa"], "threshold": {"alexa": 0.6}, "patience": 2},
        "speaker": {"threshold": 0.5},
        "emotion": {"threshold": 0},
    }
    modules, warnings = registry.resolve(asked)
    said = registry.describe(modules)
    assert warnings == []
    assert (said["vad"]["threshold"], said["vad"]["hangover_ms"]) == (0.5, 640)
    assert said["wake"]["thresholds"] == {"timer": 0.4, "alexa": 0.6}
    assert said["wake"]["patience"] == {"timer": 2, "alexa": 2}
    assert said["speaker"]["thresholds"] == {
        "wide": {"accept": 0.5, "reject": pytest.approx(0.37)},
        "narrow": {"accept": 0.5, "reject": pytest.approx(0.3)},
    }
    assert said["emotion"]["threshold"] == 0  # and not what the model was calibrated with


def test_a_threshold_of_a_client_moves_both_edges_of_speech(registry: Registry) -> None:
    settings = registry.vad.effective(VadOptions(threshold=0.6))
    assert (settings.on, settings.off) == (0.6, 0.6 - HYSTERESIS)
    assert msgspec.structs.replace(settings, on=0.9, off=0.8) == registry.vad.settings
