"""Ctrl-C on `stream`: the last events still come, and a second one does not wait for them."""

import asyncio
import json
import signal
from pathlib import Path

import pytest
from conftest import Cli
from daemons import DATA, Daemon
from websockets.asyncio.server import ServerConnection, serve

SLT = DATA / "speech_slt.flac"
READY = {"type": "ready", "protocol": 1, "session": "s_1"}


@pytest.mark.parametrize("source", [[SLT], ["-"]])
def test_ctrl_c_sends_end_and_takes_the_last_events(cli: Cli, daemon: Daemon, source: list) -> None:
    process = cli.start("stream", *source, "--url", daemon.url)
    assert process.stdout is not None
    events = [json.loads(process.stdout.readline())]
    while source != ["-"] and events[-1]["type"] != "speech_start":
        events.append(json.loads(process.stdout.readline()))
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    events += [json.loads(line) for line in out.splitlines()]
    assert process.returncode == 130
    assert events[-1]["type"] == "bye"
    kinds = [event["type"] for event in events]
    assert kinds.count("speech_start") == kinds.count("speech_end")
    assert "Ctrl-C again" in err.decode()


async def test_a_second_ctrl_c_does_not_wait_for_the_server(tmp_path: Path) -> None:
    ended = asyncio.Event()

    async def hung(socket: ServerConnection) -> None:
        """Says ready, and nothing to the end."""
        await socket.recv()
        await socket.send(json.dumps(READY))
        async for message in socket:
            if message == '{"type": "end"}':
                ended.set()

    async with serve(hung, "127.0.0.1", 0, subprotocols=["streamd.v1"]) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1/stream"
        process = await asyncio.to_thread(Cli(tmp_path).start, "stream", SLT, "--url", url)
        assert process.stdout is not None
        await asyncio.to_thread(process.stdout.readline)
        process.send_signal(signal.SIGINT)
        async with asyncio.timeout(60):
            await ended.wait()
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, err = await asyncio.to_thread(process.communicate, timeout=60)
    assert process.returncode == 130
    assert out == b""
    assert b"Traceback" not in err
