"""95 % intervals of shares and counts. Imports no numpy."""

from __future__ import annotations

import math
from collections.abc import Callable


def wilson(hits: int, of: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's score interval of a share; all of [0, 1] where there is nothing."""
    if not of:
        return 0.0, 1.0
    mean, spread = hits / of, z * z / of
    middle = (mean + spread / 2) / (1 + spread)
    half = math.sqrt(mean * (1 - mean) * spread + spread * spread / 4) / (1 + spread)
    return max(middle - half, 0.0), min(middle + half, 1.0)


def poisson(count: int) -> tuple[float, float]:
    """Garwood's exact 95 % interval of the mean of a count."""
    low = 0.0 if count == 0 else _solve(lambda m: 1 - _at_most(count - 1, m) - 0.025, count)
    return low, _solve(lambda m: 0.025 - _at_most(count, m), count)


def _at_most(count: int, mean: float) -> float:
    if mean <= 0:
        return 1.0
    logs = [k * math.log(mean) - mean - math.lgamma(k + 1) for k in range(count + 1)]
    return min(1.0, math.fsum(math.exp(x) for x in logs))


def _solve(rising: Callable[[float], float], near: int) -> float:
    """Return the zero of a rising function, by bisection."""
    low, high = 0.0, 2.0 * near + 20
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if rising(middle) < 0 else (low, middle)
    return (low + high) / 2
