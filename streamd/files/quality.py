"""How good an enrolment is: a verdict, and what to do about each issue.

The thresholds were chosen on recordings of 68 read voices, as they are and made worse;
`docs/accuracy.md` has the figures.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from streamd.events import Issue, IssueCode, Quality
from streamd.files.voice_reading import VoiceSample
from streamd.modules.gallery import Channel
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
ALIKE = 0.73
"""Cosine of the two most different parts of a recording from which it has one voice."""
OTHER_CHANNEL = 0.1
"""By how much less alike one voice is on two kinds of channel."""


def assess(
    sample: VoiceSample,
    earlier: Sequence[tuple[Floats, Channel]],
    thresholds: ChannelThresholds,
    model: str = "",
) -> Quality:
    """Return the verdict on a sample that is enough for an enrolment.

    Args:
        sample: The sample.
        earlier: Embeddings of what the voice was enrolled with before, by the model of every
            window, unit vectors, each with its channel.
        thresholds: Bounds of decisions.
        model: Id of that model.
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
    if sample.unity < ALIKE:
        found(
            "two_voices",
            "this does not sound like a single voice: record one person alone",
            poor=True,
        )
    if _is_unlike(sample.by(model), sample.channel, earlier, thresholds):
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
    voice: Floats | None,
    channel: Channel,
    earlier: Sequence[tuple[Floats, Channel]],
    thresholds: ChannelThresholds,
) -> bool:
    if not earlier or voice is None:
        return False
    bound = thresholds.of(channel).reject
    same = [embedding for embedding, theirs in earlier if theirs == channel]
    if not same:
        same, bound = [embedding for embedding, _ in earlier], bound - OTHER_CHANNEL
    mean = np.sum(same, axis=0)
    return float(voice @ mean) / float(np.linalg.norm(mean)) < bound


def encoded(quality: Quality) -> str:
    """Return the JSON that the store keeps."""
    return msgspec.json.encode(quality).decode()


def decoded(text: str) -> Quality | None:
    """Return the verdict that the store kept; None where there is none."""
    return msgspec.json.decode(text, type=Quality) if text else None
