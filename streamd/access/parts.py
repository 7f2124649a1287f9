"""Who may connect, as the daemon has it: keys, tickets, limits and open sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from streamd.access.audit.entry import Recorder
from streamd.access.gate import Gate
from streamd.access.keys import Keyring
from streamd.access.limits import KeyLimits
from streamd.access.presence import Presence
from streamd.access.rates import Rates
from streamd.access.shared import SharedByStore
from streamd.access.tickets import Tickets
from streamd.access.trouble import Trouble
from streamd.config.sections import LimitsConfig
from streamd.observability.metrics import Metrics
from streamd.store.access import AccessStore, KeyRecord


class Access:
    """The parts of one daemon. Belongs to the event loop.

    Args:
        store: Keeps the keys, and what processes share.
        limits: The section `[limits]`.
        recorder: Writes the audit log.
        needs_key: Whether nobody is let in without a key.
        metrics: Counts and bounds.
    """

    def __init__(
        self,
        store: AccessStore,
        limits: LimitsConfig,
        recorder: Recorder,
        *,
        needs_key: bool,
        metrics: Metrics,
    ) -> None:
        self.recorder = recorder
        self.on_keys: Callable[[], object] = lambda: None
        """Called when other keys are known, to end at once what a revoked one has."""
        self.keyring = Keyring()
        self.shared = SharedByStore(store, metrics)
        self.tickets = Tickets(self.keyring, self.shared)
        self.gate = Gate(self.keyring, self.tickets, needs_key=needs_key)
        trouble = Trouble(metrics)
        self._rates = Rates(self.shared, trouble)
        self.limits = KeyLimits(limits, self._rates, self.shared)
        self.presence = Presence(limits.streams_per_key, self.shared, trouble)

    def limit(self, limits: LimitsConfig) -> None:
        """Use these limits of keys from now on."""
        self.limits.take(limits)
        self.presence.allow(limits.streams_per_key)

    def take(self, keys: Iterable[KeyRecord]) -> None:
        """Know these keys from now on, and no others."""
        self.keyring.replace(keys)
        self.tickets.forget_secret()
        self.on_keys()

    async def share(self) -> None:
        """Tell other processes how much each key is used, and learn it from them; never return."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._rates.watch())
            tasks.create_task(self.presence.watch())

    def close(self) -> None:
        """Wait for calls of the store, and end their thread."""
        self.shared.close()
