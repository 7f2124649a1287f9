"""Streams to events: what a worker does. One engine, one thread, the very session that serves."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np

from streamd.compose import Parts, make_parts
from streamd.config import Config
from streamd.engine.engine import Engine
from streamd.errors import BadConfig
from streamd.evaluation.conditions import PLAIN, Conditions
from streamd.evaluation.manifest import Manifest, Row
from streamd.evaluation.streams import Audio, Stream, open_stream
from streamd.events import SpeechStart
from streamd.models.library import Library
from streamd.modules.enrolment import EnrolmentModule, EnrolmentReader
from streamd.modules.gallery import CHANNELS, Channel, Gallery
from streamd.modules.registry import ModuleSet, Registry
from streamd.modules.speaker import SpeakerModule
from streamd.modules.wake import STEP, Detection, Listening, WakeStepper
from streamd.modules.words import NO_WORDS, CustomWords
from streamd.offline import Analysis
from streamd.types import RATE_HZ, Floats, Job

Wire = dict[str, Any]
"""An event as on the wire."""
Heard = dict[str, Any]
"""What a worker answers: JSON, so that it can be kept."""

_BLOCK_BYTES = 64_000


class Voice(msgspec.Struct, frozen=True):
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
    gallery: tuple[Voice, ...] = ()
    beginning_s: float | None = None
    """If not None, only so much from the first speech on is heard."""


class Ears:
    """Loaded models, and sessions on them.

    Args:
        config: in force; only the threads, the number of streams and the wake word's gate are
            changed: scores are wanted at every step, and its sleep changes no event.
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
            limits=msgspec.structs.replace(config.limits, max_streams=1),
            wake=msgspec.structs.replace(config.wake, gate=False),
        )
        self._config = config
        self._manifest = manifest
        self._words = words
        self._parts: Parts = make_parts(one, library)
        self._onsets: dict[Row, tuple[int, int]] = {}

    def hear(self, task: Task) -> Heard:
        """Do a task.

        Raises:
            BadManifest: a file is not audio, or a row lies beyond it.
            BadConfig: a module or a word that the configuration has not.
        """
        if task.beginnings:
            return self._voices(task)
        audio = self._open(task.stream, task.conditions, task.beginning_s)
        modules, warnings = self._parts.registry.resolve(task.modules, words=self._words)
        if warnings:
            raise BadConfig("; ".join(message for _, message in warnings))
        with closing(self._session(modules, audio, make_gallery(task.gallery))) as analysis:
            events = [_wire(event) for event in analysis.events(_blocks(audio.data))]
        heard: Heard = {
            "models": self._parts.registry.describe(modules),
            "duration_ms": audio.duration_ms,
            "spans": audio.spans,
            "events": [e for e in events if e["type"] in task.keep and e.get("final") is not False],
        }
        if task.thresholds and modules.wake is not None:
            heard["wakes"] = analysis.wakes_at(task.thresholds, modules.wake)
        return heard

    def _voices(self, task: Task) -> Heard:
        voices = []
        for beginning in task.beginnings:
            audio = self._open(task.stream, beginning.conditions, beginning.seconds)
            reader, channel = self._listen(audio)
            voices.append(
                {
                    "channel": channel,
                    "speech_ms": reader.speech * 1000 // RATE_HZ,
                    "embedding": pack(reader.mean) if reader.embeddings else None,
                }
            )
        chosen, _ = self._parts.registry.resolve({"speaker": {}})
        return {"models": self._parts.registry.describe(chosen), "voices": voices}

    def _listen(self, audio: Audio) -> tuple[EnrolmentReader, Channel]:
        """The voice of a recording, as `streamd enroll` hears it."""
        speaker = self._parts.registry.readers["speaker"]
        assert isinstance(speaker, SpeakerModule)
        module = EnrolmentModule(speaker.settings)
        registry = Registry(self._parts.registry.vad, None, [module], ())
        modules = ModuleSet(readers={module.name: None})
        with closing(self._session(modules, audio, Gallery.empty(), registry)) as analysis:
            for _ in analysis.events(_blocks(audio.data)):
                pass
        return module.reader, audio.format.channel_kind

    def _session(
        self, modules: ModuleSet, audio: Audio, gallery: Gallery, registry: Registry | None = None
    ) -> Scored:
        return Scored(
            self._parts.engine,
            registry or self._parts.registry,
            modules,
            audio.format,
            gallery,
            self._config.session.ring_s,
        )

    def _open(self, stream: Stream, conditions: Conditions, seconds: float | None) -> Audio:
        if seconds is not None:
            (row,) = stream.rows
            onset_ms, length_ms = self._onset(row)
            start_ms = (row.start_ms or 0) + onset_ms
            part_ms = min(round(seconds * 1000), length_ms - onset_ms)
            row = msgspec.structs.replace(row, start_ms=start_ms, end_ms=start_ms + part_ms)
            stream = Stream(rows=(row,))
        return open_stream(stream, self._manifest, conditions)

    def _onset(self, row: Row) -> tuple[int, int]:
        """Where speech begins in a row, 0 if there is none, and the row's length; ms."""
        if row not in self._onsets:
            audio = open_stream(Stream(rows=(row,)), self._manifest, PLAIN)
            modules, _ = self._parts.registry.resolve({"vad": {}})
            with closing(self._session(modules, audio, Gallery.empty())) as analysis:
                events = analysis.events(_blocks(audio.data))
                start = next((e for e in events if isinstance(e, SpeechStart)), None)
            pre_roll_ms = self._parts.registry.vad.settings.pre_roll_ms
            length_ms = audio.spans[0][1]
            onset_ms = 0 if start is None else min(start.t0 + pre_roll_ms, start.t1)
            self._onsets[row] = onset_ms if onset_ms < length_ms else 0, length_ms
        return self._onsets[row]


class Scored(Analysis):
    """An analysis that remembers the wake word's score at every step."""

    def __init__(self, engine: Engine, registry: Registry, *rest: Any) -> None:
        super().__init__(engine, registry, *rest)
        self._steps: list[tuple[int, Mapping[str, tuple[float, str | None]]]] = []

    def complete(self, job: Job, output: Any) -> None:
        """Take an answer, and keep it if it is the wake word's."""
        if job.pass_name == WakeStepper.pass_name:
            first = job.stop - (job.asked - 1) * STEP
            self._steps += zip(range(first, job.stop + 1, STEP), output, strict=True)
        super().complete(job, output)

    def wakes_at(
        self, thresholds: Iterable[float], served: Listening
    ) -> dict[str, dict[str, list[int]]]:
        """What the session would have reported at other thresholds.

        The steps of the session that was heard go through the very stepper that makes events;
        the scores do not depend on the threshold, so this is what such a session would say.

        Returns:
            By word and threshold, `at` of each event, ms.
        """
        end = self.session.audio.mark()
        found: dict[str, dict[str, list[int]]] = {name: {} for name in served.names}
        ms = self.session.audio.clock.ms
        for threshold in thresholds:
            ats: dict[str, list[int]] = {name: [] for name in served.names}

            def detected(heard: Detection, ats: dict[str, list[int]] = ats) -> None:
                ats[heard.word].append(ms(heard.stop, end=True))

            words = tuple(replace(word, threshold=threshold) for word in served.words)
            stepper = WakeStepper(Listening(words, served.refractory_ms), ms, detected)
            for stop, output in self._steps:
                # Steps of the copy at the end reach into silence that is not of the stream.
                stepper.interpret(min(stop - STEP, end), min(stop, end), output)
            for name, at in ats.items():
                found[name][f"{threshold:g}"] = at
        return found


def make_gallery(voices: Iterable[Voice]) -> Gallery:
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


def _blocks(data: bytes) -> Iterable[bytes]:
    return (data[start : start + _BLOCK_BYTES] for start in range(0, len(data), _BLOCK_BYTES))


def _wire(event: Any) -> Wire:
    wire: Wire = msgspec.to_builtins(event)
    return wire
