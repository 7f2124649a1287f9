"""One stream under load: what it does without, in which order, and that it gets it back."""

from typing import Any

import pytest
from fakes.driving import ALL_ON, Player, Stage, fake_registry, pcm, silence, tone

from streamd.events import Event
from streamd.live.pace import Pace
from streamd.live.shedding import Level, Shedding

MAX_LAG_S = 5.0
MESSAGE = 640


class Speaker:
    """Somebody who speaks in real time to a session whose windows nobody answers."""

    def __init__(self) -> None:
        self.stage = Stage()
        self.player = Player(self.stage, fake_registry(), ALL_ON | {"speaker": {"hop_ms": 500}})
        self.now_s = 0.0
        self.pace = Pace(0.0)
        self.told: list[dict[str, Any]] = []
        self.shedding = Shedding(self.player.session, self.pace, MAX_LAG_S, self._tell, self.now_s)
        self.is_answered = False

    def _tell(self, event: Event) -> None:
        tag = event.__struct_config__.tag
        self.told.append({"type": tag, "module": event.module, "hop_ms": event.hop_ms})  # type: ignore[attr-defined]

    def speak(self, seconds: float) -> None:
        """Speak for a while."""
        self.send(pcm(tone(300, int(seconds * 1000))))

    def send(self, data: bytes) -> None:
        session = self.player.session
        for at in range(0, len(data), MESSAGE):
            self.now_s += MESSAGE / 32_000
            session.receive_audio(data[at : at + MESSAGE])
            self.pace.took(MESSAGE / 32_000, session.audio.position, self.now_s)
            self.settle()

    def settle(self) -> None:
        """Answer what is live, and windows too if they are answered."""
        self.player.pump()
        while live := [w for w in self.stage.waiting if self._may_run(w[1].pass_name)]:
            self.stage._run(live[:1])
            while self.stage.answered:
                self.stage._answer(0)

    def _may_run(self, name: str) -> bool:
        return self.is_answered or not name.startswith("voice")

    def look(self) -> int:
        skipped = self.shedding.shed(self.now_s)
        self.settle()
        return skipped


@pytest.fixture
def speaker() -> Speaker:
    return Speaker()


def test_a_stream_whose_results_are_in_time_does_without_nothing(speaker: Speaker) -> None:
    speaker.is_answered = True
    for _ in range(20):
        speaker.speak(0.5)
        assert speaker.look() == 0
    assert speaker.shedding.level is Level.NOTHING
    assert speaker.told == []


def test_it_does_without_more_the_later_it_gets_and_in_this_order(speaker: Speaker) -> None:
    levels, skipped = [], 0
    for _ in range(32):
        speaker.speak(0.25)
        skipped += speaker.look()
        if not levels or levels[-1] is not speaker.shedding.level:
            levels.append(speaker.shedding.level)
            assert skipped == 0
    assert levels == [Level.NOTHING, Level.SPECULATION, Level.INTERIMS, Level.HOPS]
    assert skipped > 0
    assert speaker.told == [
        {"type": "degraded", "module": "speaker", "hop_ms": 1000},
        {"type": "degraded", "module": "emotion", "hop_ms": 1000},
    ]
    gaps = speaker.player.of("gap")
    assert {(gap["cause"], gap["module"]) for gap in gaps} == {
        ("overload", "speaker"),
        ("overload", "emotion"),
    }


def test_no_window_that_waits_is_older_than_the_bound(speaker: Speaker) -> None:
    for _ in range(60):
        speaker.speak(0.25)
        speaker.look()
        assert speaker.shedding.late_s(speaker.now_s) <= MAX_LAG_S + 0.5


def test_a_moments_lateness_does_not_lengthen_hops(speaker: Speaker) -> None:
    speaker.speak(2.2)
    speaker.now_s += 3
    speaker.look()
    assert speaker.shedding.level is Level.INTERIMS
    speaker.is_answered = True
    speaker.settle()
    speaker.speak(0.25)
    speaker.look()
    assert not speaker.shedding.is_degraded


def test_what_it_did_without_comes_back(speaker: Speaker) -> None:
    for _ in range(20):
        speaker.speak(0.25)
        speaker.look()
    assert speaker.shedding.is_degraded
    speaker.is_answered = True
    speaker.settle()
    speaker.shedding.restore()
    assert not speaker.shedding.is_shedding
    assert [event["type"] for event in speaker.told] == ["degraded"] * 2 + ["recovered"] * 2
    assert {event["hop_ms"] for event in speaker.told[2:]} == {500}
    before = len(speaker.player.of("speaker"))
    speaker.speak(4.0)
    assert len(speaker.player.of("speaker")) - before >= 7  # one each half second again


def test_a_client_that_comes_back_learns_that_its_stream_is_degraded(speaker: Speaker) -> None:
    speaker.shedding.repeat()
    assert speaker.told == []
    for _ in range(20):
        speaker.speak(0.25)
        speaker.look()
    told = list(speaker.told)
    speaker.shedding.repeat()
    assert speaker.told == told * 2


def test_a_quiet_stream_is_never_late(speaker: Speaker) -> None:
    speaker.send(pcm(silence(20_000)))
    assert speaker.look() == 0
    assert speaker.shedding.late_s(speaker.now_s) == 0.0
    assert speaker.shedding.level is Level.NOTHING
