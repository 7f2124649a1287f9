"""The cohort: spans of speech of many speakers, heard by every voice model as a session hears them.

`python -m training.speaker FOLDER` writes it; `streamd/calibration/cohort.py` reads it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from rich.progress import track

from streamd.calibration.cohort import FILE, SPAN_S
from streamd.compose import Parts
from streamd.evaluation.codecs import NARROW_HZ, telephone
from streamd.files.offline import OfflineAnalysis
from streamd.files.voice_reading import EnrolmentReading, VoiceReading
from streamd.modules.gallery import CHANNELS, Channel, Gallery
from streamd.types import RATE_HZ, AudioFormat, Floats, Samples

SPANS = 2
"""Spans of each speaker: one more brings nothing, because strangers differ more than spans do."""


def write(recordings: Sequence[Samples], parts: Parts, models: Sequence[str], out: Path) -> int:
    """Write the embeddings of the first spans of each recording.

    Args:
        recordings: One of each speaker.
        parts: The models, on an engine that is not started.
        models: Catalogue ids of the models, that which decides first.
        out: Folder of the file.

    Returns:
        How many spans there are.
    """
    speakers: list[int] = []
    heard: dict[str, list[Floats]] = {f"{c}/{model}": [] for c in CHANNELS for model in models}
    for speaker, samples in enumerate(track(recordings, "cutting spans of speech")):
        for span in spans(samples, parts):
            rows = {channel: _heard(span, channel, parts, models[0]) for channel in CHANNELS}
            if all(set(row) == set(models) for row in rows.values()):
                speakers.append(speaker)
                for channel, row in rows.items():
                    for model in models:
                        heard[f"{channel}/{model}"].append(row[model])
    np.savez_compressed(
        out / FILE,
        speakers=np.array(speakers, np.int16),
        **{name: np.stack(rows).astype(np.float16) for name, rows in heard.items()},
    )
    return len(speakers)


def runs(samples: Samples, parts: Parts) -> list[tuple[int, int]]:
    """Return the spans of a recording that the VAD calls speech."""
    reading = EnrolmentReading(parts.registry)
    _run(reading, parts, AudioFormat(), samples.tobytes())
    return reading.runs


def spans(samples: Samples, parts: Parts) -> Iterator[Samples]:
    """Yield the first pieces of a recording that have `SPAN_S` of speech, pauses included."""
    size = int(SPAN_S * RATE_HZ)
    begin, got, count = 0, 0, 0
    for start, stop in runs(samples, parts):
        while got + stop - start >= size and count < SPANS:
            end = start + size - got
            yield samples[begin:end]
            begin = start = end
            got, count = 0, count + 1
        got += stop - start


def _heard(samples: Samples, channel: Channel, parts: Parts, deciding: str) -> dict[str, Floats]:
    """Return the embeddings of a recording by model, as it is or as over a telephone."""
    reading = VoiceReading(parts.registry)
    if channel == "wide":
        _run(reading, parts, AudioFormat(), samples.tobytes())
    else:
        _run(reading, parts, AudioFormat(rate=NARROW_HZ, codec="mulaw"), telephone(samples))
    voice = reading.voice(channel)
    return {} if voice.embedding is None else {deciding: voice.embedding, **voice.others}


def _run(reading: VoiceReading, parts: Parts, audio: AudioFormat, pcm: bytes) -> None:
    analysis = OfflineAnalysis(
        parts.engine, reading.registry, reading.modules, audio, Gallery.empty(), 8
    )
    step = audio.rate * audio.frame_bytes
    try:
        for start in range(0, len(pcm), step):
            list(analysis.feed(pcm[start : start + step]))
        list(analysis.end())
    finally:
        analysis.close()
