"""Calibration: the thresholds that follow from a gallery, and what those in force cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from streamd.calibration.cohort import Cohort
from streamd.calibration.scores import MIN_ENROLMENTS, Group, Scores, Step, measure
from streamd.calibration.tail import Estimate, Shared, Tail, frr
from streamd.errors import ModelMissing
from streamd.modules.gallery import CHANNELS, Channel, Gallery
from streamd.modules.voice_models import VoiceModels
from streamd.modules.voice_scale import VoiceScale
from streamd.store.base import Recording, SpeakerInfo, Store
from streamd.store.calibrations import Calibrated

DEFAULT_FAR = 0.01
"""Share of strangers that may be accepted, where nobody has chosen one."""
MIN_FAR, MAX_FAR = 0.001, 0.2
"""Shares that a tail says something about."""
MAX_VOICES = 100
"""Voices whose enrolments are compared; more would change the estimates no more."""
SHARED_COSINES = {"wide": Shared(0.08, 0.05), "narrow": Shared(0.08, 0.05)}
SHARED_MAIN = {"wide": Shared(0.22, 0.08), "narrow": Shared(0.17, 0.06)}
"""What sharing a room and a microphone adds to the scores of strangers, of a model whose cosines
are the scores, and of a main one: the mean of six corpora, and how much they differ."""
_LOWEST, _HIGHEST = 0.1, 0.99
"""Bounds of a threshold."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """A threshold for one kind of channel, with the errors that it makes in this gallery."""

    target_far: float
    threshold: float
    """Score from which an enrolled voice is accepted."""
    far: Estimate
    """Share of strangers who are accepted as anybody of the gallery."""
    frr: Estimate
    """Share of owners' utterances that are not accepted."""
    applied: bool
    """Whether the threshold is in force for the tenant."""
    is_own: bool
    """Whether voices of the gallery were compared; if not, those of the cohort alone."""
    scores: Scores


@dataclass(frozen=True, slots=True)
class Calibrations:
    """The thresholds of a tenant for the voice model in force."""

    model: str
    """Catalogue id of the model that decides."""
    voices: int
    """Voices in the gallery."""
    is_own: bool
    """Whether enough voices have enough enrolments on any channel."""
    channels: Mapping[Channel, Calibration]
    unused: Sequence[str]
    """Other models for which there are stored thresholds, where there are none for this one."""

    @property
    def warning(self) -> str:
        """Return what to say of thresholds that are not in force; empty if there are none."""
        if not self.unused:
            return ""
        return (
            f"thresholds were stored for {', '.join(self.unused)} and are not in force: the voice "
            f"model is {self.model} now; calibrate anew"
        )

    def in_force(self) -> Calibrations:
        """Return the same, after the thresholds were stored."""
        channels = {c: replace(one, applied=True) for c, one in self.channels.items()}
        return replace(self, channels=channels)

    def chosen(self) -> list[Calibrated]:
        """Return the thresholds as the store keeps them."""
        return [
            Calibrated(
                model=self.model,
                channel=channel,
                target_far=one.target_far,
                threshold=one.threshold,
            )
            for channel, one in self.channels.items()
        ]


@dataclass(frozen=True, slots=True, eq=False)
class Material:
    """All that a calibration is made of, as the store has it."""

    gallery: Gallery
    """All voices."""
    recordings: Sequence[Recording]
    """Enrolments of as many voices as are compared."""
    stored: Sequence[Calibrated]
    """Thresholds that the tenant chose, for any model."""

    def without_stored(self) -> Material:
        """Return the same without thresholds, so that all are computed."""
        return replace(self, stored=())

    @classmethod
    def read(cls, store: Store, models: VoiceModels) -> Material:
        """Read it from the store of a tenant. It blocks."""
        names = _compared(store.speakers(), models)
        return cls(
            store.load_gallery(models), store.recordings(names, models), store.calibrations()
        )


def calibrate(
    material: Material,
    cohort: Cohort,
    models: VoiceModels,
    target_far: float | None = None,
    step: Step = lambda done, total: None,
) -> Calibrations:
    """Return the thresholds for a share of strangers.

    Args:
        material: Voices, and thresholds in force.
        cohort: Strangers.
        models: The voice models in force.
        target_far: Share of strangers that may be accepted; None takes that of the stored
            threshold, else `DEFAULT_FAR`. A stored threshold for the same share is taken as it is.
        step: Takes the progress: scores so far, and all.

    Raises:
        ModelMissing: The cohort does not know the model.
    """
    if not cohort.knows(models.deciding):
        raise ModelMissing(
            f"there is no cohort for {models.deciding}, so no calibration: `streamd speakers fit` "
            "makes one of recordings of many speakers; or set speaker.thresholds in the "
            "configuration"
        )
    stored = {one.channel: one for one in material.stored if one.model == models.deciding}
    scores: dict[Channel, Scores] = {}
    for number, channel in enumerate(CHANNELS):
        scores[channel] = measure(
            material.gallery,
            material.recordings,
            cohort,
            models,
            channel,
            lambda done, total, number=number: step(  # type: ignore[misc]
                number * total + done, len(CHANNELS) * total
            ),
        )
    tails = _tails(scores, models)
    channels = {
        channel: _of(
            scores[channel], tails[channel], stored.get(channel), target_far, models.scale, channel
        )
        for channel in CHANNELS
    }
    return Calibrations(
        model=models.deciding,
        voices=len(material.gallery),
        is_own=any(one.is_own for one in channels.values()),
        channels=channels,
        unused=() if stored else sorted({one.model for one in material.stored}),
    )


def _tails(scores: Mapping[Channel, Scores], models: VoiceModels) -> dict[Channel, Tail]:
    """Return what strangers score on each channel.

    What the gallery's voices share on one channel is what they are taken to share on the other.
    """
    usual = SHARED_MAIN if models.main else SHARED_COSINES
    tails: dict[Channel, Tail] = {}
    for channel in sorted(CHANNELS, key=lambda channel: not scores[channel].is_own):
        shared = usual[channel]
        for other, tail in tails.items():
            if scores[other].is_own and not scores[channel].is_own:
                ratio = shared.mean / usual[other].mean
                shared = Shared(
                    tail.shared.mean * ratio, max(tail.shared.sd * ratio, shared.sd / 2)
                )
        tails[channel] = Tail.of(_straight(scores[channel], models.scale, channel), shared)
    return tails


def _of(
    scores: Scores,
    tail: Tail,
    stored: Calibrated | None,
    target_far: float | None,
    scale: VoiceScale,
    channel: Channel,
) -> Calibration:
    def far(threshold: float) -> Estimate:
        at = scale.straight(np.array([threshold], np.float32), channel)
        return tail.far(float(at[0]))

    if stored is not None and target_far in (None, stored.target_far):
        target, threshold = stored.target_far, stored.threshold
    else:
        target = DEFAULT_FAR if target_far is None else target_far
        low, high = int(_LOWEST * 1000), int(_HIGHEST * 1000)
        while low < high:  # the lowest that accepts no more than the target
            middle = (low + high) // 2
            low, high = (low, middle) if far(middle / 1000)[0] <= target else (middle + 1, high)
        threshold = low / 1000
    return Calibration(
        target_far=target,
        threshold=threshold,
        far=far(threshold),
        frr=frr(scores.owners, threshold),
        applied=stored is not None and stored.threshold == threshold,
        is_own=scores.is_own,
        scores=scores,
    )


def _straight(scores: Scores, scale: VoiceScale, channel: Channel) -> Scores:
    def of(group: Group) -> Group:
        straight = scale.straight(np.array(group.scores, np.float32), channel)
        return Group(straight.tolist(), group.of)

    return replace(
        scores,
        strangers=of(scores.strangers),
        runners_up=of(scores.runners_up),
        others=of(scores.others),
        owners=of(scores.owners),
    )


def _compared(speakers: Sequence[SpeakerInfo], models: VoiceModels) -> list[str]:
    """Return the names of the voices to compare: those with many enrolments, spread over all."""
    deciding = set(models.like(models.deciding))
    known = [one for one in speakers if not deciding.isdisjoint(one.models)]
    many = [one.name for one in known if one.enrolments >= MIN_ENROLMENTS]
    few = [one.name for one in known if one.enrolments < MIN_ENROLMENTS]
    kept = _spread(many, MAX_VOICES)
    return kept + _spread(few, MAX_VOICES - len(kept))


def _spread(names: Sequence[str], most: int) -> list[str]:
    places = np.linspace(0, len(names) - 1, min(len(names), most)).astype(int)
    return [names[place] for place in places]
