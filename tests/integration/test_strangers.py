"""Who may connect: each path and each socket, asked by every kind of stranger.

The table of routes is the server's own, so that a path that is added is asked too; what it has to
answer is the protocol's.
"""

import asyncio
import json
import re
from collections.abc import Iterator
from contextlib import AsyncExitStack, closing
from email.parser import BytesParser
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from daemons import Daemon, Received, dial, next_event, read_to_close, say
from fakes.keys import make_key, make_ticket, revoke, store_of
from fakes.own_words import word as own_word
from fakes.recipes import REGISTRY
from fakes.serving import Server
from fakes.wire import Wire
from waiting import wait_until
from websockets.exceptions import InvalidStatus

from streamd.access.audit.writer import Nowhere
from streamd.access.parts import Access
from streamd.access.presence import Presence
from streamd.config import Config, LimitsConfig, ServerConfig
from streamd.files.enroller import Enroller
from streamd.files.voice_cache import MemoryVoiceCache
from streamd.transport.http.paths import make_routes
from streamd.transport.http.rest.asr_socket import AsrSockets
from streamd.transport.http.rest.base import Rest
from streamd.transport.http.rest.verify_socket import VerifySockets
from streamd.transport.http.websocket import Streams
from streamd.wall_clock import now_ms

NO_UPGRADE = {"Upgrade": "", "Connection": "close", "Sec_WebSocket_Key": ""}
PAGE = re.compile(r"/(|docs|openapi\.json|asyncapi\.json|[\w-]+\.(js|css|svg|png|ico|webmanifest))")
SOCKETS = {"/v1/stream", "/ws/stream-verify", "/v1/asr/stream"}


class Asked(NamedTuple):
    """A path of the server, and what the server asks for it."""

    method: str
    path: str
    scope: str | None
    is_socket: bool


def scope_by_contract(method: str, path: str) -> str | None:
    """The scope that PROTOCOL §10 asks for."""
    if PAGE.fullmatch(path) or path.startswith("/health"):
        return None
    if path == "/metrics" or (method, path) == ("PUT", "/v1/calibration"):
        return "admin"
    if path.startswith("/v1/speakers") or path == "/v1/calibration":
        return "enrol"
    if path.startswith("/v1/words") and method != "GET":
        return "enrol"
    return "stream"


async def table(folder: Path) -> list[Asked]:
    """Every route of the server."""
    server = Server()
    store = store_of(folder)
    access = Access(store.access, LimitsConfig(), Nowhere(), needs_key=True, metrics=server.metrics)
    try:
        streams = Streams(server.services, Presence(0), ServerConfig())
        rest = Rest.of(
            server.services,
            store,
            MemoryVoiceCache(0, server.metrics),
            Enroller(store, access, REGISTRY, lambda: asyncio.sleep(0)),
            access,
            Config(),
            lambda: False,
            lambda: asyncio.sleep(0),
        )
        sockets = [AsrSockets(server.services, Presence(0), LimitsConfig()), VerifySockets(rest)]
        others = [route for one in sockets for route in one.routes()]
        routes = make_routes(server.services, streams, access, rest, others, lambda: None)
        return [
            Asked(route.method, route.path, route.scope, route.takes_ticket) for route in routes
        ]
    finally:
        access.close()
        store.close()
        await server.stop()


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Asked]:
    found = asyncio.run(table(tmp_path_factory.mktemp("table")))
    assert {one.path for one in found} >= {"/v1/stream", "/v1/tickets", "/v1/info", "/metrics", "/"}
    return found


class Guarded(NamedTuple):
    """A daemon that asks for keys, and keys of all kinds."""

    daemon: Daemon
    home: Path
    stream: str
    enrol: str
    admin: str
    foreign: str
    """Of another tenant."""
    bad: dict[str, str]
    """Keys that are good for nothing."""


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    home = tmp_path_factory.mktemp("guarded")
    stream = make_key(home, "stream", "stream")
    enrol = make_key(home, "enrol", "enrol")
    admin = make_key(home, "admin", "admin")
    foreign = make_key(home, "foreign", "stream", tenant="acme")
    revoked = make_key(home, "revoked", "admin")
    revoke(home, "revoked")
    expired = make_key(home, "expired", "admin", expires_ms=now_ms() - 1)
    with closing(store_of(home)) as store:
        store.of("acme").add_word(own_word("lantern"))
    bad = {
        "an empty key": "",
        "no key at all": "nonsense",
        "a wrong secret": admin[:-1] + ("a" if admin[-1] != "a" else "b"),
        "the id of one and the secret of another": stream[:16] + admin[16:],
        "an unknown id": "sk_" + "0" * 12 + "_" + "0" * 43,
        "a revoked key": revoked,
        "an expired key": expired,
    }
    with Daemon(home, access__keys="always", log__level="debug", limits__max_lag_ms=0) as daemon:
        yield Guarded(daemon, home, stream, enrol, admin, foreign, bad)
    assert daemon.complaints() == []


class Answer(NamedTuple):
    status: int
    headers: Any
    body: bytes

    @property
    def code(self) -> str:
        return json.loads(self.body)["error"]["code"]


def ask(daemon: Daemon, method: str, path: str, **headers: str) -> Answer:
    """The answer to one request, which is an upgrade unless the headers say otherwise."""
    with Wire(daemon.url) as wire:
        wire.request(f"{method} {path} HTTP/1.1", **headers)
        head, body = wire.until_answered()
    status, _, lines = head.partition(b"\r\n")
    return Answer(int(status.split()[1]), BytesParser().parsebytes(lines), body)


def request(guarded: Guarded, one: Asked, *, query: str = "", **headers: str) -> Answer:
    """Ask for a path; sockets with an upgrade, all others without."""
    path = re.sub(r"\{[^}]*\}", "Ada", one.path) + query
    upgrade = {} if one.is_socket else NO_UPGRADE
    return ask(guarded.daemon, one.method, path, **{**upgrade, **headers})


def test_each_path_asks_for_the_scope_of_the_contract(paths):
    for one in paths:
        assert one.scope == scope_by_contract(one.method, one.path), one
        assert one.is_socket == (one.path in SOCKETS), one


def shown(key: str) -> list[dict[str, str]]:
    """The ways to show a key."""
    return [{"Authorization": f"Bearer {key}"}, {"X_API_Key": key}]


def test_without_a_good_key_each_path_is_401_and_says_the_same_of_all(guarded, paths):
    for one in paths:
        answers = {"nothing": request(guarded, one)}
        for name, key in guarded.bad.items():
            for number, headers in enumerate(shown(key)):
                answers[f"{name} {number}"] = request(guarded, one, **headers)
        answers["a password"] = request(guarded, one, Authorization="Basic YTpi")
        for name, answer in answers.items():
            if one.scope is None:
                assert answer.status < 400, (one, name)
                continue
            assert (answer.status, answer.code) == (401, "unauthenticated"), (one, name)
            assert answer.headers["WWW-Authenticate"] == "Bearer"
        if one.scope is not None:
            same = ["no key at all 0", "a wrong secret 1", "an unknown id 0"]
            assert len({answers[name].body for name in same}) == 1


def test_health_says_its_status_alone_to_who_may_not_stream(guarded):
    for headers in ({}, *shown(guarded.bad["a wrong secret"]), *shown(guarded.enrol)):
        for path in ("/health", "/health/ready"):
            answer = ask(guarded.daemon, "GET", path, **NO_UPGRADE, **headers)
            assert json.loads(answer.body) == {"status": "ready"}
    answer = ask(guarded.daemon, "GET", "/health", **NO_UPGRADE, **shown(guarded.stream)[0])
    assert json.loads(answer.body)["max_streams"] == 256


def test_a_key_that_is_tried_at_an_open_path_is_written_down(guarded):
    for name in ("a revoked key", "an unknown id"):
        ask(guarded.daemon, "GET", "/health/live", **NO_UPGRADE, **shown(guarded.bad[name])[0])
    ask(guarded.daemon, "GET", "/health/live", **NO_UPGRADE)
    ask(guarded.daemon, "GET", "/health/live", **NO_UPGRADE, **shown(guarded.stream)[0])
    log = guarded.home / "audit.jsonl"

    def outcomes() -> list[str]:
        entries = map(json.loads, log.read_text().splitlines())
        return [one["outcome"] for one in entries if one.get("path") == "/health/live"]

    wait_until(lambda: outcomes()[-3:] == ["unauthenticated"] * 2 + ["ok"])


def test_a_key_opens_the_paths_of_its_scopes_and_no_other(guarded, paths):
    for one in paths:
        for scope, key in (
            ("stream", guarded.stream),
            ("enrol", guarded.enrol),
            ("admin", guarded.admin),
        ):
            answer = request(guarded, one, **shown(key)[0])
            if one.scope in (None, scope) or scope == "admin":
                assert answer.status not in (401, 403), (one, scope)
            else:
                assert (answer.status, answer.code) == (403, "forbidden"), (one, scope)
                assert one.scope in json.loads(answer.body)["error"]["message"]


def test_a_path_that_is_none_and_a_method_that_is_none_are_no_secret(guarded):
    assert ask(guarded.daemon, "GET", "/nothing", **NO_UPGRADE).status == 404
    assert ask(guarded.daemon, "DELETE", "/health", **NO_UPGRADE).status == 405


def ticket_of(guarded: Guarded, key: str) -> str:
    answer = ask(guarded.daemon, "POST", "/v1/tickets", **NO_UPGRADE, **shown(key)[0])
    assert answer.status == 201
    body = json.loads(answer.body)
    assert body["expires_in_ms"] == 60_000
    assert body["ticket"].startswith("t_")
    assert body["processing_time_ms"] > 0
    return body["ticket"]


def test_a_ticket_opens_a_socket_once(guarded, paths):
    for one in (path for path in paths if path.is_socket):
        query = f"?ticket={ticket_of(guarded, guarded.stream)}"
        assert request(guarded, one, query=query).status == 101, one
        again = request(guarded, one, query=query)
        assert (again.status, again.code) == (401, "unauthenticated"), one


async def test_a_stale_a_forged_and_a_revoked_ticket_open_none(guarded, paths):
    revoked = make_key(guarded.home, "to be revoked", "stream")
    tickets = {
        "stale": await make_ticket(guarded.home, guarded.stream, age_ms=60_001),
        "forged": "t_" + "A" * 120,
        "of a revoked key": await make_ticket(guarded.home, revoked),
        "a key": guarded.stream,
        "empty": "",
    }

    def status() -> int:
        return guarded.daemon.get("/v1/info", Authorization=f"Bearer {revoked}")[0]

    await guarded.daemon.eventually(lambda: status() == 200)
    revoke(guarded.home, "to be revoked")
    await guarded.daemon.eventually(lambda: status() == 401)
    for one in (path for path in paths if path.is_socket):
        for name, ticket in tickets.items():
            answer = await asyncio.to_thread(request, guarded, one, query=f"?ticket={ticket}")
            assert (answer.status, answer.code) == (401, "unauthenticated"), (one, name)


def test_a_ticket_is_no_key_and_opens_nothing_but_sockets(guarded, paths):
    for one in (path for path in paths if path.scope is not None):
        ticket = ticket_of(guarded, guarded.admin)
        for headers in shown(ticket):
            assert request(guarded, one, **headers).status == 401, one
        if not one.is_socket:
            assert request(guarded, one, query=f"?ticket={ticket}").status == 401, one


def test_a_ticket_has_no_more_scopes_than_its_key(guarded):
    answer = ask(guarded.daemon, "POST", "/v1/tickets", **NO_UPGRADE, **shown(guarded.enrol)[0])
    assert (answer.status, answer.code) == (403, "forbidden")


def key_header(key: str) -> dict[str, Any]:
    return {"additional_headers": {"Authorization": f"Bearer {key}"}}


async def opened(guarded: Guarded, stack: Any, key: str) -> tuple[Any, dict[str, Any]]:
    socket = await stack.enter_async_context(dial(guarded.daemon.url, **key_header(key)))
    await say(socket, {"type": "hello"})
    return socket, await next_event(socket, "ready")


async def resumed(guarded: Guarded, token: str, key: str) -> dict[str, Any]:
    """The first event of a client that resumes."""
    async with dial(guarded.daemon.url, **key_header(key)) as socket:
        await say(socket, {"type": "hello", "resume": {"token": token, "last_seq": 0}})
        return await next_event(socket)


async def held_token(guarded: Guarded, key: str) -> str:
    """The token of a stream whose socket dropped."""
    with Wire(guarded.daemon.url) as wire:
        wire.request(Authorization=f"Bearer {key}")
        await asyncio.to_thread(wire.until_answered)
        wire.say({"type": "hello"})
        data = b""
        while not (match := re.search(rb'"token":"(r_[\w-]+)"', data)):
            data += await asyncio.to_thread(wire.socket.recv, 65_536)
        wire.reset()
    return match[1].decode()


async def test_nothing_of_another_tenant_shows_in_a_reply(guarded):
    token = await held_token(guarded, guarded.stream)
    foreign = await resumed(guarded, token, guarded.foreign)
    made_up = await resumed(guarded, "r_" + "0" * len(token[2:]), guarded.foreign)
    assert foreign == made_up
    assert (foreign["code"], foreign["fatal"]) == ("resume_unknown", True)
    assert (await resumed(guarded, token, guarded.stream))["resumed"] is True

    def info(key: str) -> dict[str, Any]:
        answer = ask(guarded.daemon, "GET", "/v1/info", **NO_UPGRADE, **shown(key)[0])
        return json.loads(answer.body)

    async with AsyncExitStack() as stack:
        _, ready = await opened(guarded, stack, guarded.stream)
        _, theirs = await opened(guarded, stack, guarded.foreign)
        assert "lantern" in info(guarded.foreign)["modules"]["wake"]["words"]
        assert "lantern" not in info(guarded.stream)["modules"]["wake"]["words"]
        for key in (guarded.stream, guarded.foreign):
            assert info(key)["streams"] == 1
        assert info(guarded.admin)["streams"] == 2
        assert ready["session"] != theirs["session"]
        unknown = dial(guarded.daemon.url, **key_header(guarded.stream))
        other = await stack.enter_async_context(unknown)
        await say(other, {"type": "hello", "modules": {"wake": {"words": ["lantern"]}}})
        assert (await next_event(other))["code"] == "bad_config"


async def test_a_revoked_keys_streams_close_4001_and_its_held_ones_end(guarded):
    key = make_key(guarded.home, "leaver", "stream")
    await guarded.daemon.eventually(
        lambda: ask(guarded.daemon, "GET", "/v1/info", **NO_UPGRADE, X_API_Key=key).status == 200
    )
    token = await held_token(guarded, key)
    query = f"?ticket={ticket_of(guarded, key)}"
    async with AsyncExitStack() as stack:
        socket, ready = await opened(guarded, stack, key)
        by_ticket = await stack.enter_async_context(dial(guarded.daemon.url + query))
        await say(by_ticket, {"type": "hello"})
        ready_by_ticket = await next_event(by_ticket, "ready")
        stays, _ = await opened(guarded, stack, guarded.stream)
        revoke(guarded.home, "leaver")
        for leaver, first in ((socket, ready), (by_ticket, ready_by_ticket)):
            received = await read_to_close(leaver, Received([first]))
            assert (received.code, received.reason) == (4001, "unauthenticated")
            assert received.codes == ["unauthenticated"]
        await say(stays, {"type": "ping"})
        await next_event(stays, "pong")
    assert (await resumed(guarded, token, guarded.stream))["code"] == "resume_unknown"
    with pytest.raises(InvalidStatus) as refused:
        async with dial(guarded.daemon.url, **key_header(key)):
            pass
    assert refused.value.response.status_code == 401


async def test_a_key_that_expires_ends_its_streams(guarded):
    key = make_key(guarded.home, "guest", "stream", expires_ms=now_ms() + 20_000)
    await guarded.daemon.eventually(
        lambda: ask(guarded.daemon, "GET", "/v1/info", **NO_UPGRADE, X_API_Key=key).status == 200
    )
    async with AsyncExitStack() as stack:
        socket, ready = await opened(guarded, stack, key)
        received = await read_to_close(socket, Received([ready]))
    assert (received.code, received.codes) == (4001, ["unauthenticated"])


async def test_one_key_may_not_open_more_than_its_share(tmp_path):
    home = tmp_path
    one, other = (make_key(home, name, "stream") for name in ("one", "other"))
    boss = make_key(home, "boss", "admin")
    with Daemon(
        home,
        access__keys="always",
        limits__streams_per_key=2,
        limits__requests_per_s_per_key=20,
    ) as running:
        async with dial(running.url, **key_header(one)), dial(running.url, **key_header(one)):
            for _ in range(2):
                answer = await asyncio.to_thread(
                    ask, running, "GET", "/v1/stream", Authorization=f"Bearer {one}"
                )
                assert (answer.status, answer.code) == (429, "rate_exceeded")
                assert answer.headers["Retry-After"] == "5"
            async with dial(running.url, **key_header(other)):
                pass
        statuses = [
            ask(running, "GET", "/v1/info", **NO_UPGRADE, X_API_Key=one).status for _ in range(200)
        ]
        assert 429 in statuses
        bodies = [
            json.loads(ask(running, "GET", "/health", **NO_UPGRADE, X_API_Key=one).body)
            for _ in range(200)
        ]
        assert all(body["status"] == "ready" for body in bodies)
        assert {"status": "ready"} in bodies, "beyond its share it is told as much as anybody"
        late = ask(running, "GET", "/v1/info", **NO_UPGRADE, X_API_Key=other)
        assert late.status == 200
        metrics = ask(running, "GET", "/metrics", **NO_UPGRADE, X_API_Key=boss).body
        assert b'streamd_streams_refused_total{reason="key"} 2.0' in metrics
    assert running.complaints() == []


async def test_insecure_lets_everybody_in_and_says_so(tmp_path):
    with Daemon(tmp_path, "--host", "0.0.0.0", "--insecure") as running:
        url = running.url.replace("0.0.0.0", "127.0.0.1")
        async with dial(url) as socket:
            await say(socket, {"type": "end"})
            await next_event(socket, "ready")
        text = running.log.read_text()
        assert "WARNING: --insecure" in text
        assert '"level": "warning"' in text


async def test_beyond_loopback_a_key_is_needed_and_one_from_the_store_is_enough(tmp_path):
    key = make_key(tmp_path, "home", "stream")
    with Daemon(tmp_path, "--host", "0.0.0.0") as running:
        url = running.url.replace("0.0.0.0", "127.0.0.1")
        with pytest.raises(InvalidStatus) as refused:
            async with dial(url):
                pass
        assert refused.value.response.status_code == 401
        async with dial(url, **key_header(key)) as socket:
            await say(socket, {"type": "end"})
            await next_event(socket, "ready")
