"""The table of routes: each path with the scope that it needs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import hdrs, web

from streamd.access.principal import Scope

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class About:
    """What `/openapi.json` says about a path."""

    summary: str
    """One sentence."""
    reply: type[msgspec.Struct] | None = None
    """The body of the reply; None for one that no struct describes."""
    params: type[msgspec.Struct] | None = None
    """Fields of form, JSON and query."""
    file: str = ""
    """Field of the file that the path takes, if it takes one."""
    are_files: bool = False
    """Whether that field is repeated, so that a form is the only way to send it."""
    more_files: tuple[str, ...] = ()
    """Other fields that are files, which only a form can send."""
    status: int = 200
    example: msgspec.Struct | list[Any] | None = None
    """An example of the reply."""
    content_type: str = "application/json"
    """Type of the reply."""


@dataclass(frozen=True, slots=True)
class Route:
    """One path. The scope has no default, so that nobody forgets it."""

    method: str
    """As `GET`, which takes HEAD too."""
    path: str
    handler: Handler
    scope: Scope | None
    """The scope that a request needs; None for paths that are open to everybody."""
    takes_ticket: bool = False
    """Whether `?ticket=` is good here, because a browser can set no header: for WebSockets."""
    is_for_listed: bool = False
    """Whether an address in `access.allow_ips` needs no key."""
    about: About | None = None
    """What `/openapi.json` says about it; None for sockets and for the files of the page."""


def template_of(request: web.BaseRequest) -> str | None:
    """Return the path of a request without what the client fills in, such as the name of a voice.

    None for a path that there is not.
    """
    if not isinstance(request, web.Request):
        return None  # bytes that are no request
    resource = request.match_info.route.resource
    return None if resource is None else resource.canonical


class Routes:
    """All routes, by what matched a request.

    Args:
        table: Every path that the server answers.
    """

    def __init__(self, table: Iterable[Route]) -> None:
        self._table = list(table)
        self._by_match: dict[tuple[str, str], Route] = {}

    def __iter__(self) -> Iterator[Route]:
        """Return every route."""
        return iter(self._table)

    def add_to(self, router: web.UrlDispatcher) -> None:
        """Register all of them with aiohttp."""
        for route in self:
            if route.method == hdrs.METH_GET:
                added = router.add_get(route.path, route.handler)
            else:
                added = router.add_route(route.method, route.path, route.handler)
            if added.resource is not None:
                self._by_match[route.method, added.resource.canonical] = route

    def of(self, request: web.Request) -> Route | None:
        """Return the route of a request; None for one that aiohttp refuses with 404 or 405."""
        resource = request.match_info.route.resource
        if resource is None:
            return None
        method = hdrs.METH_GET if request.method == hdrs.METH_HEAD else request.method
        return self._by_match.get((method, resource.canonical))
