"""Diarization error rate of the speaker labels of one session.

Scored as NIST does (Rich Transcription 2009): a collar around every labelled boundary is left
out, overlapping speech counts once for every speaker, and labels are mapped to speakers so that the
error is least.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]

STEP_MS = 10
COLLAR_MS = 250


class Turn(NamedTuple):
    """Somebody's speech, ms."""

    start: int
    stop: int
    who: str


class Errors(NamedTuple):
    """Errors of one session, ms of speaker time."""

    speech: int
    missed: int
    """Speech that was not detected, or that got no label."""
    false: int
    """Detected speech where nobody speaks."""
    confused: int
    """Speech that got another speaker's label."""
    unlabelled: int
    """The part of `missed` that was detected but got no label: too short, or unsure."""
    speakers: int
    labels: int

    @property
    def wrong(self) -> int:
        """Sum of all errors."""
        return self.missed + self.false + self.confused


NOBODY = ""
"""Label of speech that got none."""


def reported_turns(events: Iterable[Mapping[str, Any]]) -> list[Turn]:
    """Return who spoke when, as a client would show it from final and change events."""
    turns: list[Turn] = []
    changes: dict[str, list[Mapping[str, Any]]] = {}
    verdicts: dict[str, Mapping[str, Any]] = {}
    for event in events:
        if event["type"] == "speaker_change":
            changes.setdefault(event["utterance"], []).append(event)
        elif event["type"] == "speaker":
            verdicts[event["utterance"]] = event
        elif event["type"] == "speech_end":
            utterance = event["utterance"]
            start = event["t0"]
            for change in changes.get(utterance, []):
                turns.append(Turn(start, change["t0"], change["from"] or NOBODY))
                start = change["t0"]
            turns.append(Turn(start, event["t1"], _who(verdicts.get(utterance))))
    return [turn for turn in turns if turn.stop > turn.start]


def _who(verdict: Mapping[str, Any] | None) -> str:
    if verdict is None or verdict["decision"] in ("unsure", "too_short"):
        return NOBODY
    return verdict["speaker"] or NOBODY


def score(
    truth: Sequence[Turn], reported: Sequence[Turn], duration_ms: int, *, overlaps: bool = True
) -> Errors:
    """Compare turns on a grid of 10 ms.

    Args:
        truth: Labelled turns.
        reported: Turns to compare with them.
        duration_ms: Length of the session.
        overlaps: Whether times at which several people speak count.
    """
    count = -(-duration_ms // STEP_MS)
    speakers, reference = _grid(truth, count)
    names, found = _grid(reported, count)
    labels = [i for i, name in enumerate(names) if name != NOBODY]
    known = found[labels]
    scored = _outside_collars(truth, count)
    if not overlaps:
        scored &= reference.sum(axis=0) <= 1
    speech = reference & scored
    said = known & scored
    speaking, heard_any = speech.sum(axis=0), found.any(axis=0) & scored
    saying = said.sum(axis=0)
    together = np.array([[int((r & h).sum()) for h in said] for r in speech], np.int64)
    together = together.reshape(len(speakers), len(labels))
    right = sum(int(together[i, j]) for i, j in assign(together))
    missed = int(np.maximum(speaking - saying, 0).sum())
    false = int(np.maximum(saying - speaking, 0).sum())
    unlabelled = int((np.maximum(speaking - saying, 0) * heard_any * (saying == 0)).sum())
    confused = int(np.minimum(speaking, saying).sum()) - right
    return Errors(
        speech=int(speaking.sum()) * STEP_MS,
        missed=missed * STEP_MS,
        false=false * STEP_MS,
        confused=confused * STEP_MS,
        unlabelled=unlabelled * STEP_MS,
        speakers=len(speakers),
        labels=len(labels),
    )


def _grid(turns: Sequence[Turn], count: int) -> tuple[list[str], Bools]:
    names = sorted({turn.who for turn in turns})
    grid = np.zeros((len(names), count), bool)
    for turn in turns:
        first, last = round(turn.start / STEP_MS), round(turn.stop / STEP_MS)
        grid[names.index(turn.who), first:last] = True
    return names, grid


def _outside_collars(truth: Sequence[Turn], count: int) -> Bools:
    kept = np.ones(count, bool)
    for turn in truth:
        for edge in (turn.start, turn.stop):
            first = max((edge - COLLAR_MS) // STEP_MS, 0)
            kept[first : -(-(edge + COLLAR_MS) // STEP_MS)] = False
    return kept


def assign(gains: npt.NDArray[np.int64]) -> list[tuple[int, int]]:
    """Pairs of row and column, each used once, with the largest sum of gains.

    The Hungarian method with potentials (Kuhn 1955; Jonker & Volgenant 1987), O(n³).
    """
    rows, columns = gains.shape
    if rows > columns:
        return [(i, j) for j, i in assign(gains.T)]
    cost = -gains.astype(np.float64)
    u, v = np.zeros(rows + 1), np.zeros(columns + 1)
    match = np.zeros(columns + 1, np.intp)  # row of each column, from 1 on; 0 is free
    for row in range(1, rows + 1):
        match[0] = row
        column = 0
        least = np.full(columns + 1, np.inf)
        way = np.zeros(columns + 1, np.intp)
        used = np.zeros(columns + 1, bool)
        while match[column]:
            used[column] = True
            current = match[column]
            reduced = cost[current - 1] - u[current] - v[1:]
            better = ~used[1:] & (reduced < least[1:])
            least[1:][better] = reduced[better]
            way[1:][better] = column
            free = np.where(used[1:], np.inf, least[1:])
            following = int(np.argmin(free)) + 1
            delta = free[following - 1]
            u[match[used]] += delta
            v[used] -= delta
            least[~used] -= delta
            column = following
        while column:
            match[column] = match[way[column]]
            column = int(way[column])
    return [(int(match[j]) - 1, j - 1) for j in range(1, columns + 1) if match[j]]
