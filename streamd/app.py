"""The daemon: start, serve, drain, stop, in that order."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Sequence
from typing import Any

import structlog

from streamd import __version__
from streamd.access.audit.writer import Behind, Nowhere, journal
from streamd.access.parts import Access
from streamd.compose import Parts
from streamd.config import Config, data_dir, needs_key
from streamd.engine.recognition.lane import Transcriber
from streamd.files.enroller import Enroller
from streamd.files.voice_caches import open_voice_cache
from streamd.files.voice_reading import voice_models
from streamd.live.held import Held
from streamd.live.revocation import Revocation
from streamd.live.ticks import Ticks
from streamd.live_services import make_services
from streamd.observability import free_space
from streamd.observability.systemd import Notifier
from streamd.reloading import Read, Reloading, Running
from streamd.signals import catch_hangup, catch_stop
from streamd.start_report import allow_descriptors, report_start, url
from streamd.store.base import DEFAULT_TENANT, Store
from streamd.store.watch import GalleryWatcher
from streamd.tracing import open_tracing
from streamd.transport.http.paths import make_routes
from streamd.transport.http.rest.asr_socket import AsrSockets
from streamd.transport.http.rest.base import Rest
from streamd.transport.http.rest.verify_socket import VerifySockets
from streamd.transport.http.server import Server, bind, bound_buffers
from streamd.transport.http.websocket import Streams
from streamd.transport.tls.renewal import open_certificates

log = structlog.get_logger("streamd.app")

STOP_S = 5.0
SETTLE_S = 20.0
"""Seconds beyond `server.drain_s` that the end of the process may take on a slow machine."""


class Daemon:
    """One streamd on one port.

    Args:
        config: The configuration in force.
        parts: Models and engine.
        store: Voices, words and keys.
        transcriber: Makes the text of files; None for no text.
        is_insecure: Whether everybody may connect, whatever the address and the configuration say.
        listeners: Sockets that listen already; without them the daemon binds the address of the
            configuration.
        read: Reads the configuration again, when SIGHUP asks for it.

    Raises:
        ConfigError: The certificate, the cache or the tracing cannot be used.
    """

    def __init__(
        self,
        config: Config,
        parts: Parts,
        store: Store,
        transcriber: Transcriber | None = None,
        *,
        is_insecure: bool = False,
        listeners: Sequence[socket.socket] = (),
        read: Read | None = None,
    ) -> None:
        self._config = config
        self._parts = parts
        self._store = store
        self._transcriber = transcriber
        self._is_insecure = is_insecure
        self._listeners = listeners
        self._read = read or (lambda: config)
        self._stop = asyncio.Event()
        self._force = asyncio.Event()
        self._reload = asyncio.Event()
        self._notifier = Notifier(os.environ)
        self._certificates = open_certificates(
            config.server.tls_cert, config.server.tls_key, parts.metrics
        )
        self._cache = open_voice_cache(config.cache, store.access.secret, parts.metrics)
        self._tracing = open_tracing(config.tracing, parts.metrics)

    async def run(self, listening: Callable[[str], None]) -> None:
        """Serve until a signal.

        Args:
            listening: called with the URL when the daemon is ready.

        Raises:
            Unavailable: the address or the store cannot be used.
        """
        config = self._config
        catch_hangup(self.stop, self._reload.set)
        allow_descriptors(config)
        metrics = self._parts.metrics
        recorder = self._recorder()
        access = Access(
            self._store.access,
            config.limits,
            recorder,
            needs_key=self._needs_key(),
            metrics=metrics,
        )
        watcher = GalleryWatcher(
            self._store,
            config.store.poll_s,
            voice_models(self._parts.registry),
            metrics,
            on_keys=access.take,
            on_gone=self._cache.forget,
        )
        sockets = self._open_listeners()
        try:
            await watcher.load()
            ticks = Ticks(self._parts.engine)
            enroller = Enroller(
                self._store,
                access,
                self._parts.registry,
                watcher.refresh,
            )
            services = make_services(
                config, self._parts, watcher, ticks, enroller.of_stream, self._tracing
            )
            streams = Streams(services, access.presence, config.server)
            revocation = Revocation(access.keyring, access.presence, services.held)
            access.on_keys = revocation.look
            rest = Rest.of(
                services,
                self._store,
                self._cache,
                enroller,
                access,
                config,
                is_draining=lambda: streams.is_draining,
                changed=watcher.refresh,
                transcriber=self._transcriber,
            )
            asr_sockets = AsrSockets(services, access.presence, config.limits)
            verify_sockets = VerifySockets(rest)
            routes = make_routes(
                services,
                streams,
                access,
                rest,
                [*asr_sockets.routes(), *verify_sockets.routes()],
                self._parts.engine.observe,
            )
            server = Server(routes, access, config, metrics, STOP_S, self._certificates)
            peers = [streams.peers, rest.peers]
            reloading = Reloading(
                config,
                self._reload,
                self._read,
                Running(server.edge, peers, access, services.held),
                lambda: self._look_again(watcher),
                self._notifier,
            )
            ticks.start()
            self._parts.engine.start(ticks.answered)
            background = [
                asyncio.create_task(watcher.watch()),
                asyncio.create_task(streams.keep_alive()),
                asyncio.create_task(services.load.watch()),
                asyncio.create_task(revocation.watch()),
                asyncio.create_task(access.share()),
                asyncio.create_task(reloading.watch()),
                asyncio.create_task(free_space.watch(data_dir(os.environ), metrics.data_free)),
            ]
            if self._certificates is not None:
                background.append(asyncio.create_task(self._certificates.watch()))
            for task in background:
                task.add_done_callback(self._ended)
            await server.start(sockets)
            catch_stop(self.stop)
            report_start(
                config,
                self._parts.registry,
                sockets,
                watcher.words(DEFAULT_TENANT),
                streams.fast_path.obstacle,
            )
            listening(url(config, sockets, is_tls=self._certificates is not None))
            self._notifier.ready()
            background.append(asyncio.create_task(self._keep_informed(streams, services.held)))

            await self._stop.wait()

            drain_s = reloading.config.server.drain_s
            log.info("draining", streams=len(streams), grace_s=drain_s)
            self._notifier.stopping(drain_s + SETTLE_S, f"draining: {_count(len(streams))}")
            await self._drain(streams, asr_sockets, drain_s)
            for task in background:
                task.cancel()
            ends = await asyncio.gather(*background, return_exceptions=True)
            await asr_sockets.drain()
            await verify_sockets.drain()
            await server.stop()
            await access.presence.share()  # that none is open
            await rest.close()
            await enroller.close()
            ticks.stop()
            if not self._parts.engine.stop(STOP_S):
                log.error("a compute thread did not come back")
            for end in ends:
                if isinstance(end, Exception):
                    raise end
        finally:
            for listener in sockets:
                listener.close()
            await self._cache.close()
            if self._tracing.is_on:
                await asyncio.to_thread(self._tracing.close)
            watcher.close()
            access.close()
            recorder.close()
        log.info("stopped")

    def stop(self) -> None:
        """Drain and stop; the second time, stop at once."""
        if self._stop.is_set():
            self._force.set()
        self._stop.set()

    def _recorder(self) -> Behind | Nowhere:
        """Return what writes the audit log.

        Raises:
            Unavailable: It cannot be written.
        """
        log_file = journal(self._config.access, os.environ)
        if log_file is None:
            return Nowhere()
        log_file.probe()
        return Behind(log_file, self._parts.metrics)

    def _needs_key(self) -> bool:
        host = self._config.server.host
        is_needed = needs_key(host, self._config.access)
        if is_needed and self._is_insecure:
            log.warning("insecure: nobody needs a key to listen in and to change voices", host=host)
        return is_needed and not self._is_insecure

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Stop the daemon if a background task failed; the daemon then raises the error."""
        if not task.cancelled() and task.exception() is not None:
            log.error("a background task failed", exc_info=task.exception())
            self._stop.set()

    async def _drain(self, streams: Streams, asr_sockets: AsrSockets, drain_s: float) -> None:
        drained = asyncio.gather(
            streams.drain(drain_s),
            asyncio.wait_for(asr_sockets.settle(), drain_s),
            return_exceptions=True,  # each has the whole time
        )
        forced = asyncio.ensure_future(self._force.wait())
        waits: tuple[asyncio.Future[Any], ...] = (drained, forced)
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)

    def _open_listeners(self) -> Sequence[socket.socket]:
        place = self._config.server
        sizes = place.receive_buffer_bytes, place.send_buffer_bytes
        if not self._listeners:
            return bind(place.host, place.port, *sizes)
        for listener in self._listeners:
            bound_buffers(listener, *sizes)
        return self._listeners

    async def _look_again(self, watcher: GalleryWatcher) -> None:
        """Look at once for other keys and voices, and for another certificate."""
        if self._certificates is not None:
            self._certificates.reload()
        await watcher.refresh()

    async def _keep_informed(self, streams: Streams, held: Held) -> None:
        """Keep systemd informed, for ever."""
        engine = self._parts.engine

        def status() -> str:
            state = "draining" if streams.is_draining else "ready"
            if not engine.is_healthy:
                state = "stuck: a worker hangs"
            return f"{state}: {_count(len(streams))}, {len(held)} held; version {__version__}"

        await self._notifier.watch(lambda: engine.is_healthy, status)


def _count(streams: int) -> str:
    return f"{streams} stream{'' if streams == 1 else 's'}"
