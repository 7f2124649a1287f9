"""The browser client at `/`, which says that all is well to whoever wants no page."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec
from aiohttp import hdrs, web

from streamd.live.services import Services
from streamd.transport.http.rest.replies import HealthyReply
from streamd.transport.http.routes import Route

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "media-src 'self' blob:; worker-src 'self'; connect-src 'self'; manifest-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Permissions-Policy": "microphone=(self)",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}

_PATHS = {"index.html": "/", "docs.html": "/docs"}
"""Paths of the files that have another one than their name."""


def directory() -> Path:
    """Return the directory of the page's files: in the package, or in the repository."""
    packaged = Path(__file__).parent / "page"
    return packaged if packaged.is_dir() else Path(__file__).parents[3] / "clients" / "browser"


def wants_page(accept: str | None) -> bool:
    """Return whether a client takes HTML: `*/*` alone, or nothing, is no browser."""
    return "text/html" in (accept or "").lower()


def routes(services: Services) -> list[Route]:
    """Return one route per file, so that nothing else of the directory is served."""
    root = directory()

    def healthy() -> web.Response:
        reply = HealthyReply(
            status="healthy" if services.engine.is_healthy else "stuck",
            timestamp=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
            model_loaded=True,
        )
        return web.Response(
            body=msgspec.json.encode(reply),
            status=200 if services.engine.is_healthy else 503,
            content_type="application/json",
            headers={hdrs.VARY: hdrs.ACCEPT, hdrs.CACHE_CONTROL: "no-store"},
        )

    def serve(path: Path) -> Route:
        async def handler(request: web.Request) -> web.StreamResponse:
            if name == "index.html":
                if not wants_page(request.headers.get(hdrs.ACCEPT)):
                    return healthy()
                return web.FileResponse(path, headers={**HEADERS, hdrs.VARY: hdrs.ACCEPT})
            return web.FileResponse(path, headers=HEADERS)

        name = path.relative_to(root).as_posix()
        return Route("GET", _PATHS.get(name, f"/{name}"), handler, scope=None)

    kinds = {".html", ".js", ".css", ".svg", ".png", ".ico", ".webmanifest"}
    return [serve(p) for p in sorted(root.rglob("*")) if p.is_file() and p.suffix in kinds]
