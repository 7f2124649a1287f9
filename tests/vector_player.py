"""A client that does each step of a conformance vector by hand, and the server's side of it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import io
import json
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import soundfile
from conformance import AUDIO, Seen, Vector
from daemons import RATE_HZ, Daemon, Event, as_samples, cut, dial, trusts
from fakes.keys import make_key, revoke
from waiting import HANG_S, until
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

WRONG_KEY = "sk_wrong"


class Stage:
    """A daemon as a vector needs it: its voices are enrolled, and its key is known."""

    def __init__(self, daemon: Daemon, vector: Vector) -> None:
        self.daemon = daemon
        self._vector = vector
        self.key: str | None = None
        self._key_name = f"vector {vector.name}"

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.key}"} if self.key else {}

    async def revoke(self) -> None:
        await asyncio.to_thread(revoke, self.daemon.home, self._key_name)

    @asynccontextmanager
    async def taken_over(self, seen: Seen) -> AsyncIterator[None]:
        """Another socket on which a client's stream goes on."""
        async with dial(self.daemon.url, additional_headers=self.headers) as other:
            await other.send(json.dumps(resuming(seen)))
            assert json.loads(await other.recv())["resumed"]
            yield
            await other.send('{"type":"end"}')
            async for _ in other:
                pass

    async def set(self) -> None:
        for name, file in self._vector.voices.items():
            wav = io.BytesIO()
            samples = as_samples((AUDIO / file).read_bytes())
            soundfile.write(wav, samples, RATE_HZ, format="WAV")
            await asyncio.to_thread(self._speakers, "POST", name, wav.getvalue())
        if self._vector.key == "wrong":
            self.key = WRONG_KEY
        if self._vector.key == "good":
            self.key = key = make_key(self.daemon.home, self._key_name, "stream", "enrol")
            bearer = f"Bearer {key}"
            await self.daemon.eventually(
                lambda: self.daemon.get("/v1/info", Authorization=bearer)[0] == 200
            )

    async def clear(self) -> None:
        known = (await asyncio.to_thread(self.daemon.get, "/v1/speakers"))[2]
        for speaker in json.loads(known)["speakers"]:
            if speaker["speaker"] in self._vector.names:
                await asyncio.to_thread(self._speakers, "DELETE", speaker["speaker"])
        if self._vector.key == "good" and "revoke" not in self._vector.kinds:
            await self.revoke()

    def _speakers(self, method: str, name: str, body: bytes | None = None) -> None:
        url = f"{self.daemon.http_url}/v1/speakers/{quote(name)}"
        request = urllib.request.Request(url, body, method=method)
        proxies = urllib.request.ProxyHandler({})
        tls = urllib.request.HTTPSHandler(context=trusts(url))
        with urllib.request.build_opener(proxies, tls).open(request, timeout=HANG_S) as answer:
            assert answer.status in (200, 201)


@asynccontextmanager
async def staged(daemon: Daemon, vector: Vector) -> AsyncIterator[Stage]:
    """The daemon with what the vector needs, and without it afterwards."""
    stage = Stage(daemon, vector)
    try:
        await stage.set()
        yield stage
    finally:
        await stage.clear()


@dataclass
class _Said:
    """What the client has sent in this stream, and would send again."""

    audio: bytearray | list[bytes] = field(default_factory=bytearray)
    """Samples, or packets."""
    controls: list[tuple[int, str]] = field(default_factory=list)
    """(place in `audio`, message), of those that count for `have_controls`."""


class Player:
    """Plays one vector."""

    def __init__(self, stage: Stage, vector: Vector) -> None:
        self._stage = stage
        self._vector = vector
        self._seen = Seen()
        self._said = _Said([] if vector.packet_samples else bytearray())
        self._sound = vector.sound
        self._at = 0
        self._waited: dict[str, int] = {}
        self._readers: list[asyncio.Task[None]] = []

    async def play(self) -> Seen:
        """Do all steps, and return what was received."""
        async with asyncio.timeout(HANG_S):
            try:
                self._socket = await self._connect()
            except InvalidStatus as refusal:
                self._seen.http = refusal.response.status_code
                return self._seen
            try:
                for step in self._vector.steps:
                    with suppress(ConnectionClosed):  # the reader has the reason
                        await self._do(step)
                await self._readers[-1]
            finally:
                self._socket.transport.abort()
                await asyncio.gather(*self._readers, return_exceptions=True)
        return self._seen

    async def _connect(self) -> ClientConnection:
        socket = await dial(self._stage.daemon.url, additional_headers=self._stage.headers)
        self._readers.append(asyncio.create_task(self._read(socket)))
        return socket

    async def _read(self, socket: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for message in socket:
                self._seen.events.append(json.loads(message))
        self._seen.close = None if socket.close_code == 1006 else socket.close_code

    async def _do(self, step: dict[str, Any]) -> None:
        match step:
            case {"hello": fields}:
                await self._socket.send(json.dumps({"type": "hello", **fields}))
            case {"audio": size}:
                for message in self._vector.messages(step, self._at):
                    self._said.audio += message
                    await self._socket.send(_as_json(message) if "as" in step else message)
                self._at += size
            case {"packets": count}:
                for packet in self._vector.packets[self._at : self._at + count]:
                    self._said.audio += [packet]
                    await self._socket.send(packet)
                self._at += count
            case {"send": message}:
                text = message if isinstance(message, str) else json.dumps(message)
                if not isinstance(message, dict) or message["type"] != "ping":
                    self._said.controls.append((len(self._said.audio), text))
                await self._socket.send(text)
            case {"wait": kind}:
                self._waited[kind] = self._waited.get(kind, 0) + 1
                await self._received(kind, self._waited[kind])
            case {"lose": size}:
                self._at += size
            case {"drop": _}:
                await self._come_back()
            case {"take_over": _}:
                async with self._stage.taken_over(self._seen):
                    await self._readers[-1]
            case {"revoke": _}:
                await self._stage.revoke()
            case _:
                raise AssertionError(f"no step: {step}")

    async def _received(self, kind: str, count: int) -> None:
        reader = self._readers[-1]
        await until(lambda: reader.done() or len(self._seen.of(kind)) >= count)

    async def _come_back(self) -> None:
        self._socket.transport.abort()
        await self._readers[-1]
        count = len(self._seen.of("ready"))
        resume = resuming(self._seen)
        self._socket = await self._connect()
        await self._socket.send(json.dumps(resume))
        await self._received("ready", count + 1)
        ready = self._seen.of("ready")[-1]
        place = ready["have_samples"] * self._vector.frame_bytes
        if self._vector.packet_samples:
            place = ready["have_samples"] // self._vector.packet_samples
        for until_place, text in self._said.controls[ready["have_controls"] :]:
            await self._again(place, until_place)
            place = max(place, until_place)
            await self._socket.send(text)
        await self._again(place, len(self._said.audio))

    async def _again(self, start: int, end: int) -> None:
        kept = self._said.audio[start:end]
        for message in cut(bytes(kept)) if isinstance(kept, bytearray) else kept:
            await self._socket.send(message)


def resuming(seen: Seen) -> Event:
    """Return the `hello` with which a client goes on."""
    token = seen.of("ready")[-1]["resume"]["token"]
    last_seq = max((event["seq"] for event in seen.events if "seq" in event), default=0)
    return {"type": "hello", "resume": {"token": token, "last_seq": last_seq}}


def _as_json(audio: bytes) -> str:
    return json.dumps({"type": "audio", "data": base64.b64encode(audio).decode()})
