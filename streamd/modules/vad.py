"""Voice activity: a level gate in front of silero (or webrtcvad), one decision for each frame.

The gate saves the model's work in a quiet room. Skipped frames leave the state of a recurrent model
behind, so the gate closes only after `gate_hold` of quiet and freezes the state. On the fixtures
that changes 0.1 % of silero's decisions; a gate that closes at once changes ten times as many.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType

from streamd.errors import BadConfig
from streamd.modules.base import ModelCard, parse_options
from streamd.modules.words import NO_WORDS, CustomWords
from streamd.settings import VadSettings, overridden
from streamd.types import RATE_HZ, Samples

HYSTERESIS = 0.15
"""Difference between the threshold of a session and the probability below which silence begins."""


class VadOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options that a session may set."""

    threshold: Annotated[float, msgspec.Meta(gt=HYSTERESIS, lt=1)] | UnsetType = UNSET
    """Probability at which speech begins; 0.15 below it, a frame counts as silence."""
    min_speech_ms: Annotated[int, msgspec.Meta(ge=0, le=2000)] | UnsetType = UNSET
    hangover_ms: Annotated[int, msgspec.Meta(ge=32, le=5000)] | UnsetType = UNSET
    pre_roll_ms: Annotated[int, msgspec.Meta(ge=0, le=1000)] | UnsetType = UNSET
    max_utterance_ms: Annotated[int, msgspec.Meta(ge=1000, le=600_000)] | UnsetType = UNSET


@dataclass(frozen=True, slots=True)
class VadGrid:
    """The samples that the engine of the VAD needs for one decision."""

    frame: int
    """Samples of one decision."""
    context: int
    """Samples in front of them."""
    copies_state: bool = True


class LevelGate:
    """Decides which frames the model can skip, because they have been quiet for long enough."""

    def __init__(self, dbfs: float, hold: int) -> None:
        self._floor = (10 ** (dbfs / 20) * 32768) ** 2
        self._hold = hold
        self.quiet = 0
        """Samples since the last frame above the level."""

    @property
    def is_closed(self) -> bool:
        """Return whether the model can skip a quiet frame."""
        return self.quiet > self._hold

    def closed(self, samples: Samples) -> bool:
        """Take one frame, and return whether the model can skip it."""
        if not self._is_quiet(samples, len(samples)):
            self.quiet = 0
            return False
        self.quiet += len(samples)
        return self.is_closed

    def stays_closed(self, samples: Samples, frame: int) -> bool:
        """Take several frames, if the gate is closed and all of them together are quiet.

        Then each of them is quiet too, and the gate need not look at each.
        """
        if not self.is_closed or not self._is_quiet(samples, frame):
            return False
        self.quiet += len(samples)
        return True

    def _is_quiet(self, samples: Samples, frame: int) -> bool:
        # The sum is exact, because sums of squares stay below 2^53.
        wide = samples.astype(np.float64)
        return bool(wide.dot(wide) < self._floor * frame)


class VadStepper:
    """Steps over the frames of one stream, gate first."""

    pass_name = "vad"
    at_once = 8
    at_once_asleep = 1

    def __init__(
        self, settings: VadSettings, grid: VadGrid, decided: Callable[[int, int, float], None]
    ) -> None:
        self.step = grid.frame
        self.context = grid.context
        self.tail_steps = 0
        self.tail_at_once = 1
        self.replay = 1
        self.reach = 0
        self._settings = settings
        self._decided = decided
        self._gate = self._new_gate()

    @property
    def enabled(self) -> bool:
        """Return true, because everything else depends on the VAD."""
        return True

    def _new_gate(self) -> LevelGate:
        return LevelGate(self._settings.gate_dbfs, self._settings.gate_hold_ms * RATE_HZ // 1000)

    def answer(
        self, read: Callable[[int, int], Samples], start: int, stop: int, limit: int
    ) -> tuple[float, int] | None:
        """Return 0 while the gate is closed."""
        if not self._settings.gate:
            return None
        if limit - stop >= self.step:
            end = limit - (limit - start) % self.step
            if self._gate.stays_closed(read(start, end), self.step):
                return 0.0, end
        return (0.0, stop) if self._gate.closed(read(start, stop)) else None

    def attends(self, stop: int) -> bool:
        """Return true, because `answer` has asked the gate already."""
        return True

    def options(self) -> None:
        """Return None, because the pass needs only the audio."""

    def options_at_end(self, samples: int) -> None:
        """Return what `options` does: the zeros are silence to it."""
        return self.options()

    def interpret(self, start: int, stop: int, output: float) -> None:
        """Give the decision to the segmenter."""
        self._decided(start, stop, output)

    def finish(self) -> None:
        """Do nothing: what it found is reported."""

    def save(self) -> int:
        """Return the gate's count."""
        return self._gate.quiet

    def restore(self, saved: int) -> None:
        """Set the gate's count."""
        self._gate.quiet = saved

    def reset(self) -> None:
        """Open the gate."""
        self._gate = self._new_gate()


class VadModule:
    """The module that reports where speech begins and ends."""

    name: ClassVar[str] = "vad"

    def __init__(self, settings: VadSettings, grid: VadGrid, card: ModelCard) -> None:
        self.settings = settings
        self.grid = grid
        self._card = card

    def parse(
        self, request: Mapping[str, Any], words: CustomWords = NO_WORDS
    ) -> tuple[VadOptions, list[tuple[str, str]]]:
        """Return the options that a client's object sets."""
        options, warnings = parse_options(self.name, request, VadOptions)
        lengths = (options.max_utterance_ms, options.pre_roll_ms, options.min_speech_ms)
        if lengths == (UNSET, UNSET, UNSET):
            return options, warnings
        s = self.effective(options)
        shortest_ms = s.pre_roll_ms + s.min_speech_ms + 2 * self.grid.frame * 1000 // RATE_HZ
        if s.max_utterance_ms < shortest_ms:
            raise BadConfig(
                f"`modules.vad.max_utterance_ms`: {s.max_utterance_ms} ms is too short; with these "
                f"pre_roll_ms and min_speech_ms it must be at least {shortest_ms} ms",
                ref="modules.vad.max_utterance_ms",
            )
        return options, warnings

    def effective(self, options: VadOptions | None) -> VadSettings:
        """Return the server's settings, changed by the session's options."""
        if options is None:
            return self.settings
        settings = overridden(self.settings, options)
        if options.threshold is UNSET:
            return settings
        off = options.threshold - HYSTERESIS
        return msgspec.structs.replace(settings, on=options.threshold, off=off)

    def describe(self, options: VadOptions) -> dict[str, Any]:
        """Return the module's entry in `ready`."""
        s = self.effective(options)
        return {
            **msgspec.structs.asdict(self._card),
            "engine": s.engine,
            "threshold": s.on,
            "hangover_ms": s.hangover_ms,
            "pre_roll_ms": s.pre_roll_ms,
            "max_utterance_ms": s.max_utterance_ms,
            "latency_ms": s.min_speech_ms + self.grid.frame * 1000 // RATE_HZ,
        }
