"""The track of moods: smoothed, one final word, baselines, who spoke. A small model that is exact:
each label has a state of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from fakes.driving import Player, Stage, enrolled, fake_registry, pcm, silence, tone

from streamd.engine.passes.prosody import DESCRIPTORS, Moments
from streamd.events import Emotion
from streamd.modules.base import ReaderContext, Utterance, Window
from streamd.modules.emotion import EmotionModule
from streamd.modules.emotion_model import FEATURES, FORMAT, LABELS, Baseline, EmotionModel
from streamd.modules.gallery import Gallery
from streamd.settings import EmotionSettings
from streamd.types import Floats

K = len(DESCRIPTORS)
SIZE = 1024 + 2 * K
LENGTH, HOP = 25_600, 8000


class Output(NamedTuple):
    states: Floats
    prosody: Moments


def model_file(path: Path) -> Path:
    """State n is the logit of label n, state 7 that of arousal, state 8 of plain speech."""
    project = np.eye(SIZE, 9)
    hidden = np.zeros((10, 16))
    hidden[:8, :8], hidden[:8, 8:] = np.eye(8), -np.eye(8)
    out = np.concatenate([np.eye(8), -np.eye(8)])
    plain = np.zeros(10)
    plain[8] = 1.0
    meta = {
        "format": FORMAT,
        "features": FEATURES,
        "name": "exact",
        "card": {"license": "CC0-1.0", "source": "a test", "training_data": "none"},
        "labels": LABELS,
        "descriptors": DESCRIPTORS,
        "min_speech_ms": 1000,
        "plain_from": 0.5,
        "temperature": [1.0, 1.0],
        "threshold": [0.5, 0.5],
    }
    np.savez(
        path,
        center=np.zeros(SIZE),
        scale=np.ones(SIZE),
        project=project,
        spread=np.ones(9),
        hidden=hidden,
        hidden_bias=np.zeros(16),
        out=out,
        out_bias=np.zeros(8),
        plain=plain,
        plain_bias=np.zeros(()),
        farthest=np.array(np.inf),
        meta=np.frombuffer(json.dumps(meta).encode(), np.uint8),
    )
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> EmotionModel:
    return EmotionModel.load(model_file(tmp_path_factory.mktemp("emotion") / "exact.npz"))


def mood(label: str, strength: float = 5.0, arousal: float = 0.0, plain: float = 5.0) -> Output:
    states = np.zeros(1024, np.float32)
    states[LABELS.index(label)] = strength
    states[7], states[8] = arousal, plain
    return Output(states, np.zeros((2, K, 3), np.float32))


class Talk:
    """A session's emotion reader, and utterances said to it."""

    def __init__(self, model: EmotionModel, gallery: Gallery | None = None, **options: Any) -> None:
        self.gallery = gallery or Gallery.empty()
        self.services = ReaderContext(lambda p, end=False: p // 16, lambda: self.gallery, "wide")
        self.spent: list[float] = []
        self.module = EmotionModule(EmotionSettings(hop_ms=500), model, self.spent.append)
        self.reader = self.module.open(self.module.parse(options)[0], self.services, None)

    @property
    def speakers(self) -> Any:
        return self.services.speakers

    def begin(self, speech_ms: int = 20_000) -> Utterance:
        utterance = Utterance("u1", 0, 0, 0, runs=[(0, speech_ms * 16)])
        self.reader.opened(utterance)
        return utterance

    def say(
        self, utterance: Utterance, output: Output, index: int, *, last: bool = False
    ) -> list[Any]:
        start = index * HOP
        window = Window(start, start + LENGTH, start + LENGTH + 512, last)
        return list(self.reader.window(utterance, window, output))

    def end(self, utterance: Utterance) -> Emotion:
        utterance.end = utterance.closed_at = utterance.runs[-1][1]
        (final,) = self.reader.closed(utterance)
        assert final.final
        return final

    def utter(self, *outputs: Output, voice: str | None = None) -> Emotion:
        """A whole utterance, of a voice that the speaker module is sure of."""
        if voice is not None:
            self.speakers.begin()
        utterance = self.begin()
        for index, output in enumerate(outputs):
            if voice is not None:
                self.speakers.update(voice, is_sure=True)
            self.say(utterance, output, index)
        return self.end(utterance)


@pytest.fixture
def talk(model: EmotionModel) -> Talk:
    return Talk(model)


def test_each_window_gives_a_point_and_the_utterance_one_word(talk: Talk) -> None:
    utterance = talk.begin(speech_ms=2100)
    (first,) = talk.say(utterance, mood("happy", arousal=2.0), 0)
    assert (first.label, first.final, first.abstain) == ("happy", False, False)
    assert (first.t0, first.t1, first.at) == (0, 1600, 1632)
    assert sum(first.scores.values()) == pytest.approx(1, abs=1e-3)
    assert set(first.scores) == set(LABELS)
    assert first.score == first.scores["happy"] > 0.9
    assert first.arousal == pytest.approx(0.88, abs=0.01)
    assert talk.say(utterance, mood("happy"), 1, last=True) == []
    final = talk.end(utterance)
    assert (final.label, final.t0, final.t1) == ("happy", 0, 2100)


def test_a_point_pools_the_latest_windows_and_is_eased_into_the_ones_before(talk: Talk) -> None:
    utterance = talk.begin()
    for index in range(4):
        talk.say(utterance, mood("sad"), index)
    scores = [talk.say(utterance, mood("angry"), index)[0].scores["angry"] for index in range(4, 9)]
    assert scores == sorted(scores)
    assert scores[0] < 0.5 < scores[-1]


def test_the_final_word_is_about_the_whole_utterance(talk: Talk) -> None:
    outputs = [mood("neutral")] * 5 + [mood("angry")] * 2
    assert talk.utter(*outputs).label == "neutral"


@pytest.mark.parametrize(
    ("speech_ms", "output", "abstains"),
    [
        (20_000, mood("happy"), False),
        (900, mood("happy"), True),  # short
        (20_000, mood("happy", plain=-5.0), True),  # not plain speech
        (20_000, mood("happy", strength=0.5), True),  # too even
    ],
)
def test_thin_evidence_abstains_and_still_says_what_is_likeliest(
    talk: Talk, speech_ms: int, output: Output, abstains: bool
) -> None:
    utterance = talk.begin(speech_ms)
    talk.say(utterance, output, 0)
    final = talk.end(utterance)
    assert (final.label, final.abstain) == ("happy", abstains)


def test_a_session_may_set_its_own_threshold(model: EmotionModel) -> None:
    even = mood("happy", strength=0.5)
    assert Talk(model, threshold=0.1).utter(even).abstain is False
    assert Talk(model, threshold=0.99).utter(mood("happy", strength=4.0)).abstain is True


def test_an_utterance_without_a_window_has_a_word_too(talk: Talk) -> None:
    utterance = talk.begin(speech_ms=300)
    final = talk.end(utterance)
    assert final.abstain
    assert set(final.scores.values()) == {round(1 / 7, 4)}


def test_a_voice_is_compared_with_how_it_sounds_otherwise(talk: Talk) -> None:
    grumpy = mood("angry", strength=3.0)
    assert talk.utter(grumpy, voice="ann").label == "angry"
    for _ in range(200):
        talk.utter(grumpy, voice="ann")
    usual = talk.utter(grumpy, voice="ann")
    assert usual.scores["angry"] < 0.3
    assert talk.utter(mood("happy", strength=2.0), voice="ann").label == "happy"
    # No other session changes by it.
    assert talk.utter(grumpy, voice="bob").scores["angry"] > 0.7


def test_nothing_is_learned_of_a_voice_that_is_not_sure(talk: Talk) -> None:
    for is_sure, learned in ((False, False), (True, True)):
        talk.speakers.begin()
        utterance = talk.begin()
        talk.speakers.update("ann", is_sure=is_sure)
        talk.say(utterance, mood("sad"), 0)
        before = talk.end(utterance).scores["sad"]
        talk.speakers.begin()
        utterance = talk.begin()
        talk.speakers.update("ann", is_sure=True)
        (point,) = talk.say(utterance, mood("sad"), 0)
        assert (point.scores["sad"] < before) == learned
        talk.speakers.begin()
        talk.begin()  # what was said last is not ended, so not learned


def test_a_shout_with_a_label_of_its_own_is_compared_with_whom_it_is_like(talk: Talk) -> None:
    for _ in range(20):
        talk.utter(mood("neutral"), voice="S1")
    talk.speakers.nearest |= {"S2": "S1", "S3": "S2", "S4": None}
    for label, is_nearest in (("S2", True), ("S3", True), ("S4", False)):
        shout = talk.utter(mood("neutral", strength=3.0), voice=label)
        assert (shout.scores["neutral"] < 0.4) == is_nearest


def test_an_enrolled_voice_learns_nothing_from_who_was_rejected_as_it(model: EmotionModel) -> None:
    talk = Talk(model, enrolled(ann=300))
    talk.speakers.nearest["S1"] = "ann"
    talk.utter(mood("sad"), voice="S1")
    assert talk.speakers.learned == {}


def test_without_the_speaker_module_a_session_is_one_voice(talk: Talk) -> None:
    scores = [talk.utter(mood("sad", strength=3.0)).scores["sad"] for _ in range(5)]
    assert scores == sorted(scores, reverse=True)
    assert scores[-1] < scores[0] - 0.2


def test_a_change_of_speaker_begins_anew(talk: Talk) -> None:
    talk.speakers.begin()
    utterance = talk.begin()
    for index in range(6):
        talk.speakers.update("ann", is_sure=True)
        talk.say(utterance, mood("neutral"), index)
    # Windows 6 and 7 speak for another voice; its share begins in the middle of window 6.
    talk.speakers.update("ann", is_sure=True)
    talk.say(utterance, mood("sad"), 6)
    talk.speakers.take_over(6 * HOP + LENGTH // 2)
    talk.speakers.update("bob", is_sure=True)
    (point,) = talk.say(utterance, mood("sad"), 7)
    assert (point.label, point.score > 0.9) == ("sad", True)
    final = talk.end(utterance)
    assert final.label == "sad"
    assert final.t0 == (6 * HOP + LENGTH // 2) // 16
    # What the first speaker said before counts for her baseline.
    talk.speakers.begin()
    utterance = talk.begin()
    talk.speakers.update("ann", is_sure=True)
    (again,) = talk.say(utterance, mood("neutral", strength=1.5), 0)
    assert again.scores["neutral"] < 0.3


def test_what_is_learned_of_an_enrolled_voice_is_to_be_kept_and_of_a_label_not(
    model: EmotionModel,
) -> None:
    talk = Talk(model, enrolled(ann=300))
    talk.utter(mood("sad"), voice="ann")
    talk.utter(mood("sad"), voice="S1")
    assert set(talk.speakers.learned) == {"ann"}
    kept = Baseline.from_bytes(talk.speakers.learned["ann"])
    assert kept is not None
    assert kept.mean[LABELS.index("sad")] == 5.0
    assert 0.6 < kept.count < 0.66


def test_what_was_kept_is_read_at_the_start_and_not_later(model: EmotionModel) -> None:
    usual = Baseline.empty(SIZE)
    for _ in range(50):
        usual = usual.add(model.features(mood("sad").states, mood("sad").prosody.sum(0)))
    gallery = enrolled(ann=300)
    knowing = gallery.remembering({"ann": usual.to_bytes(), "nobody": b"?"})
    assert set(knowing.baselines) == {"ann"}
    assert Talk(model, knowing).utter(mood("sad"), voice="ann").scores["sad"] < 0.3
    late = Talk(model, gallery)
    late.gallery = knowing
    assert late.utter(mood("sad"), voice="ann").scores["sad"] > 0.9


def test_a_baseline_of_other_features_is_left_alone(model: EmotionModel) -> None:
    gallery = enrolled(ann=300).remembering({"ann": b"\xff" * 64})
    assert Talk(model, gallery).utter(mood("sad"), voice="ann").label == "sad"


def test_new_options_keep_what_was_learned(talk: Talk) -> None:
    for _ in range(20):
        talk.utter(mood("neutral"), voice="ann")
    talk.reader = talk.module.open(
        talk.module.parse({"hop_ms": 1000})[0], talk.services, talk.reader
    )
    assert talk.reader.spec.hop == 16_000
    assert talk.utter(mood("neutral"), voice="ann").scores["neutral"] < 0.4


@pytest.fixture
def player() -> Player:
    return Player(Stage(), fake_registry(), {"speaker": {}, "emotion": {}})


def test_in_a_session_it_rides_on_the_speakers_windows(player: Player) -> None:
    player.play([pcm(silence(500), tone(300, 4000), silence(800))])
    interims = [e for e in player.of("speaker") if not e["final"]]
    points = [e for e in player.of("emotion") if not e["final"]]
    assert [(e["t1"], e["at"]) for e in points] == [(e["t1"], e["at"]) for e in interims]
    assert len(points) >= 4
    (final,) = [e for e in player.of("emotion") if e["final"]]
    assert final["utterance"] == "u1"


def test_a_session_returns_the_new_baselines_of_enrolled_voices() -> None:
    gallery = enrolled(anna=300)
    player = Player(
        Stage(), fake_registry(), {"speaker": {}, "emotion": {}}, gallery=lambda: gallery
    )
    player.play([pcm(silence(500), tone(300, 4000), silence(800), tone(800, 4000), silence(800))])
    assert {e["speaker"] for e in player.of("speaker") if e["final"]} == {"anna", "S1"}
    assert set(player.session.learned) == {"anna"}


def test_each_run_of_the_network_reports_its_cpu_time(model):
    talk = Talk(model)
    utterance = talk.begin()
    for index in range(2):
        talk.say(utterance, mood("sad"), index)
    assert len(talk.spent) == 2
    talk.end(utterance)
    assert len(talk.spent) > 2
    assert all(0 <= cpu_s < 1 for cpu_s in talk.spent)
