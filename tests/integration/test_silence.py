"""What ends the silence of a socket: a message or a ping of the client's, never a pong."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from daemons import dial
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

IDLE_S = 1


async def ping(socket: ClientConnection) -> None:
    """Ping, and wait for the answer."""
    await asyncio.wait_for(await socket.ping(), 60)


async def pong(socket: ClientConnection) -> None:
    """Answer what nobody asked."""
    await socket.pong()


async def outlasts(url: str, sign: Callable[[ClientConnection], Awaitable[None]]) -> bool:
    """Whether a stream is open after three times `IDLE_S` of nothing but one sign of life.

    Where the machine was so busy that the signs came late, a close says nothing, and it is tried
    again.
    """
    for _ in range(10):
        longest, code = 0.0, None
        async with dial(url, ping_interval=None) as socket:
            began = last = time.monotonic()
            try:
                while last - began < 3 * IDLE_S:
                    await sign(socket)
                    await asyncio.sleep(0.05)
                    longest, last = max(longest, time.monotonic() - last), time.monotonic()
            except ConnectionClosed as closed:
                longest, code = max(longest, time.monotonic() - last), closed.rcvd
        if code is None:
            return True
        assert code.code == 4010
        if 2 * longest < IDLE_S:
            return False
    raise AssertionError("this machine is too busy")


async def test_pings_of_the_client_end_it_and_its_pongs_do_not(serve):
    running = serve(limits__idle_s=IDLE_S)
    assert await outlasts(running.url, ping)
    assert not await outlasts(running.url, pong)
    assert running.complaints() == []
