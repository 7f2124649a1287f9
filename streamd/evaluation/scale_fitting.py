"""Fits the scale on which the scores of a main voice model lie, to recordings of many speakers.

Each speaker is heard as recorded and as over a telephone. The means of both channels are what all
voices share on them. Strangers' cosines, less these means, give the cosine from which a voice is
accepted: their mean, and three standard deviations, and `SHARED`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import soxr

from streamd.audio.decode import Decoder
from streamd.compose import Parts
from streamd.engine.passes.voiceprint import Voiceprint
from streamd.evaluation.codecs import NARROW_HZ, telephone
from streamd.evaluation.cohorts import Said, cohort_of
from streamd.modules.voice_scale import CHANNELS, Channel, unit
from streamd.types import RATE_HZ, AudioFormat, Floats, Samples

SHARED, SHARED_BY_TELEPHONE = 0.1, 0.07
"""By how much more alike voices are that share a room and a microphone. Strangers of other corpora
score so much higher than those of the cohort, less its own mean; both on the telephone, less so."""
SIGMAS = 3.0
WIDTH = 0.13
"""Cosine of acceptance less that of rejection: as much as the thresholds differ."""
FOR_SPEECH, FOR_ENROLMENTS = 0.06, 0.08
"""By how much owners may be asked for more with 3 s of speech, and with three enrolments on their
channel: their cosines are 0.1 higher with either, those of strangers 0.01, or 0.03 in one room.
Enrolments on the other channel add nothing that one may ask for. Measured with CAM++."""

Step = Callable[[int, int], None]
"""Takes the progress: speakers so far, and all."""


class Fitted(NamedTuple):
    """A scale, and the cohort of the same speakers."""

    scale: Mapping[str, npt.NDArray[Any]]
    """What `FittedScale.load` reads."""
    cohort: Mapping[str, npt.NDArray[Any]]
    """What `Cohort.load` reads."""
    speakers: int
    """Speakers with enough speech."""


def fit(
    recordings: Sequence[Samples],
    parts: Parts,
    model: Voiceprint,
    ids: Sequence[str],
    step: Step = lambda done, total: None,
) -> Fitted:
    """Fit the scale of a model.

    Args:
        recordings: One of each speaker, at 16 kHz; those with less than 1.6 s of speech are left
            out of the scale, and those with less than 3.2 s out of the cohort.
        parts: The models, on an engine that is not started.
        model: The main model alone.
        ids: Ids of the models, that which decides first.
        step: Takes the progress.

    Raises:
        ValueError: There are fewer than two speakers with enough speech.
    """
    heard: dict[Channel, list[Floats]] = {channel: [] for channel in CHANNELS}
    found = []
    for number, samples in enumerate(recordings):
        said = Said.of(samples, parts)
        found.append(said)
        if windows := list(_voiced(said)):
            heard["wide"].append(_embeddings(model, windows))
            heard["narrow"].append(_embeddings(model, [on_the_telephone(w) for w in windows]))
        step(number + 1, 2 * len(recordings))
    speakers = len(heard["wide"])
    if speakers < 2:
        raise ValueError(f"{speakers} speakers have 1.6 s of speech or more")
    voices = {c: unit(np.stack([e.mean(axis=0) for e in heard[c]])) for c in CHANNELS}
    means = np.stack([voices[channel].mean(axis=0) for channel in CHANNELS])
    others = ~np.eye(speakers, dtype=bool)
    accept = np.zeros((2, 2), np.float32)
    for row, channel in enumerate(CHANNELS):
        tests = unit(unit(np.stack([e[0] for e in heard[channel]])) - means[row])
        for column, theirs in enumerate(CHANNELS):
            cosines = (tests @ unit(voices[theirs] - means[column]).T)[others]
            accept[row, column] = cosines.mean() + SIGMAS * cosines.std()
            accept[row, column] += SHARED_BY_TELEPHONE if row and column else SHARED
    scale = {
        "means": means.astype(np.float32),
        # No model of voices leaves less room than this above its strangers.
        "accept": np.minimum(accept, np.float32(0.95)),
        "bounds": np.array([WIDTH, FOR_SPEECH, FOR_ENROLMENTS], np.float32),
    }
    return Fitted(scale, cohort_of(_counted(found, step), parts, ids), speakers)


def on_the_telephone(samples: Samples) -> Samples:
    """Return speech as it is after a telephone."""
    narrow = Decoder(AudioFormat(rate=NARROW_HZ, codec="mulaw")).push(telephone(samples))
    wide = soxr.resample(narrow, NARROW_HZ, RATE_HZ)
    said: Samples = np.round(wide * 32767).astype(np.int16)[: len(samples)]
    return said


def _counted(recordings: Sequence[Said], step: Step) -> Iterator[Said]:
    for number, said in enumerate(recordings):
        yield said
        step(len(recordings) + number + 1, 2 * len(recordings))


def _voiced(said: Said) -> Iterator[Samples]:
    """Yield the speech of a recording, in windows of 1.6 s one after the other."""
    spans = [said.samples[a:b] for a, b in said.runs]
    speech = np.concatenate([said.samples[:0], *spans])
    size = Voiceprint.max_samples
    for start in range(0, len(speech) - size + 1, size):
        yield speech[start : start + size]


def _embeddings(model: Voiceprint, windows: list[Samples]) -> Floats:
    outputs, _ = model.run(windows, [None] * len(windows), {})
    return np.stack([output.embedding for output in outputs])
