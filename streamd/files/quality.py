"""How good an enrolment is: a verdict, and what to do about each issue.

The thresholds were chosen on recordings of 68 read voices, as they are and made worse;
`docs/accuracy.md` has the figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from streamd.events import Issue, IssueCode, Quality
from streamd.files.voice_reading import VoiceSample
from streamd.modules.centroids import Centroids
from streamd.modules.gallery import CHANNELS, Channel, Gallery, Spoken
from streamd.modules.voice_models import VoiceModels
from streamd.settings import ChannelThresholds
from streamd.types import Floats

ENOUGH_MS = 5000
"""Milliseconds of speech from which an enrolment is reliable."""
LITTLE_MS = 2000
"""Milliseconds of speech below which it errs twice as often."""
CLIPPED, MUCH_CLIPPED = 0.02, 0.2
"""Shares of frames of speech with samples at full scale."""
NOISY_DB, VERY_NOISY_DB = 10.0, 6.0
"""Decibels by which speech stands out from noise."""
QUIET_DBFS, VERY_QUIET_DBFS = -45.0, -55.0
"""Mean levels of speech."""
OTHER_CHANNEL = 0.1
"""By how much less alike one voice is on two kinds of channel, where no scale knows them."""


class Earlier(NamedTuple):
    """What a voice was enrolled with before."""

    heard: Mapping[str, Floats]
    """Its embeddings by id of the model that they count as."""
    channel: Channel


def assess(
    sample: VoiceSample,
    earlier: Sequence[Earlier],
    thresholds: ChannelThresholds,
    models: VoiceModels,
) -> Quality:
    """Return the verdict on a sample that is enough for an enrolment.

    Args:
        sample: The sample.
        earlier: What the voice was enrolled with before.
        thresholds: Bounds of decisions.
        models: The models that heard the sample.
    """
    issues: list[Issue] = []
    is_poor = False

    def found(code: IssueCode, message: str, *, poor: bool) -> None:
        nonlocal is_poor
        issues.append(Issue(code, message))
        is_poor = is_poor or poor

    if sample.speech_ms < ENOUGH_MS:
        found(
            "short",
            f"{sample.speech_ms / 1000:.1f} s of speech: record {ENOUGH_MS // 1000} s or more, so "
            "that decisions are more reliable",
            poor=sample.speech_ms < LITTLE_MS,
        )
    if (levels := sample.levels) is not None:
        if levels.clipped >= CLIPPED:
            found(
                "clipped",
                f"{levels.clipped:.0%} of the speech is clipped: lower the microphone's gain, or "
                "speak from further away, and record it again",
                poor=levels.clipped >= MUCH_CLIPPED,
            )
        if levels.speech_dbfs < QUIET_DBFS:
            found(
                "quiet",
                f"the speech is at {levels.speech_dbfs:.0f} dBFS, which is far too quiet: raise "
                "the microphone's gain, or speak closer to it, and record it again",
                poor=levels.speech_dbfs < VERY_QUIET_DBFS,
            )
        if levels.snr_db < NOISY_DB:
            found(
                "noisy",
                f"the speech is only {max(levels.snr_db, 0):.0f} dB above the noise: record it "
                "again in a quieter place, or closer to the microphone",
                poor=levels.snr_db < VERY_NOISY_DB,
            )
    if not sample.is_one:
        found(
            "two_voices",
            "this does not sound like a single voice: record one person alone",
            poor=True,
        )
    if _is_unlike(sample, earlier, thresholds, models):
        found(
            "unlike_before",
            "this does not sound like what the voice was enrolled with before: check whose "
            "voice it is, and delete the voice and enrol it anew if the earlier one was wrong",
            poor=True,
        )
    if is_poor:
        return Quality("poor", tuple(issues))
    return Quality("usable" if issues else "good", tuple(issues))


def _is_unlike(
    sample: VoiceSample,
    earlier: Sequence[Earlier],
    thresholds: ChannelThresholds,
    models: VoiceModels,
) -> bool:
    """Return whether a session would reject the sample if the voice were all that is enrolled."""
    gallery = _voice(earlier, models)
    seconds = sample.speech_ms / 1000
    spoken = {model: Spoken(heard, seconds) for model, heard in sample.heard.items()}
    found = gallery.find(spoken, sample.channel, 1)
    bound = thresholds.of(sample.channel).reject
    is_scaled = models.main in gallery.models and models.main in sample.heard
    if not is_scaled and sample.channel not in {one.channel for one in earlier}:
        bound -= OTHER_CHANNEL
    return bool(found) and found[0].score < bound


def _voice(earlier: Sequence[Earlier], models: VoiceModels) -> Gallery:
    """Return a gallery of one voice; of nobody without an earlier enrolment."""
    centroids = {}
    for model in models.ids:
        if theirs := [one for one in earlier if model in one.heard]:
            centroids[model] = Centroids.build(
                np.stack([one.heard[model] for one in theirs]),
                np.zeros(len(theirs), np.intp),
                np.array([CHANNELS.index(one.channel) for one in theirs]),
                models.scale if model == models.deciding else None,
            )
    return Gallery.of(("voice",), centroids) if centroids else Gallery.empty()


def encoded(quality: Quality) -> str:
    """Return the JSON that the store keeps."""
    return msgspec.json.encode(quality).decode()


def decoded(text: str) -> Quality | None:
    """Return the verdict that the store kept; None where there is none."""
    return msgspec.json.decode(text, type=Quality) if text else None
