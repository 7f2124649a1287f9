"""The daemon as a process: its imports, its messages to systemd, and its free loop."""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys

import pytest
from blockbuster import blockbuster_ctx
from daemons import converse, cut, environment, speech
from waiting import HANG_S

from streamd.app import Daemon
from streamd.compose import make_parts
from streamd.config import Config, key_path, load
from streamd.models.library import Library
from streamd.store.sqlite import open_store

FRAMEWORKS = {"onnxruntime", "onnx", "torch", "mindspore", "modelscope", "funasr", "tensorflow"}


def imported(statement: str) -> set[str]:
    """Top-level names in `sys.modules` of a fresh process after a statement."""
    script = f"{statement}\nimport sys, json\nprint(json.dumps(list(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout))


def top(modules: set[str]) -> set[str]:
    return {name.split(".")[0] for name in modules}


@pytest.mark.parametrize(
    "module",
    [
        "streamd.app",
        "streamd.cli",
        "streamd.client.stream",
        "streamd.files.analysis",
        "streamd.compose",
    ],
)
def test_no_framework_is_imported_before_it_is_chosen(module):
    assert not top(imported(f"import {module}")) & FRAMEWORKS


@pytest.mark.parametrize(
    "module",
    [
        "streamd.session.session",
        "streamd.protocol.codec",
        "streamd.protocol.messages",
        "streamd.events",
        "streamd.errors",
    ],
)
def test_the_cores_import_nothing_that_awaits(module):
    got = imported(f"import {module}")
    heavy = {"aiohttp", "websockets", "uvloop", "typer", "rich", "sqlite3", "av", "cryptography"}
    assert not top(got) & (heavy | FRAMEWORKS)
    assert not {name for name in got if name.startswith("streamd.transport")}
    assert "streamd.live.connection" not in got
    # msgspec brings `asyncio` itself in nowhere; neither do we.
    assert "asyncio.events" not in got


def test_the_client_imports_no_server():
    heavy = {"aiohttp", "sqlite3", "numpy", "soundfile", "av"}
    assert not top(imported("import streamd.client")) & (heavy | FRAMEWORKS)


async def test_the_event_loop_is_never_blocked(tmp_path, monkeypatch):
    """From the first stream to the last: no file, no lock, no sleep on the loop."""
    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    config = load(None, {"STREAMD_SERVER__PORT": "0"})
    assert isinstance(config, Config)
    parts = make_parts(config, Library())
    store = open_store(tmp_path / "streamd.db", key_path({"STREAMD_DATA": str(tmp_path)}))
    daemon = Daemon(config, parts, store)
    heard_at: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(daemon.run(heard_at.set_result))
    url = (await asyncio.wait_for(heard_at, HANG_S)).replace("http", "ws") + "/v1/stream"
    with blockbuster_ctx("streamd"):
        received = await asyncio.gather(
            *(converse(url, cut(speech()), {"type": "end"}) for _ in range(4))
        )
        await asyncio.sleep(config.store.poll_s)
    daemon.stop()
    await running
    store.close()
    assert [one.code for one in received] == [1000] * 4


@pytest.fixture
def manager(tmp_path, request):
    """A stand-in for systemd's end of the notify socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ours:
        is_abstract = getattr(request, "param", "path") == "abstract"
        address = f"@streamd-test-{os.getpid()}" if is_abstract else str(tmp_path / "notify")
        ours.bind("\0" + address[1:] if address.startswith("@") else address)
        ours.settimeout(HANG_S)
        yield address, ours


@pytest.mark.parametrize("manager", ["path", "abstract"], indirect=True)
def test_systemd_receives_ready_watchdog_and_stopping(serve, manager):
    address, ours = manager
    running = serve(NOTIFY_SOCKET=address, WATCHDOG_USEC=400_000)
    messages = []
    while messages.count(b"WATCHDOG=1") < 4:
        messages.append(ours.recv(1024))
    assert any(m.startswith(b"READY=1") for m in messages)
    assert any(m.startswith(b"STATUS=ready: 0 streams, 0 held") for m in messages)
    assert running.stop() == 0
    sent = sent_to(ours)
    (stopping,) = (m for m in sent if m.startswith(b"STOPPING=1"))
    assert not any(m.startswith(b"STATUS=ready") for m in sent[sent.index(stopping) :])
    assert b"EXTEND_TIMEOUT_USEC=30000000" in stopping  # server.drain_s and 20 s


def sent_to(ours: socket.socket) -> list[bytes]:
    """What a process has sent that has ended."""
    ours.setblocking(False)
    sent = []
    with contextlib.suppress(BlockingIOError):
        while True:
            sent.append(ours.recv(1024))
    return sent


async def test_the_watchdog_of_another_process_is_not_fed(serve, manager):
    address, ours = manager
    running = serve(NOTIFY_SOCKET=address, WATCHDOG_USEC=2000, WATCHDOG_PID=1)
    await converse(running.url, speech(), {"type": "end"})  # at its interval, 1 ms, it were fed
    assert await asyncio.to_thread(running.stop) == 0
    sent = sent_to(ours)
    assert any(m.startswith(b"READY=1") for m in sent)
    assert not any(m.startswith(b"WATCHDOG") for m in sent)
