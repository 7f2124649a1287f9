"""The MicroPython example against a real daemon, under MicroPython, with a microphone of a file."""

import asyncio
import json
import os
import shutil
import subprocess
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from conformance import AUDIO, Seen, Vector, contains, log_of, vectors
from fakes.keys import make_key
from needs import needs
from waiting import HANG_S

pytestmark = [pytest.mark.device, pytest.mark.models]

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "clients" / "micropython" / "streamd_mic.py"
BOARD = ROOT / "tests" / "fakes" / "micropython" / "machine.py"
(NO_HELLO,) = [vector for vector in vectors() if vector.name == "no_hello"]


def before_the_end(vector: Vector) -> dict[str, list[dict]]:
    """What a microphone that goes on with silence has of the log: the first utterance, whole."""
    return {
        kind: [event for event in events if event.get("utterance") == "u1"]
        for kind, events in vector.expect["log"].items()
        if kind != "bye"
    }


def configured(url: str, key: str) -> str:
    """The example with the address of a server, and a key."""
    parts = urlsplit(url)
    text = EXAMPLE.read_text(encoding="utf-8")
    for old, new in {
        '"192.168.1.10"': f'"{parts.hostname}"',
        "8765": str(parts.port),
        "sk_...": key,
    }.items():
        assert text.count(old) == 1
        text = text.replace(old, new)
    return text


async def test_the_example_prints_the_events_of_audio_without_hello(daemon, tmp_path):
    needs("micropython")
    assert NO_HELLO.audio is not None
    key = make_key(daemon.home, "esp32", "stream")
    bearer = f"Bearer {key}"
    await daemon.eventually(lambda: daemon.get("/v1/info", Authorization=bearer)[0] == 200)
    shutil.copy(BOARD, tmp_path)
    (tmp_path / "main.py").write_text(configured(daemon.url, key), encoding="utf-8")
    process = await asyncio.create_subprocess_exec(
        "micropython",
        tmp_path / "main.py",
        env=os.environ | {"MIC_FILE": str(AUDIO / NO_HELLO.audio)},
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    seen, wanted = Seen(), before_the_end(NO_HELLO)
    async with asyncio.timeout(HANG_S):
        async for line in process.stdout:
            if line.startswith(b"{"):
                seen.events.append(json.loads(line))
            log = log_of(e for e in seen.events if e.get("utterance") == "u1")
            if log.keys() >= wanted.keys():
                break
        process.kill()
        await process.wait()
    assert contains(seen.of("ready")[0], NO_HELLO.expect["ready"])
    assert log.keys() == wanted.keys()
    assert contains(log, wanted)
