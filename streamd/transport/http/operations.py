"""Health, metrics and a description of the server: `/health/*`, `/metrics`, `/v1/info`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from aiohttp import web

from streamd import __version__
from streamd.live.services import Services
from streamd.modules.speaker import described
from streamd.modules.wake import WakeModule
from streamd.transport.http.guard import principal_of
from streamd.transport.http.routes import About, Route
from streamd.transport.http.websocket import Streams

INPUT_FORMAT = "any audio file (WAV, FLAC, MP3, Ogg, Opus, M4A, WebM); streams: PCM, 16-bit, 16 kHz"

READY = "ready"


class Operations:
    """The handlers that operators and load balancers call."""

    def __init__(self, services: Services, streams: Streams, refresh: Callable[[], None]) -> None:
        self._services = services
        self._streams = streams
        self._refresh = refresh

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route(
                "GET",
                "/health/live",
                self._live,
                scope=None,
                about=About("Whether the process works."),
            ),
            Route(
                "GET",
                "/health/ready",
                self._ready,
                scope=None,
                about=About("Whether it takes new streams."),
            ),
            Route(
                "GET",
                "/health",
                self._ready,
                scope=None,
                about=About("Whether it takes new streams."),
            ),
            Route(
                "GET",
                "/metrics",
                self._metrics,
                scope="admin",
                is_for_listed=True,
                about=About("Metrics, as Prometheus reads them.", content_type="text/plain"),
            ),
            Route(
                "GET",
                "/v1/info",
                self._info,
                scope="stream",
                about=About("What the server can do."),
            ),
            Route(
                "GET",
                "/info",
                self._info_for_earlier_callers,
                scope="stream",
                about=About("The same, with what earlier callers read."),
            ),
        ]

    async def _live(self, request: web.Request) -> web.Response:
        if not self._services.engine.is_healthy:
            return _json({"status": "stuck"}, status=503)
        return _json({"status": "live"})

    async def _ready(self, request: web.Request) -> web.Response:
        principal = principal_of(request)
        body: dict[str, object] = {}
        if principal.may("stream"):
            body["streams"] = self._streams.of(principal)
            body["max_streams"] = self._services.limits.max_streams
        status = self._status
        return _json({"status": status, **body}, status=200 if status == READY else 503)

    @property
    def _status(self) -> str:
        if self._streams.is_draining:
            return "draining"
        return READY if self._services.engine.is_healthy else "stuck"

    async def _metrics(self, request: web.Request) -> web.Response:
        self._refresh()
        self._services.metrics.ready.set(self._status == READY)
        text, content_type = self._services.metrics.render()
        return web.Response(body=text, headers={"Content-Type": content_type})

    async def _info(self, request: web.Request) -> web.Response:
        return _json(self._described(request))

    async def _info_for_earlier_callers(self, request: web.Request) -> web.Response:
        shown = self._described(request)
        wake = shown["modules"].get(WakeModule.name, {})
        return _json(
            {
                **shown,
                "model_id": wake.get("model"),
                "description": "voice activity, wake words, speakers and emotion",
                "input_format": INPUT_FORMAT,
                "keywords": wake.get("words", []),
                "threshold_range": [0.0, 1.0],
                "latency_typical_ms": wake.get("latency_ms"),
            }
        )

    def _described(self, request: web.Request) -> dict[str, Any]:
        principal = principal_of(request)
        return {
            "name": "streamd",
            "version": __version__,
            "protocol": 1,
            "modules": self._modules(principal.tenant),
            "limits": self._services.limits.described(),
            "streams": self._streams.of(principal),
        }

    def _modules(self, tenant: str) -> dict[str, dict[str, Any]]:
        """Return all modules of the server as a tenant gets them, and the words it may ask for."""
        registry, words = self._services.registry, self._services.words(tenant)
        gallery = self._services.gallery(tenant)
        asked: dict[str, dict[str, Any]] = {name: {} for name in registry.modules}
        wake = registry.find(WakeModule)
        if wake is None or wake.name not in asked:
            return described(registry, registry.resolve(asked)[0], gallery)
        known = wake.listed(words)
        default = [name for name in wake.settings.words if name in known]
        if known:
            # The tenant may have none of `wake.words`: they may be those of another one.
            asked[wake.name] = {"words": default or known}
        else:
            del asked[wake.name]
        modules = described(registry, registry.resolve(asked, words=words)[0], gallery)
        if known:
            modules[wake.name] |= {"default_words": default, "words": known}
        return modules


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(value), status=status, content_type="application/json"
    )
