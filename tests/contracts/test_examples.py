"""The programs of README and of the docs do what is said of them, on a minute of speech."""

import ast
import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from daemons import Daemon, environment, speech
from waiting import HANG_S

ROOT = Path(__file__).parents[2]
DEFAULT_URL = "ws://127.0.0.1:8765/v1/stream"


def programs(page: str) -> list[str]:
    """The Python blocks of a page that can be run as they are."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text("utf-8"), re.DOTALL)
    return [block for block in blocks if "asyncio.run(" in block]


def run(program: str, folder: Path, url: str, *args: object, stdin: bytes = b"") -> str:
    """What a program prints; the URL in it is made that of the daemon."""
    file = folder / "client.py"
    program = program.replace("connect(modules=", f"connect({DEFAULT_URL!r}, modules=")
    file.write_text(program.replace(DEFAULT_URL, url), "utf-8")
    done = subprocess.run(
        [sys.executable, file, *map(str, args)],
        input=stdin,
        capture_output=True,
        cwd=folder,
        env=environment(folder),
        timeout=HANG_S,
        check=False,
    )
    assert (done.returncode, done.stderr.decode()) == (0, "")
    return done.stdout.decode()


@pytest.fixture
def minute() -> bytes:
    """A minute of speech: twice what one message may hold."""
    return (speech() * 6)[: 60 * 32_000]


@pytest.mark.models
@pytest.mark.parametrize("page", ["README.md", "docs/wire.md"])
async def test_the_client_of_the_page_streams_a_minute(daemon: Daemon, tmp_path, minute, page):
    (program,) = programs(page)
    (tmp_path / "speech.raw").write_bytes(minute)
    out = await asyncio.to_thread(run, program, tmp_path, daemon.url, stdin=minute)
    read = ast.literal_eval if "streamd.client" in program else json.loads
    events = [read(line) for line in out.splitlines()]
    assert [events[0]["type"], events[-1]["type"]] == ["ready", "bye"]
    assert events[-1]["samples"] == len(minute) // 2
    assert any(event["type"] == "wake" for event in events)


@pytest.mark.models
async def test_the_sdk_streams_a_recording(daemon: Daemon, tmp_path, minute):
    (program,) = programs("docs/sdk.md")
    assert "connect(audio=" in program
    program = program.replace("connect(audio=", f"connect({daemon.url!r}, audio=")
    soundfile.write(tmp_path / "talk.flac", np.frombuffer(minute, "<i2"), 16_000)
    out = await asyncio.to_thread(run, program, tmp_path, daemon.url, tmp_path / "talk.flac")
    lines = out.splitlines()
    assert "'type': 'ready'" in lines[0]
    assert "'type': 'bye'" in lines[-1]
    assert f"'samples': {len(minute) // 2}" in lines[-1]


def test_every_call_of_the_sdk_that_is_named_is_there():
    from streamd import client

    page = (ROOT / "docs" / "sdk.md").read_text("utf-8")
    calls = re.findall(r"^\| `(?:await )?stream\.(\w+)\(", page, re.MULTILINE)
    assert {"send", "flush", "gap", "enrol", "control", "end", "room"} == set(calls)
    assert all(callable(getattr(client.Stream, name)) for name in calls)
    options = re.search(r"\| `connect\(url, (.*?)\)`", page)
    assert options is not None
    named = {name.strip(" =") for name in options[1].split(",")}
    assert named == set(client.connect.__wrapped__.__annotations__) - {"url", "return"}
