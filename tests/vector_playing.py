"""How any client plays a conformance vector.

A client is told to stream, and its events are read; where a vector has a `drop`, a proxy breaks its
connection, and everything that follows is the client's own doing.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, ClassVar

from conformance import Seen, Vector
from daemons import Event
from fakes.proxy import Fate, Proxy, proxied
from vector_player import Stage
from waiting import HANG_S, until


class Playing(ABC):
    """One client with one vector: steps that are alike for every client."""

    title: str
    """The client in the table of the README."""
    cannot_do: ClassVar[dict[str, str]]
    """Why a client has no way to do a kind of step, by design."""
    hidden: tuple[str, ...] = ()
    """Fields of `expect` that the client does not report."""

    def __init__(self, stage: Stage, vector: Vector) -> None:
        self.stage = stage
        self.vector = vector
        self.seen = Seen()
        self._waited: dict[str, int] = {}
        self._at = 0

    @classmethod
    def cannot(cls, vector: Vector) -> str | None:
        """Return why the client cannot play a vector by design, or None."""
        needed = traits(vector)
        return next((why for trait, why in cls.cannot_do.items() if trait in needed), None)

    async def play(self) -> Seen:
        """Do all steps, and return what the client reported."""
        async with (
            asyncio.timeout(HANG_S),
            proxied(self.stage.daemon.url, _unbroken) as proxy,
            self.running(proxy),
        ):
            for step in self.vector.steps:
                await self._do(step, proxy)
            await self.over()
        return self.seen

    @abstractmethod
    def running(self, proxy: Proxy) -> contextlib.AbstractAsyncContextManager[None]:
        """The client while it runs."""

    @abstractmethod
    async def audio(self, data: bytes) -> None:
        """Give it audio."""

    @abstractmethod
    async def control(self, message: Event) -> None:
        """Make it send a control message."""

    @abstractmethod
    async def over(self) -> None:
        """Wait for its end."""

    @property
    @abstractmethod
    def is_over(self) -> bool:
        """Whether it has ended."""

    async def _do(self, step: dict[str, Any], proxy: Proxy) -> None:
        match step:
            case {"hello": _}:
                pass
            case {"audio": size}:
                for data in self.vector.messages(step, self._at):
                    await self.audio(data)
                self._at += size
            case {"packets": count}:
                for packet in self.vector.packets[self._at : self._at + count]:
                    await self.audio(packet)
                self._at += count
            case {"lose": size}:
                self._at += size
            case {"send": message}:
                await self.control(message)
            case {"wait": kind}:
                count = self._waited[kind] = self._waited.get(kind, 0) + 1
                await until(lambda: self.is_over or len(self.seen.of(kind)) >= count)
            case {"drop": _}:
                proxy.reset()
            case {"take_over": _}:
                async with self.stage.taken_over(self.seen):
                    await self.over()
            case {"revoke": _}:
                await self.stage.revoke()
            case _:
                raise AssertionError(f"no step: {step}")


def _unbroken(_: int) -> Fate:
    return Fate()


def table(clients: Iterable[type[Playing]], vectors: Sequence[Vector]) -> str:
    """Return the README's table of what the clients do not play, by design."""
    lines = ["| client | plays | does not play | because |", "|---|---|---|---|"]
    for client in clients:
        by_reason: dict[str, list[str]] = {}
        for vector in vectors:
            if (why := client.cannot(vector)) is not None:
                by_reason.setdefault(why, []).append(f"`{vector.name}`")
        count = len(vectors) - sum(map(len, by_reason.values()))
        cells = [f"| {client.title} | {count} of {len(vectors)} |"] + ["| | |"] * len(by_reason)
        lines += [
            f"{cell} {', '.join(names)} | {why} |"
            for cell, (why, names) in zip(cells, by_reason.items(), strict=False)
        ]
    return "\n".join(lines) + "\n"


def traits(vector: Vector) -> set[str]:
    """Return what a client must be able to do for a vector, in the words of `cannot_do`."""
    hello = vector.hello
    return _of_steps(vector) | ({"no hello"} if hello is None else _of_hello(hello))


def _of_hello(hello: dict[str, Any]) -> set[str]:
    audio, modules = hello.get("audio", {}), hello.get("modules", {})
    usual = {"vad": set(), "wake": {"words"}, "speaker": set(), "emotion": set()}
    found = {
        "resume": "resume" in hello,
        "default modules": not hello.keys() & {"modules", "resume"},
        "module options": any(
            name not in usual or options.keys() - usual[name] for name, options in modules.items()
        ),
        "audio.use": "use" in audio,
        "bad rate": audio.get("rate", 8000) < 8000,
        f"codec {audio.get('codec')}": "codec" in audio,
    }
    return {name for name, holds in found.items() if holds}


def _of_steps(vector: Vector) -> set[str]:
    sent = [step["send"] for step in vector.steps if "send" in step]
    length = sum(step.get("audio", 0) for step in vector.steps)
    found = {
        "lost in a drop": vector.kinds >= {"drop", "lose"},
        "no packet": vector.audio == "damaged.opus-packets",
        "half a sample": length % vector.frame_bytes,
        "json audio": any("as" in step for step in vector.steps),
        "any text": any(isinstance(message, str) for message in sent),
        "control": any(isinstance(m, dict) and m["type"] != "end" for m in sent),
    }
    return {name for name, holds in found.items() if holds}


class Program(Playing):
    """A program that streams its standard input and prints the events as JSON lines."""

    def command(self, url: str) -> list[str]:
        """Return the program and its arguments."""
        raise NotImplementedError

    @property
    def environment(self) -> dict[str, str]:
        """Return variables for the program."""
        return {}

    def outcome(self, code: int, errors: str) -> None:
        """Take note of how the stream ended, as the program says."""
        raise NotImplementedError

    def refused(self, errors: str) -> None:
        """Take note of the HTTP status or the close code that ends what the program said."""
        reason = errors.splitlines()[-1]
        if found := re.search(r"HTTP (\d+)\)?$", reason):
            self.seen.http = int(found[1])
        elif found := re.search(r"(\d{4})\)$", reason):
            self.seen.close = int(found[1])

    @contextlib.asynccontextmanager
    async def running(self, proxy: Proxy) -> AsyncIterator[None]:
        pipe = asyncio.subprocess.PIPE
        self._process = await asyncio.create_subprocess_exec(
            *self.command(proxy.url),
            env={k: v for k, v in os.environ.items() if k != "STREAMD_KEY"} | self.environment,
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            limit=1 << 20,
        )
        self._reading = asyncio.create_task(self._read())
        try:
            yield
        finally:
            if self._process.returncode is None:
                self._process.kill()
            await self._reading

    async def _read(self) -> None:
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        errors = asyncio.create_task(self._process.stderr.read())
        async for line in self._process.stdout:
            self.take(json.loads(line))
        self.outcome(await self._process.wait(), (await errors).decode())

    def take(self, event: Event) -> None:
        """Take a line that the program printed."""
        self.seen.events.append(event)

    async def audio(self, data: bytes) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(ConnectionError):
            self._process.stdin.write(data)
            await self._process.stdin.drain()

    async def control(self, message: Event) -> None:
        assert message == {"type": "end"}
        assert self._process.stdin is not None
        self._process.stdin.close()

    async def over(self) -> None:
        await asyncio.wait([self._reading])

    @property
    def is_over(self) -> bool:
        return self._reading.done()
