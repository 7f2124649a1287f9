#!/usr/bin/env python3
"""Stream a microphone to streamd, and print the events as JSON lines.

    pip install websockets sounddevice
    python streamd_pi.py --url ws://server:8765/v1/stream --words alexa --on wake ./lamp.sh

This file needs nothing else of streamd: copy it. When the connection drops, it connects again and
goes on with the same stream, for as long as the server holds it; the last minute of audio is kept
for that. Events go to standard output, everything else to standard error.

Exit codes: 0 done, 2 usage, 4 stopped while there was no server, 5 the server refused the stream
for good, 6 no audio.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import shlex
import signal
import ssl
import sys
import threading
import wave
from collections import deque
from concurrent.futures import CancelledError
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, InvalidURI, WebSocketException

Event = dict[str, Any]
KEPT_S = 60
"""Seconds of audio that are kept for a drop; a server holds a stream as long by default."""
QUIET_S = 10.0
"""Seconds of silence after which the client sends a `ping`; as many later the server is gone."""
STOP_S = 10.0
"""Seconds that the last events may take after a signal."""
MESSAGE_BYTES = 16_384
HOOKS = 4
"""Commands of `--on` that may run at a time."""
OTHERS = ("ack", "pong")
"""Events that are not printed."""
RESUME, AFRESH, LATER = "resume", "afresh", "later"
AFTER = {
    None: RESUME, 1006: RESUME, 1011: RESUME, 4008: RESUME, 4010: RESUME, 4014: RESUME,
    1001: AFRESH, 1012: AFRESH, 4004: AFRESH, 4011: AFRESH, 4012: LATER, 4013: LATER,
}  # fmt: skip
"""What to do after a close. After any other one, another attempt would end the same way."""
CROWDED = (1001, 1012, 4012, 4013)
"""Closes after which many clients come back at once, or this one was too fast."""
BUSY = (429, 500, 502, 503, 504)
"""HTTP statuses of a server that may take the stream later."""


class Refused(Exception):
    """The server does not take this stream, now or ever."""


class NoAudio(Exception):
    """There is no microphone or no such file, or the microphone is gone."""


class Replay:
    """Audio that the server may not have, and what must be said about it.

    Places are bytes from the first one that was added. The server counts from the start of its
    session, without what was lost: `_shift` lies between the two.
    """

    def __init__(self, frame_bytes: int, max_bytes: int) -> None:
        self._frame_bytes = frame_bytes
        self._max_bytes = max_bytes // frame_bytes * frame_bytes
        self._audio = bytearray()
        self._start = 0  # place of the first byte that is kept
        self._sent = 0
        self._shift = 0
        self._gaps: deque[tuple[int, int]] = deque()  # (place, bytes) of those the server may lack
        self._gaps_known = 0
        self._is_over = self._is_end_sent = False
        self.changed = asyncio.Event()

    @property
    def room(self) -> int:
        """Bytes that fit without dropping the oldest."""
        return self._max_bytes - len(self._audio)

    @property
    def is_empty(self) -> bool:
        """Whether no audio was ever added."""
        return self._start == 0 and not self._audio

    def add(self, data: bytes) -> None:
        """Take audio. Where the buffer is full, the oldest is dropped; a `gap` will name it."""
        self._audio += data
        if (excess := -self.room) > 0:
            self._forget(self._start + -(-excess // self._frame_bytes) * self._frame_bytes)
        self.changed.set()

    def end(self) -> None:
        """No more audio comes."""
        self._is_over = True
        self.changed.set()

    def next(self) -> bytes | str | None:
        """Return the next message, or None if all are sent."""
        if self._sent < self._start:
            place = self._sent // self._frame_bytes * self._frame_bytes  # half a frame is dropped
            lost = self._start - place
            self._gaps.append((place, lost))
            self._sent = self._start
            return json.dumps({"type": "gap", "samples": lost // self._frame_bytes})
        head = self._start + len(self._audio)
        if self._sent < head:
            first = self._sent - self._start
            self._sent = min(self._sent + MESSAGE_BYTES, head)
            return bytes(self._audio[first : self._sent - self._start])
        if self._is_over and not self._is_end_sent:
            self._is_end_sent = True
            return '{"type": "end"}'
        return None

    def acked(self, samples: int) -> None:
        """Forget what the server has. It has a gap for sure if it has audio from behind it."""
        while self._gaps and samples * self._frame_bytes + self._shift > self._gaps[0][0]:
            self._know_gap()
        self._forget(min(samples * self._frame_bytes + self._shift, self._sent))

    def resume(self, have_samples: int, have_controls: int) -> None:
        """Go on behind what the server has."""
        while self._gaps and self._gaps_known < have_controls:
            self._know_gap()
        self._is_end_sent = have_controls > self._gaps_known
        self._gaps.clear()  # what did not arrive is named anew, and may have grown
        self._sent = have_samples * self._frame_bytes + self._shift
        self._forget(self._sent)

    def restart(self) -> None:
        """Go on in a new session with all that is kept."""
        self._gaps.clear()
        self._gaps_known = 0
        self._is_end_sent = False
        self._sent = self._shift = self._start

    def _know_gap(self) -> None:
        self._shift += self._gaps.popleft()[1]
        self._gaps_known += 1

    def _forget(self, place: int) -> None:
        if place > self._start:
            del self._audio[: place - self._start]
            self._start = place
        self.changed.set()


class Hooks:
    """Runs the commands of `--on`, each with the event in its environment."""

    def __init__(self, commands: list[tuple[str, str]]) -> None:
        self._commands = [(kind, shlex.split(command)) for kind, command in commands]
        self._running: set[asyncio.Task[None]] = set()

    def run(self, event: Event, line: str) -> None:
        """Run what is asked for at such an event. An interim one counts for nothing."""
        for kind, command in self._commands:
            if kind != event["type"] or event.get("final") is False:
                continue
            if len(self._running) >= HOOKS:
                say(f"{shlex.join(command)} was left out: {HOOKS} commands are running")
                continue
            task = asyncio.create_task(self._run(command, environment(event, line)))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def finish(self) -> None:
        """Wait for those that run."""
        await asyncio.gather(*self._running)

    async def _run(self, command: list[str], env: dict[str, str]) -> None:
        try:
            process = await asyncio.create_subprocess_exec(*command, env=env, stdout=sys.stderr)
            if code := await process.wait():
                say(f"{shlex.join(command)} ended with exit code {code}")
        except OSError as error:
            say(f"{shlex.join(command)} cannot run: {error}")


def environment(event: Event, line: str) -> dict[str, str]:
    """The environment of a command: `EVENT` is the JSON, `EVENT_WORD` its field `word`, and so on.

    Names have a prefix of their own, so that no event can set a variable that means something else.
    """
    inherited = {name: value for name, value in os.environ.items() if name != "STREAMD_KEY"}
    fields = {
        f"EVENT_{name.upper()}": str(value).replace("\0", "")
        for name, value in event.items()
        if name.isascii() and name.isidentifier() and isinstance(value, (str, int, float))
    }
    return inherited | fields | {"EVENT": line}


class Client:
    """One stream, over as many connections as it takes."""

    def __init__(self, options: argparse.Namespace, hello: Event, replay: Replay) -> None:
        self._url = options.url
        self._key = options.key
        self._tls = options.ca
        self._hello = hello
        self._replay = replay
        self._hooks = Hooks(options.on)
        self._token: str | None = None
        self._last_seq = 0
        self._fatal: Event = {}
        self._failed = self._faults = 0

    async def run(self) -> None:
        """Stream until the server has said `bye`.

        Raises:
            Refused: Another attempt would end the same way.
        """
        while (reason := await self._connection()) is not None:
            wait_s = self._wait_s()
            say(f"{reason}; connecting again in {wait_s:.1f} s")
            await asyncio.sleep(wait_s)
        await self._hooks.finish()

    async def _connection(self) -> str | None:
        """Serve one connection, and return why it ended, or None if the stream is done."""
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else None
        tls = {"ssl": self._tls} if self._tls and self._url.startswith("wss:") else {}
        self._fatal = {}
        try:
            socket = await connect(
                self._url, additional_headers=headers, subprotocols=["streamd.v1"],
                compression=None, proxy=None, ping_interval=None, close_timeout=2, **tls,
            )  # fmt: skip
        except InvalidStatus as refusal:
            status = refusal.response.status_code
            if status not in BUSY:
                raise Refused(f"the server refuses the stream: HTTP {status}") from None
            after = refusal.response.headers.get("Retry-After", "")
            self._fatal = {"retry_after_ms": 1000 * int(after) if after.isdecimal() else 0}
            return f"the server is busy: HTTP {status}"
        except ssl.SSLCertVerificationError as doubt:
            raise Refused(f"the certificate is not trusted: {doubt.verify_message}") from None
        except InvalidURI:
            raise Refused(f"{self._url} is not a WebSocket URL") from None
        except (OSError, TimeoutError, EOFError, WebSocketException) as error:
            return f"no server at {self._url} ({error})"
        try:
            return await self._serve(socket)
        finally:
            socket.transport.abort()

    async def _serve(self, socket: ClientConnection) -> str | None:
        resume = {"token": self._token, "last_seq": self._last_seq} if self._token else None
        sender: asyncio.Task[None] | None = None
        try:
            await socket.send(json.dumps(self._hello | {"resume": resume}))
            while True:
                event = self._take(await self._next(socket))
                if event["type"] == "ready":
                    sender = asyncio.create_task(self._send(socket))
        except ConnectionClosed as closed:
            return self._after(closed)
        finally:
            if sender:
                sender.cancel()
                await asyncio.gather(sender, return_exceptions=True)

    async def _next(self, socket: ClientConnection) -> str:
        """Return the next message; where nothing comes for long, drop the connection."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(QUIET_S):
                return str(await socket.recv())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(QUIET_S):
                await socket.send('{"type": "ping"}')  # waits while the socket is full
                return str(await socket.recv())
        socket.transport.abort()
        return str(await socket.recv())

    async def _send(self, socket: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed):  # the receiver says why
            while True:
                self._replay.changed.clear()
                while (message := self._replay.next()) is not None:
                    await socket.send(message)
                await self._replay.changed.wait()

    def _take(self, line: str) -> Event:
        event: Event = json.loads(line)
        kind = event["type"]
        if (seq := event.get("seq")) is not None:
            if seq <= self._last_seq:
                return event
            self._last_seq = seq
            self._failed = 0
        if kind == "ready":
            self._token = (event.get("resume") or {}).get("token")
            if event.get("resumed"):
                self._replay.resume(event["have_samples"], event["have_controls"])
            else:
                self._last_seq = 0
                self._replay.restart()
        elif kind == "ack":
            self._replay.acked(event["samples"])
            self._failed = self._faults = 0
        elif kind == "error" and event.get("fatal"):
            self._fatal = event
        if kind not in OTHERS:
            print(line, flush=True)
            self._hooks.run(event, line)
        return event

    def _after(self, closed: ConnectionClosed) -> str | None:
        """Return why to connect again, or None after `bye`."""
        code = closed.rcvd.code if closed.rcvd else None
        if code == 1000:
            return None
        step = AFTER.get(code)
        self._faults += code == 1011
        message = self._fatal.get("message") or (closed.rcvd.reason if closed.rcvd else "")
        if step is None or self._faults > 1:
            raise Refused(f"the server closed the stream: {message} ({code})")
        if step is AFRESH:
            self._token = None
        if code in CROWDED:
            self._failed = max(self._failed, 3)
        if code == 4014 and str(self._fatal.get("url", "")).startswith(self._url.split("//")[0]):
            self._url = self._fatal["url"]
        return f"the connection ended: {message} ({code})" if code else "the connection broke"

    def _wait_s(self) -> float:
        """Return a random wait that doubles, and is never shorter than the server asks for."""
        longest_s = min(10.0, 0.5 * 2**self._failed)
        self._failed = min(self._failed + 1, 16)
        asked_s = (self._fatal.get("retry_after_ms") or 0) / 1000
        return asked_s + random.uniform(0, longest_s)


class File:
    """A WAV file, or raw s16le from a file or standard input (`-`)."""

    def __init__(self, path: str, rate: int, channels: int) -> None:
        self.rate, self.channels = rate, channels
        try:
            if path.lower().endswith(".wav"):
                wav = wave.open(path)  # noqa: SIM115
                self.rate, self.channels = wav.getframerate(), wav.getnchannels()
                if wav.getsampwidth() != 2:
                    raise NoAudio(f"{path} has {8 * wav.getsampwidth()} bits; make it 16")
                self._read = lambda: wav.readframes(1600)
            else:
                raw = open(0 if path == "-" else path, "rb", buffering=0)  # noqa: SIM115
                self._read = lambda: raw.read(3200)
        except (OSError, wave.Error, EOFError) as error:
            raise NoAudio(f"{path}: {error}") from None

    async def run(self, replay: Replay) -> None:
        """Add all of it, as fast as the server takes it."""
        loop, over = asyncio.get_running_loop(), asyncio.Event()

        async def put(data: bytes) -> None:
            while replay.room < len(data):
                replay.changed.clear()
                await replay.changed.wait()
            replay.add(data)

        def pump() -> None:
            with contextlib.suppress(RuntimeError, CancelledError):  # the loop is closed
                while data := self._read():
                    putting = put(data)
                    try:
                        asyncio.run_coroutine_threadsafe(putting, loop).result()
                    finally:
                        putting.close()  # never begun if the loop is closed: no warning of that
                loop.call_soon_threadsafe(over.set)

        # No read of standard input can be interrupted: nobody waits for this thread.
        threading.Thread(target=pump, daemon=True).start()
        await over.wait()


def sound_driver() -> Any:
    """Return `sounddevice`, which needs a library of the system."""
    try:
        import sounddevice
    except (ImportError, OSError) as error:
        missing = "pip install sounddevice; apt install libportaudio2"
        raise NoAudio(f"{error}: {missing}") from None
    return sounddevice


class Microphone:
    """A microphone, by `sounddevice`."""

    def __init__(self, device: str | None, rate: int, channels: int) -> None:
        self.rate, self.channels = rate, channels
        self._device = int(device) if device and device.isdigit() else device

    async def run(self, replay: Replay) -> None:
        """Add what it records, until it is gone."""
        sounddevice = sound_driver()
        loop, gone = asyncio.get_running_loop(), asyncio.Event()

        def take(data: Any, frames: int, time: Any, status: Any) -> None:
            loop.call_soon_threadsafe(replay.add, bytes(data))
            if status.input_overflow:
                loop.call_soon_threadsafe(say, "the microphone lost audio: this machine is busy")

        try:
            sounddevice.query_devices(self._device, "input")
            with sounddevice.RawInputStream(
                samplerate=self.rate, channels=self.channels, dtype="int16", device=self._device,
                blocksize=self.rate // 50, callback=take,
                finished_callback=lambda: loop.call_soon_threadsafe(gone.set),
            ):  # fmt: skip
                await gone.wait()
        except (sounddevice.PortAudioError, ValueError) as error:
            raise NoAudio(f"the microphone cannot be opened: {error}; see --list, --rate") from None
        raise NoAudio("the microphone is gone")


async def stream(options: argparse.Namespace) -> None:
    """Stream the source until it is over, a signal comes, or the server refuses."""
    source = (
        File(options.file, options.rate, options.channels)
        if options.file
        else Microphone(options.device, options.rate, options.channels)
    )
    audio = {"rate": source.rate, "channels": source.channels} | options.hello.pop("audio", {})
    hello: Event = {"type": "hello", "client": "streamd-pi/1", "device": options.name}
    if options.words:
        hello["modules"] = {"vad": {}, "wake": {"words": options.words.split(",")}}
    frame_bytes = 2 * source.channels
    replay = Replay(frame_bytes, KEPT_S * source.rate * frame_bytes)
    client = Client(options, hello | options.hello | {"audio": audio}, replay)
    streaming = asyncio.create_task(client.run())
    recording = asyncio.create_task(source.run(replay))
    loop = asyncio.get_running_loop()

    def stop() -> None:
        recording.cancel()
        loop.call_later(STOP_S, streaming.cancel)

    def recorded(task: asyncio.Task[None]) -> None:
        replay.end()
        if not task.cancelled() and task.exception() and replay.is_empty:
            streaming.cancel()  # there never was any audio

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    recording.add_done_callback(recorded)
    await asyncio.wait([streaming])
    recording.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await recording
    await streaming


def say(text: str) -> None:
    """Tell the user something."""
    print(f"streamd_pi: {text}", file=sys.stderr, flush=True)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Stream a microphone to streamd.")
    add = parser.add_argument
    add("--url", default="ws://127.0.0.1:8765/v1/stream", help="ws:// or wss://, with the path")
    add("--key", default=os.environ.get("STREAMD_KEY"), help="API key (default: STREAMD_KEY)")
    add("--ca", type=authority, help="file with the authority to trust for wss://, in PEM")
    add("--words", help="wake words, separated by commas (default: the server's modules)")
    add("--hello", type=json_object, default={}, help="fields of hello, as JSON")
    add("--name", default=os.uname().nodename, help="name of this microphone in the server's log")
    add("--on", nargs=2, action="append", default=[], metavar=("TYPE", "COMMAND"),
        help="run a command at each event of a type; the event is in its environment")  # fmt: skip
    add("--device", help="microphone, by number or part of its name (see --list)")
    add("--list", action="store_true", help="list the microphones and exit")
    add("--file", help="a WAV file, or raw s16le from a file or - in place of a microphone")
    add("--rate", type=int, default=16_000, help="sample rate in Hz (default: 16000)")
    add("--channels", type=int, default=1, help="channels (default: 1)")
    options = parser.parse_args()
    for kind, command in options.on:
        try:
            if not shlex.split(command):
                raise ValueError("no command")
        except ValueError as error:
            parser.error(f"--on {kind} {command!r}: {error}")
    return options


def authority(path: str) -> ssl.SSLContext:
    """Read the file of the authority to trust."""
    try:
        return ssl.create_default_context(cafile=path)
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{path}: {error}") from None


def json_object(text: str) -> Event:
    """Read an option that is a JSON object."""
    value = json.loads(text)
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError("not a JSON object")
    return value


def main() -> int:
    """Run the program, and return its exit code."""
    options = arguments()
    try:
        if options.list:
            print(sound_driver().query_devices())
            return 0
        asyncio.run(stream(options))
    except BrokenPipeError:  # nobody reads the events any more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except asyncio.CancelledError:
        say("stopped without the last events")
        return 4
    except Refused as error:
        say(str(error))
        return 5
    except NoAudio as error:
        say(str(error))
        return 6
    return 0


if __name__ == "__main__":
    sys.exit(main())
