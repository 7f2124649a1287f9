"""Voices that a client names: what is enrolled where, what is refused, and what waits for it."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import soxr
from fakes.driving import ALL_ON, SENDER, Stage, hum, pcm, silence, tone, word
from fakes.enrolling import EnrollingPlayer, Voices

from streamd.live.enrolling import request_of
from streamd.modules.kept_voices import MAX_KEPT
from streamd.protocol.messages import Enrol
from streamd.session.session import MAX_MARKS
from streamd.store.base import SpeakerInfo
from streamd.types import AudioFormat

PAUSE = hum(700)


def spoken(hz: float, ms: int, level: float = 8000.0) -> bytes:
    """A tone whose level goes up and down as that of speech does."""
    loud = tone(hz, ms).astype(np.float64) * (level / 8000.0)
    syllables = 0.04 + 0.96 * np.sin(np.arange(len(loud)) * (2 * np.pi * 2 / 16_000)) ** 2
    return pcm(np.clip(loud * syllables, -32_768, 32_767).astype(np.int16))


BERT = spoken(2100, 2500) + pcm(PAUSE)
CARL = spoken(2400, 2500) + pcm(PAUSE)
ANNA = spoken(300, 2500) + pcm(PAUSE)
Enrolling = Callable[..., EnrollingPlayer]


@pytest.fixture(scope="module")
def voices() -> Iterator[Voices]:
    kept = Voices()
    yield kept
    kept.close()


@pytest.fixture
def play(voices: Voices) -> Enrolling:
    def play(*items: Any, stage: Stage | None = None, **options: Any) -> EnrollingPlayer:
        player = EnrollingPlayer(stage or Stage(), voices, **options)
        player.play(items)
        return player

    return play


def enrol(*utterances: str, speaker: str = "Ada", id: str = "e1") -> tuple[str, Any]:
    return "enrol", {"id": id, "speaker": speaker, "utterances": list(utterances)}


def finals(player: EnrollingPlayer) -> list[tuple[str, str | None]]:
    return [(e["decision"], e["speaker"]) for e in player.of("speaker") if e["final"]]


def refused(player: EnrollingPlayer) -> list[tuple[str, str]]:
    assert all(e["fatal"] is False for e in player.of("error"))
    return [(e["code"], e["ref"]) for e in player.of("error")]


def stored(player: EnrollingPlayer, voices: Voices) -> dict[str, SpeakerInfo]:
    return {one.name: one for one in voices.store.of(player.tenant).speakers()}


def test_utterances_that_open_later_know_the_voice_and_not_its_label(
    play: Enrolling, voices: Voices
) -> None:
    player = play(BERT, CARL, enrol("u1"), BERT, CARL, BERT)
    assert finals(player) == [
        ("reject", "S1"),
        ("reject", "S2"),
        ("accept", "Ada"),
        ("reject", "S2"),
        ("accept", "Ada"),
    ]
    (answer,) = player.of("enrolled")
    assert [issue["code"] for issue in answer.pop("quality")["issues"]] == ["short"]
    assert answer == {
        "type": "enrolled",
        "id": "e1",
        "speaker": "Ada",
        "label": "S1",
        "utterances": ["u1"],
        "enrolments": 1,
    }
    ada = stored(player, voices)["Ada"]
    (first, *_) = [e for e in player.of("speaker") if e["final"]]
    assert (ada.enrolments, ada.speech_ms, ada.channels) == (1, first["speech_ms"], ("wide",))


def test_the_number_of_a_label_is_not_given_again(play: Enrolling) -> None:
    player = play(BERT, enrol("u1"), CARL, pcm(tone(3300, 2500), PAUSE))
    assert [name for _, name in finals(player)] == ["S1", "S2", "S3"]


def test_the_utterance_that_is_open_keeps_its_label(play: Enrolling) -> None:
    half = len(BERT) // 3
    player = play(BERT, BERT[:half], enrol("u1"), BERT[half:], BERT)
    assert [name for _, name in finals(player)] == ["S1", "S1", "Ada"]


def test_an_utterance_is_unknown_until_it_is_over_here(play: Enrolling) -> None:
    within, just_over = pcm(tone(2100, 2500)), pcm(hum(450))
    player = play(within, enrol("u1"), just_over, enrol("u1", id="e2"))
    assert refused(player) == [("unknown_utterance", "e1")]
    assert [e["id"] for e in player.of("enrolled")] == ["e2"]


def test_a_flush_ends_an_utterance_for_an_enrolment_behind_it(play: Enrolling) -> None:
    player = play(pcm(tone(2100, 2500)), ("flush", "f"), enrol("u1"))
    assert refused(player) == []
    assert len(player.of("enrolled")) == 1


def test_several_utterances_of_one_speaker_make_one_enrolment(
    play: Enrolling, voices: Voices
) -> None:
    player = play(BERT, CARL, BERT, enrol("u3", "u1", "u3"), BERT)
    (answer,) = player.of("enrolled")
    assert (answer["utterances"], answer["label"]) == (["u3", "u1"], "S1")
    assert [issue["code"] for issue in answer["quality"]["issues"]] == ["short"]
    assert len(finals(player)) == 4
    spoken = [e["speech_ms"] for e in player.of("speaker") if e["final"]]
    assert abs(stored(player, voices)["Ada"].speech_ms - spoken[0] - spoken[2]) <= 1
    assert finals(player)[-1] == ("accept", "Ada")


def test_a_second_enrolment_counts_and_the_same_utterance_does_not(play: Enrolling) -> None:
    other = pcm(tone(2100, 2500) + tone(2700, 2500, 1500.0), PAUSE)
    player = play(BERT, enrol("u1"), other, enrol("u2", id="e2"), enrol("u1", id="e3"))
    assert [e["enrolments"] for e in player.of("enrolled")] == [1, 2, 2]
    assert [e["label"] for e in player.of("enrolled")] == ["S1", None, "S1"]


@pytest.mark.parametrize(
    ("items", "code"),
    [
        ([BERT, enrol("u2")], "unknown_utterance"),
        ([BERT, enrol("u1", "U1")], "unknown_utterance"),
        ([enrol("u1")], "unknown_utterance"),
        ([BERT, CARL, enrol("u1", "u2")], "two_voices"),
        ([pcm(tone(2100, 4000), tone(300, 4000), PAUSE), enrol("u1")], "two_voices"),
        ([pcm(tone(2100, 1000), PAUSE), enrol("u1")], "too_short"),
        ([pcm(tone(2100, 200), PAUSE), enrol("u1")], "too_short"),
        ([BERT, enrol("u1", speaker="S7")], "bad_name"),
        ([BERT, enrol("u1", speaker="")], "bad_name"),
        ([BERT, enrol("u9", speaker=" Ada")], "bad_name"),
    ],
)
def test_what_cannot_be_enrolled_is_refused_and_nothing_is_stored(
    play: Enrolling, voices: Voices, items: list[Any], code: str
) -> None:
    player = play(*items, BERT)
    assert refused(player) == [(code, "e1")]
    assert list(stored(player, voices)) == ["anna"]
    assert player.of("enrolled") == []


@pytest.mark.parametrize(
    ("sound", "codes"),
    [
        (spoken(2100, 6000), []),
        (spoken(2100, 2500), ["short"]),
        (spoken(2100, 6000, level=60_000.0), ["clipped"]),
        (pcm(tone(2100, 6000)), ["noisy"]),  # as steady as noise
    ],
)
@pytest.mark.parametrize("rate", [8000, 16_000, 48_000])
def test_the_verdict_says_what_is_wrong_with_the_signal(
    play: Enrolling, sound: bytes, codes: list[str], rate: int
) -> None:
    samples = np.frombuffer(sound, np.int16)
    resampled = soxr.resample(samples, 16_000, rate).tobytes() if rate != 16_000 else sound
    pause = pcm(silence(700, rate))
    player = play(resampled, pause, enrol("u1"), audio=AudioFormat(rate=rate))
    (answer,) = player.of("enrolled")
    assert [issue["code"] for issue in answer["quality"]["issues"]] == codes


def test_a_name_is_one_however_it_is_spelled(play: Enrolling, voices: Voices) -> None:
    player = play(BERT, enrol("u1", speaker="Zoe\u0301"), BERT)
    assert "Zo\u00e9" in stored(player, voices)
    assert finals(player)[-1] == ("accept", "Zo\u00e9")
    assert player.of("enrolled")[0]["speaker"] == "Zo\u00e9"


def test_without_the_speaker_module_no_voice_is_known(play: Enrolling) -> None:
    assert refused(play(BERT, enrol("u1"), modules={"vad": {}})) == [("unknown_utterance", "e1")]
    player = play(BERT, ("config", {"speaker": False}), BERT, enrol("u2"), enrol("u1", id="e2"))
    assert refused(player) == [("unknown_utterance", "e1")]
    assert len(player.of("enrolled")) == 1


def test_an_enrolled_voice_may_be_enrolled_again_and_has_no_label(
    play: Enrolling, voices: Voices
) -> None:
    player = play(ANNA, enrol("u1", speaker="anna"))
    (answer,) = player.of("enrolled")
    assert (answer["label"], answer["speaker"]) == (None, "anna")


def test_the_voices_of_the_last_utterances_are_kept(play: Enrolling) -> None:
    turns = [pcm(tone(2100, 1700), hum(500))] * (MAX_KEPT + 2)
    player = play(*turns, enrol("u2"), enrol("u3", id="e2"), enrol(f"u{MAX_KEPT + 2}", id="e3"))
    assert refused(player) == [("unknown_utterance", "e1")]
    assert [e["id"] for e in player.of("enrolled")] == ["e2", "e3"]
    assert len(player.session._context.voices) == MAX_KEPT


def test_a_store_that_is_away_is_told_and_the_voice_is_not_known(voices: Voices) -> None:
    voices.is_away = True
    try:
        player = EnrollingPlayer(Stage(), voices)
        player.play([BERT, enrol("u1"), BERT])
    finally:
        voices.is_away = False
    assert refused(player) == [("unavailable", "e1")]
    (error,) = player.of("error")
    assert error["retryable"] is True
    assert [name for _, name in finals(player)] == ["S1", "S1"]


# What waits for the store.


def waiting(voices: Voices, *items: Any) -> EnrollingPlayer:
    """A session whose enrolment the store has and does not answer."""
    player = EnrollingPlayer(Stage(), voices)
    player.stage.stored = Kept()
    for item in items:
        player.send(item)
    return player


class Kept(list[Any]):
    """Answers that do not come until they are asked for."""

    def __bool__(self) -> bool:
        return False

    def answer(self) -> None:
        self.pop(0)()


def answer(player: EnrollingPlayer) -> None:
    stored = player.stage.stored
    assert isinstance(stored, Kept)
    stored.answer()
    player.settle()


def test_flushed_and_the_end_wait_for_the_store(voices: Voices) -> None:
    player = waiting(voices, BERT, enrol("u1"), ("flush", "f1"), BERT)
    player.session.receive_end()
    player.pump()
    player.settle()
    assert player.of("flushed") == []
    assert not player.session.ended
    answer(player)
    kinds = [e.__struct_config__.tag for e in player.events]
    assert kinds.index("enrolled") < kinds.index("flushed")
    assert player.session.ended
    assert finals(player)[-1] == ("accept", "Ada")


def test_what_the_engine_owes_is_not_late_because_of_the_store(voices: Voices) -> None:
    player = waiting(voices, BERT, enrol("u1"), BERT)
    assert player.session.awaited() == (None, None)
    assert not player.session.is_idle
    answer(player)


def test_a_wake_word_waits_for_a_store_only_so_long(voices: Voices) -> None:
    later = pcm(hum(1500), word(), hum(1500))
    player = waiting(voices, BERT, enrol("u1"), later)
    assert player.of("wake") == []
    player.session.is_enrolling_late()
    player.pump()
    assert {event["word"] for event in player.of("wake")} == {"alexa", "timer"}
    answer(player)


def test_what_waits_behind_an_enrolment_has_a_bound(voices: Voices) -> None:
    player = waiting(voices, BERT, enrol("u1"))
    taken = 0
    while player.session.room:
        taken += player.session.receive_audio(BERT[:6400])
        player.pump()
        player.settle()
        assert taken < 20 * 32_000
    answer(player)
    assert player.session.room
    for number in range(MAX_MARKS):
        assert player.session.can_mark
        player.session.receive_enrol(
            request_of(Enrol(id=str(number), speaker="Ada", utterances=["u1"]), SENDER)
        )
    player.pump()
    assert not player.session.can_mark
    stored = player.stage.stored
    assert isinstance(stored, Kept)
    while len(stored):
        answer(player)
    assert player.session.can_mark


def test_a_voice_keeps_how_it_usually_sounds_under_its_name(voices: Voices) -> None:
    player = EnrollingPlayer(Stage(), voices, modules=ALL_ON)
    player.play([BERT, BERT, enrol("u1")])
    assert list(player.session.learned) == ["Ada"]
