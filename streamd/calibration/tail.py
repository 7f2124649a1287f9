"""How many strangers a threshold accepts, from too few strangers to count them.

One in a hundred of 70 speakers is less than one, so the share is that of a normal distribution with
the mean and the variance of the scores. The gallery's own voices are strangers to each other in the
rooms and at the microphones that matter, but may be few. So both numbers are weighted means: that
of the cohort counts as much as some voices of the gallery would, and is moved by what sharing a
room and a microphone adds (an empirical Bayes estimate; Efron & Morris, 1973). A voice of the
gallery has one other voice less to be taken for; the cohort says what that one would add.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from streamd.calibration.scores import Group, Scores
from streamd.intervals import wilson

Doubles: TypeAlias = npt.NDArray[np.float64]
Estimate: TypeAlias = tuple[float, float, float]
"""A share and its 95 % interval."""

DRAWS = 400
"""Draws of speakers for an interval (Efron & Tibshirani, 1993, ch. 8)."""
PRIOR_OF_MEAN, PRIOR_OF_VARIANCE = 2, 10
"""Voices of a gallery that say as much of its strangers as the cohort does. Means differ between
galleries as much as between the voices of one, and variances hardly differ."""
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Shared:
    """By how much strangers score more who share a room and a microphone with a voice."""

    mean: float
    sd: float
    """Standard deviation between galleries."""


@dataclass(frozen=True, slots=True, eq=False)
class Tail:
    """The distribution of what strangers score, with the doubt about it."""

    mean: float
    sd: float
    means: Doubles
    """`[DRAWS]`, each of other speakers."""
    sds: Doubles

    @classmethod
    def of(cls, scores: Scores, shared: Shared, seed: int = 1) -> Tail:
        """Return what follows from the scores of strangers."""
        random = np.random.default_rng(seed)
        cohort, own = _Moments.of(scores.strangers, random), _Moments.of(scores.others, random)
        doubt = np.concatenate([[0.0], random.standard_normal(DRAWS)]) * shared.sd
        ahead = np.array(scores.strangers.scores[: len(scores.runners_up.scores)])
        behind = np.array(scores.runners_up.scores)
        missing = float(np.mean(ahead - behind)) / scores.voices if len(behind) else 0.0
        weight = own.count / (own.count + PRIOR_OF_MEAN)
        prior = cohort.means + shared.mean + doubt
        means = weight * (own.means + missing) + (1 - weight) * prior
        weight = own.count / (own.count + PRIOR_OF_VARIANCE)
        sds = np.sqrt(weight * own.variances + (1 - weight) * cohort.variances)
        return cls(float(means[0]), float(sds[0]), means[1:], sds[1:])

    def far(self, at: float) -> Estimate:
        """Return the share of strangers that is accepted.

        Args:
            at: The threshold, on the axis of the scores.
        """
        drawn = [_beyond(at, mean, sd) for mean, sd in zip(self.means, self.sds, strict=True)]
        low, high = np.quantile(drawn, [0.025, 0.975])
        share = _beyond(at, self.mean, self.sd)
        return share, min(float(low), share), max(float(high), share)


def _beyond(at: float, mean: float, sd: float) -> float:
    return 1 - _NORMAL.cdf((at - mean) / max(sd, 1e-6))


@dataclass(frozen=True, slots=True, eq=False)
class _Moments:
    """Mean and variance of scores, where each speaker counts the same."""

    count: int
    """Speakers."""
    means: Doubles
    """`[1 + DRAWS]`, the first of all speakers."""
    variances: Doubles

    @classmethod
    def of(cls, group: Group, random: np.random.Generator) -> _Moments:
        if not group.scores:
            nothing = np.zeros(1 + DRAWS)
            return cls(0, nothing, nothing)
        totals = _by_speaker(np.array(group.scores), group.of)
        count = len(totals)
        weights = np.concatenate(
            [np.ones((1, count)), random.multinomial(count, np.full(count, 1 / count), DRAWS)]
        )
        firsts, seconds = (weights @ totals / count).T
        # Bessel's correction, because speakers are few.
        variances = np.maximum(seconds - firsts**2, 0) * count / max(count - 1, 1)
        return cls(count, firsts, variances)


def _by_speaker(scores: Doubles, of: list[str]) -> Doubles:
    """Return mean and mean square of each speaker's scores, `[speakers, 2]`."""
    _, owner, counts = np.unique(of, return_inverse=True, return_counts=True)
    sums = np.stack([np.bincount(owner, scores), np.bincount(owner, scores**2)])
    return np.asarray((sums / counts).T)


def frr(owners: Group, threshold: float, seed: int = 1) -> Estimate:
    """Return the share of owners that a threshold does not accept, each voice counting the same.

    The interval is that of a bootstrap over voices, and no narrower than Wilson's for as many
    voices.
    """
    if not owners.scores:
        return 0.0, 0.0, 1.0
    missed = (np.array(owners.scores) < threshold).astype(np.float64)
    shares = _by_speaker(missed, owners.of)[:, 0]
    count = len(shares)
    weights = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), DRAWS)
    low, high = np.quantile(weights @ shares / count, [0.025, 0.975])
    share = float(shares.mean())
    least, most = wilson(round(share * count), count)
    return share, min(float(low), least, share), max(float(high), most, share)
