"""Connections that break off at any byte of what a client sends."""

import asyncio
import contextlib
import json
import random
import socket
import struct
from collections.abc import Callable
from urllib.parse import urlsplit

from daemons import VOICES, cut, speech
from fakes.wire import UPGRADE, frame
from websockets.frames import Opcode

SPOKEN = {voice: speech(voice, 2.0) for voice in VOICES}
AT_ONCE = 10
ENDINGS = ("reset", "close", "half close")
_LINGER = struct.pack("ii", 1, 0)


def script(chance: random.Random) -> bytes:
    """All that a client sends in two seconds of speech, from its request to its `end`."""
    lines = ["GET /v1/stream HTTP/1.1", *(f"{name}: {value}" for name, value in UPGRADE.items())]
    messages = [{"type": "hello"}, {"type": "flush", "id": "f"}, {"type": "gap", "ms": 40}]
    audio = list(cut(SPOKEN[chance.choice(VOICES)], chance.choice([321, 640, 6400])))
    frames = [frame(Opcode.BINARY, part) for part in audio]
    for message in messages[1:]:
        frames.insert(chance.randrange(len(frames)), text(message))
    return b"".join(
        ["\r\n".join([*lines, "", ""]).encode(), text(messages[0]), *frames, text({"type": "end"})]
    )


def text(message: dict[str, object]) -> bytes:
    return frame(Opcode.TEXT, json.dumps(message).encode())


async def drop(url: str, chance: random.Random) -> None:
    """Send a script up to a random byte, and break off in one of three ways."""
    sent = script(chance)
    # Half of them in the request, the `hello` and the first audio.
    end = chance.randrange(1, chance.choice([1000, len(sent)]))
    ending = chance.choice(ENDINGS)
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    with contextlib.suppress(ConnectionError):
        for at in range(0, end, 16_384):
            writer.write(sent[at : min(at + 16_384, end)])
            await writer.drain()
            await asyncio.sleep(chance.choice([0, 0, 0.002]))
        if ending == "half close":
            writer.write_eof()
            while await reader.read(65_536):
                pass
    if ending == "reset":
        peer = writer.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def drops(
    url: str, count: int, seed: int = 0, note: Callable[[int], None] = lambda done: None
) -> None:
    """Break off `count` connections, `AT_ONCE` at a time; call `note` with the number done."""
    chances = iter([random.Random(f"{seed} {number}") for number in range(count)])
    done = 0

    async def some() -> None:
        nonlocal done
        for chance in chances:
            await drop(url, chance)
            done += 1
            note(done)

    async with asyncio.TaskGroup() as group:
        for _ in range(AT_ONCE):
            group.create_task(some())
