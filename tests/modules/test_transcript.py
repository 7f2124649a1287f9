"""The transcript module: its options, and the events that it makes of recognitions."""

from typing import Any

import pytest

from streamd.errors import BadConfig
from streamd.events import Segment, Transcript
from streamd.modules.base import ModelCard, ReaderContext, Utterance, Window
from streamd.modules.gallery import Gallery
from streamd.modules.transcript import TranscriptModule, TranscriptReader, knows
from streamd.types import RecogniserOptions, Recognition, TextSegment

CARD = ModelCard(model="m", license="MIT", source="s", training_data="t")
UTTERANCE = Utterance("u1", 16_000, 19_200, 20_000)


def module(*languages: str, has_itn: bool = True) -> TranscriptModule:
    return TranscriptModule(CARD, languages or ("en", "zh"), 800, has_itn=has_itn)


def ms(position: int, *, end: bool = False) -> int:
    return position // 16


def reader(**options: Any) -> TranscriptReader:
    parsed, _ = module().parse(options)
    return module().open(parsed, ReaderContext(ms, Gallery.empty, "wide"))


def span(stop: int, *, is_last: bool = False) -> Window:
    return Window(16_000, stop, stop + 160, is_last)


def test_options_go_to_the_recogniser_as_it_knows_them() -> None:
    assert reader().options == RecogniserOptions("auto", itn=True)
    assert reader(language="zh-CN", itn=False).options == RecogniserOptions("zh", itn=False)
    only, _ = module("en").parse({})
    context = ReaderContext(ms, Gallery.empty, "wide")
    assert module("en").open(only, context).options.language == "en"
    assert reader().spec.hop == 12_800
    assert reader(hop_ms=2000).spec.hop == 32_000


def test_ready_says_what_is_in_force() -> None:
    options, _ = module().parse({"language": "en-US", "hop_ms": 500})
    said = module().describe(options)
    assert (said["model"], said["license"], said["language"]) == ("m", "MIT", "en")
    assert (said["languages"], said["hop_ms"], said["latency_ms"]) == (["en", "zh"], 500, 1000)
    assert said["itn"] is True
    assert module(has_itn=False).describe(options)["itn"] is False


@pytest.mark.parametrize("language", ["de", "english", "e", "x" * 60])
def test_a_language_that_the_model_lacks_is_refused_with_those_it_has(language: str) -> None:
    with pytest.raises(BadConfig, match="it knows: en, zh") as refused:
        module().parse({"language": language})
    assert refused.value.ref == "modules.transcript.language"


@pytest.mark.parametrize("options", [{"language": 3}, {"itn": "yes"}, {"hop_ms": 1}])
def test_a_wrong_type_or_value_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(BadConfig):
        module().parse(options)


@pytest.mark.parametrize("options", [{}, {"itn": True}])
def test_the_usual_itn_asks_for_nothing(options: dict[str, Any]) -> None:
    assert module(has_itn=False).parse(options)[1] == []


def test_numbers_as_words_that_cannot_be_had_are_said() -> None:
    ((code, message),) = module(has_itn=False).parse({"itn": False})[1]
    assert code == "itn_unavailable"
    assert "as it likes" in message


def test_languages_that_are_known() -> None:
    assert all(knows(("en",), one) for one in ("auto", "", "en", "EN", "en-US", "en_GB"))
    assert not any(knows(("en",), one) for one in ("de", "zh-CN", "english", "e"))


def test_interims_come_when_they_grow_and_the_final_one_always() -> None:
    one = reader()
    one.opened(UTTERANCE)
    assert list(one.heard(UTTERANCE, span(32_000), Recognition("Hi the", "en"))) == []
    (event,) = one.heard(UTTERANCE, span(48_000), Recognition("Hi there you", "en", (), 0.51239))
    assert event == Transcript(
        t0=1000,
        t1=3000,
        at=3010,
        utterance="u1",
        text="Hi",
        language="en",
        final=False,
        confidence=0.5124,
    )
    assert list(one.heard(UTTERANCE, span(64_000), Recognition("Hi", "en"))) == []
    (event,) = one.closed(UTTERANCE, span(64_000, is_last=True), Recognition("", "zh"))
    assert isinstance(event, Transcript)
    assert (event.text, event.language, event.final) == ("", "zh", True)


def test_segments_have_the_times_of_the_stream_within_the_utterance() -> None:
    one = reader()
    one.opened(UTTERANCE)
    segments = (TextSegment(0, 1500, "Hi"), TextSegment(1500, 9000, "there"))
    found = Recognition("Hi there", "en", segments, None, ("laughter",))
    (event,) = one.closed(UTTERANCE, span(64_000, is_last=True), found)
    assert isinstance(event, Transcript)
    assert event.segments == [Segment(1000, 2500, "Hi"), Segment(2500, 4000, "there")]
    assert event.events == ["laughter"]


def test_another_utterance_begins_without_text() -> None:
    one = reader()
    for name in ("u1", "u2"):
        utterance = Utterance(name, 16_000, 19_200, 20_000)
        one.opened(utterance)
        assert list(one.heard(utterance, span(32_000), Recognition("Hi", "en"))) == []
