"""The tunables of each module: every key with its type, range, default and unit.

A section of the configuration and the settings of a module are one struct, so that a tunable is
declared here alone. What a client may set for its stream, the options of the module, are some of
these by name: `overridden`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self, TypeVar

from msgspec import UNSET, Meta, Struct, UnsetType, field, structs

from streamd.naming import MAX_NAME_CHARS

Probability = Annotated[float, Meta(ge=0, le=1)]
Cosine = Annotated[float, Meta(ge=-1, le=1)]
Patience = Annotated[int, Meta(ge=1, le=25)]
HopMs = Annotated[int, Meta(ge=100, le=10_000)]
RefractoryMs = Annotated[int, Meta(ge=0, le=60_000)]
Word = Annotated[str, Meta(min_length=1, max_length=MAX_NAME_CHARS)]
File = Annotated[str, Meta(extra={"is_path": True})]
"""A path. In a file it is relative to the folder of that file, in the environment to the current
directory; `~` is the home. Once loaded it is absolute."""
FileOrOff = Annotated[str, Meta(extra={"is_path": True, "words": ("off",)})]
"""A path as `File`, or `off` for none."""
SENSEVOICE = ("sensevoice", "sensevoice-int8")
EmotionFile = Annotated[str, Meta(extra={"is_path": True, "words": SENSEVOICE})]
"""A path as `File`, or the name of a model."""

T = TypeVar("T")
SettingsT = TypeVar("SettingsT", bound=Struct)


def given(option: T | UnsetType, default: T) -> T:
    """Return the option, or the default if the client does not set it."""
    return default if option is UNSET else option


def overridden(settings: SettingsT, options: Struct) -> SettingsT:
    """Return the settings, changed by the options in the fields that both have."""
    names = set(settings.__struct_fields__).intersection(options.__struct_fields__)
    given = {name: getattr(options, name) for name in names}
    return structs.replace(settings, **{k: v for k, v in given.items() if v is not UNSET})


class VadSettings(Struct, frozen=True, kw_only=True):
    """Settings of voice activity."""

    engine: Literal["silero", "webrtc"] = "silero"
    """`webrtc` is for boards that cannot carry silero."""
    on: Probability = 0.5
    """Speech probability that opens a segment."""
    off: Probability = 0.35
    """Speech probability below which the hangover runs; not above `on`."""
    min_speech_ms: Annotated[int, Meta(ge=0, le=10_000)] = 64
    """Speech needed before `speech_start`, milliseconds."""
    hangover_ms: Annotated[int, Meta(ge=0, le=10_000)] = 384
    """Silence that ends a segment, milliseconds."""
    pre_roll_ms: Annotated[int, Meta(ge=0, le=2000)] = 200
    """Audio before its onset that belongs to the segment, milliseconds."""
    max_utterance_ms: Annotated[int, Meta(ge=1000, le=600_000)] = 30_000
    """Length at which an utterance ends and another begins, milliseconds."""
    gate: bool = True
    """Whether to skip the model while the level is low."""
    gate_dbfs: Annotated[float, Meta(ge=-120, le=0)] = -60.0
    """Level below which the model may be skipped, dBFS."""
    gate_hold_ms: Annotated[int, Meta(ge=0, le=60_000)] = 480
    """Time below that level before skipping begins, milliseconds."""


class WakeSettings(Struct, frozen=True, kw_only=True):
    """Settings of wake words."""

    load: tuple[Word, ...] = (
        "alexa",
        "hey_jarvis",
        "hey_mycroft",
        "hey_marvin",
        "weather",
        "timer",
    )
    """Words that clients may ask for."""
    words: tuple[Word, ...] = ("alexa",)
    """Words of a client that names none; each must be in `load`, one of your own, or one that the
    keyword model spells."""
    keyword_model: Literal["off", "xiaoyun"] = "off"
    """Model that spells words with a character outside `[a-z0-9_]`."""
    threshold: Probability = 0.5
    """Score from which a word is recognised, unless it has its own threshold (`timer` has: 0.7)."""
    patience: Patience = 1
    """Steps of 80 ms in a row that must reach the threshold."""
    refractory_ms: RefractoryMs = 2000
    """Stream time during which the same word is not reported again, milliseconds."""
    thresholds: Mapping[str, Probability] = field(default_factory=dict)
    """Thresholds of single words, by word."""
    patiences: Mapping[str, Patience] = field(default_factory=dict)
    """Patience of single words, by word."""
    gate: bool = True
    """Whether the model may sleep while nobody may be speaking."""
    gate_threshold: Probability = 0.1
    """Speech probability from which somebody may be speaking."""
    gate_rise_db: Annotated[float, Meta(gt=0, le=20)] = 3.0
    """Decibels over the quietest of the last two seconds from which somebody may be speaking."""
    gate_hold_ms: Annotated[int, Meta(ge=80, le=60_000)] = 640
    """Time without either before the model sleeps, milliseconds."""


class Band(Struct, frozen=True, kw_only=True):
    """Cosine bounds of a decision about an enrolled voice; `unsure` lies between them."""

    accept: Cosine = 0.78
    """Cosine from which the voice is the enrolled one."""
    reject: Cosine = 0.65
    """Cosine below which it is not; not above `accept`."""

    def moved_to(self, accept: float) -> Self:
        """Return the band of the same width that accepts from another score on."""
        # Rounded, so that clients do not read 0.5499999999999999.
        reject = max(round(accept - (self.accept - self.reject), 4), 0.0)
        return structs.replace(self, accept=accept, reject=reject)


class NarrowBand(Band, frozen=True, kw_only=True):
    """Bounds on telephone audio, where all voices are more alike."""

    accept: Cosine = 0.8
    reject: Cosine = 0.7


class ChannelThresholds(Struct, frozen=True, kw_only=True):
    """Bounds by kind of channel, because scores differ on telephone audio."""

    wide: Band = Band()
    """Bounds for rates above 8 kHz, not companded."""
    narrow: NarrowBand = NarrowBand()
    """Bounds for 8 kHz, µ-law or A-law."""

    def of(self, channel: Literal["wide", "narrow"]) -> Band:
        """Return the bounds of a kind of channel."""
        return self.wide if channel == "wide" else self.narrow

    def calibrated(self, accept: Mapping[Literal["wide", "narrow"], float]) -> Self:
        """Return the bounds of the same width that accept from these scores on, by channel.

        Args:
            accept: As `Gallery.accept`; a channel without one keeps its bounds.
        """
        return structs.replace(
            self,
            **{channel: self.of(channel).moved_to(score) for channel, score in accept.items()},
        )

    def moved_to(self, accept: float) -> Self:
        """Return the bounds of the same width that accept from another score on."""
        return structs.replace(
            self, wide=self.wide.moved_to(accept), narrow=self.narrow.moved_to(accept)
        )


class SpeakerSettings(Struct, frozen=True, kw_only=True):
    """Settings of speakers. Scores are on the one scale of all voice models."""

    model: Literal[
        "ge2e",
        "ge2e-int8",
        "campplus",
        "campplus-int8",
        "campplus-zh-cn",
        "ecapa",
        "ecapa-int8",
        "eres2netv2",
    ] = "campplus"
    """Speaker model. All but `ge2e` hear 1.6 s of speech at a time beside `ge2e`, while it is open
    who speaks. `campplus` is more reliable than `ge2e` alone and costs more. Voices that were
    enrolled with `ge2e` go on by it. Each `-int8` is a faster form of a model. The last four need
    a checkpoint: `streamd models pull`.
    """
    hop_ms: HopMs = 500
    """Milliseconds between windows."""
    window_ms: Annotated[int, Meta(ge=400, le=1600)] = 1600
    """Milliseconds of one window, at most the 1600 on which the model was trained."""
    min_speech_ms: Annotated[int, Meta(ge=0, le=60_000)] = 500
    """Speech below which the decision is `too_short`, milliseconds."""
    label_min_ms: Annotated[int, Meta(ge=0, le=60_000)] = 1600
    """Speech needed for a new session label, milliseconds."""
    assign: Cosine = 0.75
    """Cosine from which the speaker gets an existing session label."""
    new: Cosine = 0.7
    """Cosine to all labels below which the speaker gets a new one; not above `assign`."""
    max_labels: Annotated[int, Meta(ge=1, le=1000)] = 32
    """Session labels per stream."""
    change: Cosine = 0.7
    """Cosine to the current speaker below which a window counts for a change."""
    thresholds: ChannelThresholds = ChannelThresholds()


class EmotionSettings(Struct, frozen=True, kw_only=True):
    """Settings of emotion."""

    hop_ms: HopMs = 500
    """Milliseconds between interim estimates; if equal to the speaker module's, both share each
    window."""
    model: EmotionFile = ""
    """`sensevoice`, `sensevoice-int8`, or a model file made by `python -m training.emotion
    retrain`; empty is the packaged one."""
    threshold: Probability = 0.0
    """Probability of the likeliest label below which the module abstains; 0 selects the model's."""
