"""The segmenter: two thresholds and sample counts turn speech probabilities into utterances."""

from __future__ import annotations

from dataclasses import dataclass

from streamd.events import Cause
from streamd.modules.base import Utterance


@dataclass(frozen=True, slots=True)
class SegmenterConfig:
    """Thresholds and lengths (samples at 16 kHz) that decide when speech begins and ends."""

    on: float
    """Probability at which speech begins."""
    off: float
    """Probability below which a frame of open speech counts as silence."""
    min_speech: int
    """Samples of speech before an utterance opens."""
    hangover: int
    """Samples of silence that end an utterance."""
    pre_roll: int
    """Samples before the onset that belong to the utterance."""
    max_length: int
    """Samples after which an utterance ends and the speech goes on as another one."""


@dataclass(frozen=True, slots=True)
class Opened:
    """An utterance that began."""

    utterance: Utterance


@dataclass(frozen=True, slots=True)
class Closed:
    """An utterance that ended."""

    utterance: Utterance


class Segmenter:
    """Turns frames into utterances; takes one frame per call, in order and without holes.

    `watermark` is the sample below which decisions about speech are final. During a silence that is
    still too short to end the utterance, it stays at the end of the speech.
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
        """Return the number of utterances opened so far."""
        return self._count

    def frame(self, start: int, stop: int, probability: float) -> list[Opened | Closed]:
        """Take the speech probability of one frame, and return what began or ended."""
        if self.open is None:
            return self._quiet(start, stop, probability)
        return self._speaking(self.open, start, stop, probability)

    def close_at(self, at: int, cause: Cause) -> list[Opened | Closed]:
        """End the open utterance at `at`; no later one begins before that."""
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
            return []  # counted already, on the copy that ended the utterance before
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
        # The next utterance may reach back into the silence with its pre-roll, but not into this
        # one.
        self._floor = max(self._floor, end)
        return Closed(utterance)

    @staticmethod
    def _extend(runs: list[tuple[int, int]], start: int, stop: int) -> None:
        if runs and runs[-1][1] == start:
            runs[-1] = (runs[-1][0], stop)
        else:
            runs.append((start, stop))
