"""A daemon that is killed again and again under clients that start afresh."""

import asyncio
import contextlib
import itertools
import random
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Self

from daemons import (
    DATA,
    STREAMD,
    VOICES,
    Received,
    assert_same_log,
    converse,
    cut,
    environment,
    speech,
)
from unshed import Daemon
from websockets.exceptions import WebSocketException

END = {"type": "end"}
SECONDS = 3.0
NEVER = (OSError, WebSocketException)
"""What a client meets when the server is gone."""


class Crowd:
    """Clients that stream the same clips over and over, each in a new stream after a failure.

    One voice is enrolled, so that the store is written to whenever a stream ends.
    """

    def __init__(self, home: Path, count: int, pause_s: float = 0.02) -> None:
        self._home = home
        self._pause_s = pause_s
        """Seconds between two messages of 200 ms."""
        self._count = count
        self._clips = {voice: speech(voice, SECONDS) for voice in VOICES}
        self._is_over = False
        self.whole = 0
        """Conversations that came to their end."""
        self.broken = 0
        """Conversations that a kill cut off."""

    async def __aenter__(self) -> Self:
        enroll = [*STREAMD, "enroll", "ada", str(DATA / "speech_slt.flac")]
        await asyncio.to_thread(
            subprocess.run,
            enroll,
            env=environment(self._home),
            check=True,
            capture_output=True,
        )
        with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as free:
            self._port = free.getsockname()[1]
        self.start()
        self._alone = {v: await self._converse(v) for v in self._clips}
        voices = itertools.islice(itertools.cycle(VOICES), self._count)
        self._clients = [asyncio.create_task(self._client(voice)) for voice in voices]
        return self

    async def __aexit__(self, *_: object) -> None:
        for client in self._clients:
            client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)
        self.daemon.__exit__()

    def start(self) -> None:
        """Start the daemon, on the same port and with the same store as the one before."""
        self.daemon = Daemon(self._home, "--port", str(self._port)).__enter__()

    async def kill(self, after_s: float) -> None:
        """Kill the daemon a moment after nearly all clients are connected, and start it again.

        Some are between two conversations at any time.
        """
        enough = self._count * 9 // 10
        await self.daemon.eventually(lambda: self.daemon.streams >= enough or self._is_failed)
        self._raise()
        await asyncio.sleep(after_s)
        self.daemon.process.kill()
        await asyncio.to_thread(self.daemon.process.wait)
        assert self.daemon.complaints() == []
        self.daemon.__exit__()
        await asyncio.to_thread(self.start)

    async def finish(self) -> None:
        """Let every client have one more whole conversation."""
        self._is_over = True
        await asyncio.gather(*self._clients)
        await self.daemon.eventually(lambda: self.daemon.streams == 0)
        assert self.daemon.complaints() == []

    @property
    def _is_failed(self) -> bool:
        return any(client.done() for client in self._clients)

    def _raise(self) -> None:
        for client in self._clients:
            if client.done():
                client.result()

    async def _client(self, voice: str) -> None:
        while True:
            is_last = self._is_over
            try:
                received = await self._converse(voice)
            except NEVER:
                await asyncio.sleep(0.05)
                continue
            if received.code is None:
                self.broken += 1
                continue
            assert received.code == 1000, received.last
            # What was learned of an enrolled voice changes the scores of emotion from one
            # stream to the next.
            assert_same_log(unmoved(self._alone[voice]), unmoved(received))
            self.whole += 1
            if is_last:
                return

    async def _converse(self, voice: str) -> Received:
        async def parts():
            for part in cut(self._clips[voice]):
                yield part
                await asyncio.sleep(self._pause_s)

        return await converse(self.daemon.url, {"type": "hello"}, parts(), END)


def unmoved(received: Received) -> list[dict[str, object]]:
    return [event for event in received.events if event["type"] != "emotion"]


async def kills(
    crowd: Crowd, count: int, seed: int = 0, note: Callable[[int], None] = lambda done: None
) -> None:
    """Kill a crowd's daemon `count` times at random moments."""
    chance = random.Random(seed)
    for done in range(1, count + 1):
        await crowd.kill(chance.uniform(0, 0.4))
        note(done)
