"""A headless Chromium with a sound file as its microphone, driven over its DevTools protocol."""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from waiting import HANG_S
from websockets.asyncio.client import ClientConnection, connect
from websockets.frames import Opcode

QUIET = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-dev-shm-usage"),
    *("--no-first-run", "--disable-background-networking", "--disable-component-update"),
    *("--disable-sync", "--disable-background-timer-throttling"),
)
"""Flags of a Chromium that asks for nothing and talks to no other host."""
POLL_S = 0.05
LISTENER = """
globalThis.heard = [];
globalThis.AudioWorkletNode = class extends AudioWorkletNode {
  constructor(...args) {
    super(...args);
    this.port.addEventListener("message", ({ data }) => heard.push(data.slice()));
  }
};
"""
"""Keeps what audio worklets hand to a page, before the page does anything with it."""


@dataclass
class Socket:
    """What one WebSocket of the page has sent."""

    texts: list[dict[str, Any]] = field(default_factory=list)
    audio: bytearray = field(default_factory=bytearray)
    events: list[dict[str, Any]] = field(default_factory=list)
    """What it has received."""


class Page:
    """One page of the browser."""

    def __init__(self, devtools: ClientConnection) -> None:
        self._devtools = devtools
        self._numbers = itertools.count()
        self._asked: dict[int, asyncio.Future[Any]] = {}
        self._sockets: dict[str, Socket] = {}
        self.complaints: list[str] = []
        """Exceptions that nobody caught."""

    @property
    def sockets(self) -> list[Socket]:
        """The WebSockets of the page in the order in which they were made."""
        return list(self._sockets.values())

    async def open(self, url: str) -> None:
        for domain in ("Network", "Page", "Runtime"):
            await self._ask(f"{domain}.enable")
        await self._ask("Page.addScriptToEvaluateOnNewDocument", source=LISTENER)
        await self._ask("Page.navigate", url=url)

    async def heard(self) -> np.ndarray:
        """Return all samples that came from the microphone, as floats of 32 bits."""
        parts = await self.evaluate("heard.map((block) => [...new Uint32Array(block.buffer)])")
        return np.array(list(itertools.chain(*parts)), np.uint32).view(np.float32)

    async def evaluate(self, expression: str) -> Any:
        """Return the value of an expression in the page, as a user's gesture."""
        answer = await self._ask(
            "Runtime.evaluate", expression=expression, returnByValue=True, userGesture=True
        )
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def until(self, expression: str) -> None:
        """Wait until an expression holds in the page."""
        async with asyncio.timeout(HANG_S):
            while not await self.evaluate(expression):  # noqa: ASYNC110
                await asyncio.sleep(POLL_S)

    async def screenshot(self, width: int, height: int, scale: float) -> bytes:
        """Return the page as a PNG picture of a window of this size."""
        await self._ask(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=scale, mobile=False,
        )  # fmt: skip
        await self.evaluate('document.documentElement.style.scrollbarWidth = "none"')
        picture = await self._ask("Page.captureScreenshot", format="png")
        return base64.b64decode(picture["data"])

    async def _ask(self, method: str, **params: Any) -> Any:
        number = next(self._numbers)
        self._asked[number] = asyncio.get_running_loop().create_future()
        await self._devtools.send(json.dumps({"id": number, "method": method, "params": params}))
        return await asyncio.wait_for(self._asked[number], HANG_S)

    async def read(self) -> None:
        """Take what the browser reports, for ever."""
        async for text in self._devtools:
            message = json.loads(text)
            if "id" in message:
                answer = self._asked.pop(message["id"])
                if "error" in message:
                    answer.set_exception(RuntimeError(message["error"]["message"]))
                else:
                    answer.set_result(message["result"])
            else:
                self._take(message["method"], message["params"])

    def _take(self, method: str, params: dict[str, Any]) -> None:
        match method:
            case "Network.webSocketCreated":
                self._sockets[params["requestId"]] = Socket()
            case "Network.webSocketFrameSent":
                socket, frame = self._sockets[params["requestId"]], params["response"]
                if frame["opcode"] == Opcode.BINARY:
                    socket.audio += base64.b64decode(frame["payloadData"])
                elif frame["opcode"] == Opcode.TEXT:
                    socket.texts.append(json.loads(frame["payloadData"]))
            case "Network.webSocketFrameReceived":
                socket, frame = self._sockets[params["requestId"]], params["response"]
                if frame["opcode"] == Opcode.TEXT:
                    socket.events.append(json.loads(frame["payloadData"]))
            case "Runtime.exceptionThrown":
                self.complaints.append(str(params["exceptionDetails"]))


@asynccontextmanager
async def chromium(home: Path, microphone: Path) -> AsyncIterator[Page]:
    """An empty page of a browser whose microphone plays a WAV file over and over.

    Args:
        home: The browser keeps its profile here.
        microphone: The file.
    """
    flags = [
        *QUIET,
        f"--user-data-dir={home}",
        "--remote-debugging-port=0",
        "--autoplay-policy=no-user-gesture-required",
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={microphone}",
        "about:blank",
    ]
    with (home / "chromium.log").open("wb") as log:
        browser = await asyncio.create_subprocess_exec("chromium", *flags, stdout=log, stderr=log)
    try:
        async with connect(
            await _devtools_url(home), proxy=None, compression=None, max_size=None,
            open_timeout=HANG_S, ping_interval=None,
        ) as devtools:  # fmt: skip
            page = Page(devtools)
            reading = asyncio.create_task(page.read())
            try:
                yield page
            finally:
                reading.cancel()
    finally:
        browser.terminate()
        await asyncio.wait_for(browser.wait(), HANG_S)


async def _devtools_url(home: Path) -> str:
    """Return where the first page listens, once the browser has started."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def pages(port: str) -> list[dict[str, str]]:
        with opener.open(f"http://127.0.0.1:{port}/json/list", timeout=HANG_S) as answer:
            return [one for one in json.load(answer) if one["type"] == "page"]

    async with asyncio.timeout(HANG_S):
        while True:
            file = home / "DevToolsActivePort"
            lines = file.read_text().splitlines() if file.exists() else []
            if len(lines) > 1 and (found := await asyncio.to_thread(pages, lines[0])):
                return found[0]["webSocketDebuggerUrl"]
            await asyncio.sleep(POLL_S)
