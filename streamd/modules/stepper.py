"""The first shape of a module: a *stepper* walks over the whole stream on a fixed grid.

The module is shared and never changes. Each of its parts says where its model may sleep (`gate`)
and opens a `ModuleStepper` for each session, which names its pass and turns answers into events.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from streamd.events import LogEvent, Speaker, TimedEvent
from streamd.modules.base import Module, Ms
from streamd.types import Samples


@dataclass(frozen=True, slots=True)
class Gate:
    """Decides when the model of a stepper may sleep: where nobody may be speaking.

    Somebody may be speaking where the VAD saw a trace of speech or the sound grew louder, and
    shortly after.
    """

    step: int
    """Samples of one step; a multiple of 8."""
    threshold: float
    """Speech probability that counts as a trace of speech."""
    hold_ms: int
    """Milliseconds after a trace or a rise during which the model stays awake."""
    rise_db: float
    """Decibels over the quietest of the last 2 s from which a step may hold speech."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the session knew when it had come to a sample."""

    utterance: str | None
    """The utterance that was open."""
    speaker: Speaker | None
    """The last speaker event of that utterance, if it was sure and is old enough to exist at every
    sending speed."""
    phrase: Callable[[int, int], tuple[int, int]]
    """Returns the samples at which a phrase that ends here begins and ends, given its usual length
    and the first sample at which it can begin."""


class Finding(Protocol):
    """What a stepper found, before it becomes an event."""

    @property
    def stop(self) -> int:
        """Return the end of the step in which it was found."""

    def event(self, evidence: Evidence, ms: Ms) -> TimedEvent:
        """Return the event, once it is known what else was going on at `stop`."""


@dataclass(frozen=True, slots=True)
class StepperContext:
    """The parts of a session that a stepper may use."""

    ms: Ms
    emit: Callable[[LogEvent], None]
    """Sends an event that depends on the stepper alone."""
    report: Callable[[Finding], None]
    """Sends the event of a finding as soon as the VAD has come as far and no answer about the
    speaker is due before it. Findings are sent in order."""
    may_speak: Callable[[int], bool | None]
    """Returns whether somebody may be speaking in the step that ends at a sample; None until the
    VAD has come as far. Without a gate the answer is always true."""


class Stepper(Protocol):
    """The private state of a module that walks over the whole stream."""

    pass_name: str
    step: int
    """Samples from one step to the next."""
    context: int
    """Samples before a step that the pass needs in front of it."""
    at_once: int
    """Steps that one job may have, of those that are there when it is made."""
    at_once_asleep: int
    """Steps that a track collects while the model sleeps, because one look at each step costs more.
    """
    tail_steps: int
    """Steps of silence that are added where the stream ends or is flushed."""
    tail_at_once: int
    """Steps there that one job may have; 1 where `answer` may answer for one of them."""
    replay: int
    """Steps that the model must process, the asked one last, to score as if it had never slept."""
    reach: int
    """Samples before a step that `replay` may need at most."""

    @property
    def enabled(self) -> bool:
        """Return whether a client wants its answers; if not, the track walks on without a model."""

    def answer(
        self, read: Callable[[int, int], Samples], start: int, stop: int, limit: int
    ) -> tuple[Any, int] | None:
        """Return the step's answer without the model, or None to ask the model.

        Args:
            read: returns the samples of a span, which the stepper must not keep.
            start: of the step.
            stop: of the step.
            limit: end of the last step that the same answer may cover, at least `stop`.

        Returns:
            The answer, and the end of the last step that it covers.
        """

    def attends(self, stop: int) -> bool | None:
        """Return whether the model must process the step to `stop`; None if not known yet.

        It replays later what it slept through, as far back as `replay`.
        """

    def options(self) -> Any:
        """Return what the pass needs besides the audio."""

    def options_at_end(self, samples: int) -> Any:
        """Return what the pass needs for steps that are padded with zeros, at an end or a flush.

        Args:
            samples: samples of the stream from the beginning of the first step on; not above 0
                where the stream ends before it.
        """

    def interpret(self, start: int, stop: int, output: Any) -> None:
        """Take the answer for one or more steps in a row, in order; None if the model slept."""

    def finish(self) -> None:
        """Take note, before `restore`, that the walk on a copy is over."""

    def save(self) -> Any:
        """Return what must survive a walk on a copy."""

    def restore(self, saved: Any) -> None:
        """Return from the copy to what `save` gave."""

    def reset(self) -> None:
        """Forget all context, because audio was lost here."""


class ModuleStepper(Stepper, Protocol):
    """A stepper that a client switches on and off."""

    def configure(self, options: Any | None) -> None:
        """Apply other options from the next step on; None switches it off."""


class StepperPart(Protocol):
    """A kind of stepper that a module opens for each session."""

    @property
    def gate(self) -> Gate | None:
        """Return when its model sleeps; None if it never does."""

    def open(self, options: Any | None, context: StepperContext) -> ModuleStepper:
        """Return the private part for one session.

        It lives as long as the session and must not hold it.

        Args:
            options: As `parse` gave them; None if the module is off until it is configured.
            context: What it may use of the session.
        """


class StepperModule(Module, Protocol):
    """A module of this shape.

    It may have several kinds of steppers, each with a model and a grid of its own. What they find
    becomes one sequence of events, ordered by where it was found.
    """

    @property
    def parts(self) -> Sequence[StepperPart]:
        """Return its kinds of steppers, in the order of their findings at one sample."""
