"""What a module is, in two shapes.

A **stepper** walks over the whole stream on a fixed grid (voice activity, wake words); its shape
is in `stepper.py`. A **reader** gets windows of speech, utterance by utterance (speaker, and
whatever else wants to know something about a voice). The module itself is shared and never
changes; what it opens for a session is private to that session. Neither runs a model: they name
the pass that they read, and interpret its answers.

A new module is one file with one of the two, an event in `streamd/events.py`, and a line where
`streamd/compose.py` builds the registry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeVar

import msgspec

from streamd.errors import BadConfig
from streamd.events import Cause, TimedEvent
from streamd.modules.gallery import Gallery
from streamd.modules.voices import Voices
from streamd.validation import Invalid, convert, unknown_keys

if TYPE_CHECKING:
    from streamd.modules.words import CustomWords


class Ms(Protocol):
    """Timeline position (samples at 16 kHz) to milliseconds on the session's clock.

    With `end`, the position is the exclusive end of something: where a gap begins at it, the
    time before the gap is meant, not the one behind.
    """

    def __call__(self, position: int, *, end: bool = False) -> int:
        """Milliseconds."""


class ModelCard(msgspec.Struct, frozen=True, kw_only=True):
    """What a user must know of a model."""

    model: str
    license: str
    source: str
    training_data: str


@dataclass(frozen=True, slots=True)
class ReaderContext:
    """What a module may use of its session."""

    ms: Ms
    gallery: Callable[[], Gallery]
    """The enrolled voices as they are now."""
    channel: Literal["wide", "narrow"]
    voices: Voices = field(default_factory=Voices)
    """What the session's readers tell each other about who speaks."""


@dataclass(slots=True)
class Utterance:
    """A stretch of speech. Positions are samples at 16 kHz on the session's timeline."""

    id: str
    start: int
    """With the pre-roll."""
    onset: int
    """First sample that the VAD called speech."""
    opened_at: int
    end: int | None = None
    closed_at: int | None = None
    cause: Cause | None = None
    speech: int = 0
    """Samples that the VAD called speech."""
    runs: list[tuple[int, int]] = field(default_factory=list)
    """The stretches that the VAD called speech, in order."""
    reported: bool = False
    """Whether the client was told that it began."""

    def voiced(self, start: int, stop: int) -> int:
        """Samples of speech in a span."""
        total = 0
        for a, b in reversed(self.runs):
            if b <= start:
                break
            total += max(0, min(b, stop) - max(a, start))
        return total


@dataclass(frozen=True, slots=True)
class Window:
    """A span that a reader was given, and the last sample it depended on."""

    start: int
    stop: int
    at: int
    is_last: bool = False
    """Whether the end of the utterance asked for it: the final events follow at once."""


@dataclass(frozen=True, slots=True)
class WindowSpec:
    """Which windows of an utterance a reader wants. All in samples at 16 kHz.

    Windows start at the onset and every `hop` after. An utterance shorter than `length`
    gives one window of what there is, if that is at least `minimum`; a longer one ends with
    a window that ends where the speech ends. A window with less than `min_voiced` of its
    length in speech is left out.
    """

    pass_name: str
    length: int
    hop: int
    minimum: int
    min_voiced: float = 0.5


@dataclass(frozen=True, slots=True)
class SpeculativePass:
    """A pass that can compute another's windows before they are asked for.

    Its items come without options where they are the beginning of a window, and its answer is
    what the window is then asked for with (`WindowRequest.begun`). With a `WindowRequest` they are
    all of a window, and its answer is the other's.
    """

    pass_name: str
    samples: int
    """Of a beginning."""


class Reader(Protocol):
    """Private state of a module that reads windows of speech.

    Calls come in the order of the stream: `opened`, any number of `window`, `closed`, for
    one utterance after the other. Where several readers hear of the same, they do so in the
    order of the registry.
    """

    name: str
    """Of its module."""
    spec: WindowSpec
    extras: frozenset[str]
    """Outputs of the pass that it makes only for who asks."""

    def opened(self, utterance: Utterance) -> None:
        """An utterance began."""

    def window(self, utterance: Utterance, window: Window, output: Any) -> Iterable[TimedEvent]:
        """A window's answer came; gives interim events."""

    def closed(self, utterance: Utterance) -> Iterable[TimedEvent]:
        """The utterance is over and every window of it was given; gives the final ones."""


class Module(Protocol):
    """The shared part: what it is called, what it can be told, what it says of itself."""

    name: ClassVar[str]

    def parse(
        self, request: Mapping[str, Any], words: CustomWords = ...
    ) -> tuple[Any, list[tuple[str, str]]]:
        """Options from a client's object.

        Args:
            request: The object.
            words: Wake words of the user's own, which options may name.

        Returns:
            The options and warnings as (code, message).

        Raises:
            BadConfig: a wrong type or a value out of range.
        """

    def describe(self, options: Any) -> dict[str, Any]:
        """The module's entry in `ready`."""


class ReaderModule(Module, Protocol):
    """A module of the second shape."""

    def open(self, options: Any, services: ReaderContext, previous: Any) -> Reader:
        """The private part for one session.

        Args:
            options: as `parse` gave them.
            services: of the session.
            previous: the session's reader of this module until now, if there was one. It
                still serves the utterances that began before; what was learned goes on.
        """


OptionsT = TypeVar("OptionsT", bound=msgspec.Struct)


def parse_options(
    module: str, request: Mapping[str, Any], kind: type[OptionsT]
) -> tuple[OptionsT, list[tuple[str, str]]]:
    """Read a client's options into `kind`; what it does not know becomes a warning.

    Raises:
        BadConfig: A wrong type or a value out of range; `ref` names the option.
    """
    at = ("modules", module)
    warnings = [
        ("unknown_option", f"unknown option {fault.got} of {module}; known: {fault.expected}")
        for fault in unknown_keys(request, kind, at)
    ]
    try:
        return convert(request, kind, at), warnings
    except Invalid as invalid:
        fault = invalid.first
        raise BadConfig(str(fault), ref=fault.where) from None
