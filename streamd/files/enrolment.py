"""Enrolment: the voice in a recording, and how it gets into the store."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from streamd.display import display_name
from streamd.events import Quality
from streamd.files.quality import Earlier, assess, encoded
from streamd.files.voice_reading import VoiceSample, speaker_settings, voice_models
from streamd.modules.emotion import BASELINE_MODEL, EmotionModule
from streamd.modules.emotion_model import Baseline, calmness
from streamd.modules.registry import Registry
from streamd.modules.voice_models import VoiceModels
from streamd.store.base import Enrolment, Store, new_enrolment_id
from streamd.types import Floats

SAME = 0.99999
"""Cosine that only equal audio has, because its embeddings differ by rounding alone."""
ROUNDED = 0.998
"""The same where a model in fewer bits made one of them; other speech is seldom as long, too."""


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A sample and what became of it."""

    sample: VoiceSample
    id: str
    """Id of the enrolment, as `e_…`."""
    quality: Quality
    is_new: bool
    """Whether it was added; the voice has it already if not."""
    is_completed: bool
    """Whether a model heard it that had not before."""


def enrol(
    store: Store, name: str, samples: Iterable[VoiceSample], registry: Registry
) -> list[Enrolled]:
    """Add the samples of one voice to the store, either all or none.

    A sample that the voice has already, under any file name, is not added again, because it would
    weigh twice and make the voice no more reliable. What it was not heard by yet is added to it, so
    the same files enrol a voice with another model.

    Args:
        store: The store of the voice.
        name: Name of the voice, valid by `check_name`.
        samples: Samples of the voice; each `is_enough`.
        registry: The modules; the emotion module makes the baseline of the voice.
    """
    thresholds, models = speaker_settings(registry).thresholds, voice_models(registry)
    known = _known(store, name, models)
    done: list[Enrolled] = []
    enrolments = []
    for sample in samples:
        same = next((one for one in known if one.is_of(sample, models)), None)
        others = [one.earlier for one in known if one is not same]
        quality = assess(sample, others, thresholds, models)
        heard = dict(sample.heard)
        if same is not None:
            heard = {model: heard[model] for model in heard.keys() - same.earlier.heard.keys()}
        id_ = new_enrolment_id() if same is None else same.id
        done.append(Enrolled(sample, id_, quality, is_new=same is None, is_completed=bool(heard)))
        if not heard:
            continue
        if same is not None:
            known.remove(same)
        earlier = Earlier(sample.heard, sample.channel)
        known.append(_Known(id_, sample.speech_ms, earlier, models.ids))
        model = models.deciding if models.deciding in heard else min(heard)
        enrolments.append(
            Enrolment(
                heard.pop(model),
                model,
                sample.channel,
                sample.speech_ms,
                display_name(sample.source),
                encoded(quality),
                heard,
                id_,
            )
        )
    if enrolments:
        added = [one.sample for one in done if one.is_new]
        store.enrol(name, enrolments, _baselines(store, name, added, models, registry))
    return done


class _Known(NamedTuple):
    """An enrolment that a voice has."""

    id: str
    speech_ms: int
    earlier: Earlier
    made_by: tuple[str, ...]
    """Ids of the models that made its embeddings."""

    def is_of(self, sample: VoiceSample, models: VoiceModels) -> bool:
        """Return whether it is of the same audio."""
        model = models.windows  # it hears every sample
        if model not in self.earlier.heard or model not in sample.heard:
            return False
        cosine = float(self.earlier.heard[model] @ sample.heard[model])
        if model in self.made_by:
            return cosine > SAME
        return cosine > ROUNDED and self.speech_ms == sample.speech_ms


def _known(store: Store, name: str, models: VoiceModels) -> list[_Known]:
    """Return what a voice was enrolled with by models that count, oldest first."""
    found = store.enrolments(name)
    heard: dict[str, dict[str, Floats]] = {one.id: {} for one in found}
    for model in models.ids:
        for maker in models.like(model):
            ids = [one.id for one in found if maker in one.models]
            for id_, embedding in zip(ids, store.embeddings(name, maker), strict=True):
                heard[id_].setdefault(model, embedding)
    return [
        _Known(one.id, one.speech_ms, Earlier(heard[one.id], one.channel), one.models)
        for one in found
        if heard[one.id]
    ]


def _baselines(
    store: Store, name: str, samples: Sequence[VoiceSample], models: VoiceModels, registry: Registry
) -> dict[str, bytes]:
    """Return how the voice usually sounds, with these samples; empty if they do not say."""
    emotion = registry.find(EmotionModule)
    if emotion is None or not any(sample.utterances for sample in samples):
        return {}
    usual = store.load_gallery(models, BASELINE_MODEL).baselines.get(name)
    baseline = _usual(samples, emotion, Baseline.from_bytes(usual) if usual else None)
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
    samples: Iterable[VoiceSample], emotion: EmotionModule, baseline: Baseline | None
) -> Baseline:
    """Return how the voice sounds when it enrols, which is mostly in no mood in particular."""
    baseline = baseline or Baseline.empty(emotion.model.size)
    for sample in samples:
        for states, moments in sample.utterances:
            features = emotion.model.features(states, moments)
            calm = calmness(emotion.model.judge(features, None).log_probs)
            baseline = baseline.add(features, float(calm))
    return baseline
