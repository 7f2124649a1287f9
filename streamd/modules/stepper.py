"""The first shape of a module: a *stepper* walks over the whole stream on a fixed grid.

The module is shared and never changes. It says where its model may sleep (`gate`) and opens a
`ModuleStepper` for each session, which names its pass and turns the answers into events.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from streamd.events import LogEvent, Speaker, TimedEvent
from streamd.modules.base import Module, Ms
from streamd.types import Samples


@dataclass(frozen=True, slots=True)
class Gate:
    """When the model of a stepper may sleep: where nobody may be speaking.

    Somebody may be speaking where the VAD decided a trace of speech, or where the sound grew
    louder, and shortly after.
    """

    step: int
    """Samples of one step; a multiple of 8."""
    threshold: float
    """Speech probability that counts as a trace."""
    hold_ms: int
    """How long after a trace or a rise the model stays awake."""
    rise_db: float
    """How much louder than the quietest of the last 2 s a step is that may hold speech."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the session knew when it had come to a sample."""

    utterance: str | None
    """The utterance that was open."""
    speaker: Speaker | None
    """The last speaker event of it that was sure and old enough to be there at every sending
    speed."""
    phrase: Callable[[int, int], tuple[int, int]]
    """Where a phrase that ends here lies, samples. Takes its usual length and the first sample
    that it can begin at."""


class Finding(Protocol):
    """What a stepper found, before it is an event."""

    @property
    def stop(self) -> int:
        """The sample at which the step ends that it was found in."""

    def event(self, evidence: Evidence, ms: Ms) -> TimedEvent:
        """Return the event, once it is known what else was going on at `stop`."""


@dataclass(frozen=True, slots=True)
class StepperContext:
    """What a stepper may use of its session."""

    ms: Ms
    emit: Callable[[LogEvent], None]
    """Sends an event that depends on the stepper alone."""
    report: Callable[[Finding], None]
    """Sends the event of a finding as soon as the VAD has come as far and no answer of the
    speaker's is due before it. Findings are sent in order."""
    may_speak: Callable[[int], bool | None]
    """Whether somebody may be speaking in the step that ends at a sample, by the module's gate;
    None while the VAD has not come as far. Without a gate it is always true."""


class Stepper(Protocol):
    """Private state of a module that walks over the whole stream."""

    pass_name: str
    step: int
    """Samples from one step to the next."""
    context: int
    """Samples before a step that the pass wants in front of it."""
    at_once: int
    """Steps that one job may have, of those that can be taken when it is made."""
    at_once_asleep: int
    """Steps that are waited for while the model sleeps; a look at each by itself costs more."""
    tail_steps: int
    """Steps of silence to add where the stream ends or is flushed."""
    replay: int
    """Steps that the model must hear, the one that is asked about the last of them, to say what it
    would have said had it heard them all."""
    reach: int
    """Samples before a step that `replay` may ever ask for."""

    @property
    def enabled(self) -> bool:
        """Whether anybody wants its answers; if not, it walks on without the model."""

    def answer(
        self, read: Callable[[int, int], Samples], start: int, stop: int, limit: int
    ) -> tuple[Any, int] | None:
        """The step's answer without the model, or None to ask the model.

        Args:
            read: gives the samples of a span, to be looked at and not kept.
            start: of the step.
            stop: of the step.
            limit: how far the steps behind it may have the same answer, `stop` at least.

        Returns:
            The answer, and where the last step ends that has it too.
        """

    def attends(self, stop: int) -> bool | None:
        """Whether the model must hear the step that ends at `stop`; None if that is not known yet.

        What it slept through it hears later, as far as `replay` goes back.
        """

    def options(self) -> Any:
        """What the pass wants besides the audio."""

    def interpret(self, start: int, stop: int, output: Any) -> None:
        """Take the answer of a step, or of some in a row, in order; None if the model slept."""

    def save(self) -> Any:
        """What must survive an excursion onto a copy."""

    def restore(self, saved: Any) -> None:
        """Return from the copy."""

    def reset(self) -> None:
        """Forget all context: audio was lost here."""


class ModuleStepper(Stepper, Protocol):
    """A stepper that a client switches on and off."""

    def configure(self, options: Any | None) -> None:
        """Take other options from the next step on; None switches it off."""


class StepperModule(Module, Protocol):
    """A module of this shape."""

    @property
    def gate(self) -> Gate | None:
        """When its model sleeps; None if it never does."""

    def open(self, options: Any | None, context: StepperContext) -> ModuleStepper:
        """Return the private part for one session.

        It lives as long as the session and must not hold it.

        Args:
            options: As `parse` gave them; None if the module is off until it is configured.
            context: What it may use of the session.
        """
