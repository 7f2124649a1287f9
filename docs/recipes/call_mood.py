"""The mood of both sides of a telephone call: `python call_mood.py call.ul [URL]`.

The recording is raw mu-law at 8 kHz with two channels, as telephone systems write it: the agent on
the first, the customer on the second.
"""

import asyncio
import json
import sys
from collections import Counter
from pathlib import Path

from streamd.client import connect
from streamd.client.pacing import converse, stream_pcm

SIDES = ("agent", "customer")
URL = "ws://127.0.0.1:8765/v1/stream"


class Mood:
    """What the final `emotion` events of one side say together, weighted by how long they are."""

    def __init__(self) -> None:
        self.total_ms = 0
        self.sure_ms = 0
        self.arousal = 0.0
        self.scores: Counter[str] = Counter()

    def add(self, event: dict) -> None:
        if event["type"] != "emotion" or not event["final"]:
            return
        length_ms = event["t1"] - event["t0"]
        self.total_ms += length_ms
        self.sure_ms += 0 if event["abstain"] else length_ms
        self.arousal += event["arousal"] * length_ms
        for label, score in event["scores"].items():
            self.scores[label] += score * length_ms

    def summary(self) -> dict:
        if not self.total_ms:
            return {"speech_s": 0}
        return {
            "speech_s": round(self.total_ms / 1000, 1),
            "arousal": round(self.arousal / self.total_ms, 3),
            "sure": round(self.sure_ms / self.total_ms, 3),
            "moods": {
                label: round(score / self.total_ms, 3)
                for label, score in self.scores.most_common(3)
            },
        }


async def listen(call: bytes, channel: int, url: str) -> Mood:
    """Send the whole call, and have one channel of it analysed."""
    mood = Mood()
    audio = {"codec": "mulaw", "rate": 8000, "channels": len(SIDES), "use": [channel]}
    modules = {"vad": {}, "emotion": {}}
    async with connect(url, audio=audio, modules=modules) as stream:

        async def send() -> None:
            await stream_pcm(stream, [call], realtime=False)
            await stream.end()

        await converse(stream, send(), mood.add)
    return mood


async def main(call: bytes, url: str = URL) -> None:
    moods = await asyncio.gather(*(listen(call, n, url) for n in range(len(SIDES))))
    for side, mood in zip(SIDES, moods, strict=True):
        print(json.dumps({"side": side, **mood.summary()}))


asyncio.run(main(Path(sys.argv[1]).read_bytes(), *sys.argv[2:]))
