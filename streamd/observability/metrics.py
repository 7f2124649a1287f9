"""Prometheus metrics. No label is a session, a device or a name, whose number has no bound."""

from __future__ import annotations

import math

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

_BATCH = (1, 2, 4, 8, 16, 32, 64, 128)
_COMPUTE_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5)
_LOOP_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1)
_LAG_S = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)


class Metrics:
    """The metrics of one app, in a registry of its own, so that two apps share a process.

    Labels: `pass` is a model pass, `model` the name of a model's file without its ending, `lane` is
    `live`, `final`, `interim` or `speculative`, `code` a close code.
    """

    def __init__(self) -> None:
        # Otherwise each metric has a second series with its time of creation.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        Info("streamd_build", "Version that runs.", registry=registry).info(
            {"version": __version__}
        )

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"streamd_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"streamd_{name}", text, labels, registry=registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(f"streamd_{name}", text, labels, buckets=buckets, registry=registry)

        self.sessions_open = gauge("sessions_open", "Streams that are open now.")
        self.sessions = counter("sessions", "Streams that ended.", "code")
        self.messages = counter("messages", "Messages received.", "kind")
        """kind: `binary` or `text`."""
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
        self.jobs = counter("jobs", "Items given to a model.", "pass", "lane")
        self.queue_depth = gauge("queue_depth", "Items that wait for a model.", "pass", "lane")
        self.queue_limit = gauge("queue_limit", "Bound of a queue.", "queue")
        self.spans = counter("spans", "Spans of traces.", "result")
        """result: `sent`; `failed` where the collector did not take them; `dropped` where too many
        waited."""
        self.spans_waiting = gauge("spans_waiting", "Spans that wait to be sent.")
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
        self.held_streams = gauge("held_streams", "Streams without a socket.", "kind")
        """kind: `dropped`; `ended` for the logs of those that said `bye`; `ending` for those that
        compute their final events and that nobody can come back to."""
        self.held_bytes = gauge("held_bytes", "Memory of the streams without a socket, roughly.")
        self.streams_held = counter("streams_held", "Streams held because their socket dropped.")
        self.streams_resumed = counter("streams_resumed", "Streams that were resumed.")
        self.resume_refused = counter("resume_refused", "Resumes that were refused.")
        self.held_ended = counter(
            "held_ended", "Dropped streams that ended without being resumed.", "reason"
        )
        """reason: `window`, `count`, `memory`, `events`, `failed`, `drain`, `revoked`, or `key` for
        the bound of one key."""
        self.held_broken_off = counter(
            "held_broken_off",
            "Streams that nobody could resume and that ended without their final events.",
        )
        self.gaps = counter("gaps", "Gap events.", "cause")
        self.coalesced = counter(
            "coalesced_events",
            "Interim events that a newer one replaced before a slow client read them.",
        )
        self.refused = counter("streams_refused", "Streams refused before the upgrade.", "reason")
        self.headroom = gauge(
            "headroom",
            "Share of what the machine can carry that is left; at 0 streams are refused.",
        )
        self.streams_degraded = gauge(
            "streams_degraded", "Streams whose windows come less often, because of the load."
        )
        self.windows_skipped = counter(
            "windows_skipped", "Windows and final texts that were left out, because of the load."
        )
        self.live_lag = gauge(
            "live_lag_seconds",
            "How late the results of live streams are: nine in ten are no later.",
        )
        self.enrolments = counter(
            "stream_enrolments", "Enrolments from streams that went to the store.", "result"
        )
        """result: `enrolled`, or the `code` of the error."""
        self.baselines_dropped = counter(
            "baselines_dropped", "Voices whose learned baseline was lost.", "cause"
        )
        """cause: `full` or `stopped`."""
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
        self.tls_handshakes = counter("tls_handshakes", "TLS handshakes that ended.", "result")
        """result: `done`; `resumed` with a session ticket; `refused` by either side; `plain_http`;
        `lost` with the connection."""
        self.tls_handshakes_queued = gauge(
            "tls_handshakes_queued", "Connections whose handshake waits for its turn."
        )
        self.certificate_days_left = gauge(
            "certificate_days_left", "Days until the TLS certificate expires; NaN without TLS."
        )
        self.certificate_days_left.set(math.nan)
        self.certificate_reloads = counter(
            "certificate_reloads", "Changes of the certificate's files.", "result"
        )
        """result: `taken`, or `refused` so that the certificate before it stays."""
        self.requests_refused = counter(
            "requests_refused", "Requests refused because of who makes them.", "reason"
        )
        """reason: `address`, `origin` or `host`."""
        self.http_errors = counter("http_errors", "HTTP requests refused.", "status")
        self.connections_waiting = gauge(
            "connections_waiting", "Connections without a request in progress."
        )
        self.connections_closed = counter(
            "connections_closed", "Connections closed because no request came.", "reason"
        )
        self.descriptors_exhausted = counter(
            "descriptors_exhausted", "Connections that came when no file descriptor was free."
        )
        self.request_bytes = gauge(
            "request_bytes", "Bytes of REST requests that are in memory while they are read."
        )
        self.words_in_work = gauge(
            "words_in_work", "Wake words of users that are made, or wait to be made."
        )
        self.transcripts_in_work = gauge(
            "transcripts_in_work", "Utterances of files that are transcribed, or wait to be."
        )
        self.calibrations_in_work = gauge(
            "calibrations_in_work", "Calibrations of voices that are made, or wait to be made."
        )
        self.access_waiting = gauge(
            "access_waiting", "Calls about tickets and counters that wait for the store."
        )
        self.audit_waiting = gauge("audit_waiting", "Entries that wait for the audit log's disk.")
        self.audit_lost = counter("audit_lost", "Entries that the audit log does not have.")
        self.streams_revoked = counter(
            "streams_revoked", "Sockets closed because their key was revoked or expired."
        )
        self.files_in_work = gauge("files_in_work", "Files that are decoded and analysed now.")
        self.files_waiting = gauge("files_waiting", "Files that wait for their turn.")
        self.files_refused = counter("files_refused", "Files refused because too many waited.")
        self.file_jobs_waiting = gauge(
            "file_jobs_waiting", "Items of files that wait for a model; also in the queue depth."
        )
        self.files_decoded = counter("files_decoded", "Files that were decoded.", "result")
        """result: `ok`, `not_audio`, `too_large`, `crashed`, `killed` or `abandoned`."""
        self.decoders = gauge("decoders", "Decoding processes that run.")
        self.decoder_starts = counter("decoder_starts", "Decoding processes that were started.")
        self.voice_cache = counter(
            "voice_cache", "Looks for the voice of a file that may have been sent before.", "result"
        )
        """result: `hit` or `miss`."""
        self.voice_cache_entries = gauge(
            "voice_cache_entries", "Voices of files that are remembered in memory."
        )
        self.voice_cache_failures = counter(
            "voice_cache_failures", "Calls of the cache in Redis without an answer.", "cause"
        )
        """cause: `failed`, or `skipped` because one failed just before."""
        self.slow_consumers = counter(
            "slow_consumer_closes", "Sockets closed because the client did not read."
        )

    def render(self) -> tuple[bytes, str]:
        """Return the body and the content type of `GET /metrics`."""
        return generate_latest(self.registry), CONTENT_TYPE_LATEST
