"""Clips, and sessions over them."""

import csv
import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import soundfile
from msgspec import structs

from streamd.compose import make_parts
from streamd.config import load
from streamd.config.sections import LimitsConfig
from streamd.evaluation.codecs import telephone
from streamd.events import SpeechEnd, SpeechStart
from streamd.files.offline import OfflineAnalysis
from streamd.models.library import Library
from streamd.modules.gallery import Gallery
from streamd.types import RATE_HZ, AudioFormat

CONFIG = structs.replace(load(None, os.environ), limits=LimitsConfig(max_streams=4))
FORMATS = {"wide": AudioFormat(), "narrow": AudioFormat(codec="mulaw", rate=8000)}


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
def parts(vad=CONFIG.vad):
    return make_parts(structs.replace(CONFIG, vad=vad), Library())


def events_of(samples, modules, channel="wide", vad=CONFIG.vad):
    """Return the events of one recording; `modules` is that of a `hello`."""
    shared = parts(vad)
    chosen, warnings = shared.registry.resolve(modules)
    assert not warnings, warnings
    analysis = OfflineAnalysis(
        shared.engine, shared.registry, chosen, FORMATS[channel], Gallery.empty()
    )
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
