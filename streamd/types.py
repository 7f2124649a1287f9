"""Words that every layer shares. No logic beyond what a value says about itself."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

RATE_HZ = 16_000
"""The one rate inside: a position on the timeline counts samples at this rate."""

Samples: TypeAlias = npt.NDArray[np.int16]
Floats: TypeAlias = npt.NDArray[np.float32]

MAX_NAME_CHARS = 64
"""Of a voice or a wake word."""
WordName = Annotated[
    str,
    msgspec.Meta(
        pattern=r"^[a-z][a-z0-9]*(_[a-z0-9]+)*\Z",
        max_length=MAX_NAME_CHARS,
        description="lower-case letters and digits, words joined by one underscore, "
        f"{MAX_NAME_CHARS} characters at most, as hey_computer",
    ),
]
"""What a wake word of the user's own may be called."""

MAX_CHANNELS = 8
Channel = Annotated[int, msgspec.Meta(ge=0, lt=MAX_CHANNELS)]
Codec = Literal["pcm_s16le", "pcm_f32le", "mulaw", "alaw"]


class AudioFormat(msgspec.Struct, frozen=True, kw_only=True):
    """What the client sends. Valid by construction through `protocol.messages`."""

    codec: Codec = "pcm_s16le"
    rate: Annotated[int, msgspec.Meta(ge=8_000, le=48_000)] = RATE_HZ
    """Hz."""
    channels: Annotated[int, msgspec.Meta(ge=1, le=MAX_CHANNELS)] = 1
    """Interleaved."""
    use: Annotated[tuple[Channel, ...], msgspec.Meta(min_length=1)] | None = None
    """Channels to mix, from 0, each once; None mixes all."""

    @property
    def bytes_per_sample(self) -> int:
        """Bytes of one sample of one channel."""
        return {"pcm_s16le": 2, "pcm_f32le": 4, "mulaw": 1, "alaw": 1}[self.codec]

    @property
    def frame_bytes(self) -> int:
        """Bytes of one sample frame (all channels together)."""
        return self.bytes_per_sample * self.channels

    def described(self) -> dict[str, Any]:
        """The effective `audio` of `ready`."""
        use = range(self.channels) if self.use is None else self.use
        return {
            "codec": self.codec,
            "rate": self.rate,
            "channels": self.channels,
            "use": list(use),
        }

    @property
    def channel_kind(self) -> Literal["wide", "narrow"]:
        """`narrow` for telephone audio, whose voices score apart from wide-band ones."""
        narrow = self.rate <= 8000 or self.codec in ("mulaw", "alaw")
        return "narrow" if narrow else "wide"


class Lane(enum.IntEnum):
    """Priority of a piece of work; lower runs first. LIVE has threads of its own."""

    LIVE = 0
    FINAL = 1
    INTERIM = 2
    SPECULATIVE = 3
    """Not asked for yet. Has threads of its own, and time for full batches."""


class WindowRequest(NamedTuple):
    """What the readers of a window want of its pass besides what it always gives."""

    extras: frozenset[str]
    """Names of further outputs, each of which costs something."""
    new: int
    """Samples at the end of the window that no window before it had."""
    begun: Floats | None = None
    """What the speculative pass computed over the beginning of the window, float32."""


Options: TypeAlias = tuple[str | int, ...] | WindowRequest | None
"""What a job wants of its pass besides the audio: of a step the wake words, loaded ones by name and
registered heads by id; of a window its request."""


@dataclass(slots=True, eq=False)
class Job:
    """One item for a batched model pass. Made by a session, run by the engine.

    An item is a window, or some steps of a stream in a row: one job for all of them is one way to
    the engine and back.

    The session names the audio as a span of its timeline; the samples are cut when the item
    is put into a batch, so that a waiting job holds no copy of the audio.

    It is plain data, so that it can cross to another process: what it is for stays in a table of
    the session, under the job's key.
    """

    pass_name: str
    lane: Lane
    key: int
    """Names the job among those of its session that are out."""
    start: int = 0
    stop: int = 0
    """Span on the session's timeline, samples at 16 kHz; `stop` is exclusive."""
    samples: Samples | None = None
    """The samples themselves, where they are not a span of the ring (padded copies)."""
    load: int = -1
    """State slot to read, -1 for the initial state (and for passes without state)."""
    store: int = -1
    """State slot to write, -1 to keep nothing."""
    options: Options = None
    step: int = 0
    """Samples from one step to the next; 0 for a window."""
    steps: int = 1
    """How many steps the samples hold."""
    asked: int = 1
    """How many of them, the last ones, are to be answered; the model only hears the others."""


class Slots(NamedTuple):
    """The two state slots that a stream owns of a pass."""

    live: int
    copy: int
    """For what is evaluated on a copy while the live state goes on untouched."""


STATELESS = Slots(-1, -1)
"""Of a pass that keeps no state."""
