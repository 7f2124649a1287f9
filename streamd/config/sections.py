"""Every key of the configuration: its type, range, default and unit. Nothing else.

`config/streamd.toml` says the same to the operator; `tests/config` holds the two in step.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

Probability = Annotated[float, Meta(ge=0, le=1)]
Cosine = Annotated[float, Meta(ge=-1, le=1)]
Count = Annotated[int, Meta(ge=1, le=1024)]
Patience = Annotated[int, Meta(ge=1, le=25)]
Word = Annotated[str, Meta(min_length=1, max_length=64)]
Origin = Annotated[
    str,
    Meta(
        pattern=r"(?i)^(?:null|(?!(?:about|blob|data|file|javascript|wss?)://)[a-z][a-z0-9+.-]*://"
        r"(?:\[[0-9a-f:.]+\]|[a-z0-9](?:[a-z0-9._~-]*[a-z0-9])?|[.-])(?::[1-9][0-9]{0,4})?/?)\Z",
        description='an origin without a path, as "https://example.org:8443", "tauri://localhost" '
        'or "null"',
    ),
]
"""The schemes left out are those of pages whose origin a browser sends as `null`, or of no page."""
File = Annotated[str, Meta(extra={"is_path": True})]
"""A path. From a file it is relative to the folder of that file, from the environment to the
current directory; `~` is the home. Once loaded it is absolute."""
Module = Literal["vad", "wake", "speaker", "emotion"]


class ServerConfig(Struct, frozen=True, kw_only=True):
    """Where the daemon listens and how it leaves."""

    host: Annotated[str, Meta(min_length=1, max_length=255)] = "127.0.0.1"
    """Address to bind; only loopback in this version."""
    port: Annotated[int, Meta(ge=0, le=65535)] = 8765
    """TCP port; 0 takes a free one."""
    origins: tuple[Origin, ...] = ()
    """Origins of pages and apps allowed besides the page's own; `null` only if it is listed."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses or networks of proxies whose `X-Forwarded-For` is believed."""
    drain_s: Annotated[float, Meta(ge=0, le=3600)] = 10.0
    """Seconds that open streams get to end after SIGTERM."""
    receive_buffer_bytes: Annotated[int, Meta(ge=4096, le=16_777_216)] = 65536
    """SO_RCVBUF of the listener."""
    request_timeout_s: Annotated[float, Meta(gt=0, le=3600)] = 10.0
    """Seconds from a connection, or from its last answer, to a whole request."""
    max_waiting: Annotated[int, Meta(ge=1, le=100_000)] = 512
    """Connections that wait for a request; the oldest makes room for the next."""


class LimitsConfig(Struct, frozen=True, kw_only=True):
    """Bounds of one stream and of all of them."""

    max_streams: Annotated[int, Meta(ge=1, le=100_000)] = 256
    """Streams at once; the next is refused with 503."""
    max_message_bytes: Annotated[int, Meta(ge=1024, le=67_108_864)] = 1_048_576
    """Bytes of one WebSocket message; longer closes 1009."""
    max_lag_ms: Annotated[int, Meta(ge=100, le=600_000)] = 5000
    """Milliseconds, announced to clients. This version skips no window, however late it is."""
    idle_s: Annotated[int, Meta(ge=1, le=86_400)] = 60
    """Seconds without a message or a WebSocket ping before close 4010."""
    max_session_s: Annotated[int, Meta(ge=1, le=31_536_000)] = 86_400
    """Seconds of audio in one stream before close 4011."""
    max_events_queued: Annotated[int, Meta(ge=10, le=1_000_000)] = 1000
    """Events kept for a client that does not read, before close 4008."""


class ResumeConfig(Struct, frozen=True, kw_only=True):
    """Streams whose socket dropped, until their clients come back."""

    window_s: Annotated[int, Meta(ge=1, le=86_400)] = 60
    """Seconds from the drop."""
    max_held: Annotated[int, Meta(ge=0, le=100_000)] = 256
    """Streams without a socket, on top of `limits.max_streams`; 0 keeps none."""
    max_events: Annotated[int, Meta(ge=10, le=1_000_000)] = 1000
    """Log events of one stream."""
    max_memory_mb: Annotated[int, Meta(ge=1, le=1_000_000)] = 256
    """Megabytes of all streams without a socket."""


class SessionConfig(Struct, frozen=True, kw_only=True):
    """What a stream is when its client says nothing."""

    modules: tuple[Module, ...] = ("vad", "wake", "speaker", "emotion")
    """Modules of a client that names none."""
    ring_s: Annotated[int, Meta(ge=2, le=300)] = 8
    """Seconds of audio kept per stream (32 KB each)."""


class VadConfig(Struct, frozen=True, kw_only=True):
    """Speech edges."""

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
    """Audio counted to the segment before its onset, milliseconds."""
    max_utterance_ms: Annotated[int, Meta(ge=1000, le=600_000)] = 30_000
    """Length at which an utterance is cut, milliseconds."""
    gate: bool = True
    """Skip the model while the level is low."""
    gate_dbfs: Annotated[float, Meta(ge=-120, le=0)] = -60.0
    """Level below which the model may be skipped, dBFS."""
    gate_hold_ms: Annotated[int, Meta(ge=0, le=60_000)] = 480
    """Time below that level before skipping begins, milliseconds."""


class WakeConfig(Struct, frozen=True, kw_only=True):
    """Wake words."""

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
    """Words of a client that names none; each in `load`, or one of your own."""
    threshold: Probability = 0.5
    """Score at which a word is heard that has no threshold of its own (`timer` has: 0.7)."""
    patience: Patience = 1
    """Steps of 80 ms in a row at the threshold or above."""
    refractory_ms: Annotated[int, Meta(ge=0, le=60_000)] = 2000
    """Stream time during which the same word is not reported again, milliseconds."""
    thresholds: Mapping[str, Probability] = field(default_factory=dict)
    """Threshold by word, where it differs from `threshold`."""
    patiences: Mapping[str, Patience] = field(default_factory=dict)
    """Patience by word, where it differs from `patience`."""
    gate: bool = True
    """Let the model sleep while nobody may be speaking."""
    gate_threshold: Probability = 0.1
    """Speech probability from which somebody may be."""
    gate_rise_db: Annotated[float, Meta(gt=0, le=20)] = 3.0
    """How much louder it must get for the same, over the quietest of the last two seconds."""
    gate_hold_ms: Annotated[int, Meta(ge=80, le=60_000)] = 640
    """Time without either before the model sleeps, milliseconds."""


class AcceptReject(Struct, frozen=True, kw_only=True):
    """Cosine bounds of a decision about an enrolled voice; `unsure` lies between them."""

    accept: Cosine = 0.78
    """At or above: the voice is the enrolled one."""
    reject: Cosine = 0.65
    """Below: it is not; not above `accept`."""


class NarrowAcceptReject(AcceptReject, frozen=True, kw_only=True):
    """On telephone audio, where all voices are more alike."""

    accept: Cosine = 0.8
    reject: Cosine = 0.7


class ChannelThresholds(Struct, frozen=True, kw_only=True):
    """Bounds by kind of channel, since telephone audio scores apart."""

    wide: AcceptReject = AcceptReject()
    """Above 8 kHz and not companded."""
    narrow: NarrowAcceptReject = NarrowAcceptReject()
    """8 kHz, µ-law or A-law."""


class SpeakerConfig(Struct, frozen=True, kw_only=True):
    """Who speaks. Every score is a cosine between voice embeddings."""

    model: Literal["ge2e", "ge2e-int8"] = "ge2e"
    """`ge2e-int8` is faster and another model: voices have to be enrolled with it."""
    hop_ms: Annotated[int, Meta(ge=100, le=10_000)] = 500
    """Milliseconds between windows."""
    window_ms: Annotated[int, Meta(ge=400, le=1600)] = 1600
    """Milliseconds of one window; the model was trained on 1600 and hears no more at once."""
    min_speech_ms: Annotated[int, Meta(ge=0, le=60_000)] = 500
    """Speech below which the decision is `too_short`, milliseconds."""
    label_min_ms: Annotated[int, Meta(ge=0, le=60_000)] = 1600
    """Speech needed to found a new session label, milliseconds."""
    assign: Cosine = 0.75
    """At or above: the voice gets an existing session label."""
    new: Cosine = 0.7
    """Below, to all labels: the voice founds a new one; not above `assign`."""
    max_labels: Annotated[int, Meta(ge=1, le=1000)] = 32
    """Session labels per stream."""
    change: Cosine = 0.7
    """A window below this to the current voice speaks for a change."""
    thresholds: ChannelThresholds = ChannelThresholds()


class EmotionConfig(Struct, frozen=True, kw_only=True):
    """In what mood someone speaks."""

    hop_ms: Annotated[int, Meta(ge=100, le=10_000)] = 500
    """Milliseconds between points of the track; where it is the speaker module's, both read the
    same pass of the model."""
    model: File = ""
    """Model file made by `python -m training.emotion retrain`; empty is the one that is shipped."""
    threshold: Probability = 0.0
    """Probability of the likeliest label below which the module abstains; 0 takes the model's."""


class EngineConfig(Struct, frozen=True, kw_only=True):
    """How model passes are run."""

    backend: Annotated[str, Meta(min_length=1, max_length=64)] = "onnxruntime"
    """Name of a file in `streamd/engine/backends`."""
    threads: Annotated[int, Meta(ge=0, le=1024)] = 0
    """Compute threads for VAD and wake, which go first, as many for voices, and as many for what is
    computed of them early; 0 takes one per core that the process may use."""
    live_batch: Count = 64
    """Steps in a batch of VAD or wake."""
    voice_batch: Count = 6
    """Items in a batch of speaker windows."""


class StoreConfig(Struct, frozen=True, kw_only=True):
    """Where enrolled voices are kept."""

    path: File = ""
    """SQLite file, relative to the file that names it; empty is `streamd.db` in the data
    directory."""
    poll_s: Annotated[float, Meta(ge=0.05, le=60)] = 1.0
    """Seconds between looks for changes by other processes."""


class LogConfig(Struct, frozen=True, kw_only=True):
    """What is logged, to stderr."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severity that is written."""
    format: Literal["auto", "json", "console"] = "auto"
    """`auto` is `console` on a terminal, else `json`."""


class Sections(Struct, frozen=True, kw_only=True):
    """One field per table of the file."""

    server: ServerConfig = ServerConfig()
    limits: LimitsConfig = LimitsConfig()
    resume: ResumeConfig = ResumeConfig()
    session: SessionConfig = SessionConfig()
    vad: VadConfig = VadConfig()
    wake: WakeConfig = field(default_factory=WakeConfig)
    speaker: SpeakerConfig = SpeakerConfig()
    emotion: EmotionConfig = EmotionConfig()
    engine: EngineConfig = EngineConfig()
    store: StoreConfig = StoreConfig()
    log: LogConfig = LogConfig()


class Config(Sections, frozen=True, kw_only=True):
    """The configuration in force. Made by `load`; `Config()` is the built-in defaults."""

    source: str = "built-in defaults"
    """Path of the file that was read."""
    origins: Mapping[str, str] = field(default_factory=dict)
    """Where each key that was set comes from: `server.port` → `/etc/…/streamd.toml:4`."""

    def where(self, key: str) -> str:
        """Where `section.key` (or, for a table, what is in it) was set, else `default`."""
        found = {o: None for k, o in self.origins.items() if f"{k}.".startswith(f"{key}.")}
        return ", ".join(found) or "default"

    def is_set(self, key: str) -> bool:
        """Whether the file or the environment sets `section.key`."""
        return self.where(key) != "default"
