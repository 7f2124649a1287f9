"""The transcript module: what was said, as it is said and once an utterance is over.

The text of an utterance is recognised anew on a grid of stream time. An interim event has the part
on which two such texts in a row agree (see `agreement.py`), whenever that part has grown. The final
event has the text of the whole utterance.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from streamd.errors import BadConfig
from streamd.events import Segment, TimedEvent, Transcript
from streamd.modules.agreement import Agreement
from streamd.modules.base import ModelCard, ReaderContext, Utterance, Window, parse_options
from streamd.modules.stateful import GridSpec
from streamd.modules.words import NO_WORDS, CustomWords
from streamd.settings import HopMs, given
from streamd.types import RATE_HZ, RecogniserOptions, Recognition

PASS = "transcript"
AGREEING = 2
"""Texts in a row that must agree."""
_PER_MS = RATE_HZ // 1000

Language = Annotated[str, Meta(max_length=64)]


class TranscriptOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options that a session may set."""

    language: Language = "auto"
    """Language of the speech (BCP 47), or `auto`."""
    itn: bool | UnsetType = UNSET
    """Whether numbers are written with digits; true if not set."""
    hop_ms: HopMs | UnsetType = UNSET
    """Milliseconds from one recognition of an open utterance to the next."""


def knows(languages: Iterable[str], language: str) -> bool:
    """Return whether a text may be asked for in a language, as `en-US`, or `auto`."""
    return primary(language) in ("", "auto", *languages)


def primary(language: str) -> str:
    """Return the primary subtag of a language, in lower case."""
    return language.lower().replace("_", "-").split("-")[0]


class TranscriptReader:
    """Makes the transcript events of one session.

    Args:
        hop_ms: Milliseconds from one recognition to the next.
        options: What the recogniser is asked for.
        context: The parts of the session that it may use.
    """

    name = "transcript"

    def __init__(self, hop_ms: int, options: RecogniserOptions, context: ReaderContext) -> None:
        self.spec = GridSpec(PASS, hop_ms * _PER_MS)
        self.options = options
        self._ms = context.ms
        self._agreement = Agreement()

    def opened(self, utterance: Utterance) -> None:
        """Begin with no text."""
        self._agreement = Agreement()

    def heard(self, utterance: Utterance, span: Window, output: Any) -> Iterable[TimedEvent]:
        """Yield an interim event if the agreed text has grown."""
        found: Recognition = output
        before = self._agreement.text
        text = self._agreement.add(found.text)
        if text != before:
            yield self._event(utterance, span, found._replace(text=text), final=False)

    def closed(self, utterance: Utterance, span: Window, output: Any) -> Iterable[TimedEvent]:
        """Yield the final event."""
        yield self._event(utterance, span, output, final=True)

    def _event(
        self, utterance: Utterance, span: Window, found: Recognition, *, final: bool
    ) -> Transcript:
        event = Transcript(
            t0=self._ms(span.start),
            t1=self._ms(span.stop, end=True),
            at=self._ms(span.at, end=True),
            utterance=utterance.id,
            text=found.text,
            language=found.language,
            final=final,
        )
        if found.confidence is not None:
            event.confidence = round(found.confidence, 4)
        if found.events:
            event.events = list(found.events)
        if final and found.segments:
            event.segments = [
                Segment(self._at(span, one.t0), self._at(span, one.t1, end=True), one.text)
                for one in found.segments
            ]
        return event

    def _at(self, span: Window, ms: int, *, end: bool = False) -> int:
        """Return the time of a place in an utterance, which is given from its first sample on."""
        return self._ms(min(span.start + ms * _PER_MS, span.stop), end=end)


class TranscriptModule:
    """Creates the transcript readers of sessions.

    Args:
        card: The model.
        languages: Languages that it knows, as primary subtags.
        hop_ms: Milliseconds from one recognition to the next, if a client does not say.
        has_itn: Whether it can write numbers with digits or as words.
    """

    name: ClassVar[str] = "transcript"

    def __init__(
        self, card: ModelCard, languages: tuple[str, ...], hop_ms: int, *, has_itn: bool
    ) -> None:
        self.languages = languages
        self.card = card
        self._hop_ms = hop_ms
        self._has_itn = has_itn

    def parse(
        self, request: Mapping[str, Any], words: CustomWords = NO_WORDS
    ) -> tuple[TranscriptOptions, list[tuple[str, str]]]:
        """Return the options that a client's object sets.

        Raises:
            BadConfig: A wrong type, a value out of range, or a language that the model lacks.
        """
        options, warnings = parse_options(self.name, request, TranscriptOptions)
        if not knows(self.languages, options.language):
            raise BadConfig(
                f"the transcriber does not know the language {options.language[:32]!r}; it knows: "
                f"{', '.join(self.languages)}",
                ref="modules.transcript.language",
            )
        if options.itn is False and not self._has_itn:
            message = f"the model {self.card.model} writes numbers as it likes, in digits or not"
            warnings.append(("itn_unavailable", message))
        return options, warnings

    def describe(self, options: TranscriptOptions) -> dict[str, Any]:
        """Return the module's entry in `ready`."""
        hop_ms = given(options.hop_ms, self._hop_ms)
        return {
            **msgspec.structs.asdict(self.card),
            "language": self._recogniser_options(options).language,
            "languages": list(self.languages),
            "itn": self._has_itn and given(options.itn, True),
            "hop_ms": hop_ms,
            "latency_ms": AGREEING * hop_ms,
        }

    def open(self, options: TranscriptOptions, context: ReaderContext) -> TranscriptReader:
        """Return the transcript reader for one session."""
        hop_ms = given(options.hop_ms, self._hop_ms)
        return TranscriptReader(hop_ms, self._recogniser_options(options), context)

    def _recogniser_options(self, options: TranscriptOptions) -> RecogniserOptions:
        """Return what the recogniser is asked for; a single language leaves nothing to find out."""
        language = primary(options.language) or "auto"
        if language == "auto" and len(self.languages) == 1:
            language = self.languages[0]
        return RecogniserOptions(language, given(options.itn, True))
