"""Enrolment: the voice in a recording, and how it gets into the store."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from streamd.display import display_name
from streamd.events import Quality
from streamd.files.quality import assess, encoded
from streamd.files.voice_reading import VoiceSample, speaker_settings, voice_models
from streamd.modules.emotion import BASELINE_MODEL, EmotionModule
from streamd.modules.emotion_model import Baseline, calmness
from streamd.modules.registry import Registry
from streamd.modules.voice_models import VoiceModels
from streamd.store.base import Enrolment, Store

SAME = 0.99999
"""Cosine that only equal audio has, because its embeddings differ by rounding alone."""


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A sample and what became of it."""

    sample: VoiceSample
    id: str
    """Id of the enrolment, as `e_…`."""
    quality: Quality
    is_new: bool
    """Whether it was added; the voice has it already if not."""


def enrol(
    store: Store, name: str, samples: Iterable[VoiceSample], registry: Registry
) -> list[Enrolled]:
    """Add the samples of one voice to the store, either all or none.

    A sample that the voice has already, under any file name, is not added again, because it would
    weigh twice and make the voice no more reliable.

    Args:
        store: The store of the voice.
        name: Name of the voice, valid by `check_name`.
        samples: Samples of the voice; each `is_enough`.
        registry: The modules; the emotion module makes the baseline of the voice.
    """
    thresholds, models = speaker_settings(registry).thresholds, voice_models(registry)
    # What is alike to the model of every window is known; all enrolments have its embedding.
    model = models.windows
    kept = [one for one in store.enrolments(name) if model in one.models]
    known = [
        (embedding, one.channel, one.id)
        for embedding, one in zip(store.embeddings(name, model), kept, strict=True)
    ]
    done: list[Enrolled] = []
    enrolments = []
    for sample in samples:
        embedding = sample.by(model)
        assert sample.embedding is not None
        assert embedding is not None
        same = [id_ for other, _, id_ in known if float(embedding @ other) > SAME]
        earlier = [(e, channel) for e, channel, id_ in known if id_ not in same]
        quality = assess(sample, earlier, thresholds, model)
        if same:
            done.append(Enrolled(sample, same[0], quality, is_new=False))
            continue
        new = Enrolment(
            sample.embedding,
            models.deciding,
            sample.channel,
            sample.speech_ms,
            display_name(sample.source),
            encoded(quality),
            sample.others,
        )
        known.append((embedding, sample.channel, new.id))
        enrolments.append(new)
        done.append(Enrolled(sample, new.id, quality, is_new=True))
    if enrolments:
        added = [one.sample for one in done if one.is_new]
        store.enrol(name, enrolments, _baselines(store, name, added, models, registry))
    return done


def _baselines(
    store: Store, name: str, samples: Sequence[VoiceSample], models: VoiceModels, registry: Registry
) -> dict[str, bytes]:
    """Return how the voice usually sounds, with these samples; empty if they do not say."""
    if not any(sample.utterances for sample in samples):
        return {}
    usual = store.load_gallery(models, BASELINE_MODEL).baselines.get(name)
    baseline = _usual(samples, registry, Baseline.from_bytes(usual) if usual else None)
    return {BASELINE_MODEL: baseline.to_bytes()}


def distinct(files: Iterable[Path]) -> tuple[list[Path], list[tuple[Path, Path]]]:
    """Return the files without those that are named twice or equal another one.

    Returns:
        The files that count, and each other file with its twin among them.
    """
    kept: dict[object, Path] = {}
    doubles = []
    for file in files:
        identity = _identity(file)
        if identity in kept:
            doubles.append((file, kept[identity]))
        else:
            kept[identity] = file
    return list(kept.values()), doubles


def _identity(file: Path) -> object:
    """Return a key of the contents, or of the path of a pipe, which can be read only once."""
    if not file.is_file():
        return str(file)
    try:
        with file.open("rb") as data:
            return hashlib.file_digest(data, "sha256").digest()
    except OSError:
        return str(file)  # the decoder reports why it cannot read the file


def _usual(
    samples: Iterable[VoiceSample], registry: Registry, baseline: Baseline | None
) -> Baseline:
    """Return how the voice sounds when it enrols, which is mostly in no mood in particular."""
    emotion = registry.find(EmotionModule)
    assert emotion is not None
    baseline = baseline or Baseline.empty(emotion.model.size)
    for sample in samples:
        for states, moments in sample.utterances:
            features = emotion.model.features(states, moments)
            calm = calmness(emotion.model.judge(features, None).log_probs)
            baseline = baseline.add(features, float(calm))
    return baseline
