"""Which sockets a full server accepts."""

import json

import pytest
from fakes.serving import Line, Server
from waiting import until

from streamd.access.presence import Visit
from streamd.engine.base import Lease
from streamd.errors import Overloaded
from streamd.live import admission
from streamd.live.admission import admit

HELLO = '{"type":"hello"}'
ANYBODYS = Visit(None, 0)


@pytest.fixture
async def server():
    made = Server(max_streams=2, max_held=2)
    yield made
    await made.stop()


def ask(server: Server) -> Lease | None:
    """What a new socket gets."""
    running = [line.connection for line in server.lines if not line.running.done()]
    return admit(server.services, running, ANYBODYS)


async def stream(server: Server) -> Line:
    line = server.connect()
    line.put(HELLO)
    await until(lambda: line.of("ready"))
    return line


async def drop(line: Line) -> None:
    line.put(None)
    await line.code()


async def test_a_socket_gets_a_place_while_there_is_one(server: Server) -> None:
    await stream(server)
    lease = ask(server)
    assert lease is not None
    with pytest.raises(Overloaded):
        ask(server)
    assert server.metric("streams_refused_total", reason="overloaded") == 1
    server.engine.close(lease)


async def test_a_held_stream_takes_no_place_of_a_new_one(server: Server) -> None:
    for _ in range(2):
        await drop(await stream(server))
    for _ in range(2):
        await stream(server)
    assert (len(server.held), server.engine.leases) == (2, 4)


async def test_a_stream_that_ends_takes_no_place_of_a_new_one(server: Server) -> None:
    take, server.engine._batcher.take = server.engine._batcher.take, lambda *_, **__: None  # type: ignore[method-assign]
    lines = []
    for _ in range(12):  # one in, one out, while no job is run and thus no stream comes to its end
        lines.append(await stream(server))
        lines[-1].put(bytes(64_000), None)
        await lines[-1].code()
    assert server.metric("streams_held", kind="ending") == 10
    lease = ask(server)
    assert lease is not None
    server.engine.close(lease)
    server.engine._batcher.take = take  # type: ignore[method-assign]
    with server.engine.together():  # dispatches what waits, so that the streams end
        pass
    with server.engine.together():  # the jobs that have waited are dispatched
        pass


async def test_a_full_server_accepts_one_socket_for_each_held_stream(server: Server) -> None:
    held = await stream(server)
    await drop(held)
    for _ in range(2):
        await stream(server)
    assert ask(server) is None
    returning = server.connect(is_full=True)
    with pytest.raises(Overloaded):
        ask(server)
    token = held.of("ready")[0]["resume"]["token"]
    returning.put(json.dumps({"type": "hello", "resume": {"token": token}}))
    await until(lambda: returning.of("ready"))
    assert returning.of("ready")[0]["resumed"] is True


async def test_a_full_server_accepts_a_socket_for_a_stream_that_went_silent(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    half_open = await stream(server)
    await stream(server)
    with pytest.raises(Overloaded):
        ask(server)
    monkeypatch.setattr(admission, "SILENCE_S", 0.0)
    assert ask(server) is None
    returning = server.connect(is_full=True)
    token = half_open.of("ready")[0]["resume"]["token"]
    returning.put(json.dumps({"type": "hello", "resume": {"token": token}}))
    await until(lambda: returning.of("ready"))
    assert await half_open.code() == 4009


async def test_a_socket_that_was_refused_is_not_waited_for(server: Server) -> None:
    held = await stream(server)
    await drop(held)
    for _ in range(2):
        await stream(server)
    refused = server.connect(is_full=True)
    refused.put(HELLO)
    await refused.code()
    assert ask(server) is None
