"""The interfaces of modules, which come in three shapes.

A **stepper** walks over the whole stream on a fixed grid (voice activity, wake words); its shape
is in `stepper.py`. A **reader** gets windows of speech, utterance by utterance (speaker, and
any other module that judges a voice). A **stateful reader** gets each utterance whole, piece by
piece, from a pass that carries a state from one piece to the next (transcripts); its shape is in
`stateful.py`. The module itself is shared and never changes; what it opens for a session is
private to that session. None runs a model: they name the pass that they read, and interpret its
answers.

A new module is one file with one of the three, an event in `streamd/events.py`, and a line where
`streamd/compose.py` builds the registry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, TypeVar

import msgspec

from streamd.errors import BadConfig
from streamd.events import Cause, TimedEvent
from streamd.modules.gallery import Gallery
from streamd.modules.kept_voices import KeptVoices
from streamd.modules.speaker_state import SpeakerState
from streamd.modules.speech_levels import SpeechLevels
from streamd.validation import Invalid, convert, unknown_keys

if TYPE_CHECKING:
    from streamd.modules.words import CustomWords


class Ms(Protocol):
    """Converts a timeline position (samples at 16 kHz) to milliseconds on the session's clock.

    With `end`, the position is the exclusive end of something. If a gap begins there, the result is
    the time before the gap, not the time after it.
    """

    def __call__(self, position: int, *, end: bool = False) -> int:
        """Return the milliseconds of a position."""


class ModelCard(msgspec.Struct, frozen=True, kw_only=True):
    """Describes a model to its users."""

    model: str
    license: str
    source: str
    training_data: str

    @classmethod
    def joined(cls, cards: Sequence[ModelCard]) -> ModelCard:
        """Return one card for the models of a module; what they have in common is there once."""
        return cls(
            model=", ".join(card.model for card in cards),
            license=", ".join(dict.fromkeys(card.license for card in cards)),
            source=", ".join(dict.fromkeys(card.source for card in cards)),
            training_data=" ".join(dict.fromkeys(card.training_data for card in cards)),
        )


@dataclass(frozen=True, slots=True)
class ReaderContext:
    """The parts of a session that a reader may use."""

    ms: Ms
    gallery: Callable[[], Gallery]
    """Returns the enrolled voices as they are now."""
    channel: Literal["wide", "narrow"]
    speakers: SpeakerState = field(default_factory=SpeakerState)
    """What the readers of the session share about who speaks."""
    voices: KeptVoices = field(default_factory=KeptVoices)
    """The voices of the latest utterances, from which a client may enrol."""


@dataclass(slots=True)
class Utterance:
    """A span of speech. Positions are samples at 16 kHz on the session's timeline."""

    id: str
    start: int
    """First sample, with the pre-roll."""
    onset: int
    """First sample that the VAD called speech."""
    opened_at: int
    end: int | None = None
    closed_at: int | None = None
    cause: Cause | None = None
    speech: int = 0
    """Number of samples that the VAD called speech."""
    runs: list[tuple[int, int]] = field(default_factory=list)
    """The spans that the VAD called speech, in order."""
    levels: SpeechLevels | None = None
    """Levels of its speech; None where nobody keeps its voice."""
    reported: bool = False
    """Whether the client received its `speech_start`."""

    def voiced(self, start: int, stop: int) -> int:
        """Return how many samples of a span are speech."""
        total = 0
        for a, b in reversed(self.runs):
            if b <= start:
                break
            total += max(0, min(b, stop) - max(a, start))
        return total


@dataclass(frozen=True, slots=True)
class Window:
    """The span that a reader was given, and the last sample that the span depended on."""

    start: int
    stop: int
    at: int
    is_last: bool = False
    """Whether the end of the utterance caused it, so that the final events follow at once."""


@dataclass(frozen=True, slots=True)
class WindowSpec:
    """Which windows of an utterance a reader wants; all lengths are samples at 16 kHz.

    Windows start at the onset and every `hop` after. An utterance shorter than `length` has one
    window over all of it, if it has at least `minimum` samples. A longer one has a last window that
    ends where the speech ends. A window of which less than `min_voiced` is speech is left out.
    """

    pass_name: str
    length: int
    hop: int
    minimum: int
    min_voiced: float = 0.5


@dataclass(frozen=True, slots=True)
class SpeculativePass:
    """A pass that can compute windows of another pass before they are due.

    An item without options is the beginning of a window, and its output becomes
    `WindowRequest.begun` when the other pass computes the window. An item with a `WindowRequest` is
    a whole window, and its output is that of the other pass.
    """

    pass_name: str
    samples: int
    """Samples in the beginning of a window."""


class Reader(Protocol):
    """The private state of a module that reads windows of speech.

    Calls come in the order of the stream: `opened`, any number of `window`, `closed`, for one
    utterance after the other. Several readers are called in the order of the registry.
    """

    name: str
    """Of its module."""
    spec: WindowSpec
    extras: frozenset[str]
    """Outputs that the pass computes only if a reader wants them."""

    @property
    def optional(self) -> WindowSpec | None:
        """Return the windows that it may leave out, as an `OptionalReader`; None without such."""

    def opened(self, utterance: Utterance) -> None:
        """Take note of an utterance that began."""

    def window(self, utterance: Utterance, window: Window, output: Any) -> Iterable[TimedEvent]:
        """Take the output for a window, and return interim events."""

    def closed(self, utterance: Utterance) -> Iterable[TimedEvent]:
        """Take note of the end, after all windows of the utterance; return the final events."""

    def enrolled(self, name: str, label: str | None) -> None:
        """Take note that a voice of this session was enrolled.

        Args:
            name: Its name from now on.
            label: The session label that it had, if it had one.
        """


class OptionalReader(Reader, Protocol):
    """A reader that spends a costlier pass on some windows alone.

    It decides about each in the order of the stream, from what it has been given before. The answer
    comes later: before the first of the utterance's other windows that ends a hop of `optional` or
    more after this one, or before the end of the utterance. So nothing waits for the answer, and
    where it stands among the others depends on the audio alone.
    """

    def wants(self, utterance: Utterance, window: Window) -> bool:
        """Return whether the pass is to run on a window of `optional`."""

    def take(self, utterance: Utterance, window: Window, output: Any) -> Iterable[TimedEvent]:
        """Take the output for a window that it wanted, and return interim events."""


class Module(Protocol):
    """The shared part of a module: its name, its options and its description."""

    name: ClassVar[str]

    def parse(
        self, request: Mapping[str, Any], words: CustomWords = ...
    ) -> tuple[Any, list[tuple[str, str]]]:
        """Return the options that a client's object sets.

        Args:
            request: The object.
            words: Wake words of the user's own, which options may name.

        Returns:
            The options and warnings as (code, message).

        Raises:
            BadConfig: a wrong type or a value out of range.
        """

    def describe(self, options: Any) -> dict[str, Any]:
        """Return the module's entry in `ready`."""


class ReaderModule(Module, Protocol):
    """A module of the second shape."""

    def open(self, options: Any, context: ReaderContext, previous: Any) -> Reader:
        """Return the private part for one session.

        Args:
            options: as `parse` gave them.
            context: the parts of the session that it may use.
            previous: the session's reader of this module until now, if there was one. It
                still serves the utterances that began before; the new one keeps what it learned.
        """


OptionsT = TypeVar("OptionsT", bound=msgspec.Struct)


def parse_options(
    module: str, request: Mapping[str, Any], kind: type[OptionsT]
) -> tuple[OptionsT, list[tuple[str, str]]]:
    """Return a client's options as a `kind`; unknown options become warnings.

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
