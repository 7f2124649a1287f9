"""The interface of recognisers, whatever model they run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from streamd.types import ChainRequest, Recognition, Samples


class Recogniser(Protocol):
    """A model that makes text of speech: `(samples, state) -> (text, state')`.

    Its weights are shared. What belongs to an utterance is in the state that it returns and gets
    back with the next samples.

    The text of the last call of an utterance must not depend on how its samples were divided into
    calls. What it depends on is a function of the audio and the options alone, not of time, of
    other items in the batch, or of other calls. Thread-safe.
    """

    languages: tuple[str, ...]
    """Languages that it knows, as primary subtags of BCP 47 (`en`)."""
    has_itn: bool
    """Whether it can write numbers with digits or as words, as a client wishes."""
    max_batch: int
    """Number of items that one call should take at most."""
    hop_ms: int
    """Milliseconds of an open utterance between two interim texts, by what a call costs."""

    def recognise(
        self, items: Sequence[Samples], requests: Sequence[ChainRequest]
    ) -> list[tuple[Recognition, Any]]:
        """Return the text of each utterance so far, and its state.

        Args:
            items: The samples of each utterance that no call before had, int16 at 16 kHz.
            requests: The state of each utterance (None at its beginning), whether it is over, and
                `RecogniserOptions`.
        """
        ...
