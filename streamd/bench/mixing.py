"""What a stream plays: clips in an order of its own, with quiet between them, as messages.

Clips are split into messages once, and every stream sends slices of the same bytes. So a clip and a
quiet are whole numbers of messages.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from streamd.audio.pcm import FULL_SCALE
from streamd.types import RATE_HZ, Samples

NOISE_DBFS = -72.0
"""Level of the quiet: a silent room with a fair microphone, below the level gate of the VAD."""
NOISE_S = 30
_GOLDEN = 0.618033988749895


class Message(NamedTuple):
    """One message to send."""

    pcm: memoryview
    is_voiced: bool
    """Whether it belongs to a clip; all of a clip counts, pauses included."""


def place(index: int) -> float:
    """Return a number in [0, 1). Those of the first n indices are spread evenly, for any n."""
    return index * _GOLDEN % 1


class Mixer:
    """Splits clips into messages, once, and makes the streams that play them.

    Args:
        clips: int16, 16 kHz; at least one.
        message_ms: length of a message.
        duty: share of the time that is clips, over 0 up to 1.
        seed: of all random choices.
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
        """Yield what stream number `index` plays, without end; equal for equal number and seed.

        The streams begin at different places, which are spread evenly. So at every moment about
        `duty` of the streams play a clip, however many there are.
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
        """Messages of quiet that are still to be played, a fraction of which is carried over."""
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
