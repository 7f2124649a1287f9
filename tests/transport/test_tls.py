"""With TLS of the event loop's own, the descriptor has ciphertext: streams take the plain path."""

import asyncio
import ssl
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import uvloop
from aiohttp import web
from aiohttp.typedefs import Handler
from daemons import Received, assert_same_log, cut, dial, next_event, read_to_close, say
from fakes.certificates import certificate
from fakes.driving import pcm, silence, word
from fakes.serving import Server
from waiting import HANG_S

from streamd.access.presence import Presence
from streamd.access.principal import ANYBODY
from streamd.config import ServerConfig
from streamd.live.ticks import FEW
from streamd.transport.http.fast_path import FastSocket
from streamd.transport.http.guard import admit_as
from streamd.transport.http.websocket import Streams

HELLO = {"type": "hello", "modules": {"vad": {}, "wake": {"words": ["alexa"]}}}
END = {"type": "end"}
AUDIO = pcm(silence(500), word(), silence(1500))
STREAMS = FEW + 2
"""So many that those without TLS are read at ticks."""


async def hear_all(url: str, trusts: ssl.SSLContext | None, streams: Streams) -> list[Received]:
    """The events of several streams at once, and whether all are on the fast path or none."""
    async with AsyncExitStack() as stack:
        sockets = [await stack.enter_async_context(dial(url, ssl=trusts)) for _ in range(STREAMS)]
        received = []
        for socket in sockets:
            await say(socket, HELLO)
            received.append(Received([await next_event(socket, "ready")]))
        is_fast = {isinstance(socket, FastSocket) for socket in streams._open.values()}
        assert is_fast == {trusts is None}
        listening = [
            asyncio.create_task(read_to_close(*one)) for one in zip(sockets, received, strict=True)
        ]
        for message in cut(AUDIO, 640):
            for socket in sockets:
                await say(socket, message)
        for socket in sockets:
            await say(socket, END)
        return await asyncio.wait_for(asyncio.gather(*listening), HANG_S)


@web.middleware
async def anybody(request: web.Request, handler: Handler) -> web.StreamResponse:
    admit_as(request, ANYBODY)
    return await handler(request)


async def serve_both(home: Path) -> tuple[list[Received], list[Received]]:
    """The same streams with TLS and without, at one server."""
    server = Server(max_streams=STREAMS)
    streams = Streams(server.services, Presence(0), ServerConfig())
    assert streams.fast_path.obstacle is None
    app = web.Application(middlewares=[anybody])
    app.router.add_get("/v1/stream", streams.handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    files = certificate(home)
    ours, theirs = files.server, files.client
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=ours).start()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        (tls, bare) = (f"{host}:{port}/v1/stream" for host, port in runner.addresses)
        hidden = await hear_all(f"wss://{tls}", theirs, streams)
        return hidden, await hear_all(f"ws://{bare}", None, streams)
    finally:
        await runner.cleanup()
        await server.stop()


@pytest.mark.parametrize("loop", [uvloop.Loop, asyncio.SelectorEventLoop])
def test_over_the_loops_tls_a_stream_takes_the_plain_path_and_gets_the_same_events(
    tmp_path: Path, loop: Callable[[], asyncio.AbstractEventLoop]
):
    with asyncio.Runner(loop_factory=loop) as runner:
        hidden, bare = runner.run(serve_both(tmp_path))
    for one, other in zip(hidden, bare, strict=True):
        assert (one.code, other.code) == (1000, 1000)
        assert {"speech_start", "wake", "speech_end"} <= {*one.types}
        assert_same_log(one.events, other.events)
