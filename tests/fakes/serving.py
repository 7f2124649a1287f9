"""A server without a transport: the real streams, sessions and engine, the passes' fakes or not."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from typing import Any

from fakes.driving import fake_passes
from fakes.own_words import word as own_word
from fakes.recipes import GALLERY, REGISTRY
from fakes.socket import FakeSocket
from waiting import HANG_S

from streamd.access.principal import SCOPES, Principal, Scope
from streamd.engine.local import LocalEngine
from streamd.engine.passes.base import Pass
from streamd.errors import Unavailable, WireError
from streamd.files.enroller import Enroller
from streamd.live.connection import Connection
from streamd.live.enrolling import Sender, Stored
from streamd.live.event_counts import EventCounts
from streamd.live.headroom import Bounds
from streamd.live.held import SPARE_LEASES, Held, ResumeLimits
from streamd.live.load import Load
from streamd.live.services import Limits, Services
from streamd.live.ticks import Ticks
from streamd.modules.gallery import Gallery
from streamd.modules.kept_voices import SpokenSample
from streamd.modules.registry import Registry
from streamd.modules.words import NO_WORDS, CustomWords
from streamd.observability.metrics import Metrics

LIMITS = {
    "max_streams": 4,
    "max_message_bytes": 1 << 20,
    "max_lag_ms": 1000,
    "idle_s": 600,
    "max_session_s": 600,
    "max_events_queued": 100,
    "messages_per_s": 1000,
}
RESUME = {"window_s": 600, "max_held": 4, "max_events": 1000, "max_bytes": 1 << 30}

VOICES = {"default": GALLERY, "acme": GALLERY}
OWN_WORDS: dict[str, CustomWords] = {"acme": {"lantern": own_word("lantern")}}


class Line:
    """A client's end of a connection that runs."""

    def __init__(
        self,
        server: "Server",
        *,
        is_full: bool = False,
        tenant: str = "default",
        key: str | None = None,
        scopes: Collection[Scope] = SCOPES,
        refusal: WireError | None = None,
    ) -> None:
        self.server = server
        self.socket = FakeSocket()
        lease = None if is_full else server.engine.open()
        principal = Principal(tenant, frozenset(scopes), key)
        self.connection = Connection(
            self.socket, server.services, lease, principal, refusal=refusal
        )
        self.running = asyncio.create_task(self.connection.run())

    def put(self, *sent: str | bytes | None) -> None:
        """Send messages; None drops the socket."""
        for message in sent:
            self.socket.incoming.put_nowait(message)

    async def code(self) -> int:
        """The close code, once it has come."""
        return await asyncio.wait_for(self.running, HANG_S)

    @property
    def sent(self) -> list[dict[str, Any]]:
        """All events that were sent to the client."""
        return self.socket.sent

    def types(self) -> list[str]:
        return [event["type"] for event in self.sent]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.sent if event["type"] == kind]


class Server:
    """On the running loop, until `stop`.

    Args:
        threads: Of the engine.
        passes: What the engine computes, the speculative one last; the fakes by default.
        registry: What goes with them.
        words: The default tenant's own wake words.
        gallery: Returns the voices of a tenant; by default the same for two of them.
        enroller: Returns what enrols voices of streams; by default nothing does.
        limits: Limits of the server and of what it holds, where they are not the default ones.
    """

    def __init__(
        self,
        threads: int = 1,
        *,
        passes: Sequence[Pass] | None = None,
        registry: Registry = REGISTRY,
        words: CustomWords = NO_WORDS,
        gallery: Callable[[str], Gallery] = lambda tenant: VOICES.get(tenant, Gallery.empty()),
        enroller: Callable[[Metrics], Enroller] | None = None,
        **limits: int,
    ) -> None:
        self.lines: list[Line] = []
        self.metrics = Metrics()
        bounds = LIMITS | {name: limits.pop(name) for name in LIMITS.keys() & limits.keys()}
        kept = RESUME | limits
        own_words = OWN_WORDS | {"default": words}
        *live, ahead = fake_passes() if passes is None else passes
        leases = bounds["max_streams"] + kept["max_held"] + SPARE_LEASES
        self.engine = LocalEngine(live, leases, threads, self.metrics, [ahead])
        ticks = Ticks(self.engine)
        ticks.start()
        self.engine.start(ticks.answered)
        self.enroller = None if enroller is None else enroller(self.metrics)
        self.learned: list[Any] = []
        """Tenant and baselines of each stream that is over."""
        self.held = Held(ResumeLimits(**kept), self.metrics)
        self.services = Services(
            self.engine,
            ticks,
            registry,
            gallery,
            lambda tenant: own_words.get(tenant, NO_WORDS),
            lambda tenant, learned: self.learned.append((tenant, learned)),
            self.metrics,
            EventCounts(self.metrics, registry),
            Limits(**bounds),
            8,
            self.held,
            Load(self.engine, Bounds(4, 0.0, 600.0, 600.0), self.metrics),
            _enrols_nobody if self.enroller is None else self.enroller.of_stream,
        )

    def connect(self, **options: Any) -> Line:
        """Return a client's end of a new connection; the arguments are those of `Line`."""
        self.lines.append(Line(self, **options))
        return self.lines[-1]

    def metric(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(f"streamd_{name}", labels) or 0.0

    async def stop(self) -> None:
        """Drop all clients, end what is held, and the engine; nothing may be left."""
        for line in self.lines:
            line.put(None)
            await line.code()
        self.held.drain()
        if self.enroller is not None:
            await self.enroller.close()
        await asyncio.wait_for(self.held.drained(), HANG_S)
        assert self.engine.stop(HANG_S)
        while self.engine.collect():  # a stream that ended may have had a job on a thread
            pass
        assert self.engine.leases == 0


async def _enrols_nobody(sender: Sender, name: str, sample: SpokenSample) -> Stored:
    raise Unavailable("this server has no store")
