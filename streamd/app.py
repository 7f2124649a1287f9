"""The daemon: start, serve, drain, stop, in that order."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import signal
import sys
from collections.abc import Callable

import structlog
from aiohttp import web

from streamd.compose import Parts, speaker_model
from streamd.config import Config
from streamd.errors import ConfigError
from streamd.observability.systemd import Notifier, watchdog_interval_s
from streamd.services import Limits, Services
from streamd.session.planner import MAX_IN_FLIGHT
from streamd.session.session import MAX_MARKS
from streamd.store.base import Store
from streamd.store.watch import GalleryWatcher
from streamd.transport.http.operations import Operations
from streamd.transport.http.server import listen, make_app
from streamd.transport.http.websocket import Streams
from streamd.types import RATE_HZ

log = structlog.get_logger("streamd.app")

STOP_S = 5.0


def check_host(host: str) -> None:
    """Refuse to be heard by others while nobody has to show a key.

    Raises:
        ConfigError: the host is not loopback.
    """
    try:
        is_loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = host == "localhost"
    if not is_loopback:
        raise ConfigError(
            f"server.host {host!r} is not loopback: whoever reaches the port could listen in, "
            "and this version has no API keys yet. Bind 127.0.0.1 and put a reverse proxy that "
            "asks for a password in front, or reach it through an SSH tunnel."
        )


class Daemon:
    """One streamd on one port."""

    def __init__(self, config: Config, parts: Parts, store: Store) -> None:
        self._config = config
        self._parts = parts
        self._store = store
        self._stop = asyncio.Event()
        self._force = asyncio.Event()
        self._notifier = Notifier(os.environ)

    async def run(self, listening: Callable[[str], None]) -> None:
        """Serve until a signal.

        Args:
            listening: told the URL when the daemon is ready.

        Raises:
            Unavailable: the address or the store cannot be used.
        """
        config = self._config
        gallery = GalleryWatcher(
            self._store, config.store.poll_s, speaker_model(config).id, self._parts.metrics
        )
        sockets = listen(config.server.host, config.server.port, config.server.receive_buffer_bytes)
        try:
            await gallery.load()
            services = self._services(gallery)
            streams = Streams(services, config.server.origins)
            operations = Operations(services, streams, self._parts.engine.observe)
            runner = web.AppRunner(
                make_app(streams, operations), access_log=None, shutdown_timeout=STOP_S
            )
            await runner.setup()
            self._parts.engine.start()
            background = [
                asyncio.create_task(gallery.watch()),
                asyncio.create_task(streams.keep_alive()),
                asyncio.create_task(self._feed_watchdog()),
            ]
            for task in background:
                task.add_done_callback(self._ended)
            for listener in sockets:
                await web.SockSite(runner, listener, backlog=512).start()
            self._catch_signals()
            listening(_url(config.server.host, sockets[0].getsockname()[1]))
            self._notifier.ready()

            await self._stop.wait()

            log.info("draining", streams=len(streams), grace_s=config.server.drain_s)
            self._notifier.stopping()
            await self._drain(streams)
            for task in background:
                task.cancel()
            ends = await asyncio.gather(*background, return_exceptions=True)
            await runner.cleanup()
            if not self._parts.engine.stop(STOP_S):
                log.error("a compute thread did not come back")
            for end in ends:
                if isinstance(end, Exception):
                    raise end
        finally:
            for listener in sockets:
                listener.close()
            gallery.close()
        log.info("stopped")

    def stop(self) -> None:
        """Drain and leave; the second time, leave at once."""
        if self._stop.is_set():
            self._force.set()
        self._stop.set()

    def _ended(self, task: asyncio.Task[None]) -> None:
        """A background task that failed ends the daemon in good order; then it is raised."""
        if not task.cancelled() and task.exception() is not None:
            log.error("a background task failed", exc_info=task.exception())
            self._stop.set()

    def _services(self, gallery: GalleryWatcher) -> Services:
        limits = self._config.limits
        for queue, bound in (
            ("streams", limits.max_streams),
            ("events", limits.max_events_queued),
            ("ring_samples", self._config.session.ring_s * RATE_HZ),
            ("marks", MAX_MARKS),
            ("windows_in_flight", MAX_IN_FLIGHT),
        ):
            self._parts.metrics.queue_limit.labels(queue).set(bound)
        return Services(
            engine=self._parts.engine,
            registry=self._parts.registry,
            gallery=gallery.current,
            words=gallery.words,
            keep=gallery.keep,
            metrics=self._parts.metrics,
            limits=Limits(
                max_message_bytes=limits.max_message_bytes,
                max_lag_ms=limits.max_lag_ms,
                idle_s=limits.idle_s,
                max_session_s=limits.max_session_s,
                max_events_queued=limits.max_events_queued,
            ),
            ring_s=self._config.session.ring_s,
        )

    async def _drain(self, streams: Streams) -> None:
        drained = asyncio.ensure_future(streams.drain(self._config.server.drain_s))
        forced = asyncio.ensure_future(self._force.wait())
        await asyncio.wait({drained, forced}, return_when=asyncio.FIRST_COMPLETED)
        for task in (drained, forced):
            task.cancel()
        await asyncio.gather(drained, forced, return_exceptions=True)

    async def _feed_watchdog(self) -> None:
        interval_s = watchdog_interval_s(os.environ)
        while interval_s is not None:
            # Not fed while a worker hangs: systemd then restarts the unit.
            if self._parts.engine.is_healthy:
                self._notifier.watchdog()
            await asyncio.sleep(interval_s)

    def _catch_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def announce(url: str) -> None:
    """The one line on stdout."""
    sys.stdout.write(f"listening on {url}\n")
    sys.stdout.flush()
