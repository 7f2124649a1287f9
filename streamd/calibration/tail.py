"""How many strangers a threshold accepts, from too few strangers to count them.

One in a hundred of 70 speakers is less than one, so the share is that of a distribution with the
mean, the variance and the skewness of the scores (Cornish & Fisher, 1938): the best of several
voices has a longer upper tail than a normal distribution.

The gallery's own voices are strangers to each other in the rooms and at the microphones that
matter, but may be few. So mean and variance are weighted means: that of the cohort counts as much
as some voices of the gallery would, and is moved by what sharing a room and a microphone adds (an
empirical Bayes estimate; Efron & Morris, 1973). A voice of the gallery has one other voice less to
be taken for; the cohort says what that one would add.
"""

from __future__ import annotations

import math
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
PRIOR_OF_MEAN, PRIOR_OF_VARIANCE = 1, 10
"""Voices of a gallery that say as much of its strangers as the cohort does. Means differ between
galleries more than between the voices of one, and variances hardly differ."""
MAX_SKEW = 1.0
"""More than the best of any number of voices has (that of a Gumbel distribution is 1.14)."""
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

    means: Doubles
    """`[DRAWS]`, each of other speakers."""
    sds: Doubles
    skews: Doubles
    shared: Shared
    """What sharing a room adds, by the gallery's own voices as far as they say it."""

    @classmethod
    def of(cls, scores: Scores, shared: Shared, seed: int = 1) -> Tail:
        """Return what follows from the scores of strangers."""
        random = np.random.default_rng(seed)
        cohort, own = _Moments.of(scores.strangers, random), _Moments.of(scores.others, random)
        doubt = random.standard_normal(DRAWS) * shared.sd
        ahead = np.array(scores.strangers.scores[: len(scores.runners_up.scores)])
        behind = np.array(scores.runners_up.scores)
        missing = float(np.mean(ahead - behind)) / scores.voices if len(behind) else 0.0
        weight = own.count / (own.count + PRIOR_OF_MEAN)
        prior = cohort.means + shared.mean + doubt
        means = weight * (own.spread() + missing) + (1 - weight) * prior
        weight = own.count / (own.count + PRIOR_OF_VARIANCE)
        sds = np.sqrt(weight * own.variances + (1 - weight) * cohort.variances)
        added = means - cohort.means
        found = Shared(float(added.mean()), float(added.std()))
        return cls(means, sds, cohort.skews, found)

    def far(self, at: float) -> Estimate:
        """Return the share of strangers that is accepted: its mean over all draws.

        The mean is higher than the share at the likeliest distribution, because what is not known
        makes the tail longer.

        Args:
            at: The threshold, on the axis of the scores.
        """
        normal = _as_normal((at - self.means) / np.maximum(self.sds, 1e-6), self.skews)
        drawn = [1 - _NORMAL.cdf(value) for value in normal]
        low, high = np.quantile(drawn, [0.025, 0.975])
        share = float(np.mean(drawn))
        return share, min(float(low), share), max(float(high), share)


def _as_normal(values: Doubles, skews: Doubles) -> Doubles:
    """Return where skewed values of mean 0 and variance 1 would be in a normal distribution."""
    skews = np.maximum(skews, 1e-6)
    inside = 9 + skews**2 + 6 * skews * values
    return np.asarray((np.sqrt(np.maximum(inside, 0)) - 3) / skews)


@dataclass(frozen=True, slots=True, eq=False)
class _Moments:
    """Mean, variance and skewness of scores, where each speaker counts the same."""

    count: int
    """Speakers."""
    mean: float
    means: Doubles
    """`[DRAWS]`, each of other speakers."""
    variances: Doubles
    skews: Doubles
    """From 0 to `MAX_SKEW`."""

    @classmethod
    def of(cls, group: Group, random: np.random.Generator) -> _Moments:
        if not group.scores:
            nothing = np.zeros(DRAWS)
            return cls(0, 0.0, nothing, nothing, nothing)
        totals = _by_speaker(np.array(group.scores), group.of)
        count = len(totals)
        weights = random.multinomial(count, np.full(count, 1 / count), DRAWS)
        firsts, seconds, thirds = (weights @ totals / count).T
        variances = np.maximum(seconds - firsts**2, 1e-9)
        skews = (thirds - 3 * firsts * variances - firsts**3) / variances**1.5
        # Bessel's correction, because speakers are few.
        variances *= count / max(count - 1, 1)
        mean = float(totals[:, 0].mean())
        return cls(count, mean, firsts, variances, np.clip(skews, 0, MAX_SKEW))

    def spread(self) -> Doubles:
        """Return the means where each speaker is also a voice that the others are compared with.

        The draws are of speakers alone, so they differ by the square root of 2 too little, and by
        Bessel's correction.
        """
        wider = math.sqrt(2 * self.count / max(self.count - 1, 1))
        return np.asarray(self.mean + (self.means - self.mean) * wider)


def _by_speaker(scores: Doubles, of: list[str]) -> Doubles:
    """Return the means of each speaker's scores, their squares and cubes, `[speakers, 3]`."""
    _, owner, counts = np.unique(of, return_inverse=True, return_counts=True)
    sums = np.stack(
        [np.bincount(owner, scores), np.bincount(owner, scores**2), np.bincount(owner, scores**3)]
    )
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
