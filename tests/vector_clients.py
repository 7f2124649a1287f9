"""The clients of the project, each as it plays a conformance vector."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, ClassVar

from conformance import AUDIO, Seen
from daemons import Event
from fakes.proxy import Proxy
from vector_playing import Playing, Program

from streamd.client import RefusedByServer, Stream, connect

ROOT = Path(__file__).parents[1]


class Sdk(Playing):
    """`streamd.client`."""

    title = "`streamd.client`, the Python SDK"

    cannot_do: ClassVar = {
        "no hello": "it always sends `hello`",
        "resume": "it takes tokens from `ready` alone",
        "any text": "it sends JSON objects",
        "json audio": "it sends binary messages",
        "lost in a drop": "its replay buffer names what it lost",
        "no packet": "it refuses what is no packet",
    }
    _stream: Stream

    @contextlib.asynccontextmanager
    async def running(self, proxy: Proxy) -> AsyncIterator[None]:
        self._reading: asyncio.Task[None] | None = None
        hello = self.vector.hello or {}
        options = {name: hello.get(name) for name in ("audio", "modules")}
        try:
            async with connect(proxy.url, key=self.stage.key, **options) as self._stream:
                self._reading = asyncio.create_task(self._read())
                yield
        except RefusedByServer as refused:
            self._refused(refused)
            if self._reading is None:
                raise _NotOpened from None

    async def _read(self) -> None:
        try:
            async for event in self._stream:
                if event["type"] == "reconnected":
                    event = self._stream.ready
                if event["type"] != "disconnected":
                    self.seen.events.append(event)
            self.seen.close = 1000
        except RefusedByServer as refused:
            self._refused(refused)

    def _refused(self, refused: RefusedByServer) -> None:
        self.seen.close, self.seen.http = refused.close_code, refused.status
        if refused.close_code and refused.code != "superseded" and not self.seen.of("error"):
            seq = max((e["seq"] for e in self.seen.events if "seq" in e), default=0)
            error = {"type": "error", "code": refused.code, "seq": seq + 1}
            self.seen.events.append(error)

    async def play(self) -> Seen:
        try:
            return await super().play()
        except _NotOpened:
            return self.seen

    async def audio(self, data: bytes) -> None:
        with contextlib.suppress(RefusedByServer):
            await self._stream.send(data)

    async def control(self, message: Event) -> None:
        with contextlib.suppress(RefusedByServer):
            await self._stream.control(message)

    async def over(self) -> None:
        assert self._reading is not None
        await self._reading

    @property
    def is_over(self) -> bool:
        return self._reading is None or self._reading.done()


class _NotOpened(Exception):
    """The server refused the stream."""


class Page(Program):
    """The session of the browser's page, in node."""

    title = "`clients/browser`, the page's session"

    cannot_do: ClassVar = {
        "no hello": "it always sends `hello`",
        "resume": "it takes tokens from `ready` alone",
        "default modules": "it names its modules",
        "module options": "it knows no options but words",
        "audio.use": "a page's microphone is mono",
        "codec pcm_f32le": "it sends s16le",
        "codec mulaw": "it sends s16le",
        "codec opus": "it sends s16le",
        "bad rate": "its sound has a rate that the server takes",
        "half a sample": "a browser's samples are whole",
        "any text": "it sends audio and `end`",
        "control": "it sends audio and `end`",
        "json audio": "it sends binary messages",
    }
    hidden = ("others",)

    def command(self, url: str) -> list[str]:
        modules = (self.vector.hello or {}).get("modules", {})
        wake = modules.get("wake")
        choices = {
            "rate": (self.vector.hello or {}).get("audio", {}).get("rate", 16_000),
            "words": [] if wake is None else wake.get("words", ["alexa"]),
            "modules": sorted(modules.keys() - {"vad", "wake"}),
            "offered": ["speaker", "emotion"],
            "key": self.stage.key,
        }
        self._folder = tempfile.TemporaryDirectory()
        modules_of_page = Path(self._folder.name) / "page"
        shutil.copytree(ROOT / "clients" / "browser", modules_of_page)
        (modules_of_page / "package.json").write_text('{"type": "module"}')
        script = Path(__file__).parent / "clients" / "page_vectors.mjs"
        http_url = url.replace("ws", "http", 1).removesuffix("v1/stream")
        node = ["node", "--no-warnings", "--experimental-websocket", str(script)]
        return [*node, str(modules_of_page), http_url, json.dumps(choices)]

    def take(self, event: Event) -> None:
        match event:
            case {"type": "closed", **rest}:
                self.seen.close = rest.get("code")
            case {"type": "over", "key": True} if self.seen.close is None:
                self.seen.http = 401  # of the ticket that it asked for
            case {"type": "over"}:
                pass
            case _:
                super().take(event)

    def outcome(self, code: int, errors: str) -> None:
        self._folder.cleanup()
        assert code == 0, errors


class Pi(Program):
    """`clients/pi/streamd_pi.py`."""

    title = "`clients/pi`"

    cannot_do: ClassVar = {
        "no hello": "it always sends `hello`",
        "resume": "it takes tokens from `ready` alone",
        "codec pcm_f32le": "a microphone's samples are s16le",
        "codec mulaw": "a microphone's samples are s16le",
        "codec opus": "a microphone's samples are s16le",
        "any text": "it sends audio and `end`",
        "control": "it sends audio and `end`",
        "json audio": "it sends binary messages",
    }

    hidden = ("acked", "others")

    def command(self, url: str) -> list[str]:
        hello = dict(self.vector.hello or {})
        audio = hello.pop("audio", {})
        command = [sys.executable, str(ROOT / "clients" / "pi" / "streamd_pi.py"), "--file", "-"]
        command += ["--url", url, "--hello", json.dumps(hello | {"audio": audio})]
        command += ["--rate", str(audio.get("rate", 16_000))]
        command += ["--channels", str(audio.get("channels", 1))]
        return command + (["--key", self.stage.key] if self.stage.key else [])

    def outcome(self, code: int, errors: str) -> None:
        assert "Traceback" not in errors, errors
        if code == 0:
            self.seen.close = 1000
            return
        assert code == 5, errors
        self.refused(errors)


class Device(Program):
    """The C client, by its program `play`, which takes steps as lines of JSON."""

    title = "`clients/device`, in C"
    cannot_do: ClassVar = {
        "no hello": "it always sends `hello`",
        "resume": "it takes tokens from `ready` alone",
        "any text": "it sends JSON objects",
        "json audio": "it sends binary messages",
        "lost in a drop": "its replay ring names what it lost",
        "half a sample": "it takes whole sample frames",
        "no packet": "it takes packets of an encoder",
    }
    hidden = ("acked", "others")
    folder: Path
    """Where its programs are."""

    def command(self, url: str) -> list[str]:
        hello = json.dumps(self.vector.hello or {})
        audio = AUDIO / self.vector.audio if self.vector.audio else "/dev/null"
        return [str(self.folder / "play"), url, hello, str(audio), str(self.vector.frame_bytes)]

    @property
    def environment(self) -> dict[str, str]:
        return {"STREAMD_KEY": self.stage.key} if self.stage.key else {}

    async def _do(self, step: dict[str, Any], proxy: Proxy) -> None:
        match step:
            case {"audio": size}:
                await self._tell({"audio": size})
            case {"lose": size}:
                await self._tell({"lose": size})
            case {"packets": count}:
                for packet in self.vector.packets[self._at : self._at + count]:
                    await self._tell({"lose": 2})
                    await self._tell({"packet": [len(packet), self.vector.packet_samples]})
                self._at += count
            case _:
                await super()._do(step, proxy)

    async def control(self, message: Event) -> None:
        await self._tell({"send": message})

    async def _tell(self, step: Event) -> None:
        await self.audio(json.dumps(step).encode() + b"\n")

    def take(self, event: Event) -> None:
        if event["type"] == "reconnected":  # its word for the `ready` of a stream that goes on
            event = {"type": "ready", "resumed": event["resumed"]}
        super().take(event)

    def outcome(self, code: int, errors: str) -> None:
        assert "Sanitizer" not in errors, errors
        if code == 0:
            self.seen.close = 1000
            return
        assert code == 1, errors
        self.refused(errors)
