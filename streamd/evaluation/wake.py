"""Wake words: misses against false accepts per hour, latency, double firings.

A row whose label is a word contains that word once. Every other row is audio without it, whatever
its label is.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from streamd.errors import BadManifest
from streamd.evaluation.failures import Failure
from streamd.evaluation.manifest import Faults, Manifest, Row, check_halves
from streamd.evaluation.report import Options, Report, Table, percent, written
from streamd.evaluation.running import Run
from streamd.evaluation.sessions import in_sessions
from streamd.evaluation.statistics import Draws, Metric, median, none_for, ratio, share, spread
from streamd.evaluation.tasks import Result, Task
from streamd.intervals import poisson

THRESHOLDS = (0.01, 0.02, *(n / 20 for n in range(1, 20)), 0.98, 0.99)
LEAD_OUT_MS = 500
"""Milliseconds after a part in its file that are used too, so that a late event counts."""
_HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Take:
    """The events of a row."""

    row: Row
    start_ms: int
    stop_ms: int
    """End of the row in its session, ms."""
    wakes: list[tuple[str, int]]
    """Word and `at` of each event, ms in the session."""
    speech_ends: list[tuple[int, int]]
    """Start and end of each utterance, ms."""
    grid: dict[str, dict[str, list[int]]]
    """By word and threshold, `at` of the events at that threshold."""

    @property
    def duration_ms(self) -> int:
        """Length of the row, ms."""
        return self.stop_ms - self.start_ms

    def count(self, word: str, threshold: float | None = None) -> int:
        """Return the number of events of a word, at the threshold in force or at another one."""
        if threshold is None:
            return sum(name == word for name, _ in self.wakes)
        return len(self.grid[word][f"{threshold:g}"])

    def latency_ms(self, word: str) -> int | None:
        """Return ms from the phrase's end to the first event's `at`; None if either is unknown."""
        at = next((at for name, at in self.wakes if name == word), None)
        if at is None:
            return None
        if self.row.end_ms is not None:
            return at - self.stop_ms
        ends = [end for start, end in self.speech_ends if start < at]
        return at - ends[-1] if ends else None


def check(rows: Sequence[Row], faults: Faults) -> None:
    """Refuse a speaker in more than one split."""
    check_halves(rows, faults)


def modules(options: Options, words: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the modules of a session."""
    return {"vad": {}, "wake": {"words": list(words)}}


def choose_words(manifest: Manifest, options: Options) -> tuple[str, ...]:
    """Return the words of the options, or else those of the labels.

    Raises:
        BadManifest: neither names a word that is loaded.
    """
    loaded = (*options.config.wake.load, *options.own_words)
    labels = {row.label for row in manifest.rows}
    words = options.words or tuple(word for word in loaded if word in labels)
    if not words:
        raise BadManifest(
            f"{manifest.path}: no label is a wake word; loaded: {', '.join(loaded)}. For false "
            "accepts alone, name the word: --word alexa"
        )
    return words


def evaluate(manifest: Manifest, options: Options, run: Run) -> Report:
    """Run every session, at all thresholds at once."""
    words = choose_words(manifest, options)
    streams = in_sessions(manifest.rows, lead_out_ms=LEAD_OUT_MS)
    tasks = [
        Task(
            stream=stream,
            modules=modules(options, words),
            keep=("wake", "speech_end"),
            conditions=options.conditions,
            thresholds=THRESHOLDS,
        )
        for stream in streams
    ]
    answers = run("sessions", tasks)
    takes = [t for s, h in zip(streams, answers, strict=True) for t in takes_of(s.rows, h)]
    served = answers[0]["models"]["wake"]
    return report(takes, words, served, options.seed)


def failures(takes: Sequence[Take], words: Sequence[str]) -> Iterator[Failure]:
    """Yield words that were missed or reported twice, and events of words that nobody said."""
    for take in takes:
        for word in words:
            ats = [at - take.start_ms for name, at in take.wakes if name == word]
            if word != take.row.label:
                kind = "false_accept" if ats else None
            else:
                kind = {0: "missed", 1: None}.get(len(ats), "fired_twice")
            if kind is not None:
                yield Failure(take.row, kind, {"word": word, **({"at_ms": ats} if ats else {})})


def takes_of(rows: Sequence[Row], result: Result) -> list[Take]:
    """Assign each event of a session to the row that began last before it."""
    spans = result["spans"]
    starts = [start for start, _ in spans]
    takes = [
        Take(
            row, start, stop, [], [], {w: {t: [] for t in by} for w, by in result["wakes"].items()}
        )
        for row, (start, stop) in zip(rows, spans, strict=True)
    ]

    def owner(at: int) -> Take:
        return takes[max(bisect_right(starts, at) - 1, 0)]

    for event in result["events"]:
        if event["type"] == "wake":
            owner(event["at"]).wakes.append((event["word"], event["at"]))
        else:
            owner(event["t1"]).speech_ends.append((event["t0"], event["t1"]))
    for word, by_threshold in result["wakes"].items():
        for threshold, ats in by_threshold.items():
            for at in ats:
                owner(at).grid[word][threshold].append(at)
    return takes


def report(
    takes: Sequence[Take], words: Sequence[str], served: Mapping[str, Any], seed: int
) -> Report:
    """Return the figures over all words and for each word.

    Args:
        takes: all rows.
        words: evaluated.
        served: the wake module's entry in `ready`.
        seed: of the bootstrap.
    """
    overall = _Figures(takes, words, seed)
    by_word = {word: _Figures(takes, [word], seed) for word in words}
    labels = sorted({t.row.label for t in overall.negative})
    figures = {
        **overall.described(),
        "curve": [overall.point(threshold) for threshold in THRESHOLDS],
        "words": {
            word: own.described() | {"curve": [own.point(t) for t in THRESHOLDS]}
            for word, own in by_word.items()
        },
        "thresholds": served["thresholds"],
        "refractory_ms": served["refractory_ms"],
        "negative_labels": labels,
        "bootstrap": overall.hits.described(),
    }
    rows = [own.cells(word) for word, own in by_word.items()]
    if len(words) > 1:
        rows.append(overall.cells("all"))
    head = ("word", "rows of it", "missed", "fired twice", "latency p50 / p95 / max, ms")
    false = ("hours without", "false accepts", "per hour")
    shown = [t for t in THRESHOLDS if round(t * 100) % 10 == 0 or t in (0.05, 0.95)]
    return Report(
        figures,
        [
            Table(
                "At the thresholds that are served",
                (*head, *false),
                rows,
                "Rows without a word: " + _listed(labels),
            ),
            Table(
                "At other thresholds",
                ("threshold", "missed", "false accepts per hour"),
                [_curve_cells(overall, threshold) for threshold in shown],
            ),
        ],
        tuple(failures(takes, words)),
    )


def _listed(labels: Sequence[str], shown: int = 12) -> str:
    """Return the labels that are no word, so that misspelt ones are visible."""
    names = [label or "no label" for label in labels[:shown]]
    more = [f"{len(labels) - shown} more"] if len(labels) > shown else []
    return ", ".join([*names, *more]) or "none"


class _Figures:
    """Figures of some words: rows of them, and rows of none of them."""

    def __init__(self, takes: Sequence[Take], words: Sequence[str], seed: int) -> None:
        self._words = words
        self.positive = [t for t in takes if t.row.label in words]
        self.negative = [t for t in takes if t.row.label not in words]
        self.hits = Draws([t.row.cluster for t in self.positive], "speaker", seed)
        self._negatives = Draws([t.row.cluster for t in self.negative], "speaker", seed)
        self._seed = seed

    @property
    def hours(self) -> float:
        """Hours of audio without the words."""
        return sum(t.duration_ms for t in self.negative) / _HOUR_MS

    def miss(self, threshold: float | None = None) -> Metric:
        """Return the share of rows of a word without an event of it."""
        missed = [t.count(t.row.label, threshold) == 0 for t in self.positive]
        return share(missed, self.hits, "no rows of the word")

    def false_accepts(self, threshold: float | None = None) -> int:
        """Return the number of events of the words where none was said."""
        return sum(t.count(word, threshold) for t in self.negative for word in self._words)

    def fa_per_h(self, threshold: float | None = None) -> Metric:
        """Return false accepts per hour, with at least Poisson's interval."""
        if not self.hours:
            return none_for("no rows without the word")
        events = np.array(
            [sum(t.count(w, threshold) for w in self._words) for t in self.negative], np.float64
        )
        hours = np.array([t.duration_ms for t in self.negative]) / _HOUR_MS
        low, high = (bound / self.hours for bound in poisson(int(events.sum())))
        drawn = self._negatives.interval(ratio(events, hours)) if events.any() else None
        if drawn is not None:
            low, high = min(low, drawn[0]), max(high, drawn[1])
        return Metric(float(events.sum()) / self.hours, len(self.negative), (low, high))

    def double(self) -> Metric:
        """Return the share of rows of a word with more than one event of it."""
        counts = [t.count(t.row.label) > 1 for t in self.positive]
        return share(counts, self.hits, "no rows of the word")

    def latencies(self) -> tuple[list[int], Metric]:
        """Return ms from the end of the phrase to the event, and their median."""
        known = [(t, t.latency_ms(t.row.label)) for t in self.positive]
        late = [(t, ms) for t, ms in known if ms is not None]
        draws = Draws([t.row.cluster for t, _ in late], "speaker", self._seed)
        values = [ms for _, ms in late]
        return values, median(values, draws, "no event with a known end of its phrase")

    def described(self) -> dict[str, Any]:
        """For the JSON."""
        values, latency = self.latencies()
        return {
            "miss": self.miss().described(),
            "fa_per_h": self.fa_per_h().described(
                false_accepts=self.false_accepts(), hours=round(self.hours, 5)
            ),
            "latency_ms": latency.described(**spread(values)),
            "double": self.double().described(),
        }

    def point(self, threshold: float) -> dict[str, Any]:
        """Return a point of the curve."""
        return {
            "threshold": round(threshold, 4),
            "miss": self.miss(threshold).described(),
            "fa_per_h": self.fa_per_h(threshold).described(
                false_accepts=self.false_accepts(threshold)
            ),
        }

    def cells(self, name: str) -> tuple[str, ...]:
        """Return a row of the table."""
        values, _ = self.latencies()
        late = spread(values)
        return (
            name,
            str(len(self.positive)),
            percent(self.miss()),
            percent(self.double()),
            " / ".join(f"{v:.0f}" for v in late.values() if v is not None) or "–",
            f"{self.hours:.3f}" if self.hours else "–",
            str(self.false_accepts()),
            written(self.fa_per_h(), 1, 2),
        )


def _curve_cells(figures: _Figures, threshold: float) -> tuple[str, ...]:
    miss, false = figures.miss(threshold), figures.fa_per_h(threshold)
    return f"{threshold:g}", percent(miss), written(false, 1, 2)
