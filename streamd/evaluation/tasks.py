"""Runs tasks, streams to events: one engine, one thread, the session code that serves streams.

Many sessions run side by side on the engine, so that their steps share batches. Events do not
depend on batch mates.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from typing import Any

import msgspec

from streamd.compose import Parts, make_parts
from streamd.config import Config
from streamd.errors import BadConfig, BadManifest
from streamd.evaluation.conditions import PLAIN, Conditions
from streamd.evaluation.manifest import Manifest, Row
from streamd.evaluation.scored import Scored
from streamd.evaluation.spoken import Enrolment, SpokenReader, make_gallery, pack
from streamd.evaluation.streams import Audio, Stream, open_stream
from streamd.events import SpeechStart
from streamd.files.voice_reading import VoiceReading, speaker_settings, voice_models
from streamd.models.library import Library
from streamd.modules.gallery import Gallery
from streamd.modules.registry import ModuleSet, Registry
from streamd.modules.words import NO_WORDS, CustomWords
from streamd.types import RATE_HZ

Wire = dict[str, Any]
"""An event as on the wire."""
Result = dict[str, Any]
"""Result of a task: JSON, so that it can be cached."""

SIDE_BY_SIDE = 24
"""Most sessions on one engine."""
MAX_HELD_BYTES = 256_000_000
"""Most audio of open sessions; beyond it none begins, unless it is the only one."""


class Beginning(msgspec.Struct, frozen=True):
    """How much of a recording is used for a voice, and under which conditions."""

    seconds: float | None
    """Seconds from the first speech on; None is all of it."""
    conditions: Conditions = PLAIN


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One piece of work for a worker."""

    stream: Stream
    modules: dict[str, dict[str, Any]] = {}
    """`modules` of the session, as in `hello`."""
    keep: tuple[str, ...] = ()
    """Types of events to keep; interim ones are left out."""
    conditions: Conditions = PLAIN
    thresholds: tuple[float, ...] = ()
    """Thresholds at which wake events are counted too."""
    beginnings: tuple[Beginning, ...] = ()
    """If any, the result is embeddings as of enrolments, and no events."""
    gallery: tuple[Enrolment, ...] = ()
    beginning_s: float | None = None
    """Seconds from the first speech on that are used; None is all."""


class Executor:
    """Loaded models, and sessions on them.

    `begin` takes a task, `advance` continues all of them and returns the results that are ready.

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
        self._open_tasks: dict[int, Generator[None, None, Result]] = {}
        self._held_bytes = 0

    @property
    def is_busy(self) -> bool:
        """Whether a task has begun and not ended."""
        return bool(self._open_tasks)

    @property
    def room(self) -> int:
        """How many tasks may begin now; an estimate, because one may hold hours of audio."""
        if self._open_tasks and self._held_bytes >= MAX_HELD_BYTES:
            return 0
        return SIDE_BY_SIDE - len(self._open_tasks)

    def begin(self, number: int, task: Task) -> None:
        """Take a task.

        Args:
            number: comes back with its result.
            task: to run.
        """
        self._open_tasks[number] = self._do(task)

    def advance(self) -> list[tuple[int, Result | BadManifest]]:
        """Continue every session until it needs the engine, then run all that waits.

        Returns:
            The number and the result of each task that is done, or the fault of its recording.

        Raises:
            BadConfig: a module or a word that the configuration does not have.
        """
        done: list[tuple[int, Result | BadManifest]] = []
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

    def _do(self, task: Task) -> Generator[None, None, Result]:
        """Run a task; the engine must run what waits at each `yield`."""
        if task.beginnings:
            return (yield from self._voices(task))
        audio = yield from self._open(task.stream, task.conditions, task.beginning_s)
        modules, warnings = self._parts.registry.resolve(task.modules, words=self._words)
        if warnings:
            raise BadConfig("; ".join(message for _, message in warnings))
        gallery = make_gallery(task.gallery, voice_models(self._parts.registry))
        with self._session(modules, audio, gallery) as analysis:
            events = [_wire(event) for event in (yield from analysis.run(audio.data))]
        result: Result = {
            "models": self._parts.registry.describe(modules),
            "duration_ms": audio.duration_ms,
            "spans": audio.spans,
            "events": [e for e in events if e["type"] in task.keep and e.get("final") is not False],
        }
        if task.thresholds and (served := modules.get("wake")) is not None:
            result["wakes"] = analysis.wakes_at(task.thresholds, served)
        return result

    def _voices(self, task: Task) -> Generator[None, None, Result]:
        voices = []
        for beginning in task.beginnings:
            audio = yield from self._open(task.stream, beginning.conditions, beginning.seconds)
            reader = yield from self._hear(audio)
            voices.append(
                {
                    "channel": audio.format.channel_kind,
                    "speech_ms": reader.speech * 1000 // RATE_HZ,
                    "spoken": {
                        model: {"embedding": pack(one.embedding), "seconds": one.seconds}
                        for model, one in reader.spoken.items()
                    },
                }
            )
        chosen, _ = self._parts.registry.resolve({"speaker": {}})
        return {"models": self._parts.registry.describe(chosen), "voices": voices}

    def _hear(self, audio: Audio) -> Generator[None, None, SpokenReader]:
        """Compute the voice of a recording, as `streamd enroll` does."""
        registry = self._parts.registry
        reader = SpokenReader(speaker_settings(registry), voice_models(registry))
        reading = VoiceReading(registry, reader)
        with self._session(reading.modules, audio, Gallery.empty(), reading.registry) as analysis:
            yield from analysis.run(audio.data)
        return reader

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
        """Return where speech begins in a row, 0 if there is none, and the row's length; ms."""
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


def _wire(event: Any) -> Wire:
    wire: Wire = msgspec.to_builtins(event)
    return wire
