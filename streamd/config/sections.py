"""Every key of the configuration: its type, range, default and unit.

`config/streamd.toml` says the same to the operator; `tests/config` holds the two in step.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal

from msgspec import Meta, Struct, field

from streamd.bounds import MAX_SESSION_S
from streamd.settings import (
    EmotionSettings,
    File,
    FileOrOff,
    SpeakerSettings,
    VadSettings,
    WakeSettings,
)

Count = Annotated[int, Meta(ge=1, le=1024)]
BackendName = Annotated[str, Meta(min_length=1, max_length=64)]
Origin = Annotated[
    str,
    Meta(
        pattern=r"(?i)^(?:null|(?!(?:about|blob|data|file|javascript|wss?)://)[a-z][a-z0-9+.-]*://"
        r"(?:\[[0-9a-f:.]+\]|[a-z0-9](?:[a-z0-9._~-]*[a-z0-9])?|[.-])(?::[1-9][0-9]{0,4})?/?)\Z",
        description='an origin without a path, as "https://example.org:8443", "tauri://localhost" '
        'or "null"',
    ),
]
"""An origin of a page; other schemes are those of pages whose origin a browser sends as `null`, or
of no page."""
Module = Literal["vad", "wake", "speaker", "emotion", "transcript"]


class ServerConfig(Struct, frozen=True, kw_only=True):
    """Where the daemon listens, and how it stops."""

    host: Annotated[str, Meta(min_length=1, max_length=255)] = "127.0.0.1"
    """Address to bind; only loopback in this version."""
    port: Annotated[int, Meta(ge=0, le=65535)] = 8765
    """TCP port; 0 selects a free one."""
    origins: tuple[Origin, ...] = ()
    """Origins of pages and apps allowed besides the page's own; `null` only if it is listed."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses or networks of proxies whose `X-Forwarded-For` is believed."""
    tls_cert: File = ""
    """PEM file of the server's certificate and its chain; empty serves without TLS."""
    tls_key: File = ""
    """PEM file of the certificate's private key; empty if `tls_cert` has it, too."""
    drain_s: Annotated[float, Meta(ge=0, le=3600)] = 10.0
    """Seconds that open streams get to end after SIGTERM."""
    receive_buffer_bytes: Annotated[int, Meta(ge=4096, le=16_777_216)] = 65536
    """SO_RCVBUF of the listener."""
    send_buffer_bytes: Annotated[int, Meta(ge=4096, le=16_777_216)] = 65536
    """SO_SNDBUF of the listener."""
    request_timeout_s: Annotated[float, Meta(gt=0, le=3600)] = 10.0
    """Seconds from a connection, or from its last answer, until a whole request must be there."""
    max_waiting: Annotated[int, Meta(ge=1, le=100_000)] = 512
    """Connections that may wait for a request; beyond that the oldest is closed for the next."""
    fast_path: Literal["auto", "off"] = "auto"
    """`auto` reads sockets past aiohttp, where its version allows that."""


class AccessConfig(Struct, frozen=True, kw_only=True):
    """Who may connect."""

    keys: Literal["auto", "always"] = "auto"
    """When a client must show an API key: `auto` is unless the port is bound to loopback."""
    audit_path: FileOrOff = ""
    """File of the audit log; empty is `audit.jsonl` in the data directory, `off` is none."""
    audit_max_mb: Annotated[int, Meta(ge=1, le=100_000)] = 64
    """Megabytes of one file of the audit log, before the next begins."""
    audit_keep: Annotated[int, Meta(ge=1, le=10_000)] = 16
    """Earlier files of the audit log that are kept."""
    allow_ips: tuple[str, ...] = ()
    """Addresses or networks that may connect; empty allows all."""


class LimitsConfig(Struct, frozen=True, kw_only=True):
    """Limits of one stream and of all streams."""

    max_streams: Annotated[int, Meta(ge=1, le=100_000)] = 256
    """Streams at once; the next is refused with 503."""
    max_message_bytes: Annotated[int, Meta(ge=1024, le=67_108_864)] = 1_048_576
    """Bytes of one WebSocket message; a longer one closes with 1009."""
    max_lag_ms: Annotated[int, Meta(ge=0, le=297_000)] = 5000
    """Milliseconds that a window may be late; a later one is left out and named by a gap. 0 sets no
    bound: nothing is left out, and lag refuses no stream."""
    max_loop_lag_ms: Annotated[int, Meta(ge=50, le=600_000)] = 1000
    """Milliseconds; a new stream is refused while the event loop has been later for seconds."""
    max_load: Annotated[float, Meta(ge=0, le=16)] = 0.75
    """Share of the cores that streams may need before the next is refused; 0 sets no bound."""
    idle_s: Annotated[int, Meta(ge=1, le=86_400)] = 60
    """Seconds without a message or a WebSocket ping before a close with 4010."""
    max_session_s: Annotated[int, Meta(ge=1, le=MAX_SESSION_S)] = 86_400
    """Seconds of audio in one stream before a close with 4011."""
    max_events_queued: Annotated[int, Meta(ge=10, le=1_000_000)] = 1000
    """Events kept for a client that does not read, before a close with 4008."""
    messages_per_s: Annotated[int, Meta(ge=0, le=1_000_000)] = 1000
    """Messages without audio in a second of one stream, before it is slowed down, and then closed
    with 4012. 0 sets no bound."""
    streams_per_key: Annotated[int, Meta(ge=0, le=100_000)] = 0
    """Streams at once with one key; the next is refused with 429. 0 sets no bound."""
    requests_per_s_per_key: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    """Requests a second with one key; the next is refused with 429. 0 sets no bound."""
    enrolments_per_h_per_key: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    """Enrolments an hour with one key; the next is refused with 429. 0 sets no bound."""
    connections_per_s: Annotated[int, Meta(ge=0, le=1_000_000)] = 0
    """New sockets a second with one key, or without one from one address; the next is refused with
    429. 0 sets no bound."""


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
    """The settings of a stream whose client says nothing."""

    modules: tuple[Module, ...] = ("vad", "wake", "speaker", "emotion")
    """Modules of a client that names none."""
    ring_s: Annotated[int, Meta(ge=2, le=300)] = 8
    """Seconds of audio kept per stream (32 KB each)."""
    enhance: Literal["off", "webrtc", "deep"] = "off"
    """Noise suppression of a client that says nothing of it; needs streamd-voice[enhance]."""


class TorchConfig(Struct, frozen=True, kw_only=True):
    """How the backend `torch` computes."""

    device: Annotated[str, Meta(pattern=r"^(auto|cpu|cuda(:[0-9]{1,3})?)$")] = "auto"
    """`cpu`, `cuda`, `cuda:1`, or `auto` for the first GPU if there is one."""
    precision: Literal["fp32", "fp16"] = "fp32"
    """Type of products in the speaker models; the others always compute in float32."""
    graphs: bool = True
    """Record CUDA graphs of the usual batch sizes at the start."""


class EngineConfig(Struct, frozen=True, kw_only=True):
    """How the engine runs the passes."""

    backend: BackendName = "onnxruntime"
    """Name of a file in `streamd/engine/backends`."""
    backends: Mapping[
        Literal["vad", "wake", "keyword", "voice", "voiceprint", "transcript"], BackendName
    ] = field(default_factory=dict)
    """Backend of single passes, by the name of the pass."""
    threads: Annotated[int, Meta(ge=0, le=1024)] = 0
    """Compute threads for VAD and wake, which go first; as many for speaker windows; and as many
    for speculative windows. 0 selects one per core that the process may use, or fewer where its
    control group has a CPU quota."""
    live_batch: Count = 64
    """Steps in a batch of VAD or wake."""
    voice_batch: Count = 6
    """Items in a batch of speaker windows."""
    torch: TorchConfig = field(default_factory=TorchConfig)
    """The settings of the backend `torch`; a table of its own, so it is the last."""


class FilesConfig(Struct, frozen=True, kw_only=True):
    """Files that are sent whole, over REST."""

    max_bytes: Annotated[int, Meta(ge=1024, le=68_719_476_736)] = 536_870_912
    """Bytes of one file; a longer one is refused with 413."""
    max_seconds: Annotated[float, Meta(gt=0, le=604_800)] = 14_400.0
    """Seconds of audio in one file, gaps included; more is refused with 413."""
    timeout_s: Annotated[float, Meta(gt=0, le=86_400)] = 120.0
    """CPU seconds that decoding one file may take, and seconds without any progress of it."""
    max_at_once: Annotated[int, Meta(ge=1, le=1024)] = 16
    """Files in work at once, on top of `limits.max_streams`."""
    max_waiting: Annotated[int, Meta(ge=0, le=100_000)] = 64
    """Files that may wait for their turn; the next is refused with 503."""


class ModelsConfig(Struct, frozen=True, kw_only=True):
    """Which models stay in memory."""

    idle_unload_s: Annotated[float, Meta(ge=0, le=2_592_000)] = 0.0
    """Seconds without use after which a model leaves memory until its next use; 0 keeps all. Those
    of voice activity and wake words stay."""


class TranscriptConfig(Struct, frozen=True, kw_only=True):
    """Text of speech."""

    model: Literal["off", "whisper-tiny-en", "sensevoice", "sensevoice-int8"] = "off"
    """The transcriber; `off` for none."""
    hop_ms: Annotated[int, Meta(ge=0, le=10_000)] = 0
    """Time between two texts of an open utterance, milliseconds; 0 is the model's own."""


class CacheConfig(Struct, frozen=True, kw_only=True):
    """Voices of files that were sent before."""

    max_voices: Annotated[int, Meta(ge=0, le=10_000_000)] = 10_000
    """Voices of uploaded files that are remembered, about 1.5 KB each; 0 remembers none. In Redis
    each tenant has so many."""
    redis_url: Annotated[str, Meta(max_length=4096)] = ""
    """Redis server that remembers them, as `redis://host:6379/0`; empty is the memory of this
    process."""
    redis_expire_s: Annotated[int, Meta(ge=1, le=31_536_000)] = 86_400
    """Seconds without use after which Redis forgets a voice."""


class StoreConfig(Struct, frozen=True, kw_only=True):
    """Where the store keeps enrolled voices."""

    path: File = ""
    """SQLite file, relative to the file that names it; empty is `streamd.db` in the data
    directory."""
    url: Annotated[str, Meta(max_length=4096)] = ""
    """PostgreSQL database that takes the place of the file, as `postgresql://user@host/database`."""
    key_path: File = ""
    """File of the key that seals the records; empty is `key` in the data directory."""
    poll_s: Annotated[float, Meta(ge=0.05, le=1)] = 1.0
    """Seconds between looks for changes by other processes; at most 1, because the streams of a
    revoked key have to end within two seconds."""


class LogConfig(Struct, frozen=True, kw_only=True):
    """What streamd logs, to stderr."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severity that is logged."""
    format: Literal["auto", "json", "console"] = "auto"
    """`auto` is `console` on a terminal, else `json`."""


class TracingConfig(Struct, frozen=True, kw_only=True):
    """Traces of files and utterances, for OpenTelemetry."""

    exporter: Literal["off", "otlp"] = "off"
    """`otlp` sends spans to a collector, by OTLP over HTTP."""
    endpoint: Annotated[str, Meta(max_length=4096)] = ""
    """URL of the collector, as `http://127.0.0.1:4318`; empty is that of
    `OTEL_EXPORTER_OTLP_ENDPOINT`, else that one."""
    headers_path: File = ""
    """File of HTTP headers for the collector, one `Name: value` a line."""
    sample_ratio: Annotated[float, Meta(ge=0, le=1)] = 1.0
    """Share of the traces that are sent, where no caller has decided for its own."""


RING_BEYOND_LAG_S = 3
"""Seconds of audio that the ring keeps beyond `limits.max_lag_ms`: a window that waits needs its
audio, which began up to 2 s before its end, and the stream goes on meanwhile."""
MIN_LAG_MS = 100


class Sections(Struct, frozen=True, kw_only=True):
    """One field per table of the file."""

    server: ServerConfig = ServerConfig()
    access: AccessConfig = AccessConfig()
    limits: LimitsConfig = LimitsConfig()
    resume: ResumeConfig = ResumeConfig()
    session: SessionConfig = SessionConfig()
    vad: VadSettings = VadSettings()
    wake: WakeSettings = field(default_factory=WakeSettings)
    speaker: SpeakerSettings = SpeakerSettings()
    emotion: EmotionSettings = EmotionSettings()
    engine: EngineConfig = EngineConfig()
    models: ModelsConfig = ModelsConfig()
    files: FilesConfig = FilesConfig()
    transcript: TranscriptConfig = TranscriptConfig()
    cache: CacheConfig = CacheConfig()
    store: StoreConfig = StoreConfig()
    log: LogConfig = LogConfig()
    tracing: TracingConfig = TracingConfig()

    @property
    def longest_lag_ms(self) -> int:
        """Return the largest value of `limits.max_lag_ms` that `session.ring_s` allows."""
        return max(1000 * (self.session.ring_s - RING_BEYOND_LAG_S), MIN_LAG_MS)


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
