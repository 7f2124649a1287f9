"""Streams to events: what a worker does. One engine, one thread, the very session that serves.

Many sessions run side by side on the engine, so that their steps go through the models together.
Events do not depend on who shares a batch.
"""

from __future__ import annotations

import base64
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import msgspec
import numpy as np

from streamd.compose import Parts, make_parts
from streamd.config import Config
from streamd.errors import BadConfig, BadManifest
from streamd.evaluation.conditions import PLAIN, Conditions
from streamd.evaluation.manifest import Manifest, Row
from streamd.evaluation.scored import Scored
from streamd.evaluation.streams import Audio, Stream, open_stream
from streamd.events import SpeechStart
from streamd.files.enrolment import VoiceReading, VoiceSample
from streamd.models.library import Library
from streamd.modules.gallery import CHANNELS, Channel, Gallery
from streamd.modules.registry import ModuleSet, Registry
from streamd.modules.words import NO_WORDS, CustomWords
from streamd.types import Floats

Wire = dict[str, Any]
"""An event as on the wire."""
Heard = dict[str, Any]
"""What a worker answers: JSON, so that it can be kept."""

SIDE_BY_SIDE = 24
"""Sessions on one engine."""
MAX_HELD_BYTES = 256_000_000
"""Audio of sessions that are open; beyond it none is begun, unless it is the only one."""


class Enrolment(msgspec.Struct, frozen=True):
    """One enrolment of a gallery."""

    name: str
    channel: Channel
    embedding: bytes
    """float32, little-endian."""


class Beginning(msgspec.Struct, frozen=True):
    """How much of a recording is heard, and how, to know a voice by it."""

    seconds: float | None
    """From the first speech on; None is all of it."""
    conditions: Conditions = PLAIN


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of work for a worker."""

    stream: Stream
    modules: dict[str, dict[str, Any]] = {}
    """What a client would ask for."""
    keep: tuple[str, ...] = ()
    """Types of events to keep; interim ones are left out."""
    conditions: Conditions = PLAIN
    thresholds: tuple[float, ...] = ()
    """Wake words are heard at each of these too."""
    beginnings: tuple[Beginning, ...] = ()
    """If any, the voice is wanted as an enrolment keeps it, and no events."""
    gallery: tuple[Enrolment, ...] = ()
    beginning_s: float | None = None
    """If not None, only so much from the first speech on is heard."""


class Ears:
    """Loaded models, and sessions on them.

    `begin` takes a task, `advance` goes on with all of them and gives the answers that are ready.

    Args:
        config: in force; only the threads and the number of streams are changed.
        library: of models.
        manifest: whose rows the tasks name.
        words: wake words of the user's own.
    """

    def __init__(
        self,
        config: Config,
        library: Library,
        manifest: Manifest,
        words: CustomWords = NO_WORDS,
    ) -> None:
        one = msgspec.structs.replace(
            config,
            engine=msgspec.structs.replace(config.engine, threads=1),
            limits=msgspec.structs.replace(config.limits, max_streams=SIDE_BY_SIDE),
        )
        self._config = config
        self._manifest = manifest
        self._words = words
        self._parts: Parts = make_parts(one, library)
        self._onsets: dict[Row, tuple[int, int]] = {}
        self._open_tasks: dict[int, Generator[None, None, Heard]] = {}
        self._held_bytes = 0

    @property
    def is_busy(self) -> bool:
        """Whether a task has begun that has no answer yet."""
        return bool(self._open_tasks)

    @property
    def room(self) -> int:
        """How many tasks may begin now, as far as is known: one may hold hours of audio."""
        if self._open_tasks and self._held_bytes >= MAX_HELD_BYTES:
            return 0
        return SIDE_BY_SIDE - len(self._open_tasks)

    def begin(self, number: int, task: Task) -> None:
        """Take a task.

        Args:
            number: comes back with its answer.
            task: to do.
        """
        self._open_tasks[number] = self._do(task)

    def advance(self) -> list[tuple[int, Heard | BadManifest]]:
        """Go on with every session until it needs the engine, then run all that waits.

        Returns:
            The number and the answer of each task that is done, or the fault in its recording.

        Raises:
            BadConfig: a module or a word that the configuration has not.
        """
        done: list[tuple[int, Heard | BadManifest]] = []
        for number, task in list(self._open_tasks.items()):
            try:
                next(task)
            except StopIteration as answer:
                done.append((number, answer.value))
            except BadManifest as fault:
                done.append((number, fault))
        for number, _ in done:
            del self._open_tasks[number]
        while self._parts.engine.run_waiting():
            pass
        return done

    def _do(self, task: Task) -> Generator[None, None, Heard]:
        """Do a task; the engine has to run what waits at each `yield`."""
        if task.beginnings:
            return (yield from self._voices(task))
        audio = yield from self._open(task.stream, task.conditions, task.beginning_s)
        modules, warnings = self._parts.registry.resolve(task.modules, words=self._words)
        if warnings:
            raise BadConfig("; ".join(message for _, message in warnings))
        with self._session(modules, audio, make_gallery(task.gallery)) as analysis:
            events = [_wire(event) for event in (yield from analysis.run(audio.data))]
        heard: Heard = {
            "models": self._parts.registry.describe(modules),
            "duration_ms": audio.duration_ms,
            "spans": audio.spans,
            "events": [e for e in events if e["type"] in task.keep and e.get("final") is not False],
        }
        if task.thresholds and (served := modules.get("wake")) is not None:
            heard["wakes"] = analysis.wakes_at(task.thresholds, served)
        return heard

    def _voices(self, task: Task) -> Generator[None, None, Heard]:
        voices = []
        for beginning in task.beginnings:
            audio = yield from self._open(task.stream, beginning.conditions, beginning.seconds)
            sample = yield from self._listen(audio)
            voices.append(
                {
                    "channel": sample.channel,
                    "speech_ms": sample.speech_ms,
                    "embedding": None if sample.embedding is None else pack(sample.embedding),
                }
            )
        chosen, _ = self._parts.registry.resolve({"speaker": {}})
        return {"models": self._parts.registry.describe(chosen), "voices": voices}

    def _listen(self, audio: Audio) -> Generator[None, None, VoiceSample]:
        """The voice of a recording, as `streamd enroll` hears it."""
        reading = VoiceReading(self._parts.registry)
        with self._session(reading.modules, audio, Gallery.empty(), reading.registry) as analysis:
            yield from analysis.run(audio.data)
        return reading.sample(audio.format.channel_kind)

    @contextmanager
    def _session(
        self, modules: ModuleSet, audio: Audio, gallery: Gallery, registry: Registry | None = None
    ) -> Iterator[Scored]:
        analysis = Scored(
            self._parts.engine,
            registry or self._parts.registry,
            modules,
            audio.format,
            gallery,
            self._config.session.ring_s,
        )
        self._held_bytes += len(audio.data)
        try:
            with closing(analysis):
                yield analysis
        finally:
            self._held_bytes -= len(audio.data)

    def _open(
        self, stream: Stream, conditions: Conditions, seconds: float | None
    ) -> Generator[None, None, Audio]:
        if seconds is not None:
            (row,) = stream.rows
            onset_ms, length_ms = yield from self._onset(row)
            start_ms = (row.start_ms or 0) + onset_ms
            part_ms = min(round(seconds * 1000), length_ms - onset_ms)
            row = msgspec.structs.replace(row, start_ms=start_ms, end_ms=start_ms + part_ms)
            stream = Stream(rows=(row,))
        return open_stream(stream, self._manifest, conditions)

    def _onset(self, row: Row) -> Generator[None, None, tuple[int, int]]:
        """Where speech begins in a row, 0 if there is none, and the row's length; ms."""
        if row not in self._onsets:
            audio = open_stream(Stream(rows=(row,)), self._manifest, PLAIN)
            modules, _ = self._parts.registry.resolve({"vad": {}})
            with self._session(modules, audio, Gallery.empty()) as analysis:
                events = yield from analysis.run(audio.data)
            start = next((e for e in events if isinstance(e, SpeechStart)), None)
            pre_roll_ms = self._parts.registry.vad.settings.pre_roll_ms
            length_ms = audio.spans[0][1]
            onset_ms = 0 if start is None else min(start.t0 + pre_roll_ms, start.t1)
            self._onsets[row] = onset_ms if onset_ms < length_ms else 0, length_ms
        return self._onsets[row]


def make_gallery(voices: Iterable[Enrolment]) -> Gallery:
    """A gallery of enrolments, the voices in order of their names."""
    enrolled = sorted(voices, key=lambda voice: voice.name)
    if not enrolled:
        return Gallery.empty()
    names = sorted({voice.name for voice in enrolled})
    return Gallery.build(
        names,
        np.stack([unpack(voice.embedding) for voice in enrolled]),
        np.array([names.index(voice.name) for voice in enrolled]),
        np.array([CHANNELS.index(voice.channel) for voice in enrolled]),
    )


def pack(embedding: Floats) -> str:
    """An embedding as JSON can hold it."""
    return base64.b64encode(embedding.astype("<f4").tobytes()).decode()


def unpack(packed: str | bytes) -> Floats:
    """The embedding again."""
    data = base64.b64decode(packed) if isinstance(packed, str) else packed
    return np.frombuffer(data, "<f4")


def _wire(event: Any) -> Wire:
    wire: Wire = msgspec.to_builtins(event)
    return wire
