"""What a stream plays: clips in an order of its own, quiet between them, cut into messages.

A message is sent as it lies here: clips are cut once, and every stream sends slices of the same
bytes. A clip and a quiet are therefore whole numbers of messages.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from streamd.audio.pcm import FULL_SCALE
from streamd.types import RATE_HZ, Samples

NOISE_DBFS = -72.0
"""Of the quiet: a silent room at a fair microphone, below the level gate of the VAD."""
NOISE_S = 30
_GOLDEN = 0.618033988749895


class Message(NamedTuple):
    """What is sent at once."""

    pcm: memoryview
    is_voiced: bool
    """Whether it is of a clip; a clip counts whole, with its own pauses."""


def place(index: int) -> float:
    """A number from 0 up to 1; those of however many indices are spread evenly."""
    return index * _GOLDEN % 1


class Mixer:
    """Cuts clips, once, and makes the streams that play them.

    Args:
        clips: int16, 16 kHz; at least one.
        message_ms: length of a message.
        duty: share of the time that is clips, over 0 up to 1.
        seed: decides everything that is drawn.
    """

    def __init__(
        self, clips: Sequence[Samples], message_ms: int, duty: float, seed: int = 1
    ) -> None:
        self.message_samples = RATE_HZ * message_ms // 1000
        self._duty = duty
        self._seed = seed
        self._clips = [self._cut(clip, is_voiced=True) for clip in clips]
        self._quiet = self._cut(_noise(seed), is_voiced=False)

    def stream(self, index: int) -> Iterator[Message]:
        """What stream number `index` plays, without end; the same for the same number and seed.

        Streams begin in different places of what they play. Those are spread evenly, and so at
        every moment about `duty` of the streams have a voice, of however many there are.
        """
        rng = random.Random(f"{self._seed}/{index}")
        messages = self._play(rng)
        clip_length = sum(map(len, self._clips)) / len(self._clips)
        skipped = place(index) * clip_length / self._duty
        for _ in range(int(skipped)):
            next(messages)
        return messages

    def _play(self, rng: random.Random) -> Iterator[Message]:
        owed = 0.0
        """Messages of quiet, of which a part may be left from clip to clip."""
        while True:
            for clip in rng.sample(self._clips, len(self._clips)):
                yield from clip
                owed += len(clip) * (1 - self._duty) / self._duty
                place = rng.randrange(len(self._quiet))
                for number in range(int(owed)):
                    yield self._quiet[(place + number) % len(self._quiet)]
                owed -= int(owed)

    def _cut(self, samples: Samples, *, is_voiced: bool) -> list[Message]:
        size = self.message_samples
        padded = np.concatenate([samples, np.zeros(-len(samples) % size, np.int16)])
        pcm = memoryview(padded.astype("<i2", copy=False).tobytes())
        return [
            Message(pcm[start : start + 2 * size], is_voiced)
            for start in range(0, len(pcm), 2 * size)
        ]


def _noise(seed: int) -> Samples:
    sigma = FULL_SCALE * 10 ** (NOISE_DBFS / 20)
    drawn = np.random.default_rng(seed).normal(0, sigma, NOISE_S * RATE_HZ)
    noise: Samples = np.rint(drawn).astype(np.int16)
    return noise
