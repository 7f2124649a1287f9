"""Live streams that play recordings round and round, for `overload.py`."""

from __future__ import annotations

import asyncio
import itertools
import re
import time
import urllib.request
from collections import Counter

import msgspec
import numpy as np
from streams import MODULES
from websockets.uri import parse_uri

from streamd.bench.mixing import Message
from streamd.bench.player import Player
from streamd.bench.tally import Tally

RATE_HZ = 16_000
MESSAGE_MS = 40
STEP = RATE_HZ * MESSAGE_MS // 1000
ARRIVALS_S = 0.2
"""From one newcomer to the next."""
RETRY_S = 5.0


class Voice(Player):
    """A live stream that plays a recording round and round."""

    def __init__(self, crowd: Crowd, number: int) -> None:
        self.recording = number % len(crowd.pool)
        pcm = memoryview(crowd.pool[self.recording].tobytes())
        pcm = pcm[: len(pcm) // (2 * STEP) * 2 * STEP]
        rounds = itertools.cycle(range(0, len(pcm), 2 * STEP))
        self.due_s = float("inf")
        self.wakes: list[tuple[str, int, int, int]] = []
        self.is_refused = False
        self._crowd = crowd
        super().__init__(
            parse_uri(crowd.url),
            {},
            msgspec.json.encode({"type": "hello", "modules": MODULES}),
            (Message(pcm[at : at + 2 * STEP], True) for at in rounds),
            STEP,
            Tally(0.0, 0.0),
            self._begin,
        )

    def _begin(self, _: Player) -> None:
        self.due_s = time.monotonic() + MESSAGE_MS / 1000

    def receive(self, text: bytes | bytearray | memoryview, now_s: float) -> None:
        """Take an event."""
        super().receive(text, now_s)
        event = msgspec.json.decode(text)
        kind = event["type"]
        self._crowd.events[kind] += 1
        if "at" in event and kind != "gap":
            late_s = now_s - self._sent_at(event["at"] * RATE_HZ // 1000)
            self._crowd.late.append((now_s, kind, late_s))
        if kind == "wake":
            self.wakes.append((event["word"], event["t0"], event["t1"], event["at"]))

    def connection_lost(self, exc: Exception | None) -> None:
        """Note a socket that never opened."""
        self.is_refused = not self.began_s
        super().connection_lost(exc)


class Crowd:
    """Live streams, as many as are wanted and admitted."""

    def __init__(self, url: str, pool: list[np.ndarray]) -> None:
        self.url = url
        self.pool = pool
        self.wanted = 0
        self.voices: list[Voice] = []
        self.refusals = 0
        self.lost = 0
        self.events: Counter[str] = Counter()
        self.late: list[tuple[float, str, float]] = []
        """When an event came, its type, and how long after its last sample was sent."""
        self.own_late: list[tuple[float, float]] = []
        """A moment, and how late this process sent a message; it is to be a few milliseconds."""
        self._count = itertools.count()
        self._retries: list[float] = []

    @property
    def open(self) -> int:
        """How many streams are admitted."""
        return sum(bool(voice.began_s) for voice in self.voices)

    async def run(self) -> None:
        """Send what is due and keep up the number, for ever."""
        next_s = 0.0
        uri = parse_uri(self.url)
        while True:
            now_s = time.monotonic()
            oldest_s = min((voice.due_s for voice in self.voices), default=now_s)
            self.own_late.append((now_s, max(now_s - oldest_s, 0.0)))
            for voice in self.voices:
                while voice.due_s <= now_s and not voice.is_over:
                    voice.send(now_s)
                    voice.due_s += MESSAGE_MS / 1000
            gone = [voice for voice in self.voices if voice.is_over]
            for voice in gone:
                self.voices.remove(voice)
                if voice.is_refused:
                    self.refusals += 1
                    self._retries.append(now_s + RETRY_S)
                else:
                    self.lost += 1
            self._retries = [until_s for until_s in self._retries if until_s > now_s]
            if len(self.voices) + len(self._retries) < self.wanted and now_s >= next_s:
                next_s = now_s + ARRIVALS_S
                voice = Voice(self, next(self._count))
                self.voices.append(voice)
                loop = asyncio.get_running_loop()
                await loop.create_connection(lambda v=voice: v, uri.host, uri.port)
            await asyncio.sleep(0.004)

    async def leave(self, kept: int) -> None:
        """Have the newest streams end."""
        self.wanted = kept
        self._retries = []
        leaving, self.voices = self.voices[kept:], self.voices[:kept]
        for voice in leaving:
            voice.end()

    def p99_ms(self, since_s: float, *kinds: str) -> float:
        """How late events were since a moment: those of some types, or all."""
        late = [s for at, kind, s in self.late if at >= since_s and (not kinds or kind in kinds)]
        return p99_ms(late)

    def own_p99_ms(self, since_s: float) -> float:
        """How late this process sent since a moment; what the server cannot be blamed for."""
        return p99_ms([s for at, s in self.own_late if at >= since_s])


def p99_ms(late_s: list[float]) -> float:
    """The 99th percentile, in milliseconds."""
    return round(1000 * float(np.percentile(late_s, 99)), 1) if late_s else float("nan")


def metrics(url: str) -> dict[str, float]:
    """The server's metrics, summed over their labels."""
    found: dict[str, float] = {}
    text = urllib.request.urlopen(url + "/metrics").read().decode()
    for name, value in re.findall(r"^(\w+)(?:\{.*\})? (\S+)$", text, re.MULTILINE):
        found[name] = found.get(name, 0.0) + float(value)
    return found


async def looked(url: str) -> dict[str, float]:
    """The metrics, without holding up the streams."""
    return await asyncio.to_thread(metrics, url)
