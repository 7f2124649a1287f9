"""`/v1/asr/stream`: the socket of ASR clients, which wait for one answer to each AUDIO message."""

import asyncio
import base64
import json
from typing import Any

import pytest
from daemons import Daemon, cut, dial, silence
from waiting import HANG_S
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

INIT = {
    "type": "INIT",
    "config": {"encoding": "LINEAR16", "sample_rate": 16_000, "language": "zh-CN"},
}


def url(daemon: Daemon) -> str:
    return daemon.url.replace("/v1/stream", "/v1/asr/stream")


def audio(pcm: bytes) -> dict[str, str]:
    return {"type": "AUDIO", "audio": base64.b64encode(pcm).decode()}


async def answers(daemon: Daemon, *sent: Any) -> tuple[list[dict[str, Any]], int]:
    """Everything that the server answers, and its close code."""
    found: list[dict[str, Any]] = []

    async def read(socket: ClientConnection) -> None:
        while True:
            found.append(json.loads(await socket.recv()))

    async with asyncio.timeout(HANG_S), dial(url(daemon)) as socket:
        for message in sent:
            raw = message if isinstance(message, (str, bytes)) else json.dumps(message)
            await socket.send(raw)
        with pytest.raises(ConnectionClosed):
            await read(socket)
        assert socket.close_code is not None
        return found, socket.close_code


async def test_a_client_that_waits_for_one_answer_to_each_message_never_hangs(
    daemon: Daemon,
) -> None:
    async with asyncio.timeout(HANG_S), dial(url(daemon)) as socket:
        await socket.send(json.dumps(INIT))
        for chunk in cut(silence(1), 3200):
            await socket.send(json.dumps(audio(chunk)))
            answer = json.loads(await socket.recv())
            assert (answer["type"], answer["transcript"]) == ("PARTIAL", "")
            assert answer["code"] == "not_loaded"
        await socket.send(json.dumps({"type": "END"}))
        assert json.loads(await socket.recv())["type"] == "FINAL"
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1000


async def test_messages_sent_at_once_get_one_answer_each(daemon: Daemon) -> None:
    found, code = await answers(daemon, INIT, *[audio(silence(0.1))] * 20, {"type": "END"})
    assert [answer["type"] for answer in found] == ["PARTIAL"] * 20 + ["FINAL"]
    assert code == 1000


@pytest.mark.parametrize(
    ("sent", "error", "close"),
    [
        ("nonsense", "bad_message", 4000),
        ("[]", "bad_message", 4000),
        (b"\0\0", "bad_message", 4000),
        ({"type": "OTHER"}, "bad_message", 4000),
        ({"type": "AUDIO"}, "bad_message", 4000),
        ({"type": "AUDIO", "audio": "?"}, "bad_message", 4000),
        ({"type": "INIT", "config": 3}, "bad_message", 4000),
        ({"type": "INIT", "config": {"encoding": "FLAC"}}, "unsupported_audio", 4005),
        ({"type": "INIT", "config": {"sample_rate": 1}}, "unsupported_audio", 4005),
        ("x" * 1_100_000, "too_large", 1009),
    ],
)
async def test_a_bad_message_gets_an_error_and_then_a_close(
    daemon: Daemon, sent: Any, error: str, close: int
) -> None:
    found, code = await answers(daemon, sent)
    assert [(one["type"], one["code"]) for one in found] == [("ERROR", error)]
    assert found[0]["message"]
    assert code == close


async def test_silence_of_the_socket_ends_it(serve) -> None:
    found, code = await answers(serve(limits__idle_s=1), INIT)
    assert [(one["type"], one["code"]) for one in found] == [("ERROR", "idle")]
    assert code == 4010


async def test_without_an_upgrade_it_is_426(daemon: Daemon) -> None:
    assert daemon.get("/v1/asr/stream")[0] == 426


async def test_too_many_sockets_are_refused_and_a_stop_closes_all(serve) -> None:
    daemon = serve()
    sockets = [await dial(url(daemon)) for _ in range(64)]
    with pytest.raises(InvalidStatus) as refused:
        await dial(url(daemon))
    assert refused.value.response.status_code == 503
    assert "Retry-After" in refused.value.response.headers
    daemon.process.terminate()
    for socket in sockets:
        with pytest.raises(ConnectionClosed) as closed:
            await asyncio.wait_for(socket.recv(), HANG_S)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1012
    assert await asyncio.to_thread(daemon.wait) == 0
