"""Clips, and sessions that hear them."""

import csv
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import soundfile
import soxr

from streamd.compose import make_parts
from streamd.config import Config
from streamd.config.sections import LimitsConfig
from streamd.events import SpeechEnd, SpeechStart
from streamd.models.library import Library
from streamd.modules.enrolment import EnrolmentModule
from streamd.modules.gallery import CHANNELS, Gallery
from streamd.modules.registry import ModuleSet, Registry
from streamd.offline import Analysis
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
class Voice:
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


@lru_cache
def parts(vad=CONFIG.vad, speaker=CONFIG.speaker):
    config = Config(
        limits=CONFIG.limits, engine=CONFIG.engine, wake=CONFIG.wake, vad=vad, speaker=speaker
    )
    return make_parts(config, Library())


def hear(samples, modules, channel="wide", gallery=NOBODY, vad=CONFIG.vad, speaker=CONFIG.speaker):
    """Events of one recording. `modules` is what a client would ask for."""
    shared = parts(vad, speaker)
    chosen, warnings = shared.registry.resolve(modules)
    assert not warnings, warnings
    return _events(shared.engine, shared.registry, chosen, samples, channel, gallery)


def listen(samples, channel="wide"):
    """The voice of one recording, as `streamd enroll` hears it."""
    shared = parts()
    module = EnrolmentModule(shared.registry.readers["speaker"].settings)
    registry = Registry(shared.registry.vad, None, [module], ())
    _events(shared.engine, registry, ModuleSet(readers={module.name: None}), samples, channel)
    reader = module.reader
    return Voice(reader.mean if reader.embeddings else None, reader.speech * 1000 // RATE_HZ)


def _events(engine, registry, modules, samples, channel, gallery=NOBODY):
    analysis = Analysis(engine, registry, modules, FORMATS[channel], gallery)
    try:
        return list(analysis.events([encode(samples, channel)]))
    finally:
        analysis.close()


def encode(samples, channel):
    """What a client of that kind would send."""
    if channel == "wide":
        return samples.tobytes()
    return mulaw(soxr.resample(samples, RATE_HZ, 8000)).tobytes()


def mulaw(samples):
    """G.711."""
    wide = samples.astype(np.int32)
    magnitude = np.minimum(np.abs(wide), 32635) + 132
    exponent = np.log2(magnitude).astype(np.int32) - 7
    code = (np.where(wide < 0, 0x80, 0) | exponent << 4 | magnitude >> exponent + 3 & 15) ^ 0xFF
    return code.astype(np.uint8)


def speech(samples, channel="wide", vad=CONFIG.vad):
    """Speech edges as [(t0, t1, at of the start)], milliseconds."""
    events = hear(samples, {"vad": {}}, channel, vad=vad)
    starts = {e.utterance: e for e in events if isinstance(e, SpeechStart)}
    ends = [e for e in events if isinstance(e, SpeechEnd)]
    return [(e.t0, e.t1, starts[e.utterance].at) for e in ends]


def gallery_of(voices, channel):
    """A gallery of {name: [embeddings]}."""
    owners = [i for i, prints in enumerate(voices.values()) for _ in prints]
    embeddings = np.stack([p for prints in voices.values() for p in prints])
    channels = np.full(len(owners), CHANNELS.index(channel))
    return Gallery.build(list(voices), embeddings, np.array(owners), channels)
