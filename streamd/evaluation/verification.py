"""One enrolled voice against one recording: every pair, under every condition."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from streamd.evaluation.conditions import Conditions
from streamd.evaluation.manifest import Row
from streamd.evaluation.report import Options, Table, percent, written
from streamd.evaluation.tasks import Beginning, unpack
from streamd.evaluation.trials import P_TARGET, Trials
from streamd.types import Floats

ENROLMENTS = (1, 3)
MAX_CURVE = 200
"""Points of a curve in the JSON."""
_BINS = 60


class Condition(NamedTuple):
    """A condition whose trials are comparable and share thresholds."""

    channel: str
    """`wide`, `narrow`, or `cross`: enrolled wide and tested narrow."""
    seconds: float | None
    enrolments: int

    @property
    def test_channel(self) -> str:
        """The channel whose thresholds decide."""
        return "wide" if self.channel == "wide" else "narrow"

    @property
    def length(self) -> str:
        """In words."""
        return "whole" if self.seconds is None else f"{self.seconds:g} s"

    def enrolled_by(self) -> Beginning:
        """Return how the voice is enrolled: from whole recordings without conditions."""
        return Beginning(None, Conditions(mulaw=self.channel == "narrow"))

    def tested_by(self, options: Options) -> Beginning:
        """Return how the test is run."""
        conditions = options.conditions
        if self.test_channel == "narrow":
            conditions = Conditions(
                room=conditions.room,
                noise=conditions.noise,
                gain_db=conditions.gain_db,
                opus_kbps=conditions.opus_kbps,
                mulaw=True,
            )
        return Beginning(self.seconds, conditions)


class TrialVoice(NamedTuple):
    """The embeddings of a recording."""

    channel: str
    speech_ms: int
    embedding: Floats | None

    @classmethod
    def of(cls, result: Mapping[str, Any]) -> TrialVoice:
        """From a worker's answer."""
        packed = result["embedding"]
        embedding = None if packed is None else unpack(packed)
        return cls(result["channel"], result["speech_ms"], embedding)


Voices = Mapping[tuple[Row, Beginning], TrialVoice]


def conditions(options: Options) -> list[Condition]:
    """Return all conditions; the report begins with the first."""
    lengths = sorted(options.lengths_s, key=lambda s: -(s or np.inf))
    return [
        Condition(channel, seconds, size)
        for channel in options.channels
        for size in ENROLMENTS
        for seconds in lengths
    ]


def beginnings(options: Options) -> tuple[Beginning, ...]:
    """Return what is needed of each recording."""
    wanted = [
        beginning
        for condition in conditions(options)
        for beginning in (condition.enrolled_by(), condition.tested_by(options))
    ]
    return tuple(dict.fromkeys(wanted))


def enrolled_rows(rows: Sequence[Row]) -> list[Row]:
    """Return the rows of split `enrol`, or all if there are none."""
    return [row for row in rows if row.split == "enrol"] or list(rows)


def tested_rows(rows: Sequence[Row]) -> list[Row]:
    """Return the rows outside split `enrol`, or all if there are none."""
    return [row for row in rows if row.split != "enrol"] or list(rows)


class Verification:
    """The trials of one condition."""

    def __init__(
        self,
        condition: Condition,
        rows: Sequence[Row],
        voices: Voices,
        options: Options,
        min_speech_ms: int,
    ) -> None:
        self.condition = condition
        self._voices = voices
        self._options = options
        speakers = sorted({row.speaker for row in rows})
        self._ids = {name: i for i, name in enumerate(speakers)}
        tested_by = condition.tested_by(options)
        candidates = [(row, voices[row, tested_by]) for row in tested_rows(rows)]
        candidates = [(row, v) for row, v in candidates if v.channel == condition.test_channel]
        clear = [(r, v) for r, v in candidates if v.speech_ms >= min_speech_ms]
        self.tests = [(r, v.embedding) for r, v in clear if v.embedding is not None]
        self.too_short = len(candidates) - len(self.tests)
        self.trials = self._trials(list(self._models(enrolled_rows(rows))))

    def _models(self, rows: Sequence[Row]) -> Iterator[tuple[list[Row], Floats]]:
        """Yield every voice, enrolled from each run of so many of its recordings."""
        by_speaker: dict[str, list[tuple[Row, Floats]]] = {}
        enrolled_by, size = self.condition.enrolled_by(), self.condition.enrolments
        wanted = "narrow" if self.condition.channel == "narrow" else "wide"
        for row in rows:
            voice = self._voices[row, enrolled_by]
            if voice.embedding is not None and voice.channel == wanted:
                by_speaker.setdefault(row.speaker, []).append((row, voice.embedding))
        tested = {row for row, _ in self.tests}
        for own in by_speaker.values():
            # Nothing would be left to test if all of a voice's recordings were enrolled.
            if len(own) < size or (len(own) == size and all(row in tested for row, _ in own)):
                continue
            for start in range(len(own)):
                chosen = [own[(start + k) % len(own)] for k in range(size)]
                total = np.sum([embedding for _, embedding in chosen], axis=0)
                yield [row for row, _ in chosen], total / np.linalg.norm(total)

    def _trials(self, models: list[tuple[list[Row], Floats]]) -> Trials:
        if not models or not self.tests:
            none = np.zeros(0, np.intp)
            return Trials(np.zeros(0), none, none, self._options.seed)
        scores = np.stack([model for _, model in models]) @ np.stack([e for _, e in self.tests]).T
        place = {row: i for i, (row, _) in enumerate(self.tests)}
        kept = np.ones(scores.shape, bool)
        for number, (chosen, _) in enumerate(models):
            kept[number, [place[row] for row in chosen if row in place]] = False
        one = np.array([self._ids[chosen[0].speaker] for chosen, _ in models])
        other = np.array([self._ids[row.speaker] for row, _ in self.tests])
        a, b = np.broadcast_arrays(one[:, None], other[None])
        return Trials(scores[kept].astype(np.float64), a[kept], b[kept], self._options.seed)

    def described(self, served: Mapping[str, Any]) -> dict[str, Any]:
        """For the JSON."""
        trials, band = self.trials, served[self.condition.test_channel]
        eer, cost = trials.eer(), trials.min_dcf()
        shares = {
            f"{who}_{what}": trials.between(low, high, genuine=who == "genuine").described()
            for who in ("genuine", "impostor")
            for what, low, high in (
                ("accept", band["accept"], np.inf),
                ("unsure", band["reject"], band["accept"]),
                ("reject", -np.inf, band["reject"]),
            )
        }
        return {
            **self._name(),
            **trials.described,
            "tests_too_short": self.too_short,
            "eer": eer.metric.described(threshold=_rounded(eer.threshold)),
            "min_dcf": cost.metric.described(threshold=_rounded(cost.threshold), p_target=P_TARGET),
            "served": dict(band),
            **shares,
        }

    def curves(self) -> dict[str, Any]:
        """Detection error trade-off and histograms of the scores, for the JSON."""
        trials = self.trials
        if trials.lack is not None:
            return {**self._name(), "det": [], "histogram": None}
        scores, missed, passed = trials.curve()
        kept = np.unique(np.linspace(0, len(scores) - 1, MAX_CURVE).astype(int))
        # A detection curve shows rare errors: every step of theirs is kept.
        rare = np.flatnonzero((passed < 0.02) & (np.diff(passed, prepend=1) < 0))[-MAX_CURVE:]
        kept = np.union1d(kept, rare)
        edges = np.linspace(scores[0], scores[-1], _BINS + 1)
        counts = [np.histogram(scores[trials.genuine == g], edges)[0] for g in (True, False)]
        return {
            **self._name(),
            "det": [
                [round(float(x), 5) for x in point]
                for point in zip(scores[kept], missed[kept], passed[kept], strict=True)
            ],
            "histogram": {
                "edges": [round(float(e), 4) for e in edges],
                "genuine": counts[0].tolist(),
                "impostor": counts[1].tolist(),
            },
        }

    def _name(self) -> dict[str, Any]:
        c = self.condition
        return {"channel": c.channel, "length_s": c.seconds, "enrolments": c.enrolments}


def _rounded(threshold: float | None) -> float | None:
    return None if threshold is None else round(threshold, 4)


def thresholds_table(found: Sequence[tuple[Condition, Mapping[str, Any]]]) -> Table:
    """Return a table of EER and cost with their thresholds, by condition."""
    table = Table(
        "One enrolled voice, one recording: thresholds by condition",
        ("channel", "enrolled", "test", "genuine", "impostor", "EER", "at", "min DCF", "at"),
        note=f"min DCF: P(target) {P_TARGET}, both errors cost 1, divided by the cost of deciding "
        "blindly; test: speech from the first on",
    )
    for condition, one in found:
        if one["eer"]["value"] is None:
            continue
        table.rows.append(
            (
                condition.channel,
                str(condition.enrolments),
                condition.length,
                str(one["genuine"]),
                str(one["impostor"]),
                percent(one["eer"]),
                f"{one['eer']['threshold']:.3f}",
                written(one["min_dcf"], 1, 3),
                f"{one['min_dcf']['threshold']:.3f}",
            )
        )
    return table


def decisions_table(found: Sequence[tuple[Condition, Mapping[str, Any]]]) -> Table:
    """Return a table of the decisions on the same pairs at the thresholds in force."""
    table = Table(
        "The same pairs at the thresholds that are served",
        ("channel", "enrolled", "test", "own: accept", "own: unsure", "own: reject",
         "other: accept", "other: unsure"),
    )  # fmt: skip
    names = ("genuine_accept", "genuine_unsure", "genuine_reject", "impostor_accept")
    for condition, one in found:
        if one["eer"]["value"] is not None:
            cells = [percent(one[name]) for name in (*names, "impostor_unsure")]
            place = (condition.channel, str(condition.enrolments), condition.length)
            table.rows.append((*place, *cells))
    return table
