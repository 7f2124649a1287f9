"""The module that reports wake words.

A word in letters, digits and underscores has a head, which scores it every 80 ms
(`wake_stepper.py`). A word with any other character is a keyword, which a CTC network spells
(`keyword_stepper.py`). A session may have both.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from streamd.errors import BadConfig
from streamd.modules import keyword_stepper, wake_stepper
from streamd.modules.base import ModelCard, parse_options
from streamd.modules.keyword_spelling import CannotSpell
from streamd.modules.keyword_stepper import MAX_KEYWORDS, Keyword, KeywordModel, KeywordStepper
from streamd.modules.stepper import Gate, StepperContext, StepperPart
from streamd.modules.wake_stepper import WakeSelection, WakeStepper, Word, WordModel
from streamd.modules.words import NO_WORDS, CustomWords, RegisterHead
from streamd.naming import is_keyword
from streamd.settings import Patience, Probability, RefractoryMs, WakeSettings, given
from streamd.validation import quoted

T = TypeVar("T")


class WakeOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options that a session may set."""

    words: tuple[str, ...] | UnsetType = UNSET
    threshold: Probability | dict[str, Probability] | UnsetType = UNSET
    """One threshold for all words, or one by word."""
    patience: Patience | dict[str, Patience] | UnsetType = UNSET
    """Steps in a row at or over the threshold, for all words or by word."""
    refractory_ms: RefractoryMs | UnsetType = UNSET


@dataclass(frozen=True, slots=True)
class _Heads:
    """The part of the module whose steppers read the heads' scores."""

    gate: Gate | None

    def open(self, options: WakeSelection | None, context: StepperContext) -> WakeStepper:
        """Return the stepper for one session."""
        return WakeStepper(options, context.ms, context.report, context.may_speak)


@dataclass(frozen=True, slots=True)
class _Keywords:
    """The part of the module whose steppers search for keywords."""

    model: KeywordModel
    gate: Gate | None

    def open(self, options: WakeSelection | None, context: StepperContext) -> KeywordStepper:
        """Return the stepper for one session."""
        selection = None if options is None else options.spelled
        return KeywordStepper(self.model, selection, context.ms, context.report, context.may_speak)


class WakeModule:
    """The module that reports wake words.

    Args:
        settings: the configuration's.
        loaded: the words whose heads are loaded, by name.
        register: registers the head of a word of the user's own.
        keywords: spells all other words; None if it is not loaded.
    """

    name: ClassVar[str] = "wake"

    def __init__(
        self,
        settings: WakeSettings,
        loaded: Mapping[str, WordModel],
        register: RegisterHead,
        keywords: KeywordModel | None = None,
    ) -> None:
        self.settings = settings
        self.loaded = loaded
        self.keywords = keywords
        self._register = register
        self.parts: Sequence[StepperPart] = [_Heads(self._gate(wake_stepper.STEP))]
        if keywords is not None:
            self.parts = [*self.parts, _Keywords(keywords, self._gate(keyword_stepper.STEP))]

    def _gate(self, step: int) -> Gate | None:
        """The gate that lets a model sleep, unless the configuration forbids it."""
        s = self.settings
        return Gate(step, s.gate_threshold, s.gate_hold_ms, s.gate_rise_db) if s.gate else None

    def known(self, custom: CustomWords) -> dict[str, WordModel]:
        """Return every word that a client may ask for."""
        own = {name: WordModel.of(word) for name, word in custom.items()}
        return {**self.loaded, **{n: m for n, m in own.items() if n not in self.loaded}}

    def listed(self, custom: CustomWords) -> list[str]:
        """Return the names that a list of words has: the known ones, and the configured keywords.

        A client may ask for any other keyword, too.
        """
        keywords = [] if self.keywords is None else filter(is_keyword, self.settings.words)
        return [*self.known(custom), *keywords]

    def parse(
        self, request: Mapping[str, Any], words: CustomWords = NO_WORDS
    ) -> tuple[WakeSelection, list[tuple[str, str]]]:
        """Return the options that a client's object sets, without unknown words.

        Args:
            request: the options.
            words: of the user's own, as they are now.
        """
        options, warnings = parse_options(self.name, request, WakeOptions)
        known = self.known(words)
        wanted = tuple(dict.fromkeys(given(options.words, self.settings.words)))
        names = tuple(word for word in wanted if word in known)
        keywords, unknown = self._spelled([w for w in wanted if w not in known], known, options)
        if not names and not keywords:
            raise BadConfig(
                "; ".join(unknown) or f"no wake word is named; {self._loaded(known)}",
                ref="modules.wake.words",
            )
        warnings += [("unknown_word", message) for message in unknown]
        s = self.settings
        selected = tuple(
            Word(
                name,
                _of(options.threshold, name, self._threshold(name, known[name])),
                _of(options.patience, name, s.patiences.get(name, s.patience)),
                known[name],
                None if (head := known[name].head) is None else self._register(head),
            )
            for name in names
        )
        refractory_ms = given(options.refractory_ms, s.refractory_ms)
        return WakeSelection(selected, refractory_ms, keywords), warnings

    def _spelled(
        self, words: Sequence[str], known: Mapping[str, WordModel], options: WakeOptions
    ) -> tuple[tuple[Keyword, ...], list[str]]:
        """The keywords among words without a head, and a message about each other word.

        Raises:
            BadConfig: there are more keywords than a stream may have.
        """
        s, keywords, unknown = self.settings, [], []
        for word in words:
            if self.keywords is None or not is_keyword(word):
                hint = " (wake.keyword_model is off)" if is_keyword(word) else ""
                unknown.append(f"unknown wake word {quoted(word)}; {self._loaded(known)}{hint}")
                continue
            try:
                tokens = self.keywords.spelling.spell(word)
            except CannotSpell as error:
                unknown.append(f"unknown wake word {quoted(word)}: {error}")
                continue
            threshold = _of(options.threshold, word, s.thresholds.get(word, s.threshold))
            keywords.append(Keyword(word, threshold, tokens))
        if len(keywords) > MAX_KEYWORDS:
            raise BadConfig(
                f"{len(keywords)} words for the keyword model, which takes {MAX_KEYWORDS} in one "
                "stream at most",
                ref="modules.wake.words",
            )
        return tuple(keywords), unknown

    @staticmethod
    def _loaded(known: Mapping[str, WordModel]) -> str:
        return f"loaded: {', '.join(sorted(known)) or 'none'}"

    def _threshold(self, name: str, model: WordModel) -> float:
        own = self.settings.threshold if model.threshold is None else model.threshold
        return self.settings.thresholds.get(name, own)

    def describe(self, options: WakeSelection) -> dict[str, Any]:
        """Return the module's entry in `ready`."""
        cards = [word.model.card for word in options.words]
        patience = max((word.patience for word in options.words), default=0)
        latency_ms = wake_stepper.STEP * patience // 16
        if options.keywords:
            assert self.keywords is not None
            cards.append(self.keywords.card)
            latency_ms = max(latency_ms, self.keywords.latency_ms)
        every: tuple[Word | Keyword, ...] = (*options.words, *options.keywords)
        return {
            **msgspec.structs.asdict(ModelCard.joined(cards)),
            "words": [word.name for word in every],
            "thresholds": {word.name: word.threshold for word in every},
            "patience": {word.name: word.patience for word in options.words},
            "refractory_ms": options.refractory_ms,
            "latency_ms": latency_ms,
        }


def _of(option: T | dict[str, T] | UnsetType, word: str, default: T) -> T:
    """Return what an option says about a word: one value for all words, or some values by word."""
    if isinstance(option, dict):
        return option.get(word, default)
    return given(option, default)
