"""The pictures of `docs/pictures`, made of what a server and the page really do.

python tests/pictures.py timeline     # docs/pictures/timeline.svg
"""

import asyncio
import runpy
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from daemons import (
    DATA,
    DEFAULT,
    RATE_HZ,
    STREAMD,
    Daemon,
    Event,
    cut,
    dial,
    environment,
    read_to_close,
    say,
    silence,
    speech,
)
from fakes.chromium import chromium

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
TIMELINE = PICTURES / "timeline.svg"
DRAWING = runpy.run_path(str(PICTURES / "timeline.py"))
HELLO = {
    "type": "hello",
    "modules": {
        "vad": {},
        "wake": {"words": ["alexa"]},
        "speaker": {"hop_ms": 500},
        "emotion": {"hop_ms": 500},
        "transcript": {},
    },
}
SETTINGS: dict[str, object] = {
    **DEFAULT,
    "limits__max_lag_ms": 0,
    "transcript__model": "whisper-tiny-en",
}
SLOWER = 4
PRE_ROLL_MS = DRAWING["PRE_ROLL_MS"]
draw = DRAWING["draw"]
events_of = DRAWING["events_of"]


def part(pcm: bytes, begin_s: float, end_s: float) -> bytes:
    """A stretch of s16le at 16 kHz."""
    return pcm[2 * int(begin_s * RATE_HZ) : 2 * int(end_s * RATE_HZ)]


def clip() -> bytes:
    """“Alexa. What is the weather like today?”, a pause, and the begin of another voice."""
    return (
        silence(0.5) + part(speech("slt"), 0, 2.62) + silence(1.0) + part(speech("rms"), 2.86, 5.06)
    )


def samples() -> np.ndarray:
    return np.frombuffer(clip(), np.int16)


def enrol_ada(home: Path) -> None:
    """Enrol the first voice of the clip by name."""
    command = [*STREAMD, "enroll", "Ada", str(DATA / "speech_slt.flac")]
    subprocess.run(command, env=environment(home, **DEFAULT), check=True, capture_output=True)


async def events(url: str, is_slow: bool) -> list[Event]:
    """The events of the clip, sent as fast as it goes, or so slowly that no interim is left out."""
    message_s = 0.02
    async with dial(url) as socket:

        async def send() -> None:
            await say(socket, HELLO)
            begin = asyncio.get_running_loop().time()
            for number, message in enumerate(cut(clip(), int(2 * RATE_HZ * message_s))):
                if is_slow:
                    due = begin + (number + 1) * message_s * SLOWER
                    await asyncio.sleep(due - asyncio.get_running_loop().time())
                await say(socket, message)
            await say(socket, {"type": "flush", "id": "f1"})
            await say(socket, {"type": "end"})

        sending = asyncio.create_task(send())
        received = await read_to_close(socket)
        await sending
        return received.events


def shown(event: Event) -> dict[str, Any]:
    """What the picture needs of an event."""
    kept = ("type", "t0", "t1", "at", "utterance", "word", "score", "speaker", "decision", "label")
    kept += ("abstain", "text", "final", "cause", "id", "samples")
    return {name: event[name] for name in kept if name in event}


def timeline() -> None:
    """Draw the picture anew."""
    home = Path(tempfile.mkdtemp())
    try:
        enrol_ada(home)
        with Daemon(home, **SETTINGS) as daemon:
            found = asyncio.run(events(daemon.url, is_slow=True))
        kept = [shown(event) for event in found if event["type"] != "ready"]
        TIMELINE.write_text(draw(kept, samples(), RATE_HZ), encoding="utf-8")
    finally:
        shutil.rmtree(home)


def conversation() -> bytes:
    """Two voices in turns, as a microphone hears them."""
    turns = (
        ("slt", 0, 2.62), ("awb", 6.0, 10.6), ("slt", 2.62, 4.42), ("awb", 0.9, 2.95),
        ("slt", 4.42, 6.17), ("awb", 6.0, 8.2), ("slt", 8.1, 10.2),
    )  # fmt: skip
    said = [part(speech(voice), begin, end) + silence(1.0) for voice, begin, end in turns]
    return silence(3.5) + b"".join(said) + silence(1.0)


async def photographed(url: str, folder: Path) -> bytes:
    """The page of a server after it has listened to a conversation."""
    microphone = folder / "conversation.wav"
    soundfile.write(microphone, np.frombuffer(conversation(), np.int16), RATE_HZ)
    profile = folder / "profile"
    profile.mkdir()
    async with chromium(profile, microphone) as page:
        await page.open(url)
        await page.until(LISTEN)
        await page.until(OVER)
        return await page.screenshot(1200, 700, 1.4)


LISTEN = """
  document.querySelector("#words input") &&
  (document.getElementById("listen").click(), true)
"""
OVER = "globalThis.until ??= Date.now() + 27_000, Date.now() > until"


def page() -> None:
    """Photograph the page anew."""
    home = Path(tempfile.mkdtemp())
    try:
        enrol_ada(home)
        with Daemon(home, **DEFAULT) as daemon:
            picture = asyncio.run(photographed(daemon.http_url, home))
        (PICTURES / "page.png").write_bytes(picture)
    finally:
        shutil.rmtree(home)


if __name__ == "__main__":
    {"timeline": timeline, "page": page}[sys.argv[1]]()
