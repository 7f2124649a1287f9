"""The text is that of faster-whisper, from the same weights in the same precision."""

import re
import shutil
import sys
import time

import numpy as np
import pytest
from needs import lacking

from streamd.backends import Backends
from streamd.config import Config
from streamd.config.sections import TranscriptConfig
from streamd.engine.idle import IdleModels
from streamd.engine.recognition.lane import Transcriber
from streamd.engine.whisper.transcriber import Whisper
from streamd.engine.whisper.vocabulary import Vocabulary
from streamd.errors import ModelMissing
from streamd.models.catalogue import TRANSCRIPT_FILES
from streamd.models.library import Library
from streamd.observability.metrics import Metrics
from streamd.recognisers import make_recogniser

try:
    from streamd.engine.backends import ctranslate2 as backend
except ImportError:
    backend = None

pytestmark = pytest.mark.models


@pytest.fixture(scope="module", autouse=True)
def _package() -> None:
    if backend is None:
        lacking("ctranslate2 not installed (the extra `transcript`)")


@pytest.fixture(scope="module")
def whisper() -> Whisper:
    paths = [Library().path(file) for file in TRANSCRIPT_FILES]
    return Whisper(backend.load_whisper(*paths), Vocabulary.read(paths[2].read_bytes()))


def words(text: str) -> list[str]:
    return re.findall(r"[a-z0-9']+", text.lower())


def errors(said: list[str], read: list[str]) -> int:
    """Words that are wrong, missing or too many (Levenshtein)."""
    row = list(range(len(read) + 1))
    for i, word in enumerate(said, 1):
        diagonal, row[0] = row[0], i
        for j, other in enumerate(read, 1):
            diagonal, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, diagonal + (word != other))
    return row[-1]


def test_the_text_and_its_times_are_those_of_faster_whisper(whisper, clips, reference):
    """int8 rounds as the processor does: on another one, a word in twenty may differ."""
    wrong = total = 0
    for name in ("speech_slt.flac", "speech_rms.flac", "speech_espeak.flac"):
        samples = clips[name]
        found = whisper.transcribe(samples).segments
        theirs = reference[name]["segments"]
        text = " ".join(text for *_, text in theirs)
        wrong += errors(words(text), words(" ".join(s.text for s in found)))
        total += len(words(text))
        end_ms = len(samples) // 16
        assert abs(found[-1].t1 - min(theirs[-1][1] * 1000, end_ms)) <= 400
        assert found[0].t0 == theirs[0][0] * 1000
    assert total > 70
    assert wrong <= total / 20, f"{wrong} of {total} words"


def test_the_same_audio_gives_the_same_text(whisper, clips):
    samples = clips["speech_slt.flac"][:48_000]
    assert whisper.transcribe(samples) == whisper.transcribe(samples)


@pytest.mark.skipif(sys.platform != "linux", reason="threads have no clock of their own")
async def test_its_cpu_time_is_known_also_after_it_was_unloaded(whisper, clips):
    """The admission of streams takes it off the cost of streams."""
    now = 0.0
    metrics = Metrics()
    models = IdleModels(10.0, metrics, lambda: now)
    config = Config(transcript=TranscriptConfig(model="whisper-tiny-en"))
    model = make_recogniser(config, Library(), metrics, models, Backends(config.engine))
    lane = Transcriber(model, 1, Metrics())
    process_s, lane_s = time.process_time(), model.cpu_s()
    text = await lane.transcribe(clips["speech_slt.flac"][:48_000])
    process_s, lane_s = time.process_time() - process_s, model.cpu_s() - lane_s
    assert process_s > 0.05
    assert 0.5 * process_s < lane_s <= 1.01 * process_s
    now, before_s = 100.0, model.cpu_s()
    assert models.unload_idle()
    assert model.cpu_s() == before_s, "what was spent stays spent"
    assert await lane.transcribe(clips["speech_slt.flac"][:48_000]) == text
    assert model.cpu_s() > before_s
    lane.close()


def test_half_a_minute_of_silence_and_no_audio_have_no_text(whisper):
    assert whisper.transcribe(np.zeros(0, np.int16)).text == ""
    assert len(whisper.transcribe(np.zeros(16_000 * 30, np.int16)).segments) <= 1


def test_a_broken_file_is_refused_with_what_to_do(tmp_path):
    paths = [tmp_path / file for file in TRANSCRIPT_FILES]
    for path, file in zip(paths, TRANSCRIPT_FILES, strict=True):
        shutil.copyfile(Library().path(file), path)
    paths[0].write_bytes(paths[0].read_bytes()[:1000])
    with pytest.raises(ModelMissing, match=r"(?s)cannot load the model.*streamd models pull"):
        backend.load_whisper(*paths)
    paths[0].unlink()
    with pytest.raises(ModelMissing, match="cannot load the model"):
        backend.load_whisper(*paths)
