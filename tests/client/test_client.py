"""The SDK against a real socket whose other end says a minimum of the protocol."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus

import pytest
from waiting import until
from websockets.asyncio.server import Request, Response, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed

from streamd.client import ConnectionLost, RefusedByServer, connect, pacing
from streamd.client.pacing import Cutter, delay_s, stream_pcm
from streamd.errors import CannotConnect
from streamd.errors import RefusedByServer as AnyRefusal

Handler = Callable[[ServerConnection], Awaitable[None]]
READY = {"type": "ready", "protocol": 1, "session": "s_1", "a_later_field": {"x": 1}}


async def say(socket: ServerConnection, **event: object) -> None:
    await socket.send(json.dumps(event))


async def polite(socket: ServerConnection) -> None:
    """Acknowledges every message, answers control, says bye."""
    received = 0
    async for message in socket:
        if isinstance(message, bytes):
            received += len(message)
            await say(socket, type="ack", samples=received // 2)
            continue
        match json.loads(message):
            case {"type": "hello"} as hello:
                await socket.send(json.dumps({**READY, "hello": hello}))
            case {"type": "flush", "id": flush_id}:
                await say(socket, type="flushed", id=flush_id, seq=1)
            case {"type": "end"}:
                await say(socket, type="a_later_type", seq=2)
                await say(socket, type="bye", samples=received // 2, seq=3)
                return


@asynccontextmanager
async def serving(handler: Handler, refuse: Response | None = None) -> AsyncIterator[str]:
    def gate(connection: ServerConnection, request: Request) -> Response | None:
        return refuse

    async with serve(
        handler, "127.0.0.1", 0, subprotocols=["streamd.v1"], process_request=gate
    ) as server:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/stream"


async def test_a_stream_goes_from_ready_to_bye_and_keeps_what_it_does_not_know():
    async with (
        serving(polite) as url,
        connect(url, audio={"rate": 8000}, modules={"wake": {}}, client="t/1") as stream,
    ):
        assert stream.ready["hello"]["audio"] == {"rate": 8000}
        assert stream.ready["hello"]["modules"] == {"wake": {}}
        await stream.send(b"\0" * 321)  # half a sample is carried over, and not counted
        await stream.flush("f1")
        await stream.end()
        events = [event async for event in stream]
    kinds = [event["type"] for event in events if event["type"] != "ack"]
    assert kinds == ["ready", "flushed", "a_later_type", "bye"]
    assert events[0]["a_later_field"] == {"x": 1}
    assert (stream.samples_sent, stream.samples_acked) == (160, 160)


async def test_hello_leaves_out_what_the_caller_did_not_choose():
    async with serving(polite) as url, connect(url) as stream:
        assert stream.ready["hello"].keys() == {"type", "client", "audio"}


async def test_nobody_at_the_address_says_how_to_start_a_server():
    with pytest.raises(CannotConnect, match="start one with: streamd serve"):
        async with connect("ws://127.0.0.1:1/v1/stream"):
            pass


async def test_a_url_that_is_none_is_said_so():
    with pytest.raises(CannotConnect, match="not a WebSocket URL"):
        async with connect("http://127.0.0.1:1"):
            pass


async def test_a_refused_upgrade_carries_status_code_and_wait():
    body = b'{"code": "overloaded", "message": "the machine is full"}'
    response = Response(HTTPStatus.SERVICE_UNAVAILABLE, "", Headers({"Retry-After": "3"}), body)
    async with serving(polite, refuse=response) as url:
        with pytest.raises(AnyRefusal, match="the machine is full") as caught:
            async with connect(url):
                pass
    refusal = caught.value
    assert isinstance(refusal, RefusedByServer)
    assert (refusal.status, refusal.code, refusal.retry_after_ms) == (503, "overloaded", 3000)


async def test_an_error_in_place_of_ready_is_a_refusal():
    async def picky(socket: ServerConnection) -> None:
        await socket.recv()
        await say(socket, type="error", code="bad_config", message="no such word", fatal=True)
        await socket.close(4002, "bad_config")

    async with serving(picky) as url:
        with pytest.raises(RefusedByServer, match="no such word") as caught:
            async with connect(url):
                pass
    assert (caught.value.code, caught.value.close_code) == ("bad_config", 4002)


async def test_a_broken_socket_is_lost_and_not_refused():
    async def breaking(socket: ServerConnection) -> None:
        await socket.recv()
        await socket.send(json.dumps(READY))
        socket.transport.abort()

    async with serving(breaking) as url, connect(url, reconnect_s=0) as stream:
        with pytest.raises(ConnectionLost, match="broke"):
            async for _ in stream:
                pass
        with pytest.raises(ConnectionLost):
            await stream.send(b"\0\0")


async def test_converse_raises_the_reason_that_the_server_gave_before_closing():
    async def tired(socket: ServerConnection) -> None:
        await socket.recv()
        await socket.send(json.dumps(READY))
        await socket.recv()
        await say(socket, type="error", code="bad_config", message="no such hop", fatal=True)
        await socket.close(4002, "bad_config")

    async with serving(tired) as url, connect(url) as stream:
        with pytest.raises(RefusedByServer, match="no such hop"):
            await pacing.converse(
                stream, stream_pcm(stream, [b"\0" * 640] * 500, realtime=True), lambda _: None
            )


async def test_converse_raises_a_failure_of_the_sender_as_it_is():
    async def sending() -> None:
        raise ValueError("not audio")

    async with serving(polite) as url, connect(url) as stream:
        with pytest.raises(ValueError, match="not audio"):
            await pacing.converse(stream, sending(), lambda _: None)


async def test_fast_sending_waits_for_the_ack():
    release = asyncio.Event()
    received = 0

    async def slow(socket: ServerConnection) -> None:
        nonlocal received
        await socket.recv()
        await socket.send(json.dumps(READY))
        try:
            while isinstance(message := await socket.recv(), bytes):
                received += len(message) // 2
                await release.wait()
                await say(socket, type="ack", samples=received)
            await say(socket, type="bye")
        except ConnectionClosed:
            pass

    async with serving(slow) as url, connect(url) as stream:

        async def sending() -> None:
            blocks = [b"\0" * 320_000]
            await stream_pcm(stream, blocks, realtime=False, max_ahead_ms=1000)
            await stream.end()

        talk = asyncio.create_task(pacing.converse(stream, sending(), lambda _: None))
        await until(lambda: stream.samples_sent >= 16_000)
        for _ in range(100):
            await asyncio.sleep(0)
        assert stream.samples_sent <= 16_000 + 16_000 * pacing.FAST_MESSAGE_MS // 1000
        release.set()
        await talk
    assert received == 160_000


@pytest.mark.parametrize("realtime", [True, False])
async def test_stream_pcm_loses_no_byte_however_the_blocks_are_cut(realtime):
    audio = bytes(range(256)) * 20

    async def blocks() -> AsyncIterator[bytes]:
        for start in range(0, len(audio), 777):
            yield audio[start : start + 777]

    async with serving(polite) as url, connect(url) as stream:
        await stream_pcm(stream, blocks(), realtime=realtime)
        await stream.end()
        assert [event async for event in stream][-1]["samples"] == len(audio) // 2


@pytest.mark.parametrize("rate", [8000, 11_025, 16_000, 44_100, 48_000])
@pytest.mark.parametrize("block", [1, 333, 100_000])
def test_messages_do_not_drift_at_any_rate(rate, block):
    audio = b"\0" * (rate * 2 * 3)
    cutter = Cutter(rate, frame_bytes=2, message_ms=20)
    messages = [
        message
        for start in range(0, len(audio), block)
        for message in cutter.push(audio[start : start + block])
    ]
    ends = 0
    for index, message in enumerate(messages, start=1):
        ends += len(message) // 2
        assert ends == index * rate * 20 // 1000
    assert ends + len(cutter.rest()) // 2 == rate * 3


def test_pacing_counts_from_the_start_so_that_lateness_does_not_add_up():
    assert delay_s(samples=320, rate_hz=16_000, elapsed_s=0.0) == pytest.approx(0.02)
    assert delay_s(samples=640, rate_hz=16_000, elapsed_s=0.035) == pytest.approx(0.005)
    assert delay_s(samples=640, rate_hz=16_000, elapsed_s=9.0) == 0.0
    hour = 3600 * 44_100
    assert delay_s(samples=hour, rate_hz=44_100, elapsed_s=3600.0) == 0.0
