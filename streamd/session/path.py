"""The path of one stepper in one session: its gate, its reports, and what happens at marks."""

from __future__ import annotations

from typing import Any

from streamd.modules.stepper import StepperContext, StepperPart
from streamd.session.gate import SpeechGate
from streamd.session.margins import make_room
from streamd.session.reports import Reports
from streamd.session.shared import Shared
from streamd.session.track import Mark, Progress


def _always(stop: int) -> bool:
    return True


class Path:
    """Runs a stepper beside the VAD.

    Args:
        name: Name of the module.
        part: The part of it that is opened.
        options: The module's options in this session; None if it is off.
        reports: Takes what the parts of the module find.
        shared: The parts that all paths of the session use.
    """

    def __init__(
        self, name: str, part: StepperPart, options: Any | None, reports: Reports, shared: Shared
    ) -> None:
        self._name = name
        self._rings = (shared.ring, shared.voices)
        self.progress = Progress()
        self.gate = None if part.gate is None else SpeechGate(part.gate, shared.ring, shared.vad)
        self._lane = reports.lane(self.progress)
        may_speak = _always if self.gate is None else self.gate.may_speak
        context = StepperContext(shared.ms, shared.emitter.emit, self._lane.add, may_speak)
        self.stepper = part.open(options, context)
        self._make_room()

    @property
    def may_rest(self) -> bool:
        """Return whether the stepper finds nothing where nobody speaks."""
        return self.gate is not None or not self.stepper.enabled

    def passed(self, mark: Mark) -> None:
        """Take note that the stepper has come to a mark."""
        if mark.cause is None:
            self.stepper.configure(mark.payload.get(self._name))
            self._make_room()
            return
        self._lane.reached(mark.payload)
        if mark.resets and self.gate is not None:
            self.gate.restart()

    def _make_room(self) -> None:
        """Make the rings hold what the model replays when it wakes."""
        stepper = self.stepper
        if stepper.enabled:
            steps = stepper.step * stepper.at_once_asleep
            make_room(self._rings, stepper.reach + stepper.context + steps)
