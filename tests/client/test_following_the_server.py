"""The SDK does what each close, refusal and `ready` of a server asks, connection by connection."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any

import pytest
from waiting import HANG_S, until
from websockets.asyncio.server import Request, Response, ServerConnection, serve
from websockets.datastructures import Headers

from streamd.client import RefusedByServer, connect, link
from streamd.client.backoff import SLOWER_S, Backoff

Event = dict[str, Any]
Part = Callable[[ServerConnection, Event], Awaitable[None]]


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits are only as long as the server asks for."""
    monkeypatch.setattr(link, "Backoff", lambda: Backoff(lambda low, high: 0.0))


class Server:
    """Plays one part for each connection, the last one again and again."""

    def __init__(self, *parts: Part | Response) -> None:
        self.parts = parts
        self.hellos: list[Event] = []
        self.received: list[str | bytes] = []
        self.connections = 0
        self.url = ""

    def _part(self, number: int) -> Part | Response:
        return self.parts[min(number, len(self.parts) - 1)]

    def gate(self, connection: ServerConnection, request: Request) -> Response | None:
        part = self._part(self.connections)
        self.connections += 1
        connection.part = part  # type: ignore[attr-defined]
        return part if isinstance(part, Response) else None

    async def play(self, socket: ServerConnection) -> None:
        self.hellos.append(json.loads(await socket.recv()))
        await socket.part(socket, self.hellos[-1])  # type: ignore[attr-defined]


@asynccontextmanager
async def serving(*parts: Part | Response) -> AsyncIterator[Server]:
    server = Server(*parts)
    async with serve(
        server.play, "127.0.0.1", 0, subprotocols=["streamd.v1"], process_request=server.gate
    ) as running:
        server.url = f"ws://127.0.0.1:{running.sockets[0].getsockname()[1]}/v1/stream"
        yield server


async def say(socket: ServerConnection, kind: str, **fields: Any) -> None:
    await socket.send(json.dumps({"type": kind, **fields}))


async def ready(socket: ServerConnection, token: str, **fields: Any) -> None:
    await say(socket, "ready", session=f"s_{token}", resume={"token": token}, **fields)


def closing(code: int, reason: str, **error: Any) -> Part:
    """Say ready and one event, and close."""

    async def part(socket: ServerConnection, hello: Event) -> None:
        await ready(socket, "r_1")
        await say(socket, "wake", seq=1)
        if error:
            await say(socket, "error", code=reason, fatal=True, **error)
        await socket.close(code, reason)

    return part


def refusing(code: int, reason: str, **error: Any) -> Part:
    """Close in place of `ready`."""

    async def part(socket: ServerConnection, hello: Event) -> None:
        await say(socket, "error", code=reason, fatal=True, message=reason, **error)
        await socket.close(code, reason)

    return part


async def resuming(socket: ServerConnection, hello: Event) -> None:
    await ready(socket, "r_2", resumed=True, have_samples=0, have_controls=0)
    await say(socket, "bye", seq=2)


async def opening(socket: ServerConnection, hello: Event) -> None:
    await ready(socket, "r_9")
    await say(socket, "bye", seq=1)


async def heard(server: Server, **options: Any) -> list[Event]:
    async with asyncio.timeout(HANG_S), connect(server.url, **options) as stream:
        return [event async for event in stream]


def kinds(events: list[Event]) -> list[str]:
    return [event["type"] for event in events]


@pytest.mark.parametrize(("code", "reason"), [(4008, "slow_consumer"), (4010, "idle")])
async def test_a_close_that_holds_the_stream_is_followed_by_a_resume(code, reason):
    async with serving(closing(code, reason, message="m", seq=2), resuming) as server:
        events = await heard(server)
    # What the client recovers from is no error of the caller's.
    assert kinds(events) == ["ready", "wake", "disconnected", "reconnected", "bye"]
    assert events[3] == {"type": "reconnected", "resumed": True, "lost_samples": 0}
    assert [hello.get("resume") for hello in server.hellos] == [
        None,
        {"token": "r_1", "last_seq": 1},
    ]


@pytest.mark.parametrize("code", [1001, 1012, 4011])
async def test_a_session_that_is_over_is_followed_by_a_new_one(code):
    async with serving(closing(code, "over"), opening) as server:
        events = await heard(server, modules={"vad": {}})
    assert kinds(events) == ["ready", "wake", "disconnected", "reconnected", "ready", "bye"]
    assert events[3] == {"type": "reconnected", "resumed": False, "first_sample": 0}
    assert "resume" not in server.hellos[1]
    assert server.hellos[0] == server.hellos[1]


async def test_a_token_that_is_not_known_any_more_is_followed_by_a_new_session():
    parts = [closing(1011, "internal"), refusing(4004, "resume_unknown"), opening]
    async with serving(*parts) as server:
        events = await heard(server)
    assert kinds(events) == ["ready", "wake", "disconnected", "reconnected", "ready", "bye"]
    assert ["resume" in hello for hello in server.hellos] == [False, True, False]


async def test_a_server_that_lost_the_session_is_not_waited_for_again(monkeypatch):
    waits = []

    def draw(low: float, high: float) -> float:
        waits.append(high)
        return 0.0

    monkeypatch.setattr(link, "Backoff", lambda: Backoff(draw))
    parts = [closing(4010, "idle"), refusing(4004, "resume_unknown"), opening]
    async with serving(*parts) as server:
        events = await heard(server)
    assert kinds(events)[-3:] == ["reconnected", "ready", "bye"]
    assert len(waits) == 1  # before the attempt to resume


async def test_a_full_server_is_waited_for_with_the_same_token():
    full = Response(HTTPStatus.SERVICE_UNAVAILABLE, "", Headers({"Retry-After": "0"}), b"")
    busy = refusing(4013, "overloaded", retry_after_ms=1)
    async with serving(closing(4010, "idle"), full, busy, resuming) as server:
        events = await heard(server)
    assert kinds(events)[-2:] == ["reconnected", "bye"]
    assert server.connections == 4
    assert server.hellos[-1]["resume"] == {"token": "r_1", "last_seq": 1}


async def test_a_stream_that_another_node_holds_is_resumed_there():
    async with serving(resuming) as other:
        there = refusing(4014, "resume_elsewhere", url=other.url)
        async with serving(closing(4010, "idle"), there) as server:
            events = await heard(server)
    assert kinds(events)[-2:] == ["reconnected", "bye"]
    assert other.hellos[0]["resume"]["token"] == "r_1"


@pytest.mark.parametrize(
    ("code", "reason"),
    [(4001, "unauthenticated"), (4003, "forbidden"), (4009, "superseded"), (4002, "bad_config")],
)
async def test_what_another_attempt_cannot_mend_is_raised_at_once(code, reason):
    async with serving(closing(code, reason, message="m")) as server:
        events: list[Event] = []
        async with connect(server.url) as stream:
            with pytest.raises(RefusedByServer) as caught:
                events += [event async for event in stream]
    assert (caught.value.code, caught.value.close_code) == (reason, code)
    assert server.connections == 1


async def test_a_server_that_fails_again_is_left_alone():
    async with serving(closing(1011, "internal")) as server, connect(server.url) as stream:
        with pytest.raises(RefusedByServer, match="internal"):
            [event async for event in stream]
    assert server.connections == 2


async def test_the_newest_ready_has_the_token_that_counts():
    async def dropped(socket: ServerConnection, hello: Event) -> None:
        await ready(socket, "r_2", resumed=True, have_samples=0, have_controls=0)
        await socket.recv()
        socket.transport.abort()

    async with (
        serving(closing(4010, "idle"), dropped, resuming) as server,
        connect(server.url) as stream,
    ):
        await stream.flush("f")
        events = [event async for event in stream]
    assert kinds(events)[-1] == "bye"
    assert [hello["resume"]["token"] for hello in server.hellos[1:]] == ["r_1", "r_2"]


async def test_what_was_said_is_sent_before_the_stream_is_left():
    received: list[str | bytes] = []

    async def patient(socket: ServerConnection, hello: Event) -> None:
        await ready(socket, "r_1")
        received.extend([message async for message in socket])

    async with serving(patient) as server:
        async with connect(server.url) as stream:
            await stream.send(bytes(500_000))
            await stream.end()
        await until(lambda: received)
    assert sum(len(message) for message in received if isinstance(message, bytes)) == 500_000
    assert json.loads(received[-1]) == {"type": "end"}


async def test_a_caller_who_never_reads_is_told_instead_of_waiting_for_ever():
    async def chatty(socket: ServerConnection, hello: Event) -> None:
        await ready(socket, "r_1")
        for number in range(1, 2000):
            await say(socket, "wake", seq=number)
        await socket.wait_closed()

    async with serving(chatty) as server, connect(server.url, replay_s=1.0) as stream:
        with pytest.raises(RefusedByServer, match="iterate the stream"):
            await stream.send(bytes(1_000_000))


async def test_a_sender_ahead_of_real_time_waits_for_a_connection_and_loses_nothing():
    taken = asyncio.Event()
    back = asyncio.Event()
    received = 0

    async def first(socket: ServerConnection, hello: Event) -> None:
        await ready(socket, "r_1")
        await socket.recv()
        socket.transport.abort()

    async def second(socket: ServerConnection, hello: Event) -> None:
        nonlocal received
        await back.wait()
        await ready(socket, "r_2", resumed=True, have_samples=0, have_controls=0)
        while isinstance(message := await socket.recv(), bytes):
            received += len(message)
            await say(socket, "ack", samples=received // 2)
        await say(socket, "bye", seq=1)

    async with serving(first, second) as server, connect(server.url, replay_s=30.0) as stream:

        async def send() -> None:
            for number in range(60):
                await stream.send(bytes(32_000))
                if number == 29:
                    taken.set()
            await stream.end()

        sending = asyncio.create_task(send())
        async with asyncio.timeout(HANG_S):
            await taken.wait()
            for _ in range(100):
                await asyncio.sleep(0)
            assert stream.kept_bytes == 30 * 32_000
            assert stream.samples_sent == 30 * 16_000
            back.set()
            events = [event async for event in stream]
            await sending
    assert received == 60 * 32_000
    assert [e["lost_samples"] for e in events if e["type"] == "reconnected"] == [0]


async def test_who_sent_too_much_comes_back_later_and_sends_more_slowly(monkeypatch):
    waits, pauses, sleep = [], [], asyncio.sleep

    def draw(low: float, high: float) -> float:
        waits.append((low, high))
        return 0.0

    async def paused(delay_s: float) -> None:
        pauses.append(delay_s)
        await sleep(0)

    async def patient(socket: ServerConnection, hello: Event) -> None:
        await ready(socket, "r_2")
        for _ in range(2):
            assert json.loads(await socket.recv())["type"] == "ping"
        await say(socket, "bye", seq=1)
        await socket.close(1000, "done")

    monkeypatch.setattr(link, "Backoff", lambda: Backoff(draw))
    monkeypatch.setattr(link.asyncio, "sleep", paused)
    too_fast = closing(4012, "rate_exceeded", message="m", retry_after_ms=1)
    refused = Response(HTTPStatus.TOO_MANY_REQUESTS, "", Headers({"Retry-After": "0"}), b"")
    parts = [too_fast, refused, refusing(4004, "resume_unknown"), patient]
    events: list[Event] = []
    async with serving(*parts) as server, connect(server.url) as stream:
        async for event in stream:
            events.append(event)
            if event["type"] == "reconnected":
                assert link.CONTROL_S not in pauses
                for _ in range(2):
                    await stream.control({"type": "ping"})
    assert kinds(events)[-3:] == ["reconnected", "ready", "bye"]
    assert waits == [SLOWER_S, SLOWER_S]
    assert ["resume" in hello for hello in server.hellos] == [False, True, False]
    assert link.CONTROL_S in pauses
