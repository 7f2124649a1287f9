"""Where a client shows its key, and where it does not."""

import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus

import pytest
from waiting import HANG_S
from websockets.asyncio.server import Request, Response, ServerConnection, serve
from websockets.datastructures import Headers

from streamd.client import RefusedByServer, connect
from streamd.client.credentials import check_key, is_readable_on_the_way, keeps_tls
from streamd.errors import WrongUsage

KEY = "sk_0123456789ab_" + "x" * 43


class Door:
    """Answers every upgrade with one status, and keeps what it was shown."""

    def __init__(self, status: HTTPStatus, **headers: str) -> None:
        self.shown: list[str | None] = []
        self._answer = status, Headers(headers)

    def __call__(self, connection: ServerConnection, request: Request) -> Response:
        self.shown.append(request.headers.get("Authorization"))
        status, headers = self._answer
        return Response(status, status.phrase, headers, b"")

    @asynccontextmanager
    async def open(self, host: str = "127.0.0.1") -> AsyncIterator[str]:
        async def nobody(connection: ServerConnection) -> None:
            raise AssertionError("every upgrade is refused")

        async with serve(nobody, "127.0.0.1", 0, process_request=self) as server:
            yield f"ws://{host}:{server.sockets[0].getsockname()[1]}/v1/stream"


async def refusal(url: str, key: str | None) -> RefusedByServer:
    with pytest.raises(RefusedByServer) as caught:
        async with connect(url, key=key):
            pass
    return caught.value


@pytest.mark.parametrize(
    ("key", "shown"), [(KEY, f"Bearer {KEY}"), (f" {KEY}\n", f"Bearer {KEY}"), (None, None)]
)
async def test_a_key_is_shown_as_a_bearer_token(key, shown):
    door = Door(HTTPStatus.UNAUTHORIZED)
    async with door.open() as url:
        refused = await refusal(url, key)
    assert (refused.status, door.shown) == (401, [shown])


@pytest.mark.parametrize("key", ["a b", "kéy", "a\r\nX-Other: 1", "“sk_1”", "a\0b", "a\tb"])
async def test_what_no_header_can_carry_is_refused_and_not_quoted(key):
    with pytest.raises(WrongUsage, match="no key has") as caught:
        async with connect("ws://127.0.0.1:1/v1/stream", key=key):
            pass
    assert key not in str(caught.value)


@pytest.mark.parametrize("nothing", [None, "", " \n"])
def test_an_empty_key_is_none(nothing):
    assert check_key(nothing) is None


async def test_no_redirect_shows_the_key_to_another_host():
    elsewhere = Door(HTTPStatus.UNAUTHORIZED)
    async with elsewhere.open("localhost") as other:
        door = Door(HTTPStatus.TEMPORARY_REDIRECT, Location=other)
        async with door.open() as url:
            refused = await refusal(url, KEY)
    assert (refused.status, elsewhere.shown) == (307, [])
    assert "another host" in refused.message


async def test_on_its_own_host_a_redirect_is_followed_and_without_a_key_anywhere():
    for host, key in (("127.0.0.1", KEY), ("localhost", None)):
        elsewhere = Door(HTTPStatus.UNAUTHORIZED)
        async with elsewhere.open(host) as other:
            door = Door(HTTPStatus.TEMPORARY_REDIRECT, Location=other)
            async with door.open() as url:
                assert (await refusal(url, key)).status == 401
        assert len(elsewhere.shown) == 1


@pytest.mark.parametrize(
    ("url", "next_url", "may"),
    [
        ("ws://a/v1/stream", "ws://b/v1/stream", True),
        ("ws://a/v1/stream", "wss://b/v1/stream", True),
        ("wss://a/v1/stream", "wss://b/v1/stream", True),
        ("wss://a/v1/stream", "ws://b/v1/stream", False),
        ("wss://a/v1/stream", "http://b/v1/stream", False),
        ("ws://a/v1/stream", "/v1/stream", False),
    ],
)
def test_a_stream_that_moves_to_another_server_stays_encrypted(url, next_url, may):
    assert keeps_tls(url, next_url) is may


@pytest.mark.parametrize(
    ("url", "readable"),
    [
        ("ws://box:8765/v1/stream", True),
        ("ws://192.0.2.1:8765/v1/stream", True),
        ("wss://box/v1/stream", False),
        ("ws://localhost:8765/v1/stream", False),
        ("ws://[::1]:8765/v1/stream", False),
    ],
)
def test_which_connections_others_can_read(url, readable):
    assert is_readable_on_the_way(url) is readable


def test_the_client_loads_neither_numpy_nor_the_server():
    code = "import sys, streamd.client; print(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, text=True, timeout=HANG_S
    )
    loaded = set(done.stdout.split())
    assert not loaded & {"numpy", "onnxruntime", "aiohttp", "sqlite3", "typer", "cryptography"}
    assert not [name for name in loaded if name.startswith(("streamd.store", "streamd.transport"))]
