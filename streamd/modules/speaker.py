"""The speaker module: its options, and the readers that it opens for sessions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import msgspec
from msgspec import UNSET, UnsetType

from streamd.modules.base import ModelCard, ReaderContext, parse_options
from streamd.modules.gallery import Gallery
from streamd.modules.registry import ModuleSet, Registry
from streamd.modules.speaker_reader import SpeakerReader
from streamd.modules.voice_models import VoiceModels
from streamd.modules.words import NO_WORDS, CustomWords
from streamd.settings import HopMs, Probability, SpeakerSettings, overridden


class SpeakerOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options that a session may set."""

    mode: Literal["identify"] = "identify"
    hop_ms: HopMs | UnsetType = UNSET
    threshold: Probability | UnsetType = UNSET
    """Score from which an enrolled voice is accepted, whatever was calibrated; the `unsure` band
    keeps its width."""


class SpeakerModule:
    """Creates the speaker readers of sessions."""

    name: ClassVar[str] = "speaker"

    def __init__(
        self, settings: SpeakerSettings, card: ModelCard, models: VoiceModels | None = None
    ) -> None:
        self.settings = settings
        self.models = models or VoiceModels(
            card.model, assign=settings.assign, new=settings.new, change=settings.change
        )
        self._card = card

    def parse(
        self, request: Mapping[str, Any], words: CustomWords = NO_WORDS
    ) -> tuple[SpeakerOptions, list[tuple[str, str]]]:
        """Return the options that a client's object sets."""
        return parse_options(self.name, request, SpeakerOptions)

    def effective(self, options: SpeakerOptions) -> SpeakerSettings:
        """Return the server's settings, changed by the session's options."""
        settings = overridden(self.settings, options)
        if options.threshold is UNSET:
            return settings
        thresholds = settings.thresholds.moved_to(options.threshold)
        return msgspec.structs.replace(settings, thresholds=thresholds)

    def describe(self, options: SpeakerOptions) -> dict[str, Any]:
        """Return the module's entry in `ready`."""
        s = self.effective(options)
        # Said only where it is so: nothing was measured of what this model's scores mean.
        scale = {"scale": "provisional"} if self.models.scale.is_provisional else {}
        return {
            **msgspec.structs.asdict(self._card),
            **scale,
            "mode": options.mode,
            "hop_ms": s.hop_ms,
            "window_ms": s.window_ms,
            "min_speech_ms": s.min_speech_ms,
            "thresholds": msgspec.to_builtins(s.thresholds),
            "latency_ms": s.window_ms,
        }

    def open(
        self, options: SpeakerOptions, context: ReaderContext, previous: SpeakerReader | None
    ) -> SpeakerReader:
        """Return the speaker reader for one session."""
        return SpeakerReader(
            self.effective(options),
            context,
            previous,
            self.models,
            is_calibrated=options.threshold is UNSET,
        )


def described(registry: Registry, modules: ModuleSet, gallery: Gallery) -> dict[str, Any]:
    """Return the `modules` of `ready`, with the thresholds that hold for a gallery.

    Args:
        registry: The modules of the server.
        modules: Those that are on.
        gallery: The enrolled voices, whose thresholds may be calibrated.
    """
    found = registry.describe(modules)
    speaker = registry.find(SpeakerModule)
    if speaker is not None and (options := modules.get(speaker.name)) is not None:
        thresholds = speaker.effective(options).thresholds
        if options.threshold is UNSET:
            thresholds = thresholds.calibrated(gallery.accept)
        found[speaker.name]["thresholds"] = msgspec.to_builtins(thresholds)
    return found
