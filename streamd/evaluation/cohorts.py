"""A cohort: spans of speech of many speakers, as every voice model of a session embeds them.

`streamd/calibration/cohort.py` reads it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from streamd.calibration.cohort import SPAN_S
from streamd.compose import Parts
from streamd.evaluation.codecs import NARROW_HZ, telephone
from streamd.files.offline import OfflineAnalysis
from streamd.files.voice_reading import EnrolmentReading, VoiceReading
from streamd.modules.gallery import CHANNELS, Channel, Gallery
from streamd.types import RATE_HZ, AudioFormat, Floats, Samples
from streamd.voices import whole

SPANS = 2
"""Spans of each speaker: one more brings nothing, because strangers differ more than spans do."""


class Said(NamedTuple):
    """A recording of one speaker, at 16 kHz."""

    samples: Samples
    runs: list[tuple[int, int]]
    """Spans of it that the VAD calls speech."""

    @classmethod
    def of(cls, samples: Samples, parts: Parts) -> Said:
        """Find the speech of a recording.

        Args:
            samples: The recording.
            parts: The models, on an engine that is not started.
        """
        reading = EnrolmentReading(parts.registry)
        _run(reading, parts, AudioFormat(), samples.tobytes())
        return cls(samples, reading.runs)


def cohort_of(
    recordings: Iterable[Said], parts: Parts, models: Sequence[str]
) -> dict[str, npt.NDArray[Any]]:
    """Return the embeddings of the first spans of each recording, as a cohort's file has them.

    Args:
        recordings: One of each speaker.
        parts: The models, on an engine that is not started.
        models: Ids of the models, that which decides first.

    Returns:
        `speakers` `[spans]`, and under the channel and the model's id `[spans, dim]`.
    """
    speakers: list[int] = []
    heard: dict[str, list[Floats]] = {f"{c}/{model}": [] for c in CHANNELS for model in models}
    for speaker, said in enumerate(recordings):
        found = [
            {channel: _heard(span, channel, parts, models[0]) for channel in CHANNELS}
            for span in spans(said)
        ]
        found = [rows for rows in found if all(set(row) == set(models) for row in rows.values())]
        # What two spans of a speaker differ by is asked for, so one alone is of no use.
        for rows in found if len(found) == SPANS else ():
            speakers.append(speaker)
            for channel, row in rows.items():
                for model in models:
                    heard[f"{channel}/{model}"].append(row[model])
    if not speakers:
        return {"speakers": np.zeros(0, np.int16)}
    arrays = {whole(name): np.stack(rows).astype(np.float16) for name, rows in heard.items()}
    return {"speakers": np.array(speakers, np.int16), **arrays}


def spans(said: Said) -> Iterator[Samples]:
    """Yield the first pieces of a recording that have `SPAN_S` of speech, pauses included."""
    size = int(SPAN_S * RATE_HZ)
    begin, got, count = 0, 0, 0
    for start, stop in said.runs:
        while got + stop - start >= size and count < SPANS:
            end = start + size - got
            yield said.samples[begin:end]
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
