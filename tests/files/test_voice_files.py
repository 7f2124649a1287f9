"""Voices of uploaded files: the same as of recordings, and remembered where they may be."""

from collections.abc import AsyncIterator
from io import BytesIO
from typing import Any

import pytest
import soundfile
from fakes.driving import fake_passes, fake_registry, hum, pcm, silence, tone

from streamd.compose import Parts
from streamd.config.sections import FilesConfig
from streamd.engine.local import LocalEngine
from streamd.errors import NotAudio
from streamd.files import voice_files
from streamd.files.recording import Recording
from streamd.files.sessions import FileSessions
from streamd.files.uploads import Uploads
from streamd.files.voice_cache import MemoryVoiceCache
from streamd.files.voice_files import VoiceFiles
from streamd.files.voice_reading import read_voice
from streamd.observability.metrics import Metrics
from streamd.types import RATE_HZ, AudioFormat

REGISTRY = fake_registry()
TALK = pcm(hum(300), tone(300, 3000), silence(600), tone(300, 3000), silence(600))


def wav(data: bytes) -> bytes:
    file = BytesIO()
    soundfile.write(file, memoryview(data).cast("h"), RATE_HZ, format="WAV")
    return file.getvalue()


async def body(data: bytes, size: int = 20_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


class Reading:
    """Voices of files on a started engine with the fake passes."""

    def __init__(self) -> None:
        self.metrics = Metrics()
        self.engine = LocalEngine(fake_passes(), 1, 2, self.metrics, max_files=4)
        self.uploads = Uploads(FilesConfig(), self.metrics)
        self.sessions = FileSessions(self.uploads, self.engine, REGISTRY, 8)
        self.done_ms: list[int] = []

    def files(self, registry: Any = REGISTRY) -> VoiceFiles:
        return VoiceFiles(self.sessions, registry, self.cache)

    async def progress(self, done_ms: int, total_ms: int | None) -> None:
        assert total_ms is not None
        assert done_ms <= total_ms
        self.done_ms.append(done_ms)

    async def __aenter__(self) -> "Reading":
        self.cache = MemoryVoiceCache(10, self.metrics)
        self.engine.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.uploads.close()
        assert self.engine.stop(10)

    @property
    def decoded(self) -> float:
        value = self.metrics.registry.get_sample_value(
            "streamd_files_decoded_total", {"result": "ok"}
        )
        return value or 0.0


@pytest.fixture
async def reading() -> AsyncIterator[Reading]:
    async with Reading() as reading:
        yield reading


async def test_the_voice_of_an_upload_is_that_of_the_recording(reading: Reading) -> None:
    metrics = Metrics()
    offline = read_voice(
        Recording("a.wav", AudioFormat(), iter([TALK])),
        Parts(REGISTRY, LocalEngine(fake_passes(), 1, 1, metrics), metrics),
        8,
        lambda seconds: None,
    )
    voice = await reading.files().voice(body(wav(TALK)), "a.wav", "default", reading.progress)
    sample = await reading.files().sample(body(wav(TALK)), "a.wav", reading.progress)
    (heard,) = offline.heard.values()
    assert voice.embedding == pytest.approx(heard, abs=1e-5)
    assert [*sample.heard.values()] == [pytest.approx(heard, abs=1e-5)]
    assert voice.speech_ms == sample.speech_ms == offline.speech_ms
    assert (sample.channel, sample.is_one) == ("wide", offline.is_one)
    assert sample.levels == pytest.approx(offline.levels)
    assert len(sample.utterances) == len(offline.utterances)
    assert reading.done_ms[-1] == len(TALK) // 32


async def test_a_file_that_was_sent_before_is_not_decoded_again(reading: Reading) -> None:
    files = reading.files()
    first = await files.voice(body(wav(TALK)), "a", "acme", reading.progress)
    again = await files.voice(body(wav(TALK), 999), "b", "acme", reading.progress)
    assert again is first
    assert reading.decoded == 1
    await files.voice(body(wav(TALK)), "a", "default", reading.progress)
    await files.voice(body(wav(TALK + bytes(2))), "a", "acme", reading.progress)
    assert reading.decoded == 3
    await files.forget("acme")
    await files.voice(body(wav(TALK)), "a", "acme", reading.progress)
    assert reading.decoded == 4


async def test_another_model_or_other_settings_make_another_voice(reading: Reading) -> None:
    await reading.files().voice(body(wav(TALK)), "a", "acme", reading.progress)
    other = fake_registry(speaker={"hop_ms": 250})
    int8 = fake_registry(speaker={"model": "ge2e-int8"})
    await reading.files(int8).voice(body(wav(TALK)), "a", "acme", reading.progress)
    await reading.files(other).voice(body(wav(TALK)), "a", "acme", reading.progress)
    assert reading.decoded == 3


async def test_a_long_file_is_read_as_it_comes_and_not_remembered(
    reading: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(voice_files, "HASHED_BYTES", 1000)
    files = reading.files()
    first = await files.voice(body(wav(TALK)), "a", "acme", reading.progress)
    again = await files.voice(body(wav(TALK)), "a", "acme", reading.progress)
    assert first.embedding == pytest.approx(again.embedding, abs=1e-5)
    assert reading.decoded == 2


async def test_what_is_no_audio_is_not_remembered(reading: Reading) -> None:
    for _ in range(2):
        with pytest.raises(NotAudio, match=r"notes\.txt"):
            await reading.files().voice(
                body(b"no audio at all " * 99), "notes.txt", "acme", reading.progress
            )
    assert reading.metrics.registry.get_sample_value("streamd_voice_cache_entries") == 0
