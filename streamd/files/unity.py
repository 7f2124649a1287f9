"""Whether a recording has one voice."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from streamd.types import Floats

ALIKE, PART = 0.73, 2
"""By the model of every window: cosine of the two most different parts from which a recording has
one voice, and windows that each of the parts has at least."""
MAIN_ALIKE, MAIN_PART = 0.32, 1
"""The same by a main model, for its windows of a second and more."""


def is_one_voice(windows: Sequence[Floats], main: Sequence[Floats]) -> bool:
    """Return whether a recording has one voice, as far as can be told.

    Args:
        windows: Embeddings by the model of every window, in order, unit vectors `[dim]`.
        main: Those by the main model, of windows that say much; empty without one.
    """
    if len(main) >= 2 * MAIN_PART:
        return unity(main, MAIN_PART) >= MAIN_ALIKE
    return unity(windows) >= ALIKE


def unity(embeddings: Sequence[Floats], part: int = PART) -> float:
    """Return how alike the two most different parts of a recording are.

    One way to part it is in time, because one person may speak after another; the other is along
    the direction in which the windows differ most, because two may take turns.

    Args:
        embeddings: Of the windows, in order, unit vectors `[dim]`.
        part: Windows that each of the two parts has at least.

    Returns:
        The cosine of the means of the two parts, at most 1; 1 with too few windows to tell.
    """
    if len(embeddings) < 2 * part:
        return 1.0
    windows = np.stack(embeddings).astype(np.float64)
    return min(1.0, _in_time(windows, part), _in_turns(windows, part))


def _in_time(windows: npt.NDArray[np.float64], part: int) -> float:
    sums = np.cumsum(windows, axis=0)
    before = sums[part - 1 : -part]
    after = sums[-1] - before
    return float(_cosines(before, after).min())


def _in_turns(windows: npt.NDArray[np.float64], part: int) -> float:
    centred = windows - windows.mean(axis=0)
    _, directions = np.linalg.eigh(centred.T @ centred)
    is_one = centred @ directions[:, -1] > 0
    if not part <= np.count_nonzero(is_one) <= len(windows) - part:
        return 1.0
    return float(_cosines(windows[is_one].sum(axis=0), windows[~is_one].sum(axis=0)))


def _cosines(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    norms = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    cosines: npt.NDArray[np.float64] = (a * b).sum(axis=-1) / np.maximum(norms, 1e-12)
    return cosines
