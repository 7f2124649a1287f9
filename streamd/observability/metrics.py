"""Prometheus metrics. No label is a stream, a device or a voice, whose number has no bound."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from streamd import __version__
from streamd.events import Decision, GapCause

_BATCH = (1, 2, 4, 8, 16, 32, 64, 128)
_COMPUTE_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5)
_LOOP_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1)
_LAG_S = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)
_STREAM_S = (10, 60, 300, 900, 1800, 3600, 7200, 14_400, 28_800, 57_600, 86_400)


class Metrics:
    """The metrics of one app, in a registry of its own, so that two apps share a process.

    Labels: `pass` is a model pass, `model` the name of a model's file without its ending, `lane` is
    `live`, `final`, `interim` or `speculative`, `code` a close code. Each has few values, which the
    configuration bounds: docs/run/metrics.md lists them.
    """

    def __init__(self) -> None:
        # Otherwise each metric has a second series with its time of creation.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        Info("streamd_build", "Version that runs.", registry=registry).info(
            {"version": __version__}
        )

        def counter(name: str, text: str, *labels: str, known: tuple[str, ...] = ()) -> Counter:
            made = Counter(f"streamd_{name}", text, labels, registry=registry)
            # From 0 on, because Prometheus sees no increase where a series begins with 1.
            for value in known:
                made.labels(value)
            return made

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"streamd_{name}", text, labels, registry=registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(f"streamd_{name}", text, labels, buckets=buckets, registry=registry)

        self.ready = gauge("ready", "1 if new streams are taken, 0 while draining or stuck.")
        self.streams_open = gauge("streams_open", "Streams that have a socket now.")
        self.streams_limit = gauge("streams_limit", "Most streams that may be open.")
        self.streams = counter(
            "streams",
            "Sockets of streams that closed.",
            "code",
            known=("1000", "1006", "1011", "1012", "4008"),
        )
        self.stream_duration = histogram(
            "stream_duration_seconds", "Audio of a stream that is over.", _STREAM_S
        )
        self.messages = counter("messages", "Messages received.", "kind", known=("binary", "text"))
        self.slowed_seconds = counter(
            "slowed_seconds", "Waits of clients that send too many messages without audio."
        )
        self.received_bytes = counter("received_bytes", "Payload bytes received.")
        self.audio_seconds = counter("audio_seconds", "Audio received, seconds of stream time.")
        self.events = counter("events", "Events put into the queue of a client.", "type")
        self.event_lag = histogram(
            "event_lag_seconds",
            "From receiving the last sample that an event depends on to sending the event.",
            _LAG_S,
            "type",
        )
        self.wakes = counter("wakes", "Wake words reported.", "word")
        """word: one that the configuration names, or `own` for all words of the users' own."""
        self.speaker_decisions = counter(
            "speaker_decisions",
            "Final decisions about who speaks.",
            "decision",
            known=get_args(Decision),
        )
        self.emotions = counter("emotions", "Final moods of utterances.", "emotion")
        """emotion: a label of the model, or `abstain`."""
        self.utterances = counter("utterances", "Utterances that are over.")
        self.speech_seconds = counter("speech_seconds", "Speech in utterances that are over.")
        self.jobs = counter("jobs", "Items given to a model.", "pass", "lane")
        self.jobs_waiting = gauge("jobs_waiting", "Items that wait for a model.", "pass", "lane")
        self.workers_stuck = gauge(
            "workers_stuck", "Compute threads that have not come back from work for long."
        )
        self.queue_length = gauge("queue_length", "What is in a queue of the server.", "queue")
        self.queue_limit = gauge("queue_limit", "Most that may be in it.", "queue")
        """queue, here and above: what `queue` was called with."""
        self.stream_queue_limit = gauge(
            "stream_queue_limit", "Most that may be in a queue of one stream.", "queue"
        )
        self.stream_ring = gauge("stream_ring_seconds", "Audio that the ring of a stream holds.")
        self.spans = counter(
            "spans", "Spans of traces.", "result", known=("sent", "failed", "dropped")
        )
        """result: `sent`; `failed` where the collector did not take them; `dropped` where too many
        waited."""
        self.batch_size = histogram("batch_size", "Steps or windows of one batch.", _BATCH, "pass")
        self.pass_seconds = histogram("pass_seconds", "Wall time of one batch.", _COMPUTE_S, "pass")
        self.pass_cpu = counter("pass_cpu_seconds", "CPU time of the batches.", "pass")
        self.job_wait = histogram(
            "job_wait_seconds",
            "From the arrival of a batch's oldest item to the batch's start.",
            _LAG_S,
            "lane",
        )
        self.model_loaded = gauge(
            "model_loaded", "1 if a model is in memory, 0 if it was unloaded.", "model"
        )
        self.model_loads = counter("model_loads", "Loads of a model.", "model")
        self.model_info = gauge(
            "model_info",
            "1 for each model of the server.",
            *("model", "id", "version", "license", "backend", "precision"),
        )
        self.streams_held = gauge("streams_held", "Streams without a socket.", "kind")
        """kind: `dropped`; `ended` for the logs of those that said `bye`; `ending` for those that
        compute their final events and that nobody can come back to."""
        self.streams_held_limit = gauge("streams_held_limit", "Most of them.", "kind")
        self.streams_held_bytes = gauge(
            "streams_held_bytes", "Memory of the streams without a socket, roughly."
        )
        self.streams_held_limit_bytes = gauge("streams_held_limit_bytes", "Most of it.")
        self.streams_dropped = counter(
            "streams_dropped", "Streams held because their socket dropped."
        )
        self.streams_resumed = counter("streams_resumed", "Streams that were resumed.")
        self.resume_refused = counter("streams_resume_refused", "Resumes that were refused.")
        self.held_ended = counter(
            "streams_held_ended",
            "Dropped streams that ended without being resumed.",
            "reason",
            known=("window", "count", "memory", "events", "failed", "drain", "revoked", "key"),
        )
        """reason: `key` is the bound of one key."""
        self.held_broken_off = counter(
            "streams_held_broken_off",
            "Streams that nobody could resume and that ended without their final events.",
        )
        self.gaps = counter("gaps", "Gap events.", "cause", known=get_args(GapCause))
        self.coalesced = counter(
            "events_coalesced",
            "Interim events that a newer one replaced before a slow client read them.",
        )
        self.refused = counter(
            "streams_refused",
            "Streams refused before the upgrade.",
            "reason",
            known=("overloaded", "headroom", "draining", "descriptors", "key"),
        )
        self.headroom = gauge(
            "headroom_ratio",
            "Share of what the machine can carry that is left; at 0 streams are refused.",
        )
        self.streams_degraded = gauge(
            "streams_degraded", "Streams whose windows come less often, because of the load."
        )
        self.windows_skipped = counter(
            "windows_skipped", "Windows and final texts that were left out, because of the load."
        )
        self.live_lag = histogram(
            "live_lag_seconds",
            "How late the results of each live stream are, four times a second.",
            _LAG_S,
        )
        self.enrolments = counter(
            "stream_enrolments", "Enrolments from streams that went to the store.", "result"
        )
        """result: `enrolled`, or the `code` of the error."""
        self.baselines_dropped = counter(
            "baselines_dropped",
            "Voices whose learned baseline was lost.",
            "cause",
            known=("full", "stopped"),
        )
        self.store_failures = counter(
            "store_failures", "Attempts to use the store that failed.", "operation"
        )
        """operation: `read`, `write`, `erase`, or `limits` for what processes tell each other."""
        self.loop_lag = histogram(
            "loop_lag_seconds", "How late the event loop calls a timer.", _LOOP_S
        )
        self.fast_path_active = gauge(
            "fast_path_active", "1 if the sockets of streams are read past aiohttp."
        )
        self.tls_handshakes = counter(
            "tls_handshakes",
            "TLS handshakes that ended.",
            "result",
            known=("done", "resumed", "refused", "plain_http", "lost"),
        )
        """result: `resumed` with a session ticket; `refused` by either side; `lost` with the
        connection."""
        self.tls_handshakes_queued = gauge(
            "tls_handshakes_queued", "Connections whose handshake waits for its turn."
        )
        self.certificate_expiry = gauge(
            "certificate_expiry_timestamp_seconds",
            "When the TLS certificate expires, Unix time; NaN without TLS.",
        )
        self.certificate_expiry.set(math.nan)
        self.certificate_reloads = counter(
            "certificate_reloads",
            "Changes of the certificate's files.",
            "result",
            known=("taken", "refused"),
        )
        """result: `refused` so that the certificate before it stays."""
        self.requests_refused = counter(
            "requests_refused",
            "Requests refused because of who makes them.",
            "reason",
            known=("address", "origin", "host"),
        )
        self.http_errors = counter("http_errors", "HTTP requests refused.", "status")
        self.connections_closed = counter(
            "connections_closed",
            "Connections closed because no request came.",
            "reason",
            known=("timeout", "crowded"),
        )
        self.descriptors_exhausted = counter(
            "descriptors_exhausted", "Connections that came when no file descriptor was free."
        )
        self.request_memory = gauge(
            "request_memory_bytes", "Memory of REST requests while they are read."
        )
        self.request_memory_limit = gauge("request_memory_limit_bytes", "Most of it.")
        self.data_free = gauge("data_free_bytes", "Free space on the disk of the data folder.")
        self.data_free.set(math.nan)
        self.audit_lost = counter("audit_lost", "Entries that the audit log does not have.")
        self.streams_revoked = counter(
            "streams_revoked", "Sockets closed because their key was revoked or expired."
        )
        self.files_in_work = gauge("files_in_work", "Files that are decoded and analysed now.")
        self.files_refused = counter("files_refused", "Files refused because too many waited.")
        self.file_jobs_waiting = gauge(
            "file_jobs_waiting",
            "Items of files that wait for a model; `jobs_waiting` counts them too.",
        )
        self.files_decoded = counter(
            "files_decoded",
            "Files that were decoded.",
            "result",
            known=("ok", "not_audio", "too_large", "crashed", "killed", "abandoned"),
        )
        self.decoders = gauge("decoders", "Decoding processes that run.")
        self.decoder_starts = counter("decoder_starts", "Decoding processes that were started.")
        self.voice_cache = counter(
            "voice_cache_lookups",
            "Looks for the voice of a file that may have been sent before.",
            "result",
        )
        """result: `hit` or `miss`."""
        self.voice_cache_entries = gauge(
            "voice_cache_entries", "Voices of files that are remembered in memory."
        )
        self.voice_cache_limit = gauge(
            "voice_cache_limit", "Most voices of files that are remembered."
        )
        self.voice_cache_failures = counter(
            "voice_cache_failures", "Calls of the cache in Redis without an answer.", "cause"
        )
        """cause: `failed`, or `skipped` because one failed just before."""
        self.slow_consumers = counter(
            "slow_consumer_closes", "Sockets closed because the client did not read."
        )

    def queue(self, name: str, limit: float, length: Callable[[], float]) -> None:
        """Report a queue of the server.

        Args:
            name: Its label.
            limit: Most that may be in it.
            length: Returns what is in it now.
        """
        self.queue_limit.labels(name).set(limit)
        self.queue_length.labels(name).set_function(length)

    def render(self) -> tuple[bytes, str]:
        """Return the body and the content type of `GET /metrics`."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST
