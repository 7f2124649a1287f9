"""One stream under load: what it does without, in which order, and that it gets it back."""

from typing import Any

import pytest
from fakes.driving import ALL_ON, Player, Stage, fake_registry, pcm, silence, tone, word

from streamd.events import Event
from streamd.live.pace import Pace
from streamd.live.shedding import Level, Shedding

MAX_LAG_S = 5.0
MESSAGE = 640


class Speaker:
    """Somebody who speaks in real time to a session whose windows nobody answers.

    Args:
        late: How the names of the passes begin that are not answered.
        ring_s: Seconds of audio that its ring keeps.
        modules: What is on besides the usual.
    """

    def __init__(self, late: str = "voice", ring_s: int = 8, **modules: Any) -> None:
        self.late = late
        self.stage = Stage()
        on = ALL_ON | {"speaker": {"hop_ms": 500}} | modules
        self.player = Player(self.stage, fake_registry(text=True), on, ring_s=ring_s)
        self.now_s = 0.0
        self.pace = Pace(0.0)
        self.told: list[dict[str, Any]] = []
        self.shedding = Shedding(
            self.player.session, self.pace, MAX_LAG_S, self._tell, self.settle, self.now_s
        )
        self.is_answered = False

    def _tell(self, event: Event) -> None:
        tag = event.__struct_config__.tag
        self.told.append({"type": tag, "module": event.module, "hop_ms": event.hop_ms})  # type: ignore[attr-defined]

    def speak(self, seconds: float) -> None:
        """Speak for a while."""
        self.send(pcm(tone(300, int(seconds * 1000))))

    def send(self, data: bytes, message_s: float = MESSAGE / 32_000) -> None:
        """Send audio, a message in so many seconds."""
        session = self.player.session
        for at in range(0, len(data), MESSAGE):
            self.now_s += message_s
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
        return self.is_answered or not name.startswith(self.late)

    def look(self) -> int:
        return self.shedding.shed(self.now_s)


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
    assert speaker.shedding.may_restore(speaker.now_s)
    speaker.shedding.restore(speaker.now_s)
    assert not speaker.shedding.may_restore(speaker.now_s)
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


# Text.


@pytest.fixture
def talker() -> Speaker:
    """Somebody whose text nobody makes; everything else is in time."""
    return Speaker("transcript", transcript={"hop_ms": 500})


def test_late_text_sheds_by_itself_and_no_window_with_it(talker: Speaker) -> None:
    levels = []
    for _ in range(40):
        talker.speak(0.25)
        talker.look()
        assert talker.shedding.level is Level.NOTHING
        assert talker.shedding.late_s(talker.now_s) < 0.3, "no newcomer is refused for it"
        if not levels or levels[-1] is not talker.shedding.text_level:
            levels.append(talker.shedding.text_level)
    assert levels == [Level.NOTHING, Level.SPECULATION, Level.INTERIMS, Level.HOPS]
    assert talker.told == [{"type": "degraded", "module": "transcript", "hop_ms": 1000}]


def test_the_text_of_an_utterance_that_is_too_late_is_named_by_one_gap(talker: Speaker) -> None:
    talker.send(pcm(tone(300, 2000), silence(1000)))
    assert [e["utterance"] for e in talker.player.of("speaker") if e["final"]] == ["u1"]
    assert talker.player.of("speech_end") == [], "its text is awaited"
    for _ in range(30):
        talker.send(pcm(silence(200)))
        talker.look()
    (end,) = talker.player.of("speech_end")
    (gap,) = talker.player.of("gap")
    assert gap == {
        "type": "gap",
        "t0": end["t0"],
        "t1": end["t1"],
        "at": end["at"],
        "cause": "overload",
        "module": "transcript",
    }


def test_nothing_else_waits_for_text(talker: Speaker) -> None:
    """The VAD's edges, wake words and windows of the next utterance come; only ends wait."""
    for _ in range(2):
        talker.send(pcm(tone(300, 1500), word(), silence(700)))
    assert [e["utterance"] for e in talker.player.of("speech_start")] == ["u1", "u2"]
    assert [e["utterance"] for e in talker.player.of("speaker") if e["final"]] == ["u1", "u2"]
    assert [e["word"] for e in talker.player.of("wake")] == ["alexa", "timer"] * 2
    assert talker.player.of("speech_end") == talker.player.of("transcript") == []
    talker.is_answered = True
    talker.settle()
    assert [e["utterance"] for e in talker.player.of("speech_end")] == ["u1", "u2"]


def test_text_that_may_be_as_late_as_the_ring_is_long_holds_up_no_audio_before() -> None:
    """`limits.max_lag_ms` may be that long, and until then nobody leaves the text out."""
    talker = Speaker("transcript", ring_s=40, transcript={})
    talker.send(pcm(tone(300, 2000), silence(37_000)))
    assert talker.player.session.room > 0
    talker.send(pcm(silence(4000)))
    assert talker.player.session.room == 0, "the copies of speech have a bound"


def test_text_recovers_only_when_it_has_been_in_time_for_a_while(talker: Speaker) -> None:
    for _ in range(20):
        talker.speak(0.25)
        talker.look()
    assert not talker.shedding.may_restore(talker.now_s)
    talker.is_answered = True
    talker.settle()
    talker.speak(0.25)
    talker.look()
    assert not talker.shedding.may_restore(talker.now_s)
    for _ in range(20):
        talker.speak(0.25)
        talker.look()
    assert talker.shedding.may_restore(talker.now_s)
    talker.shedding.restore(talker.now_s)
    assert [event["type"] for event in talker.told] == ["degraded", "recovered"]
    assert talker.told[-1]["hop_ms"] == 500


def test_under_load_a_final_text_overtakes_the_interim_ones_that_wait(talker: Speaker) -> None:
    talker.speak(3.0)
    talker.look()
    assert talker.shedding.text_level >= Level.INTERIMS
    talker.send(pcm(silence(600)))
    (_, job), *others = [w for w in talker.stage.waiting if w[1].pass_name == "transcript"]
    assert not others
    assert job.options.is_last
    assert job.start < 16_000 // 2, "it has all of the speech"
    talker.is_answered = True
    talker.settle()
    (event,) = talker.player.of("transcript")
    assert event["final"]


def test_text_of_audio_that_came_faster_than_it_was_spoken_is_never_late(talker: Speaker) -> None:
    talker.send(pcm(tone(300, 4000), silence(600)), message_s=0.0)
    for _ in range(40):
        talker.now_s += 0.5
        talker.look()
    assert talker.shedding.text_level is Level.NOTHING
    talker.is_answered = True
    talker.settle()
    texts = talker.player.of("transcript")
    assert [e["final"] for e in texts].count(False) >= 6, "no interim one is left out"
    assert texts[-1]["final"]
