"""One enrolled voice against one recording: every pair, under every condition."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np

from streamd.evaluation.conditions import Conditions
from streamd.evaluation.manifest import Row
from streamd.evaluation.report import Options, Table, percent, written
from streamd.evaluation.spoken import Enrolment, make_gallery, unpack
from streamd.evaluation.tasks import Beginning
from streamd.evaluation.trials import P_TARGET, Trials
from streamd.modules.gallery import Channel, Gallery, Spoken
from streamd.modules.voice_models import VoiceModels
from streamd.settings import ChannelThresholds

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
    def test_channel(self) -> Channel:
        """The channel whose thresholds decide."""
        return "wide" if self.channel == "wide" else "narrow"

    @property
    def enrolled_channel(self) -> Channel:
        """The channel that voices are enrolled on."""
        return "narrow" if self.channel == "narrow" else "wide"

    @property
    def length(self) -> str:
        """In words."""
        return "whole" if self.seconds is None else f"{self.seconds:g} s"

    def enrolled_by(self) -> Beginning:
        """Return how the voice is enrolled: from whole recordings without conditions."""
        return Beginning(None, Conditions(mulaw=self.enrolled_channel == "narrow"))

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
                loudspeaker=conditions.loudspeaker,
                enhance=conditions.enhance,
            )
        return Beginning(self.seconds, conditions)


class TrialVoice(NamedTuple):
    """The voice in a recording."""

    channel: Channel
    speech_ms: int
    spoken: Mapping[str, Spoken]
    """By model; empty without one window of speech."""

    @classmethod
    def of(cls, result: Mapping[str, Any]) -> TrialVoice:
        """From a worker's answer."""
        spoken = {
            model: Spoken(unpack(one["embedding"]), one["seconds"])
            for model, one in result["spoken"].items()
        }
        return cls(result["channel"], result["speech_ms"], spoken)


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
    """The trials of one condition.

    Args:
        condition: That all trials share.
        rows: All recordings.
        voices: What was heard of each of them.
        options: Of the evaluation.
        models: The voice models, whose scores the session code makes.
    """

    def __init__(
        self,
        condition: Condition,
        rows: Sequence[Row],
        voices: Voices,
        options: Options,
        models: VoiceModels,
    ) -> None:
        self.condition = condition
        self._voices = voices
        self._options = options
        self._models = models
        speakers = sorted({row.speaker for row in rows})
        self._ids = {name: i for i, name in enumerate(speakers)}
        tested_by = condition.tested_by(options)
        candidates = [(row, voices[row, tested_by]) for row in tested_rows(rows)]
        candidates = [(row, v) for row, v in candidates if v.channel == condition.test_channel]
        least_ms = options.config.speaker.min_speech_ms
        self.tests = [(r, v) for r, v in candidates if v.speech_ms >= least_ms and v.spoken]
        self.too_short = len(candidates) - len(self.tests)
        self.trials = self._trials(list(self._enrolled(enrolled_rows(rows))))

    def _enrolled(self, rows: Sequence[Row]) -> Iterator[list[Row]]:
        """Yield the recordings of every voice: each run of so many of its own."""
        by_speaker: dict[str, list[Row]] = {}
        enrolled_by, size = self.condition.enrolled_by(), self.condition.enrolments
        for row in rows:
            voice = self._voices[row, enrolled_by]
            if voice.spoken and voice.channel == self.condition.enrolled_channel:
                by_speaker.setdefault(row.speaker, []).append(row)
        tested = {row for row, _ in self.tests}
        for own in by_speaker.values():
            # Nothing would be left to test if all of a voice's recordings were enrolled.
            if len(own) < size or (len(own) == size and tested.issuperset(own)):
                continue
            for start in range(len(own)):
                yield [own[(start + k) % len(own)] for k in range(size)]

    def _trials(self, enrolled: list[list[Row]]) -> Trials:
        if not enrolled or not self.tests:
            none = np.zeros(0, np.intp)
            return Trials(np.zeros(0), none, none, self._options.seed)
        gallery = self._gallery(enrolled)
        channel = self.condition.test_channel
        scores = np.stack([gallery.scores(v.spoken, channel) for _, v in self.tests], axis=1)
        place = {row: i for i, (row, _) in enumerate(self.tests)}
        kept = np.isfinite(scores)
        for number, chosen in enumerate(enrolled):
            kept[number, [place[row] for row in chosen if row in place]] = False
        one = np.array([self._ids[chosen[0].speaker] for chosen in enrolled])
        other = np.array([self._ids[row.speaker] for row, _ in self.tests])
        a, b = np.broadcast_arrays(one[:, None], other[None])
        return Trials(scores[kept].astype(np.float64), a[kept], b[kept], self._options.seed)

    def _gallery(self, enrolled: Sequence[Sequence[Row]]) -> Gallery:
        """Return a gallery of these voices in their order. None has a part in another's score."""
        enrolled_by, channel = self.condition.enrolled_by(), self.condition.enrolled_channel
        digits = len(str(len(enrolled)))
        return make_gallery(
            (
                Enrolment.of(f"{number:0{digits}}", channel, self._voices[row, enrolled_by].spoken)
                for number, rows in enumerate(enrolled)
                for row in rows
            ),
            self._models,
        )

    def described(self, thresholds: ChannelThresholds) -> dict[str, Any]:
        """For the JSON."""
        trials, band = self.trials, thresholds.of(self.condition.test_channel)
        eer, cost = trials.eer(), trials.min_dcf()
        shares = {
            f"{who}_{what}": trials.between(low, high, genuine=who == "genuine").described()
            for who in ("genuine", "impostor")
            for what, low, high in (
                ("accept", band.accept, np.inf),
                ("unsure", band.reject, band.accept),
                ("reject", -np.inf, band.reject),
            )
        }
        return {
            **self._name(),
            **trials.described,
            "tests_too_short": self.too_short,
            "test_speech_ms": self._speech_ms(),
            "eer": eer.metric.described(threshold=_rounded(eer.threshold)),
            "min_dcf": cost.metric.described(threshold=_rounded(cost.threshold), p_target=P_TARGET),
            "served": msgspec.structs.asdict(band),
            **shares,
        }

    def _speech_ms(self) -> int | None:
        """Return the median speech of the tests."""
        return round(np.median([v.speech_ms for _, v in self.tests])) if self.tests else None

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
