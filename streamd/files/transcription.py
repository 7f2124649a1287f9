"""The text of a file: what the VAD calls an utterance is transcribed as soon as it is over."""

from __future__ import annotations

from collections import deque
from contextlib import aclosing

import numpy as np

from streamd.audio.files import Gap
from streamd.audio.ring import Ring
from streamd.audio.source import AudioIn
from streamd.engine.whisper.lane import Transcriber
from streamd.engine.whisper.transcriber import Segment
from streamd.events import Event, SpeechEnd
from streamd.files.recording import Part
from streamd.files.sessions import FileReading, Progress
from streamd.settings import VadSettings
from streamd.types import RATE_HZ, AudioFormat, Samples

_PER_MS = RATE_HZ // 1000
_SLACK_S = 5
"""Seconds that a part, the resampler and the end of an utterance take at most."""


async def transcribed(
    reading: FileReading,
    transcriber: Transcriber,
    vad: VadSettings,
    ring_s: int,
    progress: Progress,
) -> tuple[list[Event], list[Segment]]:
    """Return all events of a file and its text.

    While an utterance is transcribed the file waits, so that no more than one is in memory.

    Args:
        reading: The file, with the VAD on.
        transcriber: Makes the text.
        vad: Settings of the VAD, which bound an utterance.
        ring_s: Seconds by which the session may be behind the file.
        progress: Takes how much was read.

    Raises:
        Refusal: As `FileReading.events` and `Transcriber.transcribe` do.
    """
    longest_s = (vad.max_utterance_ms + vad.pre_roll_ms + vad.hangover_ms) / 1000
    heard = Heard(reading.format, longest_s + ring_s + _SLACK_S)
    all_events: list[Event] = []
    segments: list[Segment] = []
    async with aclosing(reading.events(progress, heard.add)) as events:
        async for event in events:
            all_events.append(event)
            if not isinstance(event, SpeechEnd):
                continue
            start, stop = event.t0 - reading.offset_ms, event.t1 - reading.offset_ms
            for found in await transcriber.transcribe(heard.between(start, stop)):
                t0, t1 = event.t0 + found.t0, min(event.t0 + found.t1, event.t1)
                segments.append(Segment(min(t0, t1), t1, found.text))
    return all_events, segments


class Heard:
    """The last seconds of a file as the session hears it, by its time.

    Args:
        audio: Format of the parts.
        seconds: How many.
    """

    def __init__(self, audio: AudioFormat, seconds: float) -> None:
        self._audio = AudioIn(audio)
        self._ring = Ring(int(seconds * RATE_HZ))
        self._pieces = deque([(0, 0)])
        """First position and time in milliseconds of each piece between gaps."""

    def add(self, part: Part) -> None:
        """Take the next part of the file."""
        if isinstance(part, Gap):
            self._ring.write(self._audio.gap(ms=part.ms))
            position = self._audio.position
            if self._pieces[-1][0] == position:
                self._pieces.pop()
            self._pieces.append((position, self._audio.now_ms))
        else:
            self._ring.write(self._audio.push(part))
        while len(self._pieces) > 1 and self._pieces[1][0] <= self._ring.tail:
            self._pieces.popleft()
        self._audio.clock.forget_before(self._ring.tail)

    def between(self, t0: int, t1: int) -> Samples:
        """Return the audio of an utterance, which no gap cuts.

        Args:
            t0: Its start, milliseconds.
            t1: Its end, milliseconds.

        Returns:
            int16 at 16 kHz.

        Raises:
            Overwritten: It is longer ago than is kept.
        """
        number = max(
            (n for n, (_, begin_ms) in enumerate(self._pieces) if begin_ms <= t0), default=0
        )
        position, begin_ms = self._pieces[number]
        is_last = number + 1 == len(self._pieces)
        end = self._audio.mark() if is_last else self._pieces[number + 1][0]
        start = min(position + (t0 - begin_ms) * _PER_MS, end)
        stop = min(position + (t1 - begin_ms) * _PER_MS, end)
        head = self._ring.head
        if stop <= head:
            return self._ring.read(start, stop)
        # What the resampler holds back, at the end of the file.
        last = self._audio.tail()[max(start - head, 0) : stop - head]
        return np.concatenate((self._ring.read(min(start, head), head), last))
