"""Reads the configuration again while the server runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog

from streamd.access.parts import Access
from streamd.config import Config
from streamd.config.live import Change, change
from streamd.errors import StreamdError
from streamd.live.held import Held
from streamd.observability import logging
from streamd.observability.systemd import Notifier
from streamd.transport.http.edge import Edge
from streamd.transport.http.peers import Peers

log = structlog.get_logger("streamd.reload")

Read = Callable[[], Config]
"""Returns the configuration, as it is set now. It blocks."""


@dataclass(frozen=True, slots=True)
class Running:
    """The parts of a running server that take changes of the configuration."""

    edge: Edge
    peers: Sequence[Peers]
    access: Access
    held: Held

    def take(self, config: Config) -> None:
        """Put the keys that need no restart into force."""
        logging.set_level(config.log.level)
        self.edge.take(config.server, config.access)
        for peers in self.peers:
            peers.trust(config.server.trusted_proxies)
        self.access.limit(config.limits)
        self.held.bound_keys(config.limits.streams_per_key)


class Reloading:
    """Takes what has changed, whenever somebody asks.

    A configuration that cannot be used is refused as a whole, and the one in force stays. Whoever
    asks during a reload gets another one after it.

    Args:
        config: The configuration in force.
        asked: Set to have everything read again.
        read: Returns the configuration, as it is set now.
        running: Takes what has changed.
        others: Reads again what else may have changed: keys of the store, the certificate.
        notifier: Tells systemd of the beginning and the end.
    """

    def __init__(
        self,
        config: Config,
        asked: asyncio.Event,
        read: Read,
        running: Running,
        others: Callable[[], Awaitable[None]],
        notifier: Notifier,
    ) -> None:
        self.config = config
        self._asked = asked
        self._read = read
        self._running = running
        self._others = others
        self._notifier = notifier

    async def watch(self) -> None:
        """Reload whenever somebody has asked, for ever."""
        while True:
            await self._asked.wait()
            self._asked.clear()
            self._notifier.reloading()
            await self._reload()
            await self._others()
            self._notifier.ready()

    async def _reload(self) -> None:
        try:
            new = await asyncio.to_thread(self._read)
        except StreamdError as error:
            log.error("the new configuration cannot be used; the old one stays", why=str(error))
            return
        found = change(self.config, new)
        self.config = found.config
        self._running.take(found.config)
        _report(found)


def _report(found: Change) -> None:
    log.info("configuration reloaded", taken=found.taken)
    if found.waiting:
        log.warning("changes of the configuration wait for a restart", keys=found.waiting)
