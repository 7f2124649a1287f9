"""Clips, and sessions over them."""

import csv
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import soundfile

from streamd.compose import make_parts
from streamd.config import Config
from streamd.config.sections import LimitsConfig
from streamd.evaluation.codecs import telephone
from streamd.evaluation.tasks import Enrolment, make_gallery
from streamd.events import SpeechEnd, SpeechStart
from streamd.files.offline import OfflineAnalysis
from streamd.files.voice_reading import VoiceReading
from streamd.models.library import Library
from streamd.modules.gallery import Gallery
from streamd.types import RATE_HZ, AudioFormat

CONFIG = Config(limits=LimitsConfig(max_streams=4))
FORMATS = {"wide": AudioFormat(), "narrow": AudioFormat(codec="mulaw", rate=8000)}
NOBODY = Gallery.empty()


@dataclass(frozen=True)
class Clip:
    path: Path
    category: str
    label: str
    speaker: str
    seconds: float

    @property
    def name(self):
        return f"{self.category}/{self.path.name}"

    def samples(self):
        audio, rate = soundfile.read(self.path, dtype="int16")
        assert rate == RATE_HZ, self.path
        return audio


@dataclass(frozen=True)
class Print:
    """What an enrolment would keep of a recording."""

    embedding: np.ndarray | None
    speech_ms: int


def read_manifest(fixtures):
    with open(fixtures / "manifest.csv", newline="") as file:
        return [
            Clip(
                fixtures / row["path"],
                row["category"],
                row["label"],
                row["speaker"],
                float(row["seconds"]),
            )
            for row in csv.DictReader(file)
        ]


def annotations(fixtures, recording):
    """Return speaker, start and end in ms of each turn that RTTM has of a recording."""
    for path in sorted((fixtures / "conversation" / "labels").glob("*.rttm")):
        for line in path.read_text(encoding="utf-8").splitlines():
            _, name, _, start, length, _, _, speaker, *_ = line.split()
            if name == recording:
                start_ms = round(1000 * float(start))
                yield speaker, start_ms, round(1000 * (float(start) + float(length)))


@lru_cache
def parts(vad=CONFIG.vad, speaker=CONFIG.speaker):
    config = Config(
        limits=CONFIG.limits, engine=CONFIG.engine, wake=CONFIG.wake, vad=vad, speaker=speaker
    )
    return make_parts(config, Library())


def events_of(
    samples, modules, channel="wide", gallery=NOBODY, vad=CONFIG.vad, speaker=CONFIG.speaker
):
    """Return the events of one recording; `modules` is that of a `hello`."""
    shared = parts(vad, speaker)
    chosen, warnings = shared.registry.resolve(modules)
    assert not warnings, warnings
    return _events(shared.engine, shared.registry, chosen, samples, channel, gallery)


def voice_of(samples, channel="wide"):
    """Return the voice of one recording, as `streamd enroll` computes it."""
    shared = parts()
    reading = VoiceReading(shared.registry)
    _events(shared.engine, reading.registry, reading.modules, samples, channel)
    voice = reading.voice(channel)
    return Print(voice.embedding, voice.speech_ms)


def _events(engine, registry, modules, samples, channel, gallery=NOBODY):
    analysis = OfflineAnalysis(engine, registry, modules, FORMATS[channel], gallery)
    try:
        return list(analysis.events([encode(samples, channel)]))
    finally:
        analysis.close()


def encode(samples, channel):
    """Return the bytes that a client of that kind would send."""
    return samples.tobytes() if channel == "wide" else telephone(samples)


def speech(samples, channel="wide", vad=CONFIG.vad):
    """Return speech edges as [(t0, t1, at of the start)], milliseconds."""
    events = events_of(samples, {"vad": {}}, channel, vad=vad)
    starts = {e.utterance: e for e in events if isinstance(e, SpeechStart)}
    ends = [e for e in events if isinstance(e, SpeechEnd)]
    return [(e.t0, e.t1, starts[e.utterance].at) for e in ends]


def gallery_of(voices, channel):
    """Return a gallery of {name: [embeddings]}."""
    return make_gallery(
        Enrolment(name, channel, one.tobytes()) for name, own in voices.items() for one in own
    )
