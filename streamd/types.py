"""Types that every layer shares, with no logic beyond what a value says about itself."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

RATE_HZ = 16_000
"""Sample rate inside: a position on the timeline counts samples at this rate."""
Samples: TypeAlias = npt.NDArray[np.int16]
Floats: TypeAlias = npt.NDArray[np.float32]

MAX_CHANNELS = 8
Channel = Annotated[int, msgspec.Meta(ge=0, lt=MAX_CHANNELS)]
Codec = Literal["pcm_s16le", "pcm_f32le", "mulaw", "alaw", "opus"]
OPUS_RATES_HZ = (8_000, 12_000, 16_000, 24_000, 48_000)
"""Rates of an Opus decoder, and so the rates at which a stream may count its frames."""
MAX_OPUS_CHANNELS = 2
OPUS_DECODED_HZ = 48_000
"""Rate of the samples that come out of the Opus decoder, at whatever rate a client counts them."""
Enhance = Literal["off", "webrtc", "deep"]
"""Noise suppression: none, that of WebRTC, or DeepFilterNet3."""


class AudioFormat(msgspec.Struct, frozen=True, kw_only=True):
    """The format of the client's audio. Valid by construction through `protocol.messages`."""

    codec: Codec = "pcm_s16le"
    rate: Annotated[int, msgspec.Meta(ge=8_000, le=48_000)] = RATE_HZ
    """Sample rate, Hz."""
    channels: Annotated[int, msgspec.Meta(ge=1, le=MAX_CHANNELS)] = 1
    """Number of interleaved channels."""
    use: Annotated[tuple[Channel, ...], msgspec.Meta(min_length=1)] | None = None
    """Channels to mix, from 0, each once; None mixes all, but not `far_end`."""
    enhance: Enhance | None = None
    """Noise suppression; None is what the server is configured for."""
    far_end: Channel | None = None
    """Channel that carries what the loudspeaker plays, whose echo is taken out of the others."""

    @property
    def mixed(self) -> tuple[int, ...]:
        """Return the channels that are mixed, in their order."""
        if self.use is not None:
            return self.use
        return tuple(channel for channel in range(self.channels) if channel != self.far_end)

    @property
    def bytes_per_sample(self) -> int:
        """Return the bytes of one sample of one channel; for Opus, once it is decoded."""
        return {"pcm_s16le": 2, "pcm_f32le": 4, "mulaw": 1, "alaw": 1, "opus": 4}[self.codec]

    @property
    def has_packets(self) -> bool:
        """Return whether a message is one packet, and not samples that were cut anywhere."""
        return self.codec == "opus"

    @property
    def decoded_hz(self) -> int:
        """Return the rate of the decoded samples, Hz."""
        return OPUS_DECODED_HZ if self.has_packets else self.rate

    @property
    def frame_bytes(self) -> int:
        """Return the bytes of one sample frame (all channels together)."""
        return self.bytes_per_sample * self.channels

    def described(self) -> dict[str, Any]:
        """Return the effective `audio` of `ready`."""
        return {
            "codec": self.codec,
            "rate": self.rate,
            "channels": self.channels,
            "use": list(self.mixed),
            "enhance": self.enhance or "off",
            "far_end": self.far_end,
        }

    @property
    def channel_kind(self) -> Literal["wide", "narrow"]:
        """Return `narrow` for telephone audio, whose scores differ, else `wide`."""
        narrow = self.rate <= 8000 or self.codec in ("mulaw", "alaw")
        return "narrow" if narrow else "wide"


class Lane(enum.IntEnum):
    """Priority of a piece of work; lower runs first. LIVE has threads of its own."""

    LIVE = 0
    FINAL = 1
    INTERIM = 2
    SPECULATIVE = 3
    """Lane of work that is not due yet. It has threads of its own, and time for full batches."""


class WindowRequest(NamedTuple):
    """What the readers of a window want of its pass besides its usual output."""

    extras: frozenset[str]
    """Names of further outputs, each of which has a cost."""
    new: int
    """Samples at the end of the window that no window before it had."""
    begun: Floats | None = None
    """Output of the speculative pass for the beginning of the window, float32."""


class ChainRequest(NamedTuple):
    """What a job of a chain needs besides the samples that no job of the utterance before it had.

    Its output is a pair: the output proper, and the state for the next job of the utterance.
    """

    state: Any
    """State that the job before returned; None for the first of the utterance."""
    is_last: bool
    """Whether the utterance is over, so that no further job follows."""
    options: Any = None
    """What the session chose, with a meaning that the pass defines."""


class RecogniserOptions(NamedTuple):
    """What a session wants of a recogniser."""

    language: str = "auto"
    """BCP 47, or `auto`; one that the recogniser knows."""
    itn: bool = True
    """Whether numbers are written with digits, where the recogniser can do both."""


ANY_LANGUAGE = RecogniserOptions()
"""What a recogniser is asked for where nobody says."""


class TextSegment(NamedTuple):
    """A stretch of recognised text."""

    t0: int
    """Start, milliseconds."""
    t1: int
    """End, milliseconds."""
    text: str


class Recognition(NamedTuple):
    """What a recogniser makes of an utterance so far."""

    text: str
    """All of it; empty where it finds no words."""
    language: str
    """BCP 47."""
    segments: tuple[TextSegment, ...] = ()
    """The text in order, in milliseconds from the first sample of the utterance."""
    confidence: float | None = None
    """Mean probability of the text, 0 to 1; None where the model has none."""
    events: tuple[str, ...] = ()
    """Sounds besides speech, as `laughter`."""
    moods: tuple[float, ...] = ()
    """Seconds of the speech that sound like each label of emotion, and like none of them, `[8]`;
    empty where the model does not tell."""


Options: TypeAlias = tuple[str | int, ...] | WindowRequest | ChainRequest | None
"""What a job needs of its pass besides the audio: for a step the wake words, by name or by id of a
registered head; for a window, or a job of a chain, its request."""


@dataclass(slots=True, eq=False)
class Job:
    """One item for a batched pass. A session makes it, and the engine runs it.

    An item is a window, or several steps of a stream in a row, so that they go to the engine and
    back together.

    The session names the audio as a span of its timeline. The samples are cut from the ring when
    the item is put into a batch, so that a waiting job holds no copy of the audio.

    It is plain data, so that it can cross to another process. What it is for stays in a table of
    the session, under the job's key.
    """

    pass_name: str
    lane: Lane
    key: int
    """Number of the job among those of its session that the engine has."""
    start: int = 0
    stop: int = 0
    """Span on the session's timeline, samples at 16 kHz; `stop` is exclusive."""
    samples: Samples | None = None
    """The samples, if they are not a span of the ring (padded copies)."""
    load: int = -1
    """State slot to read, -1 for the initial state (and for passes without state)."""
    store: int = -1
    """State slot to write, -1 to keep nothing."""
    options: Options = None
    step: int = 0
    """Samples from one step to the next; 0 for a window."""
    steps: int = 1
    """Number of steps in the samples."""
    asked: int = 1
    """Number of the last steps whose outputs are wanted; the model only replays the others."""


class Slots(NamedTuple):
    """The two state slots of one pass that a stream owns."""

    live: int
    copy: int
    """Slot for a walk on a copy, while the live state stays untouched."""


STATELESS = Slots(-1, -1)
"""The slots of a pass without state."""
