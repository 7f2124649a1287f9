"""Files that arrive over a network: what comes of them, and what a bad one costs."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from blockbuster import blockbuster_ctx
from fakes.driving import (
    ALL_ON,
    Player,
    Stage,
    assert_same_events,
    fake_passes,
    fake_registry,
    hum,
    pcm,
    silence,
    tone,
    word,
)
from waiting import HANG_S, until

from streamd.audio.files import read
from streamd.config.sections import FilesConfig
from streamd.engine.local import LocalEngine
from streamd.engine.passes.fake import FakeSpeculative
from streamd.errors import BadInput, NotAudio, Overloaded, TooLarge, Unavailable
from streamd.files import uploads as uploads_module
from streamd.files.analysis import Analysis
from streamd.files.offline import OfflineAnalysis
from streamd.files.recording import Part, Recording
from streamd.files.uploads import Uploads
from streamd.modules.gallery import Gallery
from streamd.observability.metrics import Metrics
from streamd.types import RATE_HZ, AudioFormat

CONTAINERS = Path(__file__).parent.parent / "data" / "containers"
REGISTRY = fake_registry()
MODULES, _ = REGISTRY.resolve(ALL_ON)
TALK = pcm(hum(300), tone(300, 4000), silence(500), word(), silence(300), tone(1100, 5000))


@pytest.fixture(autouse=True)
def nothing_blocks_the_loop() -> Iterator[None]:
    with blockbuster_ctx("streamd"):
        yield


@pytest.fixture
async def make() -> AsyncIterator[Any]:
    made: list[Uploads] = []

    def make(**limits: Any) -> Uploads:
        made.append(Uploads(FilesConfig(**limits), Metrics()))
        return made[-1]

    yield make
    for uploads in made:
        await uploads.close()
        assert uploads.pool.pids == []


def written(samples: Any, fmt: str = "WAV", subtype: str = "PCM_16", rate: int = RATE_HZ) -> bytes:
    file = BytesIO()
    soundfile.write(file, samples, rate, format=fmt, subtype=subtype)
    return file.getvalue()


NOISE = np.random.default_rng(3).integers(-9000, 9000, 40_000, np.int16)
WAV = written(NOISE)
LONG = written(np.tile(NOISE, 100))


async def body(data: bytes, size: int = 20_000) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]
        await asyncio.sleep(0)


async def decoded(uploads: Uploads, data: bytes, size: int = 20_000) -> tuple[Any, ...]:
    async with uploads.open(body(data, size), name="a file") as upload:
        parts = [part async for part in upload.parts]
        return upload.format, upload.offset_ms, parts, upload.notes


def directly(data: bytes) -> tuple[Any, ...]:
    notes: list[str] = []
    file = read(BytesIO(data), name="a file", note=notes.append)
    recording = Recording.of_file("a file", file)
    return recording.format, recording.offset_ms, list(recording.parts), notes


async def test_an_upload_gives_the_parts_of_the_file(make: Any) -> None:
    uploads = make()
    files = {path.name: path.read_bytes() for path in CONTAINERS.iterdir()}
    files |= {kind: written(NOISE, "WAV", kind) for kind in ("PCM_U8", "PCM_24", "FLOAT", "ULAW")}
    wide = written(np.zeros((4000, 12), np.int16), rate=96_000)
    for name, data in [*files.items(), ("wide", wide)]:
        for size in (700, 1 << 20):
            assert await decoded(uploads, data, size) == directly(data), name


async def test_files_side_by_side_share_the_processes(make: Any) -> None:
    uploads = make(max_at_once=3)
    found = await asyncio.gather(*(decoded(uploads, WAV) for _ in range(30)))
    assert all(each == directly(WAV) for each in found)
    assert len(uploads.pool.pids) <= 3


@pytest.mark.parametrize(
    ("data", "words"),
    [(b"hello, this is text" * 99, "streamd reads WAV"), (b"", "is empty"), (WAV[:44], "no audio")],
)
async def test_what_is_not_audio_is_refused_and_costs_no_process(
    make: Any, data: bytes, words: str
) -> None:
    uploads = make()
    await decoded(uploads, WAV)
    pids = uploads.pool.pids
    with pytest.raises(NotAudio, match=f"a file.*{words}"):
        await decoded(uploads, data)
    assert await decoded(uploads, WAV) == directly(WAV)
    assert uploads.pool.pids == pids


async def test_a_decompression_bomb_is_too_large_and_costs_no_process(make: Any) -> None:
    uploads = make(max_seconds=60)
    bomb = written(np.zeros(3600 * 8000, np.int16), "FLAC", rate=8000)
    await decoded(uploads, WAV)
    pids = uploads.pool.pids
    with pytest.raises(TooLarge, match="longer than the 60 s"):
        await decoded(uploads, bomb)
    assert await decoded(uploads, WAV) == directly(WAV)
    assert uploads.pool.pids == pids


async def test_an_upload_over_the_limit_of_bytes_is_too_large(make: Any) -> None:
    uploads = make(max_bytes=len(WAV))
    assert await decoded(uploads, WAV) == directly(WAV)
    for data in (WAV + b"\0", LONG):
        with pytest.raises(TooLarge, match=r"files\.max_bytes"):
            await decoded(uploads, data)
    assert await decoded(uploads, WAV) == directly(WAV)


class Held:
    """A body that stops in its middle until it may go on."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.goes_on = asyncio.Event()
        self.is_held = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._data[: len(self._data) // 2]
        self.is_held = True
        await self.goes_on.wait()
        yield self._data[len(self._data) // 2 :]


@pytest.mark.parametrize(
    ("signal_", "error", "words"),
    [
        (signal.SIGSEGV, NotAudio, "its decoder failed on it .SIGSEGV"),
        (signal.SIGKILL, Unavailable, "send the file again"),
        (signal.SIGXCPU, TooLarge, "to decode; send a shorter file"),
        (signal.SIGSTOP, TooLarge, "makes no progress"),
    ],
)
async def test_a_process_that_ends_or_hangs_costs_one_answer(
    make: Any, signal_: signal.Signals, error: type[Exception], words: str
) -> None:
    uploads = make(timeout_s=5 if signal_ == signal.SIGSTOP else 120)
    held = Held(LONG)
    async with uploads.open(held, name="a file") as upload:
        first = await anext(upload.parts)
        await until(lambda: uploads.pool.pids)
        (pid,) = uploads.pool.pids
        os.kill(pid, signal_)
        held.goes_on.set()
        with pytest.raises(error, match=words):
            async for _ in upload.parts:
                pass
    assert first
    assert await decoded(uploads, WAV) == directly(WAV)
    assert pid not in uploads.pool.pids


async def test_a_client_that_leaves_frees_its_turn_and_its_process(make: Any) -> None:
    uploads = make(max_at_once=1, max_waiting=0)
    for _ in range(3):
        async with uploads.open(body(LONG)) as upload:
            await anext(upload.parts)
            with pytest.raises(Overloaded) as refused:
                await decoded(uploads, WAV)
            assert refused.value.retry_after_ms
    assert await decoded(uploads, WAV) == directly(WAV)


async def test_a_slow_client_takes_no_turn_before_its_first_bytes_are_there(make: Any) -> None:
    uploads = make(max_at_once=1, max_waiting=0)
    held = Held(WAV)
    slow = asyncio.create_task(decoded_from(uploads, held))
    await until(lambda: held.is_held)
    assert await decoded(uploads, WAV) == directly(WAV)
    held.goes_on.set()
    assert await slow == directly(WAV)[2]


async def decoded_from(uploads: Uploads, source: Any) -> list[Part]:
    async with uploads.open(source, name="a file") as upload:
        return [part async for part in upload.parts]


async def test_a_client_that_stops_sending_is_told(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads_module, "STALL_S", 0.2)
    uploads = make()
    for data in (WAV, LONG):
        with pytest.raises(BadInput, match="nothing came"):
            await decoded_from(uploads, Held(data))
    assert await decoded(uploads, WAV) == directly(WAV)


async def test_the_body_is_received_whole_whatever_follows_the_audio(make: Any) -> None:
    tags = b"LIST" + (400_000).to_bytes(4, "little") + bytes(400_000)
    source = body(WAV + tags)
    await decoded_from(make(), source)
    assert [piece async for piece in source] == []


@pytest.mark.parametrize(("fmt", "rate"), [("WAV", 16_000), ("FLAC", 16_000), ("WAV", 44_100)])
async def test_an_upload_gives_the_events_of_the_file_and_of_its_stream(
    make: Any, fmt: str, rate: int
) -> None:
    samples = np.frombuffer(TALK, "<i2")
    data = written(samples, fmt, rate=rate)
    ahead = [p for p in fake_passes() if p.name == FakeSpeculative.name]
    rest = [p for p in fake_passes() if p.name != FakeSpeculative.name]
    engine = LocalEngine(rest, 8, 2, Metrics(), ahead, max_files=2)
    engine.start()
    try:
        async with make().open(body(data)) as upload:
            analysis = Analysis(engine, REGISTRY, MODULES, upload.format, Gallery.empty())
            try:
                events = [event async for event in analysis.events(upload.parts)]
            finally:
                analysis.close()
    finally:
        assert await asyncio.to_thread(engine.stop, HANG_S)
    audio = AudioFormat(rate=rate)
    offline = OfflineAnalysis(
        LocalEngine(fake_passes(), 1, 1, Metrics()), REGISTRY, MODULES, audio, Gallery.empty()
    )
    assert_same_events(events, list(offline.events(directly(data)[2])))
    if rate == RATE_HZ:
        assert_same_events(events, Player(Stage(), REGISTRY, ALL_ON).play([TALK]))
