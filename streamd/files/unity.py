"""Whether a recording has one voice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from streamd.types import Floats

PART = 2
"""Windows that each of the two parts has at least."""


def unity(embeddings: Sequence[Floats]) -> float:
    """Return how alike the two most different parts of a recording are.

    One way to part it is in time, because one person may speak after another; the other is along
    the direction in which the windows differ most, because two may take turns.

    Args:
        embeddings: Of the windows, in order, unit vectors `[dim]`.

    Returns:
        The cosine of the means of the two parts, at most 1; 1 with too few windows to tell.
    """
    if len(embeddings) < 2 * PART:
        return 1.0
    windows = np.stack(embeddings).astype(np.float64)
    return min(1.0, _in_time(windows), _in_turns(windows))


def _in_time(windows: npt.NDArray[np.float64]) -> float:
    sums = np.cumsum(windows, axis=0)
    before = sums[PART - 1 : -PART]
    after = sums[-1] - before
    return float(_cosines(before, after).min())


def _in_turns(windows: npt.NDArray[np.float64]) -> float:
    centred = windows - windows.mean(axis=0)
    _, directions = np.linalg.eigh(centred.T @ centred)
    is_one = centred @ directions[:, -1] > 0
    if not PART <= np.count_nonzero(is_one) <= len(windows) - PART:
        return 1.0
    return float(_cosines(windows[is_one].sum(axis=0), windows[~is_one].sum(axis=0)))


def _cosines(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    norms = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    cosines: npt.NDArray[np.float64] = (a * b).sum(axis=-1) / np.maximum(norms, 1e-12)
    return cosines
