"""Speech probabilities to utterances: two thresholds, sample counts, integers only."""

from __future__ import annotations

from dataclasses import dataclass

from streamd.events import Cause
from streamd.modules.base import Utterance


@dataclass(frozen=True, slots=True)
class SegmenterConfig:
    """When speech begins and ends. Lengths in samples at 16 kHz."""

    on: float
    """Probability at which speech begins."""
    off: float
    """Probability below which a frame of open speech counts as silence."""
    min_speech: int
    """Speech needed before an utterance opens."""
    hangover: int
    """Silence that ends an utterance."""
    pre_roll: int
    """Audio before the onset that belongs to the utterance."""
    max_length: int
    """An utterance is cut before the frame that would make it longer, and goes on as another."""


@dataclass(frozen=True, slots=True)
class Opened:
    """An utterance began."""

    utterance: Utterance


@dataclass(frozen=True, slots=True)
class Closed:
    """An utterance ended."""

    utterance: Utterance


class Segmenter:
    """Hysteresis over frames, one call a frame, in order and without holes.

    `watermark` is the sample below which the decision speech or not is final: while silence
    has not lasted long enough to end an utterance, it stays at the end of the speech.
    """

    def __init__(self, config: SegmenterConfig, position: int = 0) -> None:
        self.config = config
        self.watermark = position
        self.open: Utterance | None = None
        self._floor = position
        self._count = 0
        self._onset: int | None = None
        self._runs: list[tuple[int, int]] = []

    @property
    def count(self) -> int:
        """Utterances opened so far."""
        return self._count

    def frame(self, start: int, stop: int, probability: float) -> list[Opened | Closed]:
        """Take the decision of one frame."""
        if self.open is None:
            return self._quiet(start, stop, probability)
        return self._speaking(self.open, start, stop, probability)

    def close_at(self, at: int, cause: Cause) -> list[Opened | Closed]:
        """End what is open at `at`; no later utterance begins before it."""
        changes: list[Opened | Closed] = []
        if self.open is not None:
            changes.append(self._close(self.open, self.open.runs[-1][1], at, cause))
        self._onset = None
        self._runs = []
        self._floor = max(self._floor, at)
        self.watermark = max(self.watermark, at)
        return changes

    def _quiet(self, start: int, stop: int, probability: float) -> list[Opened | Closed]:
        if stop <= self._floor:
            return []  # heard already, on the copy that ended the utterance before
        if probability < self.config.off or (self._onset is None and probability < self.config.on):
            self._onset = None
            self._runs = []
            self.watermark = max(self.watermark, stop)
            return []
        if self._onset is None:
            self._onset = max(start, self._floor)
        onset = self._onset
        self._extend(self._runs, max(start, onset), stop)
        if stop - onset < self.config.min_speech:
            self.watermark = max(self.watermark, onset)
            return []
        self._count += 1
        self.open = Utterance(
            id=f"u{self._count}",
            start=max(onset - self.config.pre_roll, self._floor),
            onset=onset,
            opened_at=stop,
            speech=sum(b - a for a, b in self._runs),
            runs=self._runs,
        )
        self._onset = None
        self._runs = []
        self.watermark = max(self.watermark, stop)
        return [Opened(self.open)]

    def _speaking(
        self, utterance: Utterance, start: int, stop: int, probability: float
    ) -> list[Opened | Closed]:
        if probability >= self.config.off:
            self._extend(utterance.runs, start, stop)
            utterance.speech += stop - start
            self.watermark = stop
        end = utterance.runs[-1][1]
        if stop - end >= self.config.hangover:
            self.watermark = max(self.watermark, stop)
            return [self._close(utterance, end, stop, "silence")]
        if stop + (stop - start) - utterance.start > self.config.max_length:
            self.watermark = max(self.watermark, stop)
            return [self._close(utterance, end, stop, "max_length")]
        return []

    def _close(self, utterance: Utterance, end: int, at: int, cause: Cause) -> Closed:
        utterance.end = end
        utterance.closed_at = at
        utterance.cause = cause
        self.open = None
        # The next one may reach back into the silence with its pre-roll, never into this one.
        self._floor = max(self._floor, end)
        return Closed(utterance)

    @staticmethod
    def _extend(runs: list[tuple[int, int]], start: int, stop: int) -> None:
        if runs and runs[-1][1] == start:
            runs[-1] = (runs[-1][0], stop)
        else:
            runs.append((start, stop))
