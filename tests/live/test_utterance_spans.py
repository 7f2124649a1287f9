"""Spans of utterances, from events alone."""

from dataclasses import dataclass, field

import pytest

from streamd.events import Gap, Speaker, SpeechEnd, SpeechStart, TimedEvent, Transcript, Wake
from streamd.live.utterance_spans import MAX_WORDS, UtteranceSpans
from streamd.observability.spans import Caller, Value

CALLER = Caller("00-" + "a" * 32 + "-" + "b" * 16 + "-01")


@dataclass
class Recorded:
    """A span, and how it ended."""

    name: str
    began_s: float | None
    caller: Caller | None
    noted: dict[str, Value] = field(default_factory=dict)
    ends: list[str | None] = field(default_factory=list)

    def note(self, name: str, value: Value) -> None:
        self.noted[name] = list(value) if isinstance(value, list) else value

    def child(self, name: str) -> "Recorded":
        raise AssertionError("an utterance has no spans inside")

    def end(self, fault: str | None = None) -> None:
        self.ends.append(fault)


class Recorder:
    """Keeps the spans."""

    is_on = True

    def __init__(self) -> None:
        self.spans: list[Recorded] = []

    def begin(
        self, name: str, began_s: float | None = None, caller: Caller | None = None
    ) -> Recorded:
        self.spans.append(Recorded(name, began_s, caller))
        return self.spans[-1]

    def close(self) -> None:
        pass


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


def saw(spans: UtteranceSpans, *events: TimedEvent, arrived_s: float | None = 1.0) -> None:
    for event in events:
        spans.saw(event, lambda at_ms: arrived_s)


def start(utterance: str = "u1") -> SpeechStart:
    return SpeechStart(t0=100, t1=400, at=400, utterance=utterance)


def end(utterance: str = "u1") -> SpeechEnd:
    return SpeechEnd(t0=100, t1=2000, at=2300, utterance=utterance, speech_ms=1500, cause="silence")


def wake(word: str, utterance: str = "u1") -> Wake:
    return Wake(t0=200, t1=600, at=640, word=word, score=0.9, utterance=utterance)


def speaker(name: str, *, final: bool) -> Speaker:
    return Speaker(
        t0=100,
        t1=2000,
        at=2100,
        utterance="u1",
        decision="accept",
        speaker=name,
        score=0.9,
        margin=None,
        speech_ms=1500,
        final=final,
    )


def test_an_utterance_is_one_span_with_what_came_of_it(recorder: Recorder):
    spans = UtteranceSpans(recorder, "s_1", CALLER)
    saw(spans, start(), wake("alexa"), speaker("Ada", final=False))
    assert recorder.spans[0].ends == []
    assert "speaker_decision" not in recorder.spans[0].noted, "an interim decides nothing"
    saw(spans, speaker("Ada", final=True), end())
    (span,) = recorder.spans
    assert (span.name, span.began_s, span.caller, span.ends) == ("utterance", 1.0, CALLER, [None])
    lags = {name for name in span.noted if name.startswith("lag_ms")}
    assert lags == {"lag_ms", "lag_ms.speaker", "lag_ms.speech_end"}
    assert span.noted["lag_ms"] == max(span.noted[name] for name in lags)
    assert {name: value for name, value in span.noted.items() if name not in lags} == {
        "session": "s_1",
        "utterance": "u1",
        "t0_ms": 100,
        "t1_ms": 2000,
        "speech_ms": 1500,
        "cause": "silence",
        "wake_words": ["alexa"],
        "speaker_decision": "accept",
    }


def test_neither_names_nor_text_are_in_it(recorder: Recorder):
    spans = UtteranceSpans(recorder, "s_1", None)
    said = Transcript(t0=0, t1=1, at=1, utterance="u1", text="a secret", language="en", final=True)
    saw(spans, start(), speaker("Ada", final=True), said, end())
    values = " ".join(map(str, recorder.spans[0].noted.values()))
    assert "Ada" not in values
    assert "secret" not in values


def test_two_utterances_at_once_are_two_spans(recorder: Recorder):
    spans = UtteranceSpans(recorder, "s_1", None)
    saw(spans, start("u1"), start("u2"), wake("alexa", "u2"), end("u1"), end("u2"))
    first, second = recorder.spans
    assert (first.noted["utterance"], second.noted["utterance"]) == ("u1", "u2")
    assert "wake_words" not in first.noted
    assert second.noted["wake_words"] == ["alexa"]


def test_the_words_of_a_span_are_bounded(recorder: Recorder):
    spans = UtteranceSpans(recorder, "s_1", None)
    saw(spans, start(), *(wake(f"word_{number}") for number in range(MAX_WORDS + 5)), end())
    assert len(recorder.spans[0].noted["wake_words"]) == MAX_WORDS


def test_what_was_left_out_under_load_is_counted(recorder: Recorder):
    spans = UtteranceSpans(recorder, "s_1", None)
    gap = Gap(t0=0, t1=1, at=1, cause="overload", module="speaker")
    saw(spans, gap, start(), gap, gap, end())
    assert recorder.spans[0].noted["gaps"] == 2


def test_a_stream_that_breaks_off_ends_its_spans(recorder: Recorder):
    spans = UtteranceSpans(recorder, "s_1", None)
    saw(spans, start())
    spans.close("slow_consumer")
    spans.close("again")
    assert recorder.spans[0].ends == ["slow_consumer"]


def test_events_of_no_utterance_and_of_none_that_is_open_are_nobodys(recorder: Recorder):
    spans = UtteranceSpans(recorder, "s_1", None)
    saw(spans, Wake(t0=0, t1=1, at=1, word="alexa", score=1.0), wake("alexa", "u9"), end("u9"))
    assert recorder.spans == []


def test_a_lag_that_nobody_knows_is_left_out(recorder: Recorder):
    spans = UtteranceSpans(recorder, "s_1", None)
    saw(spans, start(), end(), arrived_s=None)
    (span,) = recorder.spans
    assert span.began_s is None
    assert not any(name.startswith("lag_ms") for name in span.noted)
