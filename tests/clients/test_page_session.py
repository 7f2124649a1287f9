"""The page's own code against a real daemon whose connections break: the log of an unbroken run."""

import asyncio
import contextlib
import json
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
from daemons import Daemon, assert_same_log, keys, speech
from fakes.proxy import Fate, proxied
from needs import lacking, needs
from waiting import HANG_S, until

pytestmark = pytest.mark.browser

PAGE = Path(__file__).parents[2] / "clients" / "browser"
SCRIPT = Path(__file__).with_name("page_session.mjs")
NO_LOG = ("phase", "fresh", "over")
Event = dict[str, Any]


class Page:
    """Runs the modules of the page in node."""

    def __init__(self, home: Path) -> None:
        self._modules = home / "page"
        shutil.copytree(PAGE, self._modules)
        (self._modules / "package.json").write_text('{"type": "module"}')
        self._clip = home / "clip.raw"
        self._clip.write_bytes(speech("slt"))
        self.events: list[Event] = []

    async def run(self, url: str, *key: str) -> list[Event]:
        """Stream the clip, and return all that the page was told."""
        http_url = url.replace("ws", "http", 1).removesuffix("v1/stream")
        process = await asyncio.create_subprocess_exec(
            *["node", "--no-warnings", "--experimental-websocket", SCRIPT],
            *[self._modules, http_url, self._clip, *key],
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        self.events = []
        async with asyncio.timeout(HANG_S):
            async for line in process.stdout:
                self.events.append(json.loads(line))
            assert await process.wait() == 0
        return self.events


@pytest.fixture
def page(tmp_path: Path) -> Page:
    needs("node")
    probe = ["node", "--no-warnings", "--experimental-websocket", "-p", "typeof WebSocket"]
    done = subprocess.run(probe, check=False, capture_output=True, text=True, timeout=HANG_S)
    if done.stdout.strip() != "function":
        lacking("node has no WebSocket; it comes with version 20.10")
    return Page(tmp_path)


def log(events: list[Event]) -> list[Event]:
    """What is promised over a drop."""
    return [e for e in events if e["type"] not in NO_LOG and e.get("final", True)]


def broken(number: int) -> Fate:
    """In the middle of a sentence, in a `ready`, in the next events, and at once."""
    fates = [Fate(up=90_000), Fate(down=900), Fate(down=3000), Fate(kind="refuse")]
    return fates[number] if number < len(fates) else Fate()


async def test_a_drop_in_mid_sentence_ends_with_the_log_of_an_unbroken_run(page, daemon):
    alone = list(await page.run(daemon.url))
    assert {"speech_start", "wake", "speaker", "speech_end", "bye"} <= {e["type"] for e in alone}
    async with proxied(daemon.url, broken) as proxy:
        events = await page.run(proxy.url)
    assert proxy.connections > 4
    assert_same_log(log(events), log(alone))
    numbers = [event["seq"] for event in events if "seq" in event]
    assert numbers == sorted(set(numbers))
    assert [event["type"] for event in events].count("fresh") == 1
    assert (
        events[-1]
        == alone[-1]
        == {"type": "over", "text": "Stopped.", "failed": False, "key": False}
    )
    phases = [event["phase"] for event in events if event["type"] == "phase"]
    assert phases.count("waiting") >= 3


async def test_a_restarted_server_gets_a_new_session_with_what_is_kept(page, tmp_path):
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = str(free.getsockname()[1])
    with Daemon(tmp_path, "--port", port) as first:
        running = asyncio.create_task(page.run(first.url))
        await until(lambda: running.done() or [e for e in page.events if e["type"] == "ack"])
        assert await asyncio.to_thread(first.stop) == 0
        with Daemon(tmp_path, "--port", port):
            events = await running
    assert [event["type"] for event in events].count("fresh") == 2
    assert [event["type"] for event in events if "seq" in event][-1] == "bye"
    assert events[-1]["failed"] is False


async def test_with_a_key_every_connection_has_a_ticket_of_its_own(page, tmp_path):
    home = tmp_path / "locked"
    home.mkdir()
    key = keys(home, "create", "page")
    with Daemon(home, access__keys="always") as locked:
        alone = list(await page.run(locked.url, key))
        async with proxied(locked.url, broken) as proxy:
            events = await page.run(proxy.url, key)
        assert [event["type"] for event in alone if "seq" in event][-1] == "bye"
        assert_same_log(log(events), log(alone))
        assert events[-1]["failed"] is False

        (over,) = [e for e in await page.run(locked.url) if e["type"] == "over"]
        assert (over["failed"], over["key"]) == (True, True)
        assert "asks for an API key" in over["text"]
        (over,) = [e for e in await page.run(locked.url, f"{key}x") if e["type"] == "over"]
        assert (over["failed"], over["key"]) == (True, True)
        assert "does not accept this API key" in over["text"]
        assert key not in over["text"]
