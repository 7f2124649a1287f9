"""What a client asks of the modules, by the rules of the wire."""

from typing import Any

import pytest
from fakes.driving import fake_registry

from streamd.errors import BadConfig
from streamd.modules.registry import ModuleSet, Registry


@pytest.fixture(scope="module")
def registry() -> Registry:
    return fake_registry(speaker={"thresholds": {"wide": {"accept": 0.75, "reject": 0.65}}})


def on(modules: ModuleSet) -> set[str]:
    return set(modules)


def test_without_modules_the_defaults_are_on(registry: Registry) -> None:
    modules, warnings = registry.resolve(None)
    assert on(modules) == {"vad", "wake", "speaker", "emotion"}
    assert modules["wake"].names == ("alexa",)
    assert warnings == []
    few, _ = fake_registry(session={"modules": ["vad"]}).resolve(None)
    assert on(few) == {"vad"}


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({}, set()),
        ({"vad": {}}, {"vad"}),
        ({"speaker": {}, "wake": {}}, {"speaker", "wake"}),
        ({"vad": True, "wake": False}, {"vad"}),
        ({"transcript": False, "emotion": False}, set()),
    ],
)
def test_given_modules_are_exactly_what_is_on(
    registry: Registry, request_: dict[str, Any], expected: set[str]
) -> None:
    modules, warnings = registry.resolve(request_)
    assert on(modules) == expected
    assert warnings == []


def test_true_and_an_empty_object_are_the_defaults(registry: Registry) -> None:
    names = ("vad", "wake", "speaker")
    assert registry.resolve(dict.fromkeys(names, True)) == registry.resolve(
        {name: {} for name in names}
    )


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"nose": {}}, "unknown_module"),
        ({"nose": False}, "unknown_module"),
        ({"enrolment": {}}, "unknown_module"),
        ({"vad": {"treshold": 0.5}}, "unknown_option"),
        ({"wake": {"word": "alexa"}}, "unknown_option"),
        ({"speaker": {"hop": None}}, "unknown_option"),
        ({"transcript": {}}, "module_unavailable"),
        ({"transcript": True}, "module_unavailable"),
        ({"transcript": {"hop_ms": "wrong, but there is nobody to say so"}}, "module_unavailable"),
        ({"wake": {"words": ["alexa", "computer"]}}, "unknown_word"),
    ],
)
def test_what_is_not_known_is_a_warning_and_the_rest_is_served(
    registry: Registry, request_: dict[str, Any], code: str
) -> None:
    modules, warnings = registry.resolve({"vad": {}, **request_})
    assert [c for c, _ in warnings] == [code]
    assert "vad" in on(modules)


@pytest.mark.parametrize("request_", [{"n" * 9999: {}}, {"wake": {"words": ["alexa", "n" * 9999]}}])
def test_a_warning_is_short_whatever_it_is_about(
    registry: Registry, request_: dict[str, Any]
) -> None:
    """The log of the stream keeps it."""
    ((_, message),) = registry.resolve(request_)[1]
    assert "nnn" in message
    assert len(message) < 300


def test_the_words_that_are_known_are_served_once_each(registry: Registry) -> None:
    asked = ["timer", "computer", "alexa", "timer", "jarvis"]
    modules, warnings = registry.resolve({"wake": {"words": asked}})
    assert modules["wake"].names == ("timer", "alexa")
    assert [code for code, _ in warnings] == ["unknown_word"] * 2


@pytest.mark.parametrize(
    ("module", "options", "ref"),
    [
        ("wake", {"words": ["computer"]}, "words"),
        ("wake", {"words": []}, "words"),
        ("wake", {"words": "alexa"}, "words"),
        ("wake", {"words": [1]}, "words"),
        ("wake", {"words": None}, "words"),
        ("wake", {"threshold": -0.1}, "threshold"),
        ("wake", {"threshold": 1.1}, "threshold"),
        ("wake", {"threshold": "0.5"}, "threshold"),
        ("wake", {"threshold": True}, "threshold"),
        ("wake", {"threshold": {"alexa": 2}}, "threshold"),
        ("wake", {"patience": 0}, "patience"),
        ("wake", {"patience": 26}, "patience"),
        ("wake", {"patience": 1.5}, "patience"),
        ("wake", {"patience": {"alexa": True}}, "patience"),
        ("wake", {"refractory_ms": -1}, "refractory_ms"),
        ("wake", {"refractory_ms": 60_001}, "refractory_ms"),
        ("vad", {"threshold": 0.15}, "threshold"),
        ("vad", {"threshold": 1}, "threshold"),
        ("vad", {"threshold": [0.5]}, "threshold"),
        ("vad", {"hangover_ms": 31}, "hangover_ms"),
        ("vad", {"hangover_ms": "400"}, "hangover_ms"),
        ("vad", {"pre_roll_ms": 1001}, "pre_roll_ms"),
        ("vad", {"min_speech_ms": False}, "min_speech_ms"),
        ("vad", {"max_utterance_ms": 999}, "max_utterance_ms"),
        ("vad", {"max_utterance_ms": 600_001}, "max_utterance_ms"),
        ("vad", {"max_utterance_ms": 1000, "pre_roll_ms": 940}, "max_utterance_ms"),
        ("vad", {"max_utterance_ms": 2000, "min_speech_ms": 2000}, "max_utterance_ms"),
        ("speaker", {"mode": "verify"}, "mode"),
        ("speaker", {"mode": None}, "mode"),
        ("speaker", {"hop_ms": 99}, "hop_ms"),
        ("speaker", {"hop_ms": {}}, "hop_ms"),
        ("speaker", {"threshold": 1.01}, "threshold"),
    ],
)
def test_a_wrong_type_or_a_value_out_of_range_is_refused_by_name(
    registry: Registry, module: str, options: dict[str, Any], ref: str
) -> None:
    with pytest.raises(BadConfig) as caught:
        registry.resolve({module: options})
    assert caught.value.ref.startswith(f"modules.{module}.{ref}")
    assert f"modules.{module}.{ref}" in str(caught.value) or ref == "words"


@pytest.mark.parametrize(
    ("module", "options"),
    [
        ("vad", {"hangover_ms": 32, "min_speech_ms": 0, "pre_roll_ms": 0}),
        ("vad", {"hangover_ms": 5000.0, "threshold": 0.99}),
        ("wake", {"threshold": 0, "patience": 25, "refractory_ms": 0}),
        ("wake", {"threshold": {"alexa": 1}, "patience": {"alexa": 2.0}}),
        ("speaker", {"hop_ms": 10_000, "threshold": 1, "mode": "identify"}),
    ],
)
def test_the_extremes_are_allowed_and_a_whole_number_may_be_written_with_a_point(
    registry: Registry, module: str, options: dict[str, Any]
) -> None:
    assert registry.resolve({module: options})[1] == []


def test_a_configuration_leaves_alone_what_it_does_not_name(registry: Registry) -> None:
    base, _ = registry.resolve({"vad": {"hangover_ms": 900}, "wake": {"words": ["timer"]}})
    merged, _ = registry.resolve({"speaker": {}, "wake": False}, base)
    assert merged["vad"] == base["vad"]
    assert on(merged) == {"vad", "speaker"}
    back, _ = registry.resolve({"wake": {}, "speaker": False}, merged)
    assert on(back) == {"vad", "wake"}
    assert back["wake"].names == ("alexa",)
    same, _ = registry.resolve({}, base)
    assert same == base


def test_ready_has_the_options_in_force(registry: Registry) -> None:
    modules, _ = registry.resolve(
        {
            "vad": {"threshold": 0.7, "max_utterance_ms": 5000},
            "wake": {"words": ["timer", "alexa"], "threshold": {"timer": 0.8}, "patience": 2},
            "speaker": {"hop_ms": 250, "threshold": 0.9},
        }
    )
    described = registry.describe(modules)
    assert list(described) == ["vad", "wake", "speaker"]
    for entry in described.values():
        assert entry["model"]
        assert entry["license"]
        assert entry["latency_ms"] > 0
    assert described["vad"]["threshold"] == 0.7
    assert described["vad"]["max_utterance_ms"] == 5000
    assert described["wake"]["words"] == ["timer", "alexa"]
    assert described["wake"]["thresholds"] == {"timer": 0.8, "alexa": 0.5}
    assert described["wake"]["patience"] == {"timer": 2, "alexa": 2}
    assert described["wake"]["latency_ms"] == 160
    assert described["speaker"]["hop_ms"] == 250
    assert described["speaker"]["thresholds"]["wide"] == {
        "accept": 0.9,
        "reject": pytest.approx(0.8),
    }
