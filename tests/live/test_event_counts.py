"""What the events of all streams say is counted, under labels whose number has a bound."""

from typing import Any

import pytest
from fakes.recipes import REGISTRY

from streamd.events import Emotion, Event, Gap, Pong, Speaker, SpeechEnd, Wake
from streamd.live.event_counts import EventCounts
from streamd.modules.wake import WakeModule
from streamd.observability.metrics import Metrics

SPAN: dict[str, Any] = {"t0": 0, "t1": 100, "at": 100}
SPEAKER: dict[str, Any] = {
    **SPAN,
    "utterance": "u_1",
    "speaker": None,
    "score": 0.1,
    "margin": None,
    "speech_ms": 900,
}
EMOTION: dict[str, Any] = {
    **SPAN,
    "utterance": "u_1",
    "label": "happy",
    "score": 0.9,
    "scores": {},
    "arousal": 0.5,
}


class Counted:
    def __init__(self) -> None:
        self.metrics = Metrics()
        self.counts = EventCounts(self.metrics, REGISTRY)

    def __call__(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"streamd_{name}", labels)

    def send(self, *events: Event) -> None:
        for event in events:
            self.counts.sent(event)


@pytest.fixture
def counted() -> Counted:
    return Counted()


def test_words_of_the_configuration_are_counted_by_name_and_all_others_together(counted: Counted):
    wake = REGISTRY.find(WakeModule)
    assert wake is not None
    for word in ("alexa", "alexa", "lantern", "own", "小云小云"):
        counted.send(Wake(**SPAN, word=word, score=0.9))
    assert counted("wakes_total", word="alexa") == 2
    assert counted("wakes_total", word="own") == 3
    samples = [s for family in counted.metrics.wakes.collect() for s in family.samples]
    assert {s.labels["word"] for s in samples} == {*wake.loaded, *wake.settings.words, "own"}


def test_only_final_decisions_and_moods_are_counted(counted: Counted):
    counted.send(
        Speaker(**SPEAKER, decision="accept", final=False),
        Speaker(**SPEAKER, decision="unsure", final=True),
        Emotion(**EMOTION, abstain=False, final=False),
        Emotion(**EMOTION, abstain=False, final=True),
        Emotion(**EMOTION, abstain=True, final=True),
    )
    decisions = {d: counted("speaker_decisions_total", decision=d) for d in ("accept", "unsure")}
    assert decisions == {"accept": 0, "unsure": 1}
    assert counted("emotions_total", emotion="happy") == 1
    assert counted("emotions_total", emotion="abstain") == 1
    assert counted("events_total", type="speaker") == 2


def test_utterances_speech_gaps_and_the_rest_are_counted(counted: Counted):
    counted.send(
        SpeechEnd(**SPAN, utterance="u_1", speech_ms=1500, cause="silence"),
        Gap(**SPAN, cause="client"),
        Pong(t=1, server_ms=2),
    )
    assert counted("utterances_total") == 1
    assert counted("speech_seconds_total") == 1.5
    assert counted("gaps_total", cause="client") == 1
    assert counted("gaps_total", cause="overload") == 0
    assert counted("events_total", type="pong") == 1
