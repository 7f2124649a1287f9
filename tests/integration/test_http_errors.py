"""Every refused request is the same JSON object, and nothing names the software behind it."""

import asyncio
import contextlib
import json
from contextlib import AsyncExitStack
from email.message import Message
from email.parser import BytesParser

import pytest
from daemons import Daemon, dial, next_event, say
from fakes.wire import Wire
from waiting import HANG_S
from websockets.exceptions import ConnectionClosed, InvalidStatus

from streamd.observability.cores import usable_cores

NO_UPGRADE = {"Upgrade": "", "Connection": "close", "Sec_WebSocket_Key": ""}


def ask(daemon: Daemon, line: str, **headers: str) -> tuple[int, Message, bytes]:
    """Status, headers and body of the answer to a request that is one in its line and headers."""
    with Wire(daemon.url) as wire:
        wire.request(line, **headers)
        head, rest = wire.until_answered()
    status, _, lines = head.partition(b"\r\n")
    return int(status.split()[1]), BytesParser().parsebytes(lines), rest


REFUSED: dict[str, tuple[str, dict[str, str], int, str]] = {
    "no upgrade": ("GET /v1/stream HTTP/1.1", NO_UPGRADE, 426, "upgrade_required"),
    "another upgrade": ("GET /v1/stream HTTP/1.1", {"Upgrade": "h2c"}, 426, "upgrade_required"),
    "no connection": (
        "GET /v1/stream HTTP/1.1",
        {"Connection": "keep-alive"},
        426,
        "upgrade_required",
    ),
    "another version": (
        "GET /v1/stream HTTP/1.1",
        {"Sec_WebSocket_Version": "99"},
        426,
        "upgrade_required",
    ),
    "a bad key": ("GET /v1/stream HTTP/1.1", {"Sec_WebSocket_Key": "?"}, 400, "bad_input"),
    "a foreign page": ("GET /v1/stream HTTP/1.1", {"Origin": "http://evil"}, 403, "forbidden"),
    "no such path": ("GET /nothing HTTP/1.1", NO_UPGRADE, 404, "not_found"),
    "no such method": ("DELETE /health HTTP/1.1", NO_UPGRADE, 405, "method_not_allowed"),
    "a post to the stream": ("POST /v1/stream HTTP/1.1", {}, 405, "method_not_allowed"),
    "an expectation": ("GET /health HTTP/1.1", NO_UPGRADE | {"Expect": "tea"}, 417, "bad_input"),
    "no request": ("HELLO", {}, 400, "bad_input"),
    "a long path": (f"GET /{'a' * 9000} HTTP/1.1", {}, 431, "too_large"),
    "a long header": ("GET /health HTTP/1.1", {"Cookie": "a" * 9000}, 431, "too_large"),
}


@pytest.mark.parametrize(("line", "headers", "status", "code"), REFUSED.values(), ids=REFUSED)
def test_a_refusal_is_json(daemon: Daemon, line, headers, status, code):
    got, answer, body = ask(daemon, line, **headers)
    assert got == status
    assert answer["Content-Type"] == "application/json"
    assert answer["Server"] == "streamd"
    assert answer["Retry-After"] is None
    error = json.loads(body)["error"]
    message = error.pop("message")
    ref = "origin" if "Origin" in headers else None
    assert error == {"code": code, "ref": ref, "retryable": False}
    assert message
    if status == 426:
        assert answer["Upgrade"] == "websocket"
        assert answer["Sec-WebSocket-Version"] == "13"
    if status == 405:
        assert {name.strip() for name in answer["Allow"].split(",")} == {"GET", "HEAD"}


def test_what_a_client_wrote_stays_inside_the_json(daemon: Daemon):
    status, _, body = ask(daemon, 'GET /"},"x":{"<b> HTTP/1.1', **NO_UPGRADE)
    assert (status, list(json.loads(body))) == (404, ["error"])


def assert_overloaded(running: Daemon) -> None:
    """A new stream is refused before the upgrade, with the time after which to try again."""
    status, answer, body = ask(running, "GET /v1/stream HTTP/1.1")
    assert (status, answer["Retry-After"], answer["Server"]) == (503, "5", "streamd")
    error = json.loads(body)["error"]
    assert (error["code"], error["retryable"], error["retry_after_ms"]) == (
        "overloaded",
        True,
        5000,
    )


async def test_a_full_server_says_when_to_try_again(serve):
    running = serve(limits__max_streams=1)
    async with dial(running.url) as socket:
        await say(socket, {"type": "hello"})
        await next_event(socket, "ready")
        assert_overloaded(running)
    assert running.metric("streamd_streams_refused_total", reason="overloaded") == 1
    assert running.metric("streamd_http_errors_total", status="503") == 1


async def has_room(running: Daemon) -> bool:
    with contextlib.suppress(InvalidStatus, ConnectionClosed):
        async with dial(running.url) as socket:
            await say(socket, {"type": "hello"})
            await next_event(socket, "ready")
            return True
    return False


async def test_a_stream_that_the_machine_cannot_carry_is_refused_before_the_upgrade(serve):
    three_streams = 0.035 / len(usable_cores())
    running = serve(limits__max_load=three_streams)
    async with AsyncExitStack() as stack:
        for _ in range(3):
            socket = await stack.enter_async_context(dial(running.url))
            await say(socket, {"type": "hello"})
            await next_event(socket, "ready")
        assert_overloaded(running)
        assert running.metric("streamd_streams_refused_total", reason="headroom") == 1
        await running.eventually(lambda: running.metric("streamd_headroom_ratio") < 0.5)
    await running.eventually(lambda: running.streams == 0)
    async with asyncio.timeout(HANG_S):
        # Each try costs a part of the load that has to fall, most of all with TLS.
        while not await has_room(running):  # noqa: ASYNC110
            await asyncio.sleep(1)


@pytest.mark.parametrize("path", ["/", "/app.js", "/health", "/v1/info", "/metrics", "/nothing"])
def test_head_says_what_get_would(daemon: Daemon, path):
    status, answer, body = ask(daemon, f"GET {path} HTTP/1.1", **NO_UPGRADE)
    head_status, head, nothing = ask(daemon, f"HEAD {path} HTTP/1.1", **NO_UPGRADE)
    assert (head_status, nothing) == (status, b"")
    assert head["Content-Type"] == answer["Content-Type"]
    assert head["Server"] == answer["Server"] == "streamd"
    if path != "/metrics":  # which counts the request in between
        assert int(head["Content-Length"]) == len(body)


def test_head_opens_no_stream(daemon: Daemon):
    status, _, body = ask(daemon, "HEAD /v1/stream HTTP/1.1")
    assert (status, body, daemon.streams) == (426, b"", 0)


async def test_the_upgrade_names_no_library_either(daemon: Daemon):
    async with dial(daemon.url) as socket:
        assert socket.response is not None
        assert socket.response.headers["Server"] == "streamd"


def test_a_refused_upgrade_leaves_the_connection_to_the_next_request(daemon: Daemon):
    with Wire(daemon.url) as wire:
        wire.request(Sec_WebSocket_Version="99")
        assert wire.until_answered()[0].startswith(b"HTTP/1.1 426 ")
        wire.upgrade()
        wire.say({"type": "end"})
        assert b'"ready"' in wire.socket.recv(65_536)


UNREADABLE = {
    "not compressed as it says": ({"Content-Encoding": "gzip", "Content-Length": "3"}, b"abc"),
    "not cut as it says": ({"Transfer-Encoding": "chunked"}, b"zz\r\n"),
}


@pytest.mark.parametrize(("headers", "body"), UNREADABLE.values(), ids=UNREADABLE)
def test_a_body_that_cannot_be_read_is_no_error_of_ours(serve, headers, body):
    running = serve()
    fields = {name.replace("-", "_"): value for name, value in headers.items()}
    with Wire(running.url) as wire:
        wire.request("GET /v1/info HTTP/1.1", **(NO_UPGRADE | {"Connection": ""} | fields))
        wire.until_answered()
        wire.socket.sendall(body)
        wire.rest()
    assert running.stop() == 0
    assert running.complaints() == []


def test_an_origin_that_is_none_is_refused(serve):
    running = serve()
    assert ask(running, "GET /v1/stream HTTP/1.1", Origin="http://[::1")[0] == 403
    assert running.complaints() == []
