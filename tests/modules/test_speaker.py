"""Who speaks: enrolled voices, session labels, changes. A voice here is an angle."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest
from fakes.driving import fake_registry

from streamd.events import Speaker, SpeakerChange
from streamd.modules.base import ReaderContext, Utterance, Window
from streamd.modules.gallery import Gallery
from streamd.modules.speaker import SpeakerModule
from streamd.modules.speaker_reader import SpeakerReader
from streamd.settings import ChannelThresholds
from streamd.types import Floats

SETTINGS: dict[str, Any] = {
    "min_speech_ms": 500,
    "label_min_ms": 1600,
    "assign": 0.75,
    "new": 0.65,
    "change": 0.55,
    "thresholds": {"wide": {"accept": 0.75, "reject": 0.65}},
}
MODULE: SpeakerModule = fake_registry(speaker=SETTINGS).readers["speaker"]


class Output(NamedTuple):
    embedding: Floats


def voice(degrees: float, plane: int = 0) -> Floats:
    """A unit vector; voices in different planes are at right angles."""
    vector = np.zeros(256, np.float32)
    vector[2 * plane] = np.cos(np.radians(degrees))
    vector[2 * plane + 1] = np.sin(np.radians(degrees))
    return vector


def gallery(**voices: Floats) -> Gallery:
    owners = np.arange(len(voices))
    embeddings = np.array(list(voices.values()) or np.zeros((0, 1)), np.float32)
    return Gallery.build(tuple(voices), embeddings, owners, np.zeros_like(owners))


class Talk:
    """A session's speaker reader, and utterances said to it."""

    def __init__(self, enrolled: Gallery | None = None, **options: Any) -> None:
        self.gallery = enrolled or Gallery.empty()
        self.services = ReaderContext(lambda p, end=False: p // 16, lambda: self.gallery, "wide")
        self.reader = self.open(None, **options)
        self.count = 0

    def open(self, previous: SpeakerReader | None, **options: Any) -> SpeakerReader:
        parsed, _ = MODULE.parse(options)
        return MODULE.open(parsed, self.services, previous)

    def begin(self, speech_ms: int = 20_000) -> Utterance:
        self.count += 1
        utterance = Utterance(f"u{self.count}", 0, 0, 0, runs=[(0, speech_ms * 16)])
        self.reader.opened(utterance)
        return utterance

    def say(self, utterance: Utterance, embedding: Floats, index: int) -> list[Any]:
        start = index * 8000
        window = Window(start, start + 25_600, start + 26_112)
        return list(self.reader.window(utterance, window, Output(embedding)))

    def end(self, utterance: Utterance) -> Speaker:
        utterance.end = utterance.closed_at = utterance.runs[-1][1]
        (final,) = self.reader.closed(utterance)
        assert final.final
        return final

    def utter(self, *embeddings: Floats, speech_ms: int | None = None) -> list[Any]:
        """A whole utterance; gives its events."""
        length = 1600 + 500 * (len(embeddings) - 1) if speech_ms is None else speech_ms
        utterance = self.begin(length)
        events: list[Any] = []
        for index, embedding in enumerate(embeddings):
            events += self.say(utterance, embedding, index)
        return [*events, self.end(utterance)]

    def final(self, *embeddings: Floats, speech_ms: int | None = None) -> Speaker:
        return self.utter(*embeddings, speech_ms=speech_ms)[-1]


def changes(events: Iterable[Any]) -> list[tuple[str | None, str | None]]:
    return [(e.from_, e.to) for e in events if isinstance(e, SpeakerChange)]


@pytest.mark.parametrize(
    ("cosine", "decision", "who"),
    [
        (1.0, "accept", "anna"),
        (0.751, "accept", "anna"),
        (0.749, "unsure", "anna"),
        (0.651, "unsure", "anna"),
        (0.649, "reject", "S1"),
        (0.0, "reject", "S1"),
        (-1.0, "reject", "S1"),
    ],
)
def test_an_enrolled_voice_is_accepted_unsure_or_rejected_by_two_thresholds(
    cosine: float, decision: str, who: str
) -> None:
    final = Talk(gallery(anna=voice(0))).final(voice(np.degrees(np.arccos(cosine))))
    assert (final.decision, final.speaker) == (decision, who)
    if decision != "reject":
        assert final.score == pytest.approx(cosine, abs=1e-3)


def test_a_sessions_threshold_moves_the_whole_band() -> None:
    talk = Talk(gallery(anna=voice(0)), threshold=0.9)
    found = [talk.final(voice(np.degrees(np.arccos(c)))).decision for c in (0.91, 0.85, 0.79)]
    assert found == ["accept", "unsure", "reject"]


def calibrated(accept: float) -> Gallery:
    return replace(gallery(anna=voice(0)), accept={"wide": accept})


def test_a_calibrated_threshold_moves_the_whole_band_from_the_next_utterance_on() -> None:
    talk = Talk(calibrated(0.9))
    decisions = [talk.final(voice(np.degrees(np.arccos(c)))).decision for c in (0.91, 0.85, 0.79)]
    assert decisions == ["accept", "unsure", "reject"]
    talk = Talk(calibrated(0.9))
    begun = talk.begin()
    talk.gallery = calibrated(0.7)
    talk.say(begun, voice(np.degrees(np.arccos(0.85))), 0)
    assert talk.end(begun).decision == "unsure"
    assert talk.final(voice(np.degrees(np.arccos(0.71)))).decision == "accept"
    talk.gallery = replace(calibrated(0.7), accept={"narrow": 0.1})
    assert talk.final(voice(np.degrees(np.arccos(0.74)))).decision == "unsure"


def test_a_moved_band_has_bounds_that_one_can_read() -> None:
    moved = [ChannelThresholds().moved_to(n / 1000) for n in range(100, 1000)]
    bounds = {bound for one in moved for bound in (one.wide.reject, one.narrow.reject)}
    assert max(len(str(bound)) for bound in bounds) <= len("0.123")
    assert ChannelThresholds().moved_to(0.05).wide.reject == 0


def test_a_sessions_own_threshold_goes_before_a_calibrated_one() -> None:
    talk = Talk(calibrated(0.6), threshold=0.9)
    assert talk.final(voice(np.degrees(np.arccos(0.85)))).decision == "unsure"


@pytest.mark.parametrize(
    ("speech_ms", "decision", "who"),
    [
        (499, "too_short", None),
        (500, "reject", None),  # long enough to decide, too short for a label of its own
        (1599, "reject", None),
        (1600, "reject", "S1"),
    ],
)
def test_too_little_speech_decides_nothing_and_a_label_takes_more(
    speech_ms: int, decision: str, who: str | None
) -> None:
    final = Talk().final(voice(0), speech_ms=speech_ms)
    assert (final.decision, final.speaker, final.speech_ms) == (decision, who, speech_ms)


def test_an_utterance_without_a_window_is_too_short() -> None:
    final = Talk().final(speech_ms=900)
    assert (final.decision, final.speaker, final.score) == ("too_short", None, 0.0)
    assert final.margin is None


def test_the_margin_is_the_distance_to_the_next_best() -> None:
    assert Talk(gallery(anna=voice(0))).final(voice(0)).margin is None
    two = Talk(gallery(anna=voice(0), bert=voice(60)))
    assert two.final(voice(0)).margin == pytest.approx(0.5, abs=1e-3)
    labelled = Talk(gallery(anna=voice(0)))
    labelled.final(voice(60))
    assert labelled.final(voice(0)).margin == pytest.approx(0.5, abs=1e-3)


def test_labels_are_numbered_by_first_appearance_and_never_renamed() -> None:
    talk = Talk()
    order = [3, 1, 3, 2, 1, 2, 3, 0]
    found = [talk.final(voice(0, plane)).speaker for plane in order]
    assert found == ["S1", "S2", "S1", "S3", "S2", "S3", "S1", "S4"]


def test_interim_decisions_found_no_label_before_three_seconds() -> None:
    talk = Talk()
    events = talk.utter(voice(0), voice(1), voice(2))
    assert [e.speaker for e in events] == [None, None, None, "S1"]
    again = talk.utter(voice(0), voice(1))
    assert [e.speaker for e in again] == ["S1"] * 3


def test_between_assign_and_new_a_voice_is_unsure_and_founds_nothing() -> None:
    talk = Talk()
    talk.final(voice(0))
    between = talk.final(voice(45.5))  # cosine 0.70
    assert (between.decision, between.speaker) == ("unsure", "S1")
    assert talk.final(voice(60)).speaker == "S2"


def test_beyond_the_most_labels_nobody_new_is_named() -> None:
    module = fake_registry(speaker=SETTINGS | {"max_labels": 2}).readers["speaker"]
    talk = Talk()
    talk.reader = module.open(module.parse({})[0], talk.services, None)
    assert [talk.final(voice(0, n)).speaker for n in range(2)] == ["S1", "S2"]
    third = talk.final(voice(0, 5))
    assert third.decision == "unsure"


def test_labels_go_on_under_new_options_and_both_readers_learn_the_same() -> None:
    talk = Talk()
    talk.final(voice(0))
    old = talk.reader
    talk.reader = talk.open(old, hop_ms=100)
    assert talk.reader.spec.hop == 1600
    assert talk.final(voice(0, 1)).speaker == "S2"
    talk.reader = old
    assert talk.final(voice(0, 1)).speaker == "S2"


def test_an_addition_to_the_gallery_counts_from_the_next_utterance_on() -> None:
    talk = Talk()
    utterance = talk.begin()
    talk.gallery = gallery(anna=voice(0))
    talk.say(utterance, voice(0), 0)
    assert talk.end(utterance).speaker == "S1"
    assert talk.final(voice(0)).speaker == "anna"


def test_a_deletion_from_the_gallery_counts_at_once() -> None:
    talk = Talk(gallery(anna=voice(0), bert=voice(20)))
    utterance = talk.begin()
    (before,) = talk.say(utterance, voice(0), 0)
    assert before.speaker == "anna"
    talk.gallery = gallery(bert=voice(20))
    (after,) = talk.say(utterance, voice(0), 1)
    assert after.speaker == "bert"
    talk.gallery = Gallery.empty()
    assert talk.end(utterance).speaker == "S1"


def test_however_many_of_the_nearest_were_deleted_the_next_counts() -> None:
    near = {f"v{degrees}": voice(degrees) for degrees in range(1, 31)}
    talk = Talk(gallery(far=voice(40), **near, farther=voice(60)))
    utterance = talk.begin()
    talk.gallery = gallery(far=voice(40), farther=voice(60))

    (event,) = talk.say(utterance, voice(0), 0)

    assert event.speaker == "far"
    assert event.score == pytest.approx(np.cos(np.radians(40)), abs=1e-3)
    assert event.margin == pytest.approx(event.score - 0.5, abs=1e-3)


class CountingGallery(Gallery):
    """Counts how often it is asked for a name."""

    asked = 0

    def __contains__(self, name: object) -> bool:
        type(self).asked += 1
        return super().__contains__(name)


def test_a_change_of_the_gallery_does_not_have_all_voices_looked_through() -> None:
    voices = {f"v{i}": voice(i / 100) for i in range(2000)}
    talk = Talk(gallery(**voices))
    utterance = talk.begin()
    names = tuple(voices)
    owners = np.arange(len(names))
    embeddings = np.array(list(voices.values()))
    # As at the end of any session that learned something of a voice.
    talk.gallery = CountingGallery.build(names, embeddings, owners, np.zeros_like(owners), 2)

    (event,) = talk.say(utterance, voice(0), 0)

    assert event.speaker == "v0"
    assert CountingGallery.asked <= 10


def test_a_change_takes_two_windows_in_a_row_and_names_both() -> None:
    talk = Talk(gallery(anna=voice(0), bert=voice(0, 1)))
    assert changes(talk.utter(*[voice(0)] * 3, voice(0, 1), *[voice(0)] * 3)) == []
    events = talk.utter(*[voice(0)] * 3, *[voice(0, 1)] * 3)
    assert changes(events) == [("anna", "bert")]
    (change,) = [e for e in events if isinstance(e, SpeakerChange)]
    assert change.utterance == "u2"
    first = 3 * 8000
    assert change.t0 == (first + 25_600 // 2) // 16
    assert (change.t1, change.at) == ((4 * 8000 + 25_600) // 16, (4 * 8000 + 26_112) // 16)
    final = events[-1]
    assert (final.speaker, final.t0) == ("bert", change.t0)
    before = [e.speaker for e in events[: events.index(change)]]
    assert before == ["anna"] * 4


def test_who_is_the_same_before_and_after_has_not_changed() -> None:
    """Two ways to sound, both nearest to one enrolled voice."""
    talk = Talk(gallery(anna=voice(0)), threshold=0.6)
    events = talk.utter(*[voice(-40)] * 3, *[voice(40)] * 3)
    assert changes(events) == []
    assert {e.speaker for e in events} == {"anna"}


def test_the_last_window_gives_no_interim_beside_the_final() -> None:
    talk = Talk()
    utterance = talk.begin(2000)
    window = Window(6400, 32_000, 36_000, is_last=True)
    assert list(talk.reader.window(utterance, window, Output(voice(0)))) == []
    assert talk.end(utterance).speaker == "S1"


def test_evidence_is_the_mean_of_the_windows() -> None:
    talk = Talk(gallery(anna=voice(0)))
    assert talk.final(voice(-20), voice(20)).score == pytest.approx(1.0, abs=1e-3)


def test_a_new_voice_is_named_after_three_seconds_without_waiting_for_the_end() -> None:
    talk = Talk()
    utterance = talk.begin()
    names = [talk.say(utterance, voice(0), index)[-1].speaker for index in range(6)]
    # Windows end at 1.6 s, 2.1 s, 2.6 s, 3.1 s, …
    assert names == [None, None, None, "S1", "S1", "S1"]
    assert talk.end(utterance).speaker == "S1"
    assert talk.final(voice(5)).speaker == "S1"


def test_a_label_given_in_mid_speech_is_kept_whatever_the_voice_does_later() -> None:
    talk = Talk()
    utterance = talk.begin()
    for index in range(5):
        talk.say(utterance, voice(0), index)
    later = [talk.say(utterance, voice(50), index)[-1].speaker for index in range(5, 9)]
    assert set(later) == {"S1"}
    assert talk.end(utterance).speaker == "S1"


def test_a_known_label_wins_over_an_unsure_enrolled_voice() -> None:
    talk = Talk(gallery(anna=voice(0)))
    assert talk.final(voice(60), speech_ms=1600).speaker == "S1"
    again = talk.final(voice(47), speech_ms=1600)  # cosine 0.68 to anna, 0.97 to S1
    assert (again.decision, again.speaker) == ("reject", "S1")


def test_who_takes_over_has_a_label_at_once() -> None:
    talk = Talk()
    utterance = talk.begin()
    for index in range(4):
        talk.say(utterance, voice(0), index)
    events = [e for index in (4, 5) for e in talk.say(utterance, voice(0, plane=1), index)]
    assert changes(events) == [("S1", "S2")]
