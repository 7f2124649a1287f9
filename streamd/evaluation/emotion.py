"""Emotion: how often the label is right, and how well the probabilities are calibrated.

A row's prediction is the mean of the scores of its final events, weighted by their lengths. The
labels of the manifest define the task: scores are renormalised among them, so that a corpus of
four emotions is a choice among four.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from streamd.evaluation.failures import Failure
from streamd.evaluation.manifest import Faults, Manifest, Row, check_halves, check_labels
from streamd.evaluation.report import Options, Report, Table, percent, written
from streamd.evaluation.running import Run
from streamd.evaluation.sessions import by_speaker, in_sessions
from streamd.evaluation.statistics import (
    Doubles,
    Draws,
    Flags,
    Metric,
    Statistic,
    none_for,
    share,
)
from streamd.evaluation.streams import Stream
from streamd.evaluation.tasks import Result, Task

CLASSES = ("angry", "disgust", "fearful", "happy", "neutral", "sad", "surprised")
SAME = {"calm": "neutral"}
"""Labels of corpora that are another name for one of ours."""
AROUSAL_ONLY = ("bored",)
"""Labels that only the arousal measure uses, as low arousal."""
HIGH = ("angry", "happy", "fearful", "surprised")
LOW = ("neutral", "sad", "bored")
"""Labels of low arousal. Disgust is neither low nor high: corpora disagree."""
MAX_BINS, MIN_BIN_ROWS = 15, 10
"""Bins of the calibration error: equally many rows in each (Nguyen & O'Connor, 2015), and
enough that chance alone makes no error."""
PRECISION = 0.70
_CURVE = 200


class Said(NamedTuple):
    """The result of one row."""

    row: Row
    scores: Doubles | None
    """`[7]`, summing to 1; None if there was no event."""
    arousal: float | None
    abstains: bool
    """Whether events of at least half its speech abstain."""

    @property
    def label(self) -> str:
        """The true label."""
        return SAME.get(self.row.label, self.row.label)


def check(rows: Sequence[Row], faults: Faults) -> None:
    """Refuse unknown labels, and a speaker in more than one split."""
    check_labels(rows, (*CLASSES, *SAME, *AROUSAL_ONLY), faults)
    check_halves(rows, faults)


def modules(options: Options) -> dict[str, dict[str, Any]]:
    """Return the modules of a session, with the speaker module if the configuration has it on.

    The speaker decides which baseline a voice is compared with.
    """
    names = ["vad", "emotion"]
    if "speaker" in options.config.session.modules:
        names.insert(1, "speaker")
    return {name: {} for name in names}


def evaluate(manifest: Manifest, options: Options, run: Run) -> Report:
    """Run every row, or every speaker's rows in their order, and compare."""
    streams = by_speaker(manifest.rows) if options.baseline else in_sessions(manifest.rows)
    tasks = [
        Task(
            stream=stream,
            modules=modules(options),
            keep=("emotion",),
            conditions=options.conditions,
        )
        for stream in streams
    ]
    answers = run("sessions", tasks)
    said = [one for s, h in zip(streams, answers, strict=True) for one in of_rows(s, h)]
    return report(said, options.is_open, options.seed)


def of_rows(stream: Stream, result: Result) -> list[Said]:
    """Assign each final event of a session to the row that most of it lies in."""
    spans = result["spans"]
    own: list[list[Mapping[str, Any]]] = [[] for _ in spans]
    for event in result["events"]:
        overlaps = [min(event["t1"], b) - max(event["t0"], a) for a, b in spans]
        own[int(np.argmax(overlaps))].append(event)
    return [said_of(row, events) for row, events in zip(stream.rows, own, strict=True)]


def said_of(row: Row, events: Sequence[Mapping[str, Any]]) -> Said:
    """Return the mean over a row's final events, weighted by their lengths."""
    if not events:
        return Said(row, None, None, True)
    weights = np.array([max(e["t1"] - e["t0"], 1) for e in events], np.float64)
    weights /= weights.sum()
    scores = weights @ np.array([[e["scores"][name] for name in CLASSES] for e in events])
    arousal = float(weights @ np.array([e["arousal"] for e in events]))
    abstains = float(weights @ np.array([e["abstain"] for e in events])) >= 0.5
    return Said(row, scores / scores.sum(), arousal, abstains)


def report(said: Sequence[Said], is_open: bool, seed: int) -> Report:
    """Return the figures over all rows."""
    judged = [one for one in said if one.label in CLASSES]
    present = [name for name in CLASSES if any(one.label == name for one in judged)]
    choices = list(CLASSES) if is_open else present
    figures: dict[str, Any] = {
        "classes": choices,
        "silent": sum(one.scores is None for one in said),
    }
    tables = []
    failed: tuple[Failure, ...] = ()
    draws = Draws([one.row.cluster for one in judged], "speaker", seed)
    if len(present) < 2:
        lack = none_for("rows of fewer than two of the labels")
        names = ("uar", "accuracy", "ece", "coverage_at_p70", "abstain_rate")
        figures |= {name: lack.described() for name in names}
    else:
        task = _Task(judged, present, choices, draws)
        figures |= task.described()
        tables = task.tables()
        failed = tuple(task.failures(judged))
    arousal = arousal_auc(said, seed)
    figures["arousal_auc"] = arousal.described(high=list(HIGH), low=list(LOW))
    figures["bootstrap"] = draws.described()
    tables.append(
        Table(
            "Arousal",
            ("rows", "AUC"),
            [(str(arousal.n), written(arousal, 1, 3))],
            f"high: {', '.join(HIGH)}; low: {', '.join(LOW)}, calm",
        )
    )
    return Report(figures, tables, failed)


class _Task:
    """The choice among labels."""

    def __init__(
        self, said: Sequence[Said], present: list[str], choices: list[str], draws: Draws
    ) -> None:
        self._present, self._choices, self._draws = present, choices, draws
        columns = [CLASSES.index(name) for name in choices]
        # A row without an event has no confidence, and is wrong.
        scores = np.array(
            [np.zeros(len(choices)) if s.scores is None else s.scores[columns] for s in said]
        )
        total = scores.sum(axis=1, keepdims=True)
        self.scores = np.divide(scores, total, out=np.zeros_like(scores), where=total > 0)
        self.silent: Flags = np.array([s.scores is None for s in said])
        self.truth = np.array([choices.index(s.label) for s in said])
        self.guess = np.where(self.silent, -1, self.scores.argmax(axis=1))
        self.right: Flags = self.guess == self.truth
        self.confidence: Doubles = self.scores.max(axis=1)
        self.abstains: Flags = np.array([s.abstains for s in said])

    def described(self) -> dict[str, Any]:
        """For the JSON."""
        coverage, reliability = self.coverage(), self.reliability()
        precision = self._share_of(self.right, ~self.abstains)
        return {
            "uar": self.uar().described(),
            "accuracy": share(self.right, self._draws).described(),
            "ece": self.ece().described(bins=len(reliability)),
            "coverage_at_p70": coverage.described(precision=PRECISION),
            "abstain_rate": share(self.abstains, self._draws).described(),
            "precision_where_it_does_not_abstain": precision.described(),
            "recall": {name: m.described() for name, m in self.recalls().items()},
            "confusion": {
                name: {
                    other: int(((self.truth == i) & (self.guess == j)).sum())
                    for j, other in [*enumerate(self._choices), (-1, "silent")]
                }
                for i, name in enumerate(self._choices)
                if name in self._present
            },
            "reliability": reliability,
            "coverage_curve": self._coverage_curve(),
        }

    def failures(self, said: Sequence[Said]) -> Iterator[Failure]:
        """Yield rows without an event or with another label."""
        for one, guess, confidence in zip(said, self.guess, self.confidence, strict=True):
            if guess < 0:
                yield Failure(one.row, "silent")
            elif (name := self._choices[guess]) != one.label:
                detail = {"said": name, "score": round(float(confidence), 3)}
                yield Failure(one.row, "wrong_label", {**detail, "abstain": one.abstains})

    def uar(self) -> Metric:
        """Return the share of rows that was recognised, averaged over the labels."""
        one_hot = np.array([self.truth == self._choices.index(n) for n in self._present], float)
        value = float(np.mean((one_hot @ self.right) / one_hot.sum(axis=1)))

        def statistic(weights: Doubles) -> Doubles:
            with np.errstate(invalid="ignore"):
                recalls = (weights @ (one_hot * self.right).T) / (weights @ one_hot.T)
            found: Doubles = recalls.mean(axis=1)  # NaN if a label was not drawn
            return found

        return Metric(value, len(self.truth), self._draws.interval(statistic, True))

    def recalls(self) -> dict[str, Metric]:
        """Of each label."""
        return {
            name: self._share_of(self.right, self.truth == self._choices.index(name))
            for name in self._present
        }

    def _share_of(self, flags: Flags, among: Flags) -> Metric:
        return share(flags[among], self._draws.among(among), "no such rows")

    def _bins(self) -> Doubles:
        """Return the bins as `[bins, rows]` of 0 and 1; equally many rows in each."""
        count = len(self.confidence)
        order = np.argsort(self.confidence, kind="stable")
        bins = np.zeros((max(1, min(MAX_BINS, count // MIN_BIN_ROWS)), count))
        bins[np.arange(count) * len(bins) // count, order] = 1
        return bins

    def ece(self) -> Metric:
        """Return the mean difference of the likeliest label's probability and its precision."""
        bins = self._bins()
        gap = self.confidence - self.right

        def statistic(weights: Doubles) -> Doubles:
            found: Doubles = np.abs(weights @ (bins * gap).T).sum(axis=1) / weights.sum(axis=1)
            return found

        value = float(statistic(np.ones((1, len(gap))))[0])
        drawn = self._draws.interval(statistic)
        if drawn is not None:
            # An absolute value only grows by chance: the draws lie above the figure by as much
            # as it lies above the truth, so the interval is mirrored at it (Davison & Hinkley,
            # 1997, 5.2: the basic bootstrap).
            drawn = max(2 * value - drawn[1], 0.0), max(2 * value - drawn[0], 0.0)
        return Metric(value, len(gap), drawn)

    def reliability(self) -> list[dict[str, Any]]:
        """Confidence against precision, by bin."""
        return [
            {
                "n": int(own.sum()),
                "confidence": round(float(own @ self.confidence / own.sum()), 5),
                "precision": round(float(own @ self.right / own.sum()), 5),
            }
            for own in self._bins()
        ]

    def _coverage_statistic(self) -> Statistic:
        order = np.argsort(-self.confidence, kind="stable")
        right = self.right[order].astype(np.float64)
        # Rows of one confidence are taken together or not at all.
        ties = self.confidence[order]
        last = np.append(ties[:-1] != ties[1:], True)

        def statistic(weights: Doubles) -> Doubles:
            taken = np.cumsum(weights[:, order], axis=1)
            hits = np.cumsum(weights[:, order] * right, axis=1)
            good = (hits >= PRECISION * taken) & (taken > 0) & last
            found: Doubles = np.where(good, taken, 0).max(axis=1) / taken[:, -1]
            return found

        return statistic

    def coverage(self) -> Metric:
        """Return the largest share of rows, most confident first, of which 70 % are right."""
        statistic = self._coverage_statistic()
        value = float(statistic(np.ones((1, len(self.right))))[0])
        return Metric(value, len(self.right), self._draws.interval(statistic))

    def _coverage_curve(self) -> list[list[float]]:
        """Coverage, precision and confidence, for the plot."""
        order = np.argsort(-self.confidence, kind="stable")
        count = len(order)
        precision = np.cumsum(self.right[order]) / np.arange(1, count + 1)
        kept = np.unique(np.linspace(0, count - 1, min(count, _CURVE)).astype(int))
        return [
            [
                round(float(k + 1) / count, 5),
                round(float(precision[k]), 5),
                round(float(self.confidence[order[k]]), 5),
            ]
            for k in kept
        ]

    def tables(self) -> list[Table]:
        """For a person."""
        precision = self._share_of(self.right, ~self.abstains)
        overall = Table(
            f"Labels: a choice among {len(self._choices)}",
            ("rows", "UAR", "accuracy", "ECE", "covered at 70 % precision"),
            [
                (
                    str(len(self.truth)),
                    percent(self.uar()),
                    percent(share(self.right, self._draws)),
                    written(self.ece(), 1, 3),
                    percent(self.coverage()),
                )
            ],
        )
        served = Table(
            "`abstain` as it is served",
            ("abstains", "right where it does not", "rows without an event"),
            [
                (
                    percent(share(self.abstains, self._draws)),
                    percent(precision),
                    str(int(self.silent.sum())),
                )
            ],
        )
        confusion = Table("Rows are the truth", ("", "rows", "recall", *self._choices, "–"))
        for name, recall in self.recalls().items():
            truth = self.truth == self._choices.index(name)
            counts = [str(int((truth & (self.guess == j)).sum())) for j in self._columns]
            confusion.rows.append((name, str(int(truth.sum())), percent(recall), *counts))
        return [overall, served, confusion]

    @property
    def _columns(self) -> npt.NDArray[np.intp]:
        return np.append(np.arange(len(self._choices)), -1)


def arousal_auc(said: Sequence[Said], seed: int) -> Metric:
    """Return how well arousal ranks: the chance that a high row lies above a low one."""
    judged = [s for s in said if s.arousal is not None and s.label in (*HIGH, *LOW)]
    high: Flags = np.array([s.label in HIGH for s in judged], bool)
    if high.all() or not high.any():
        return none_for("rows of high and of low arousal are needed")
    arousal = np.array([s.arousal for s in judged], np.float64)
    order = np.argsort(arousal, kind="stable")
    is_high = high[order].astype(np.float64)
    _, first = np.unique(arousal[order], return_index=True)

    def statistic(weights: Doubles) -> Doubles:
        ordered = weights[:, order]
        highs = np.add.reduceat(ordered * is_high, first, axis=1)
        lows = np.add.reduceat(ordered * (1 - is_high), first, axis=1)
        below = np.cumsum(lows, axis=1) - lows / 2  # a tie is half a win
        with np.errstate(invalid="ignore", divide="ignore"):
            found: Doubles = (highs * below).sum(axis=1) / (highs.sum(axis=1) * lows.sum(axis=1))
        return found

    draws = Draws([s.row.cluster for s in judged], "speaker", seed)
    value = float(statistic(np.ones((1, len(judged))))[0])
    return Metric(value, len(judged), draws.interval(statistic))
