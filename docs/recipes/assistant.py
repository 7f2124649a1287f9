"""An assistant that knows who asks: `python assistant.py talk.wav [URL]`, or `-` for raw samples.

It waits for the wake word, finds out who said it, and calls what belongs to that person.
"""

import asyncio
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable

import soundfile

from streamd.client import connect
from streamd.client.pacing import converse, stream_pcm

URL = "ws://127.0.0.1:8765/v1/stream"
RATE_HZ = 16_000


def answer_ada(word: str) -> None:
    print(f"{word}: Good morning, Ada. Your bus leaves at 8:12.")


def answer_guest(word: str) -> None:
    print(f"{word}: Hello. Ask Ada to introduce you.")


PEOPLE: dict[str | None, Callable[[str], None]] = {"Ada": answer_ada}


class Router:
    """Pairs each wake word with the speaker of its utterance.

    A wake word often comes before there is enough speech to know the speaker. It waits for the
    first `speaker` event that accepts somebody, and at most for the end of the utterance.
    """

    def __init__(self) -> None:
        self._waiting: dict[str, list[str]] = {}
        self._known: dict[str, str] = {}
        self._over: deque[str] = deque(maxlen=8)

    def event(self, event: dict) -> None:
        utterance = event.get("utterance", "")
        if event["type"] == "wake":
            self._waiting.setdefault(utterance, []).append(event["word"])
        elif event["type"] == "speaker" and event["decision"] == "accept":
            self._known = {utterance: event["speaker"]}
        elif event["type"] == "speech_end":
            self._over.append(utterance)
        if utterance in self._known or utterance in self._over or not utterance:
            for word in self._waiting.pop(utterance, []):
                PEOPLE.get(self._known.get(utterance), answer_guest)(word)


async def microphone(path: str) -> AsyncIterator[bytes]:
    """Samples of a file, or of stdin as they come: `arecord -f S16_LE -r 16000 | … -`."""
    if path != "-":
        samples, rate_hz = soundfile.read(path, dtype="int16")
        assert rate_hz == RATE_HZ, "give a file of 16 kHz"
        yield samples.tobytes()
        return
    while block := await asyncio.to_thread(sys.stdin.buffer.read1, 640):
        yield block


async def main(path: str, url: str = URL) -> None:
    modules = {"vad": {}, "wake": {"words": ["alexa", "hey_jarvis"]}, "speaker": {}}
    router = Router()
    async with connect(url, audio={"rate": RATE_HZ}, modules=modules, device="hall") as stream:

        async def send() -> None:
            await stream_pcm(stream, microphone(path), realtime=False)
            await stream.end()

        await converse(stream, send(), router.event)


asyncio.run(main(*sys.argv[1:]))
