"""A real `streamd serve` in a process of its own, and a plain WebSocket client to talk to it."""

import asyncio
import contextlib
import json
import os
import signal
import socket as sockets
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import AsyncIterable, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import numpy as np
import soundfile
from waiting import HANG_S
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

DATA = Path(__file__).parent / "data"
VOICES = ("slt", "rms", "awb", "kal16", "espeak")
STREAMD = (sys.executable, "-m", "streamd")
RATE_HZ = 16_000
RUN = (
    "STREAMD_MODELS",
    "STREAMD_SERVER__FAST_PATH",
    "STREAMD_SERVER__TLS_CERT",
    "STREAMD_SERVER__TLS_KEY",
)
IS_TLS = "STREAMD_TESTS_TLS" in os.environ
"""Whether every daemon of this run has a certificate: `make test-tls`."""

CHEAPER = {"speaker__model": "ge2e"}
"""Settings of every daemon and command whose test says nothing else. Most tests are not about who
speaks, and the default model costs three times as much of the time of a start."""
WARNINGS = "error,ignore:unread_data() is deprecated:DeprecationWarning"
"""Every warning is an error but one: aiohttp itself calls what it has deprecated, where a part of a
form ends inside of what has arrived."""
DEFAULT = {"speaker__model": None}
"""The settings that streamd has of itself."""

Event = dict[str, Any]
Said = str | bytes | dict[str, Any]


def environment(home: Path, **settings: object) -> dict[str, str]:
    """An environment in which streamd finds the models, and nothing else of this machine's.

    Args:
        home: becomes the data directory.
        settings: `limits__idle_s=1` is `STREAMD_LIMITS__IDLE_S`; capitals are taken as they are.
            None leaves the default of streamd in force.
    """
    kept = {k: v for k, v in os.environ.items() if not k.startswith("STREAMD_")}
    chosen = {
        name if name.isupper() else f"STREAMD_{name.upper()}": value
        for name, value in (CHEAPER | settings).items()
    }
    fixed = {"STREAMD_DATA": str(home), "PYTHONWARNINGS": WARNINGS}
    given = {name: str(value) for name, value in chosen.items() if value is not None}
    return {**kept, **settings_of_the_run(), **fixed, **given}


def settings_of_the_run() -> dict[str, str]:
    """The variables of streamd that whoever runs the tests may set for every daemon."""
    return {name: os.environ[name] for name in RUN if name in os.environ}


def speech(voice: str = "slt", seconds: float | None = None) -> bytes:
    """A committed clip as s16le, 16 kHz, mono."""
    samples, rate_hz = soundfile.read(DATA / f"speech_{voice}.flac", dtype="int16")
    assert rate_hz == RATE_HZ
    return samples[: None if seconds is None else int(seconds * rate_hz)].tobytes()


def silence(seconds: float) -> bytes:
    """Zeros, s16le, 16 kHz, mono."""
    return bytes(2 * int(seconds * RATE_HZ))


def cut(pcm: bytes, size: int = 6400) -> Iterator[bytes]:
    """Messages of `size` bytes."""
    for start in range(0, len(pcm), size):
        yield pcm[start : start + size]


def keys(home: Path, *args: str) -> str:
    """Run `streamd keys` for the daemon of this home, and return what it prints.

    That is the key, for `create NAME`. A daemon that runs knows it within two seconds.
    """
    done = subprocess.run(
        [*STREAMD, "keys", *args],
        env=environment(home),
        stdout=subprocess.PIPE,
        check=True,
        text=True,
        timeout=HANG_S,
    )
    return done.stdout.strip()


class Daemon:
    """A daemon from `listening on …` to its exit."""

    launcher: tuple[str, ...] = ()
    """A program that arranges something and then executes its last arguments."""
    pass_fds: tuple[int, ...] = ()

    def __init__(self, home: Path, *args: str, **settings: object) -> None:
        self.home = home
        self._args = args
        self._settings = settings
        self.log = home / "stderr.log"

    def __enter__(self) -> Self:
        with self.log.open("wb") as stderr:
            self.process = subprocess.Popen(
                [*self.launcher, *STREAMD, "serve", "--port", "0", *self._args],
                env=environment(self.home, **self._settings),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=stderr,
                pass_fds=self.pass_fds,
            )
        assert self.process.stdout is not None
        line = self.process.stdout.readline().decode()
        assert line.startswith("listening on http"), self.log.read_text()
        self.http_url = line.removeprefix("listening on ").strip()
        self.url = self.http_url.replace("http", "ws", 1) + "/v1/stream"
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.stop()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send the daemon a signal, and return its exit code."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """Wait for the daemon to end, and return its exit code."""
        try:
            return self.process.wait(HANG_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def complaints(self) -> list[str]:
        """Return what it logged as an error, or did not catch."""
        lines = self.log.read_text().splitlines()
        return [x for x in lines if '"level": "error"' in x or "Traceback" in x or "never" in x]

    def records(self, message: str | None = None) -> list[dict[str, Any]]:
        """Return what it logged, or the records with this message."""
        lines = [x for x in self.log.read_text().splitlines() if x.startswith("{")]
        return [r for r in map(json.loads, lines) if message in (None, r["message"])]

    def get(self, path: str, **headers: str) -> tuple[int, Message, bytes]:
        """Return status, headers and body of a GET."""
        request = urllib.request.Request(self.http_url + path, headers=headers)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=HANG_S) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as refusal:
            with refusal:
                return refusal.code, refusal.headers, refusal.read()

    def metric(self, name: str, **labels: str) -> float:
        """Return one sample of `/metrics`; 0 if it is not there."""
        from prometheus_client.parser import text_string_to_metric_families

        for family in text_string_to_metric_families(self.get("/metrics")[2].decode()):
            for sample in family.samples:
                if (sample.name, sample.labels) == (name, labels):
                    return sample.value
        return 0.0

    @property
    def streams(self) -> int:
        """Return the number of open streams, by `/health`."""
        return json.loads(self.get("/health")[2])["streams"]

    async def eventually(self, holds: Callable[[], bool]) -> None:
        """Wait until it holds."""
        async with asyncio.timeout(HANG_S):
            while not await asyncio.to_thread(holds):  # noqa: ASYNC110
                await asyncio.sleep(0.05)


def dial(url: str, **options: Any) -> connect:
    """A `websockets` client that is patient: no pong, handshake or close of a busy server is late.

    Its pongs wait behind the audio that it sent (`docs/wire.md`, rule 3), so it asks for none.
    """
    patient = {"open_timeout": HANG_S, "close_timeout": HANG_S, "ping_timeout": None}
    return connect(url, proxy=None, compression=None, **{**patient, **options})


def narrow(url: str) -> sockets.socket:
    """A connected socket whose receive buffer is small, so that a reader who stops is noticed."""
    parts = urlsplit(url)
    narrowed = sockets.socket()
    narrowed.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
    narrowed.connect((parts.hostname, parts.port))
    narrowed.setblocking(False)
    return narrowed


def trusts(url: str) -> ssl.SSLContext | None:
    """What a client of a URL with TLS needs; it trusts `SSL_CERT_FILE`."""
    return ssl.create_default_context() if url.startswith(("https:", "wss:")) else None


async def say(socket: ClientConnection, message: Said) -> None:
    """Send audio, text as it is, or an object as JSON."""
    await socket.send(json.dumps(message) if isinstance(message, dict) else message)


async def next_event(socket: ClientConnection, kind: str | None = None) -> Event:
    """Return the next event, or the next of a type."""
    while True:
        event: Event = json.loads(await asyncio.wait_for(socket.recv(), HANG_S))
        if kind in (None, event["type"]):
            return event


@dataclass
class Received:
    """Everything that one client received."""

    events: list[Event] = field(default_factory=list)
    code: int | None = None
    reason: str = ""

    @property
    def types(self) -> list[str]:
        return [event["type"] for event in self.events]

    @property
    def codes(self) -> list[str]:
        """Codes of the warnings and errors."""
        return [event["code"] for event in self.events if event["type"] in ("warning", "error")]

    @property
    def log(self) -> list[Event]:
        return [event for event in self.events if "seq" in event]

    def of(self, *kinds: str) -> list[Event]:
        return [event for event in self.events if event["type"] in kinds]

    @property
    def last(self) -> Event:
        return self.events[-1]


async def read_to_close(
    socket: ClientConnection, received: Received | None = None, first_seq: int = 1
) -> Received:
    """Return everything up to the close, and check its order."""
    received = received or Received()
    try:
        while True:
            received.events.append(json.loads(await socket.recv()))
    except ConnectionClosed as closed:
        if closed.rcvd is not None:
            received.code, received.reason = closed.rcvd.code, closed.rcvd.reason
    if received.events:
        assert received.types[0] == "ready" or received.events[0]["fatal"]
    assert [event["seq"] for event in received.log] == list(
        range(first_seq, first_seq + len(received.log))
    )
    return received


async def converse(
    url: str, *messages: Said | Iterable[Said] | AsyncIterable[Said], **options: Any
) -> Received:
    """Send all messages as fast as they go, and return everything up to the close."""

    async def speak() -> None:
        with contextlib.suppress(ConnectionClosed):
            for message in messages:
                if isinstance(message, (str, bytes, dict)):
                    await say(socket, message)
                elif isinstance(message, AsyncIterable):
                    async for part in message:
                        await say(socket, part)
                else:
                    for part in message:
                        await say(socket, part)

    async with asyncio.timeout(HANG_S), dial(url, **options) as socket:
        speaker = asyncio.create_task(speak())
        try:
            return await read_to_close(socket)
        finally:
            speaker.cancel()
            await asyncio.gather(speaker, return_exceptions=True)


def by_type(events: Iterable[Event]) -> dict[str, list[Event]]:
    """The log as the protocol promises it: one list per type, `seq` and `bye` left out."""
    lists: dict[str, list[Event]] = {}
    for event in events:
        if event["type"] != "bye" and event["type"] not in NO_LOG:
            kept = {name: value for name, value in event.items() if name != "seq"}
            lists.setdefault(event["type"], []).append(kept)
    return lists


NO_LOG = {"ready", "ack", "pong", "degraded", "recovered", "draining"}


def assert_same_log(one: Iterable[Event], other: Iterable[Event]) -> None:
    """Equal lists per type: times exact, scores within 1e-3."""
    left, right = by_type(one), by_type(other)
    assert left.keys() == right.keys(), (left.keys() ^ right.keys(), right.get("error"))
    for kind in left:
        assert len(left[kind]) == len(right[kind]), kind
        for a, b in zip(left[kind], right[kind], strict=True):
            assert _exact(a) == _exact(b)
            for name in ("score", "margin", "speaker_score"):
                if isinstance(a.get(name), float):
                    assert abs(a[name] - b[name]) <= 1e-3, (a, b)


def _exact(event: Event) -> Event:
    return {k: v for k, v in event.items() if k not in ("score", "margin", "speaker_score")}


def as_samples(pcm: bytes) -> np.ndarray:
    """Mono s16le as an array."""
    return np.frombuffer(pcm, "<i2")
