"""The transcripts of `docs/wire.md`: what the client sends is sent to a running server again.

    python tests/transcripts.py        # rewrite those that the server answers otherwise today

A block of them is `text`; transcripts in it are parted by empty lines. A line `→ {…}` is sent as it
is, `→ (binary) …` says which audio, and `← …` are the events that the server answers, of those
types that the transcript is about. `→ (headers) {…}` says which ones open the socket. `→ (the
socket drops …)` waits for the events that it names; what follows is sent on another socket. Ids and
times of day stay as they are in the page, and resume tokens are numbered.
"""

import asyncio
import json
import re
import shutil
import signal
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from daemons import (
    DATA,
    DEFAULT,
    STREAMD,
    Daemon,
    Event,
    Received,
    cut,
    dial,
    environment,
    next_event,
    read_to_close,
    say,
    silence,
    speech,
)

PAGE = Path(__file__).parents[1] / "docs" / "wire.md"
BLOCK = re.compile(r"^```text\n(→.*?)^```$", re.MULTILINE | re.DOTALL)
HEADERS = "(headers) "
DROP = "(the socket drops"
VOLATILE = ("session", "epoch_ms", "server_ms")
TOLERANCE = 2e-3
"""Of scores: other processors round otherwise."""


class Transcript:
    """What one client sends, and the answers as the page has them."""

    def __init__(self, text: str) -> None:
        lines = text.splitlines()
        self.sent = [line[2:] for line in lines if line.startswith("→ ")]
        self.answers: list[Event] = [json.loads(x[2:]) for x in lines if x.startswith("← ")]
        said = "\n".join(self.sent)
        self.headers: dict[str, str] = {}
        for line in self.sent:
            if line.startswith(HEADERS):
                self.headers = json.loads(line.removeprefix(HEADERS))
        self.settings = dict(re.findall(r"on a server with `(\w+\.\w+)` ([\w-]+)", said))
        self.is_stopped = "then the server is told to stop" in said
        self.enrols = '{"type":"enrol"' in said

    async def play(self, running: Daemon) -> list[Event]:
        """Send it, and give those of the answers that the transcript is about."""
        answers: list[Event] = []
        messages = self._messages()
        tokens: list[str] = []
        is_open = True
        while is_open:
            is_open = False
            async with dial(running.url, additional_headers=self.headers) as socket:
                received = Received()
                for message in messages:
                    if isinstance(message, str) and message.startswith(DROP):
                        for kind in re.findall(r"`(\w+)`", message):
                            while not received.of(kind):
                                received.events.append(await next_event(socket))
                        is_open = True
                        break
                    await say(socket, _with_tokens(message, tokens))
                if is_open:
                    socket.transport.abort()
                else:
                    if self.is_stopped:
                        while not received.of("speech_start"):
                            received.events.append(await next_event(socket))
                        running.process.send_signal(signal.SIGTERM)
                    await read_to_close(socket, received, first_seq=self._first_seq(tokens))
            for event in received.events:
                if event.get("resume"):
                    tokens.append(event["resume"]["token"])
                    event["resume"]["token"] = f"r_{len(tokens)}"
            answers += received.events
        types = {event["type"] for event in self.answers}
        is_fatal = all(event.get("fatal", True) for event in self.answers)
        return [
            event
            for event in answers
            if event["type"] in types and (event.get("fatal", True) or not is_fatal)
        ]

    def _first_seq(self, tokens: list[str]) -> int:
        """The first number that the last socket brings."""
        last = [int(seq) for seq in re.findall(r'"last_seq":(\d+)', "".join(self.sent))]
        return last[-1] + 1 if tokens and last else 1

    def _messages(self) -> Iterator[str | bytes]:
        places: dict[str, int] = {}
        last = ""
        for line in self.sent:
            if line.startswith(HEADERS):
                continue
            if not line.startswith("(binary) "):
                text = line.removesuffix(", ten times")
                yield from [text] * (10 if text != line else 1)
                continue
            pcm = b""
            audio = r"(\d+) bytes?(.*RIFF)?|(?:([\d.]+) s|(all|the rest)) (more )?of (`?\w+`?)"
            for count, riff, seconds, all_of, more, what in re.findall(audio, line):
                if count:
                    header = b"RIFF" + struct.pack("<I", 36) + b"WAVEfmt " if riff else b""
                    pcm += header or bytes(int(count))
                elif what == "silence":
                    pcm += silence(float(seconds))
                elif "`" in what or what == "it":
                    voice = last if what == "it" else what.strip("`").removeprefix("speech_")
                    begin = places.get(voice, 0) if more or all_of == "the rest" else 0
                    end = begin + int(32_000 * float(seconds)) if seconds else None
                    part = speech(voice)[begin:end]
                    places[last := voice] = begin + len(part)
                    pcm += part
            assert pcm, line
            yield from cut(pcm)


def _with_tokens(message: str | bytes, tokens: list[str]) -> str | bytes:
    if isinstance(message, bytes):
        return message
    for number, token in enumerate(tokens, 1):
        message = message.replace(f'"r_{number}"', json.dumps(token))
    return message


def transcripts(page: str) -> list[Transcript]:
    """All of them, in order."""
    return [Transcript(text) for block in BLOCK.findall(page) for text in block.split("\n\n")]


def is_same(one: Any, other: Any) -> bool:
    """Whether two answers say the same: scores within the tolerance, all else exactly."""
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) <= TOLERANCE
    if isinstance(one, dict) and isinstance(other, dict):
        kept = one.keys() - {*VOLATILE, "seq"}
        return kept == other.keys() - {*VOLATILE, "seq"} and all(
            is_same(one[name], other[name]) for name in kept
        )
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_same, one, other))
    return bool(one == other)


def are_same(page: list[Event], played: list[Event]) -> bool:
    """Whether two lists of answers say the same.

    Between types the order may vary, and it may vary how much one `ack` takes together.
    """

    def ordered(events: list[Event]) -> list[Event]:
        acks = [event for event in events if event["type"] == "ack"]
        others = [event for event in events if event["type"] != "ack"]
        return [*sorted(others, key=lambda event: event["type"]), *acks[-1:]]

    return is_same(ordered(page), ordered(played))


def enrol(home: Path) -> None:
    """Make Ada known to the servers of a data directory."""
    command = [*STREAMD, "enroll", "Ada", str(DATA / "speech_slt.flac")]
    subprocess.run(command, env=environment(home, **DEFAULT), check=True, capture_output=True)


async def play_all(page: str) -> list[tuple[Transcript, list[Event]]]:
    """Every transcript with what servers answer, each setting a server of its own."""
    played = []
    with tempfile.TemporaryDirectory() as folder, ExitStack() as running:
        home = Path(folder) / "home"
        home.mkdir()
        await asyncio.to_thread(enrol, home)
        usual = None
        for number, transcript in enumerate(transcripts(page)):
            if transcript.settings or transcript.is_stopped or transcript.enrols:
                own = shutil.copytree(home, Path(folder) / str(number))
                names = {n.replace(".", "__"): v for n, v in transcript.settings.items()}
                with Daemon(own, **DEFAULT, **names) as server:
                    played.append((transcript, await transcript.play(server)))
            else:
                usual = usual or running.enter_context(Daemon(home, **DEFAULT))
                played.append((transcript, await transcript.play(usual)))
    return played


def rewritten(page: str, played: list[tuple[Transcript, list[Event]]]) -> str:
    """The page with the answers of those transcripts that a server answers otherwise today."""
    rest = iter(played)

    def block(found: re.Match[str]) -> str:
        texts = []
        for text in found[1].split("\n\n"):
            transcript, answers = next(rest)
            if not are_same(transcript.answers, answers):
                kept = {n: e[n] for e in transcript.answers for n in VOLATILE if n in e}
                shown = [{n: kept.get(n, v) for n, v in event.items()} for event in answers]
                lines = [f"→ {line}" for line in transcript.sent]
                dumped = (json.dumps(e, ensure_ascii=False, separators=(",", ":")) for e in shown)
                lines += [f"← {line}" for line in dumped]
                text = "\n".join(lines) + ("\n" if text.endswith("\n") else "")
            texts.append(text)
        return "```text\n" + "\n\n".join(texts) + "```"

    return BLOCK.sub(block, page)


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(rewritten(text, asyncio.run(play_all(text))), encoding="utf-8")
