"""The third shape of a module: a stateful reader, whose pass carries a state along an utterance.

Its pass is `(samples, state) -> (output, state')`. The jobs of one utterance run in order, one at
a time, and the state belongs to the utterance. A job gets the samples that none before it had. On
a grid of stream time there is one over the open utterance so far, and at its end the last one.

The output of the last job must not depend on how the samples were divided into jobs, because under
load a session leaves jobs of the grid out. Where it leaves none out, all jobs and their spans are a
function of the stream alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

from streamd.events import TimedEvent
from streamd.modules.base import Module, ReaderContext, Utterance, Window


@dataclass(frozen=True, slots=True)
class GridSpec:
    """When the jobs of an utterance come."""

    pass_name: str
    hop: int
    """Samples at 16 kHz from the onset to the first job, and from one to the next."""


class StatefulReader(Protocol):
    """The private state of a module of this shape in one session.

    Calls come in the order of the stream: `opened`, any number of `heard`, and `closed` unless the
    end of the utterance was left out under load; for one utterance after the other.
    """

    name: str
    """Of its module."""
    spec: GridSpec
    options: Any
    """What the pass gets as `ChainRequest.options`."""

    def opened(self, utterance: Utterance) -> None:
        """Take note of an utterance whose jobs begin."""

    def heard(self, utterance: Utterance, span: Window, output: Any) -> Iterable[TimedEvent]:
        """Take the output for an utterance so far, and return interim events.

        Args:
            utterance: The utterance.
            span: All of the utterance that the output knows.
            output: What the pass returned beside its state.
        """

    def closed(self, utterance: Utterance, span: Window, output: Any) -> Iterable[TimedEvent]:
        """Take the output for a whole utterance, and return the final events."""


class StatefulModule(Module, Protocol):
    """The shared part of such a module."""

    def open(self, options: Any, context: ReaderContext) -> StatefulReader:
        """Return the private part for one session.

        Args:
            options: As `parse` gave them.
            context: The parts of the session that it may use.
        """
