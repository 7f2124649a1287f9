"""Clips to what the model reads of them: the windows that a live session would have cut.

The recordings go through the very session that serves, with a reader that keeps what the voice
pass said. Augmented copies are cut where their originals were.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
import soxr

from streamd.audio.files import read
from streamd.audio.pcm import to_int16
from streamd.backends import load_backend
from streamd.compose import make_vad
from streamd.config import Config
from streamd.engine.local import LocalEngine
from streamd.engine.passes import prosody
from streamd.engine.passes.ge2e import Ge2eVoice
from streamd.engine.passes.silero import SileroVad
from streamd.errors import NotAudio
from streamd.events import TimedEvent
from streamd.files.offline import OfflineAnalysis
from streamd.models.library import Library
from streamd.modules.base import ReaderContext, Utterance, Window, WindowSpec
from streamd.modules.emotion_model import FEATURES, STATES, describe
from streamd.modules.gallery import Gallery
from streamd.modules.registry import Registry
from streamd.observability.metrics import Metrics
from streamd.types import RATE_HZ, AudioFormat, Floats, Samples, WindowRequest
from training.emotion.augment import augment
from training.emotion.manifest import Clip
from training.emotion.sounds import make_sounds

SPEC = WindowSpec(pass_name="voice", length=25_600, hop=8_000, minimum=6_400)
SILENCE = np.zeros(9_600, np.int16)
"""Behind every clip: the VAD ends an utterance after 384 ms of it."""
EXTRAS = frozenset({"prosody"})
RECIPE = 1
"""Of this file and `augment.py`: what was cached under another one is made anew."""
_CLIPS_PER_TASK = 16


class Heard(NamedTuple):
    """All windows of all clips, one after the other."""

    clip: npt.NDArray[np.int32]
    """`[n]`: index of the clip that a window is of."""
    states: npt.NDArray[np.float16]
    """`[n, 1024]`."""
    moments: npt.NDArray[np.float32]
    """`[n, K, 3]`, of what no window before had."""
    speech_ms: npt.NDArray[np.int32]
    """`[clips]`."""


class _Cut(NamedTuple):
    start: int
    stop: int
    new: int


class _Reader:
    """Keeps what every window said."""

    spec = SPEC
    extras = EXTRAS
    optional = None

    def __init__(self) -> None:
        self.cuts: list[_Cut] = []
        self.outputs: list[Any] = []
        self.speech = 0
        self._last: int | None = None

    def opened(self, utterance: Utterance) -> None:
        self._last = None

    def window(self, utterance: Utterance, window: Window, output: Any) -> Iterable[TimedEvent]:
        begin = window.start if self._last is None else max(self._last, window.start)
        self.cuts.append(_Cut(window.start, window.stop, window.stop - begin))
        self.outputs.append(output)
        self._last = window.stop
        return ()

    def closed(self, utterance: Utterance) -> Iterable[TimedEvent]:
        self.speech += utterance.speech
        return ()


class _Module:
    name: ClassVar[str] = "training"

    def __init__(self) -> None:
        self.reader = _Reader()

    def parse(self, request: Any) -> tuple[None, list[tuple[str, str]]]:
        return None, []

    def describe(self, options: None) -> dict[str, Any]:
        return {}

    def open(self, options: None, services: ReaderContext, previous: Any) -> _Reader:
        self.reader = _Reader()
        return self.reader


class _Ears:
    """The passes, and sessions on them."""

    def __init__(self) -> None:
        config, library = Config(), Library()
        backend = load_backend(config.engine.backend)
        vad = SileroVad(backend, library)
        self.voice = Ge2eVoice(backend, library)
        self._engine = LocalEngine([vad, self.voice], 1, 1, Metrics())
        self._module = _Module()
        self._registry = Registry(make_vad(config, vad), [], [self._module], ())
        self._modules = {self._module.name: None}

    def hear(self, samples: Samples) -> _Reader:
        analysis = OfflineAnalysis(
            self._engine, self._registry, self._modules, AudioFormat(), Gallery.empty()
        )
        try:
            for _ in analysis.events([samples.tobytes(), SILENCE.tobytes()]):
                pass
        finally:
            analysis.close()
        return self._module.reader


@cache
def _ears() -> _Ears:
    """One set per process."""
    return _Ears()


def load(clip: Clip) -> Samples:
    """A clip's samples, its first channel at 16 kHz.

    Raises:
        NotAudio: it is none, or its part of the file is empty.
    """
    file = read(clip.path)
    audio = np.concatenate([block[:, 0] for block in file.blocks])
    if file.rate_hz != RATE_HZ:
        audio = soxr.resample(audio, file.rate_hz, RATE_HZ)
    per_ms = RATE_HZ // 1000
    stop = None if clip.end_ms is None else clip.end_ms * per_ms
    samples = to_int16(audio)[(clip.start_ms or 0) * per_ms : stop]
    if not len(samples):
        raise NotAudio(f"{clip.where}: {clip.path} has no audio there")
    return samples


def extract(
    clips: Sequence[Clip],
    copies: int,
    jobs: int,
    cache_dir: Path | None,
    done: Callable[[int], None],
) -> list[Heard]:
    """What the passes say of the clips, as they are and of augmented copies.

    Args:
        clips: in the manifest's order.
        copies: augmented ones of each.
        jobs: processes.
        cache_dir: where to keep it; None keeps nothing.
        done: told how many clips were done.

    Returns:
        `copies` + 1: the recordings themselves first.

    Raises:
        NotAudio: a recording cannot be decoded.
        ModelMissing: run `streamd models pull` first.
    """
    kept = None if cache_dir is None else cache_dir / f"{_fingerprint(clips, copies)}.npz"
    if kept is not None and kept.is_file():
        with np.load(kept, allow_pickle=False) as stored:
            heard = [Heard(*(stored[f"{f}_{i}"] for f in Heard._fields)) for i in range(copies + 1)]
        done(len(clips))
        return heard
    tasks = [
        (clips[at : at + _CLIPS_PER_TASK], at, copies)
        for at in range(0, len(clips), _CLIPS_PER_TASK)
    ]
    parts: list[list[Heard]] = []
    with ExitStack() as stack:
        if jobs == 1:
            answers = map(_hear, tasks)
        else:
            pool = stack.enter_context(ProcessPoolExecutor(jobs, get_context("spawn")))
            answers = pool.map(_hear, tasks)
        for part in answers:
            parts.append(part)
            done(len(part[0].speech_ms))
    heard = [
        Heard(*(np.concatenate(arrays) for arrays in zip(*copy, strict=True)))
        for copy in zip(*parts, strict=True)
    ]
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        arrays = {f"{f}_{i}": a for i, h in enumerate(heard) for f, a in h._asdict().items()}
        np.savez(kept, **arrays)
    return heard


def _hear(task: tuple[Sequence[Clip], int, int]) -> list[Heard]:
    clips, first, copies = task
    rows: list[list[tuple[Any, ...]]] = [[] for _ in range(copies + 1)]
    speech: list[list[int]] = [[] for _ in range(copies + 1)]
    for index, clip in enumerate(clips, first):
        samples = load(clip)
        reader = _ears().hear(samples)
        padded = np.concatenate((samples, SILENCE))
        for copy in range(copies + 1):
            outputs, speed = reader.outputs, 1.0
            if copy:
                # Of the path's end, so that moving the recordings changes nothing.
                name = f"{copy} {clip.path.name} {clip.start_ms}"
                rng = np.random.default_rng(zlib.crc32(name.encode()))
                outputs, speed = _hear_copy(padded, reader.cuts, rng)
            rows[copy] += [(index, o.states, o.prosody.sum(axis=0)) for o in outputs]
            speech[copy].append(round(reader.speech / speed * 1000 / RATE_HZ))
    return [_stacked(r, s) for r, s in zip(rows, speech, strict=True)]


def _hear_copy(
    samples: Samples, cuts: Sequence[_Cut], rng: np.random.Generator
) -> tuple[list[Any], float]:
    """An augmented copy through the voice pass, cut where the original was."""
    audio, speed = augment(samples, rng)
    items, requests = [], []
    for cut in cuts:
        length = min(max(int((cut.stop - cut.start) / speed), SPEC.minimum), SPEC.length)
        stop = max(int(cut.stop / speed), length)
        item = audio[stop - length : stop]
        if len(item) >= SPEC.minimum:
            items.append(item)
            requests.append(WindowRequest(EXTRAS, min(int(cut.new / speed), len(item))))
    if not items:
        return [], speed
    outputs: list[Any] = []
    for at in range(0, len(items), Ge2eVoice.max_batch):
        end = at + Ge2eVoice.max_batch
        outputs += _ears().voice.run(items[at:end], requests[at:end], {})[0]
    return outputs, speed


def _stacked(rows: list[tuple[Any, ...]], speech_ms: list[int]) -> Heard:
    return Heard(
        np.array([row[0] for row in rows], np.int32),
        np.array([row[1] for row in rows], np.float16).reshape(-1, STATES),
        np.array([row[2] for row in rows], np.float32).reshape(-1, len(prosody.DESCRIPTORS), 3),
        np.array(speech_ms, np.int32),
    )


def _fingerprint(clips: Sequence[Clip], copies: int) -> str:
    """Of all that the result follows from, but the recordings' insides."""
    parts = [f"{RECIPE} {FEATURES} {copies} {prosody.DESCRIPTORS}"]
    parts += [f"{c.path} {c.path.stat().st_size} {c.start_ms} {c.end_ms}" for c in clips]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def extract_sounds(clips: Sequence[Clip], count: int, done: Callable[[int], None]) -> Floats:
    """Features of what is no plain speech, `[count, F]`: laughter is made of the clips."""
    chosen = np.random.default_rng(0).choice(len(clips), min(len(clips), 64), replace=False)
    features = []
    for sound in make_sounds([load(clips[i]) for i in chosen], count, seed=0):
        items = [sound[at : at + SPEC.length] for at in (0, SPEC.hop, 2 * SPEC.hop)]
        requests = [WindowRequest(EXTRAS, SPEC.length if not i else SPEC.hop) for i in range(3)]
        outputs, _ = _ears().voice.run(items, requests, {})
        states = np.mean([o.states for o in outputs], axis=0)
        features.append(describe(states, np.sum([o.prosody.sum(axis=0) for o in outputs], axis=0)))
        done(1)
    return np.stack(features)
