"""Speech edges against labelled speech, in steps of 10 ms.

The labels mark speech; everything else in a file is no speech. They are compared with the
utterances as reported, `t0` to `t1`, pre-roll and bridged pauses included.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from typing import Any

import numpy as np

from streamd.evaluation.failures import Failure
from streamd.evaluation.manifest import Faults, Manifest, Row, check_halves, check_labels
from streamd.evaluation.report import Options, Report, Table, percent, short, written
from streamd.evaluation.running import Run
from streamd.evaluation.statistics import (
    Doubles,
    Draws,
    Flags,
    Metric,
    median,
    none_for,
    ratio,
    share,
    spread,
)
from streamd.evaluation.streams import Stream
from streamd.evaluation.tasks import Result, Task

MODULES: dict[str, dict[str, Any]] = {"vad": {}}
LABELS = ("speech", "noise", "silence", "nonspeech")
STEP_MS = 10
PAUSE_MS = 500
"""Silence before a labelled onset, for its delay to be measured."""


@dataclass(frozen=True, slots=True)
class Edge:
    """An utterance as it was reported, ms."""

    start: int
    end: int
    at: int
    """When the start was known."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One file: labels and events, by the step."""

    name: str
    truth: Flags
    reported: Flags
    onsets: list[int]
    """Delay of each labelled onset that was detected, ms."""
    segments: list[bool]
    """For each labelled segment, whether any of it was reported."""

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """Return steps of speech, reported speech, no speech, and falsely reported speech."""
        both = int((self.truth & self.reported).sum())
        speech, reported = int(self.truth.sum()), int(self.reported.sum())
        return speech, both, len(self.truth) - speech, reported - both


def check(rows: Sequence[Row], faults: Faults) -> None:
    """Refuse unknown labels, and a file that is labelled both whole and in parts."""
    check_labels(rows, LABELS, faults)
    check_halves(rows, faults)
    for _, own in _by_file(rows):
        whole = [row for row in own if not row.is_part]
        if whole and len(own) > 1:
            faults.add(
                max(row.line for row in own),
                f"{own[0].path} has a row without times (line {whole[0].line}) and others; give "
                "every row of a file start_ms and end_ms, or keep one",
            )


def evaluate(manifest: Manifest, options: Options, run: Run) -> Report:
    """Run every file whole, and compare."""
    files = [own for _, own in _by_file(manifest.rows)]
    tasks = [
        Task(
            stream=Stream(rows=tuple(own), is_whole=True),
            modules=MODULES,
            keep=("speech_start", "speech_end"),
            conditions=options.conditions,
        )
        for own in files
    ]
    answers = run("files", tasks)
    compared = [compare(own, h) for own, h in zip(files, answers, strict=True)]
    failed = [
        failure
        for own, h, file in zip(files, answers, compared, strict=True)
        for failure in failures(own, h["spans"], file)
    ]
    found = report(compared, options.seed)
    return replace(found, failures=tuple(sorted(failed, key=lambda one: one.row.line)))


def failures(
    rows: Sequence[Row], spans: Sequence[tuple[int, int]], file: Compared
) -> Iterator[Failure]:
    """Yield labelled speech that was not reported, and speech reported where there is none."""
    for row, (start, stop) in zip(rows, spans, strict=True):
        part = slice(round(start / STEP_MS), round(stop / STEP_MS))
        reported = file.reported[part]
        if row.label == "speech":
            if not reported.any():
                yield Failure(row, "missed")
        elif false_ms := int((reported & ~file.truth[part]).sum()) * STEP_MS:
            yield Failure(row, "false_alarm", {"speech_ms": false_ms})


def _by_file(rows: Iterable[Row]) -> list[tuple[str, list[Row]]]:
    ordered = sorted(rows, key=lambda row: row.path)
    return [(path, list(own)) for path, own in groupby(ordered, lambda row: row.path)]


def edges(events: Iterable[dict[str, Any]]) -> list[Edge]:
    """Return the utterances of `speech_start` and `speech_end` events."""
    known: dict[str, int] = {}
    found = []
    for event in events:
        if event["type"] == "speech_start":
            known[event["utterance"]] = event["at"]
        elif event["type"] == "speech_end":
            found.append(Edge(event["t0"], event["t1"], known[event["utterance"]]))
    return found


def compare(rows: Sequence[Row], result: Result) -> Compared:
    """Compare one file's labels with its events."""
    spans = zip(rows, result["spans"], strict=True)
    labelled = [tuple(span) for row, span in spans if row.label == "speech"]
    return compared(rows[0].path, labelled, edges(result["events"]), result["duration_ms"])


def compared(
    name: str, labelled: Iterable[tuple[int, int]], found: list[Edge], duration_ms: int
) -> Compared:
    """Compare labels and edges, both in ms, on a grid of 10 ms."""
    truth, reported = (np.zeros(duration_ms // STEP_MS, bool) for _ in range(2))
    for start, stop in labelled:
        truth[round(start / STEP_MS) : round(stop / STEP_MS)] = True
    for edge in found:
        reported[edge.start // STEP_MS : edge.end // STEP_MS] = True
    regions = runs_of(truth)
    segments = [bool(reported[a // STEP_MS : b // STEP_MS].any()) for a, b in regions]
    return Compared(name, truth, reported, onset_delays(regions, found), segments)


def runs_of(flags: Flags) -> list[tuple[int, int]]:
    """Return start and end of each run of set steps, ms."""
    steps = np.diff(np.concatenate([[0], flags.astype(np.int8), [0]]))
    starts, stops = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)
    return [(int(a) * STEP_MS, int(b) * STEP_MS) for a, b in zip(starts, stops, strict=True)]


def onset_delays(regions: Sequence[tuple[int, int]], found: Sequence[Edge]) -> list[int]:
    """Return the delay from each labelled onset after a pause to its event, if it has one, ms."""
    delays = []
    for (_, before), (start, stop) in pairwise([(0, -PAUSE_MS), *regions]):
        if start - before < PAUSE_MS:
            continue
        reported = [edge.at for edge in found if edge.start < stop and edge.end > start]
        delays += [max(reported[0] - start, 0)] if reported else []
    return delays


def report(files: Sequence[Compared], seed: int) -> Report:
    """Figures over all files."""
    draws = Draws([file.name for file in files], "file", seed)
    counts = np.array([file.counts for file in files], np.float64).T
    speech, both, rest, false = counts
    missed = speech - both
    onsets = [(file.name, delay) for file in files for delay in file.onsets]
    segments = [(file.name, reported) for file in files for reported in file.segments]
    delays = [delay for _, delay in onsets]
    f1 = _share(2 * both, 2 * both + false + missed, draws, "no speech, labelled or reported")
    miss = _share(missed, speech, draws, "no labelled speech")
    false_alarm = _share(false, rest, draws, "nothing but speech")
    late = median(
        delays, Draws([name for name, _ in onsets], "file", seed), "no onset was reported"
    )
    unheard = share(
        [not reported for _, reported in segments],
        Draws([name for name, _ in segments], "file", seed),
        "no labelled speech",
    )
    minutes = float(counts[[0, 2]].sum()) * STEP_MS / 60_000
    figures: dict[str, Any] = {
        "f1": f1.described(),
        "precision": _share(both, both + false, draws, "no speech was reported").described(),
        "miss": miss.described(speech_ms=int(speech.sum()) * STEP_MS),
        "false_alarm": false_alarm.described(rest_ms=int(rest.sum()) * STEP_MS),
        "onset_ms": late.described(**spread(delays)),
        "segments_missed": unheard.described(),
        "minutes": round(minutes, 3),
        "step_ms": STEP_MS,
        "bootstrap": draws.described(),
        "files": [_described(file) for file in files],
    }
    overall = Table(
        "Speech edges",
        ("files", "minutes", "F1", "missed speech", "false of the rest", "segments missed"),
        [
            (
                str(len(files)),
                f"{minutes:.1f}",
                written(f1, 100, 1),
                percent(miss),
                percent(false_alarm),
                percent(unheard),
            )
        ],
    )
    tables = [overall]
    if delays:
        tables.append(
            Table(
                f"Onset: from the labelled start to the news of it, after {PAUSE_MS} ms of silence",
                ("onsets", "median, ms", "p95, ms", "largest, ms"),
                [(str(late.n), written(late, 1, 0), *_tail(delays))],
            )
        )
    return Report(figures, [*tables, _worst(files)])


def _share(part: Doubles, of: Doubles, draws: Draws, reason: str) -> Metric:
    """Return a share of steps; `n` counts the files that have any."""
    files = int((of > 0).sum())
    if not files:
        return none_for(reason)
    return Metric(float(part.sum() / of.sum()), files, draws.interval(ratio(part, of), True))


def _tail(delays: Sequence[float]) -> tuple[str, str]:
    return f"{np.quantile(delays, 0.95):.0f}", f"{max(delays):.0f}"


def _described(file: Compared) -> dict[str, Any]:
    speech, both, rest, false = file.counts
    return {
        "path": file.name,
        "duration_ms": len(file.truth) * STEP_MS,
        "f1": _divided(2 * both, speech + both + false),
        "miss": _divided(speech - both, speech),
        "false_alarm": _divided(false, rest),
        "labelled": runs_of(file.truth),
        "heard": runs_of(file.reported),
    }


def _divided(part: int, of: int) -> float | None:
    return round(part / of, 6) if of else None


def _worst(files: Sequence[Compared], shown: int = 8) -> Table:
    """Return a table of the files with the most wrong steps."""
    wrong = sorted(files, key=lambda f: -int((f.truth != f.reported).sum()))
    rows = []
    for file in wrong[:shown]:
        speech, both, rest, false = file.counts
        cells = [(speech - both, speech), (false, rest)]
        shares = [f"{100 * a / b:.1f} %" if b else "–" for a, b in cells]
        seconds = len(file.truth) * STEP_MS / 1000
        rows.append((short(file.name), f"{seconds:.1f}", f"{speech * STEP_MS / 1000:.1f}", *shares))
    title = "By file" if len(files) <= shown else f"The {shown} worst of {len(files)} files"
    return Table(title, ("file", "seconds", "of them speech", "missed", "false"), rows)
