"""The sample that a recording gives of its voice, and what the store keeps of it."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakes.driving import fake_passes, fake_registry, hum, pcm, pieces, silence, tone
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
from streamd.observability.metrics import Metrics
from streamd.store import SqlStore, open_store
from streamd.types import AudioFormat

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


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    store = open_store(tmp_path / "v.db", tmp_path / "key")
    yield store
    store.close()


def test_a_sample_is_the_voice_and_how_much_it_said() -> None:
    sample = sample_of(ANNA)
    assert sample.embedding is not None
    assert np.linalg.norm(sample.embedding) == pytest.approx(1)
    assert 5900 < sample.speech_ms < 6100
    assert (sample.channel, sample.source, sample.is_enough) == ("wide", "anna.wav", True)
    assert sample.unity > 0.9
    assert len(sample.utterances) == 2


def test_two_voices_in_a_recording_are_told_from_one() -> None:
    assert sample_of(TWO).unity < 0.5


def test_too_little_speech_is_not_enough() -> None:
    assert not sample_of(SHORT).is_enough
    nothing = sample_of([pcm(silence(3000))])
    assert (nothing.embedding, nothing.speech_ms, nothing.is_enough) == (None, 0, False)


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
    assert sample.embedding == pytest.approx(offline.embedding, abs=1e-5)
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


def test_files_of_equal_contents_count_once(tmp_path: Path) -> None:
    a, b, other, gone = (tmp_path / name for name in ("a", "b", "other", "gone"))
    a.write_bytes(b"one")
    b.write_bytes(b"one")
    other.write_bytes(b"two")
    assert distinct([a, other, b, gone, a]) == ([a, other, gone], [(b, a), (a, a)])
