"""One scale for the scores of all voice models.

What two embeddings of one voice score differs between models, and for one model with the channel,
the length of the speech and the number of enrolments. Thresholds do not: a scale maps each cosine,
monotonically, so that a score means the same wherever it comes from.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias, get_args

import numpy as np
import numpy.typing as npt

from streamd.types import Floats

Channel: TypeAlias = Literal["wide", "narrow"]
CHANNELS: tuple[Channel, ...] = get_args(Channel)

ACCEPT = {"wide": 0.78, "narrow": 0.80}
REJECT = {"wide": 0.65, "narrow": 0.70}
"""Scores at the bounds of a decision, by the channel of the speech: the default thresholds."""
_MUCH_SPEECH_S, _MANY_ENROLMENTS = 3.0, 3
"""From here on more of it changes nothing."""


class VoiceScale:
    """The scale of a model whose cosines are the scores."""

    is_provisional = False
    """Whether nobody measured what strangers score, so that its thresholds are guesses."""

    def centered(self, embeddings: Floats, channel: Channel) -> Floats:
        """Return embeddings `[..., dim]` as unit vectors that may be compared."""
        return unit(embeddings)

    def scores(
        self,
        cosines: Floats,
        channel: Channel,
        references: npt.NDArray[np.intp],
        enrolments: npt.NDArray[np.intp],
        seconds: float,
    ) -> Floats:
        """Return the scores of cosines.

        Args:
            cosines: `[n]`, of centered embeddings of some speech and of voices.
            channel: Of the speech.
            references: `[n]`, index into `CHANNELS` of each voice's recordings.
            enrolments: `[n]`, number of each voice's recordings.
            seconds: Of speech.
        """
        bounded: Floats = np.clip(cosines, -1, 1)  # rounding can exceed 1
        return bounded

    def straight(self, scores: Floats, channel: Channel) -> Floats:
        """Return scores on an axis on which they differ as the cosines do, for statistics.

        Args:
            scores: `[n]`, of this scale.
            channel: Of the speech.
        """
        return scores


@dataclass(frozen=True, slots=True, eq=False)
class FittedScale(VoiceScale):
    """The scale of a model for which it was measured what strangers score.

    From each embedding the mean of many voices on the same channel is subtracted: what a channel
    adds to all voices says nothing about who speaks. Between the bounds of a decision, and beyond
    each of them, the map is a straight line.
    """

    means: Floats
    """`[channels, dim]`, mean embedding of many voices on each channel."""
    accept: Floats
    """`[channels, channels]`, cosine of acceptance by the channel of the speech and that of the
    voice, for one second and one enrolment."""
    width: float
    """Cosine of acceptance less that of rejection."""
    for_speech: float
    """By how much the cosine of acceptance is higher with much speech: owners score more then, and
    strangers do not."""
    for_enrolments: float
    """By how much it is higher with many enrolments on the channel of the speech."""
    is_provisional: bool = False

    @classmethod
    def load(cls, path: Path) -> FittedScale:
        """Return the scale in a file that `training/speaker` made.

        Raises:
            ValueError: It is damaged.
        """
        with np.load(path, allow_pickle=False) as file:
            try:
                numbers = {name: file[name] for name in ("means", "accept", "bounds")}
            except KeyError as error:
                raise ValueError(f"{path}: {error} is missing") from error
        width, for_speech, for_enrolments = map(float, numbers["bounds"])
        return cls(numbers["means"], numbers["accept"], width, for_speech, for_enrolments)

    def centered(self, embeddings: Floats, channel: Channel) -> Floats:
        """Return embeddings `[..., dim]` less the mean of their channel, as unit vectors."""
        return unit(unit(embeddings) - self.means[CHANNELS.index(channel)])

    def scores(
        self,
        cosines: Floats,
        channel: Channel,
        references: npt.NDArray[np.intp],
        enrolments: npt.NDArray[np.intp],
        seconds: float,
    ) -> Floats:
        """Return the scores of cosines."""
        speech = min(max((seconds - 1.0) / (_MUCH_SPEECH_S - 1.0), 0.0), 1.0)
        index = CHANNELS.index(channel)
        many = np.clip((enrolments - 1) / (_MANY_ENROLMENTS - 1), 0, 1) * (references == index)
        accept = self.accept[index][references]
        accept = accept + self.for_speech * speech + self.for_enrolments * many
        low, high = REJECT[channel], ACCEPT[channel]
        between = low + (high - low) * (cosines - accept + self.width) / self.width
        above = high + (1 - high) * (cosines - accept) / (1 - accept)
        below = low + (1 + low) * (cosines - accept + self.width) / (1 + accept - self.width)
        scores = np.where(cosines >= accept, above, np.where(between < low, below, between))
        bounded: Floats = np.clip(scores, -1, 1).astype(np.float32)
        return bounded

    def straight(self, scores: Floats, channel: Channel) -> Floats:
        """Return scores without the bends of the scale, as between its bounds."""
        index, low, high = CHANNELS.index(channel), REJECT[channel], ACCEPT[channel]
        accept, slope = float(self.accept[index, index]), (high - low) / self.width
        above = high + slope * (scores - high) * (1 - accept) / (1 - high)
        below = low + slope * (scores - low) * (1 + accept - self.width) / (1 + low)
        straight: Floats = np.where(scores >= high, above, np.where(scores < low, below, scores))
        return straight


def unit(rows: Floats) -> Floats:
    """Return the rows `[..., dim]` with length 1; a row of zeros stays, and is like nothing."""
    rows = rows.astype(np.float32, copy=False)
    norms = np.linalg.norm(rows, axis=-1, keepdims=True)
    scaled: Floats = (rows / np.maximum(norms, np.finfo(np.float32).tiny)).astype(np.float32)
    return scaled
