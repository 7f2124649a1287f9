"""The browser client at `/`."""

from __future__ import annotations

from pathlib import Path

from aiohttp import web

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


def directory() -> Path:
    """Return the directory of the page's files: in the package, or in the repository."""
    packaged = Path(__file__).parent / "page"
    return packaged if packaged.is_dir() else Path(__file__).parents[3] / "clients" / "browser"


def routes() -> list[Route]:
    """Return one route per file, so that nothing else of the directory is served."""
    root = directory()

    def serve(path: Path) -> Route:
        async def handler(request: web.Request) -> web.StreamResponse:
            return web.FileResponse(path, headers=HEADERS)

        name = path.relative_to(root).as_posix()
        return Route("GET", "/" if name == "index.html" else f"/{name}", handler, scope=None)

    kinds = {".html", ".js", ".css", ".svg", ".png", ".ico", ".webmanifest"}
    return [serve(p) for p in sorted(root.rglob("*")) if p.is_file() and p.suffix in kinds]
