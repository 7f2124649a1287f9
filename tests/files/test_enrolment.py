"""The sample that a recording gives of its voice, and what the store keeps of it."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes.driving import fake_passes, fake_registry, hum, pcm, pieces, silence, tone
from fakes.main_voice import CARD
from waiting import HANG_S

from streamd.audio.files import Gap
from streamd.compose import Parts
from streamd.engine.local import LocalEngine
from streamd.files.analysis import Analysis
from streamd.files.enrolment import distinct, enrol
from streamd.files.quality import decoded
from streamd.files.recording import Part, Recording
from streamd.files.voice_reading import EnrolmentReading, VoiceSample, read_voice, voice_models
from streamd.modules.emotion import BASELINE_MODEL
from streamd.modules.emotion_model import Baseline
from streamd.modules.gallery import Gallery
from streamd.modules.registry import Registry
from streamd.modules.speaker import SpeakerModule
from streamd.modules.voice_models import VoiceModels
from streamd.observability.metrics import Metrics
from streamd.settings import SpeakerSettings
from streamd.store import Enrolment, SqlStore, open_store
from streamd.store.base import to_enrol_again
from streamd.types import AudioFormat, Floats

REGISTRY = fake_registry()
ANNA: list[Part] = [pcm(hum(300), tone(300, 3000)), Gap(500), pcm(tone(300, 3000), silence(600))]
SHORT: list[Part] = [pcm(hum(300), tone(300, 900), silence(600))]
TWO: list[Part] = [pcm(tone(300, 3000), silence(600), tone(2100, 3000), silence(600))]


def sample_of(parts: list[Part], source: str = "anna.wav") -> VoiceSample:
    metrics = Metrics()
    engine = LocalEngine(fake_passes(), 1, 1, metrics)
    seconds: list[float] = []
    recording = Recording(source, AudioFormat(), iter(parts))
    sample = read_voice(recording, Parts(REGISTRY, engine, metrics), 8, seconds.append)
    assert engine.leases == 0
    assert seconds == [recording.seconds(part) for part in parts]
    return sample


def voice(sample: VoiceSample) -> Floats:
    return sample.heard[voice_models(REGISTRY).deciding]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    store = open_store(tmp_path / "v.db", tmp_path / "key")
    yield store
    store.close()


def test_a_sample_is_the_voice_and_how_much_it_said() -> None:
    sample = sample_of(ANNA)
    assert np.linalg.norm(voice(sample)) == pytest.approx(1)
    assert 5900 < sample.speech_ms < 6100
    assert (sample.channel, sample.source, sample.is_enough) == ("wide", "anna.wav", True)
    assert sample.is_one
    assert len(sample.utterances) == 2


def test_two_voices_in_a_recording_are_told_from_one() -> None:
    assert not sample_of(TWO).is_one


def test_too_little_speech_is_not_enough() -> None:
    assert not sample_of(SHORT).is_enough
    nothing = sample_of([pcm(silence(3000))])
    assert (nothing.heard, nothing.speech_ms, nothing.is_enough) == ({}, 0, False)


async def test_a_started_engine_gives_the_same_sample() -> None:
    engine = LocalEngine(fake_passes(), 1, 2, Metrics(), max_files=1)
    engine.start()
    reading = EnrolmentReading(REGISTRY)
    analysis = Analysis(
        engine, reading.registry, reading.modules, AudioFormat(), Gallery.empty(), ring_s=2
    )
    for part in ANNA:
        for piece in [part] if isinstance(part, Gap) else pieces(part, 5000):
            await analysis.feed(piece)
    await analysis.end()
    analysis.close()
    assert await asyncio.to_thread(engine.stop, HANG_S)
    sample, offline = reading.sample("wide"), sample_of(ANNA)
    assert voice(sample) == pytest.approx(voice(offline), abs=1e-5)
    assert (sample.speech_ms, len(sample.utterances)) == (offline.speech_ms, 2)


def test_a_recording_counts_once_however_often_it_comes(store: SqlStore) -> None:
    anna, bert = sample_of(ANNA), sample_of([pcm(tone(2100, 6000), silence(600))], "bert.wav")
    copy = replace(anna, source="copy.wav")
    first, again = enrol(store, "anna", [anna, copy], REGISTRY)
    assert (first.is_new, again.is_new, again.id) == (True, False, first.id)
    (once_more,) = enrol(store, "anna", [copy], REGISTRY)
    assert (once_more.is_new, once_more.id) == (False, first.id)
    assert [one.is_new for one in enrol(store, "anna", [copy, bert], REGISTRY)] == [
        False,
        True,
    ]
    (info,) = store.speakers()
    assert (info.enrolments, info.speech_ms) == (2, anna.speech_ms + bert.speech_ms)
    (of_another,) = enrol(store, "bert", [copy], REGISTRY)
    assert of_another.is_new


def test_an_enrolment_keeps_its_id_and_its_quality(store: SqlStore) -> None:
    anna, bert = sample_of(ANNA), sample_of([pcm(tone(2100, 6000), silence(600))], "bert.wav")
    done = enrol(store, "anna", [anna, bert], REGISTRY)
    kept = store.enrolments("anna")
    assert [one.id for one in kept] == [one.id for one in done]
    assert [decoded(one.quality) for one in kept] == [one.quality for one in done]
    assert "unlike_before" not in {issue.code for issue in done[0].quality.issues}
    assert "unlike_before" in {issue.code for issue in done[1].quality.issues}


def test_each_new_recording_adds_to_how_the_voice_usually_sounds(store: SqlStore) -> None:
    def known() -> float:
        kept = store.load_gallery(voice_models(REGISTRY), BASELINE_MODEL).baselines["anna"]
        baseline = Baseline.from_bytes(kept)
        assert baseline is not None
        return baseline.known

    enrol(store, "anna", [sample_of(ANNA)], REGISTRY)
    once = known()
    assert 0 < once < 1
    enrol(store, "anna", [sample_of([pcm(tone(700, 6000), silence(600))])], REGISTRY)
    assert known() > once


WINDOWS = "ge2e"


def registry_of(models: VoiceModels) -> Registry:
    """The fake modules, with these voice models."""
    speaker = SpeakerModule(SpeakerSettings(), CARD, models)
    others = [m for name, m in REGISTRY.readers.items() if name != speaker.name]
    return Registry(REGISTRY.vad, [], [speaker, *others], REGISTRY.defaults)


def heard_by(sample: VoiceSample, *models: str) -> VoiceSample:
    return replace(sample, heard=dict.fromkeys(models, voice(sample)))


def known(store: SqlStore, models: VoiceModels) -> list[list[str]]:
    """By each model, the voices that a session knows."""
    gallery = store.load_gallery(models)
    return [
        [gallery.names[i] for i in gallery.models[model].voices] if model in gallery.models else []
        for model in models.ids
    ]


def test_the_same_files_enrol_a_voice_with_a_new_model_and_still_count_once(
    store: SqlStore,
) -> None:
    before, after = VoiceModels(WINDOWS), VoiceModels(WINDOWS, "main")
    anna = sample_of(ANNA)
    (first,) = enrol(store, "anna", [heard_by(anna, WINDOWS)], registry_of(before))
    assert to_enrol_again(store.speakers(), after) == ([], ["anna"])
    assert known(store, after) == [[], ["anna"]]
    for is_completed in (True, False):
        both = heard_by(anna, WINDOWS, "main")
        (again,) = enrol(store, "anna", [both], registry_of(after))
        assert (again.id, again.is_new, again.is_completed) == (first.id, False, is_completed)
        assert known(store, after) == [["anna"], ["anna"]]
        assert to_enrol_again(store.speakers(), after) == ([], [])
    (info,) = store.speakers()
    assert (info.enrolments, info.speech_ms, info.models) == (1, anna.speech_ms, (WINDOWS, "main"))
    (kept,) = store.enrolments("anna")
    assert (kept.id, kept.models) == (first.id, (WINDOWS, "main"))


def test_who_was_enrolled_with_a_model_is_known_to_it_in_fewer_bits_and_back(
    store: SqlStore,
) -> None:
    whole = VoiceModels("ge2e", "main", comparable={"main": ("main", "main-int8")})
    rounded = VoiceModels("ge2e", "main-int8", comparable={"main-int8": ("main-int8", "main")})
    anna = sample_of(ANNA)
    bert = sample_of([pcm(tone(2100, 6000), silence(600))], "bert.wav")
    enrol(store, "anna", [heard_by(anna, *whole.ids)], registry_of(whole))
    enrol(store, "bert", [heard_by(bert, *rounded.ids)], registry_of(rounded))
    for models in (whole, rounded):
        assert known(store, models) == [["anna", "bert"]] * 2
        assert to_enrol_again(store.speakers(), models) == ([], [])
        (again,) = enrol(store, "anna", [heard_by(anna, *models.ids)], registry_of(models))
        assert (again.is_new, again.is_completed) == (False, False)
    assert {info.name: info.enrolments for info in store.speakers()} == {"anna": 1, "bert": 1}


def test_a_model_in_fewer_bits_knows_the_same_audio_from_other_audio(store: SqlStore) -> None:
    whole, rounded = VoiceModels("m"), VoiceModels("m-int8", comparable={"m-int8": ("m-int8", "m")})
    anna = sample_of(ANNA)
    enrol(store, "anna", [heard_by(anna, "m")], registry_of(whole))
    other = replace(heard_by(anna, "m-int8"), speech_ms=anna.speech_ms + 100)
    same, new = enrol(store, "anna", [heard_by(anna, "m-int8"), other], registry_of(rounded))
    assert (same.is_new, new.is_new) == (False, True)


def test_voices_that_no_model_in_force_knows_are_told_from_those_that_one_knows(
    store: SqlStore,
) -> None:
    for name, model in (("anna", "ge2e"), ("bert", "other"), ("cleo", "main")):
        store.enrol(name, [Enrolment(np.eye(4)[0], model, "wide", 1000, "a.wav")])
    again = to_enrol_again(store.speakers(), VoiceModels("ge2e", "main"))
    assert (again.unknown, again.by_windows) == (["bert"], ["anna"])
    again = to_enrol_again(store.speakers(), VoiceModels("ge2e"))
    assert (again.unknown, again.by_windows) == (["bert", "cleo"], [])


def test_a_stream_in_which_one_model_heard_too_little_enrols_with_the_other(
    store: SqlStore,
) -> None:
    models = VoiceModels(WINDOWS, "main")
    (done,) = enrol(store, "anna", [heard_by(sample_of(ANNA), WINDOWS)], registry_of(models))
    assert done.is_new
    assert to_enrol_again(store.speakers(), models).by_windows == ["anna"]


def test_files_of_equal_contents_count_once(tmp_path: Path) -> None:
    a, b, other, gone = (tmp_path / name for name in ("a", "b", "other", "gone"))
    a.write_bytes(b"one")
    b.write_bytes(b"one")
    other.write_bytes(b"two")
    assert distinct([a, other, b, gone, a]) == ([a, other, gone], [(b, a), (a, a)])
