"""The text of a file: its speech is transcribed in chunks while the file is read.

A chunk is one utterance, or several that follow each other within a window of the transcriber:
each window costs the same however little speech it has, and more context gives better text.
"""

from __future__ import annotations

from collections import deque
from contextlib import aclosing
from typing import NamedTuple

import numpy as np

from streamd.audio.files import Gap
from streamd.audio.ring import Ring
from streamd.audio.source import AudioIn
from streamd.engine.recognition.accumulating import joined
from streamd.engine.recognition.lane import Transcriber
from streamd.events import Event, SpeechEnd, SpeechStart
from streamd.files.recording import Part
from streamd.files.sessions import FileReading, Progress
from streamd.settings import VadSettings
from streamd.types import (
    ANY_LANGUAGE,
    RATE_HZ,
    AudioFormat,
    RecogniserOptions,
    Recognition,
    Samples,
    TextSegment,
)

CHUNK_MS = 30_000
"""Most milliseconds of a chunk of several utterances: the transcriber's window."""
MAX_PAUSE_MS = 2000
"""Longest pause within a chunk. In longer ones, Whisper loses time or invents words."""
_PER_MS = RATE_HZ // 1000
_SLACK_S = 5
"""Seconds that a part, the resampler and the end of an utterance take at most."""


async def transcribed(
    reading: FileReading,
    transcriber: Transcriber,
    vad: VadSettings,
    ring_s: int,
    progress: Progress,
    options: RecogniserOptions = ANY_LANGUAGE,
) -> tuple[list[Event], Recognition]:
    """Return all events of a file and its text.

    While a chunk is transcribed the file waits, so that no more than one is in work.

    Args:
        reading: The file, with the VAD on.
        transcriber: Makes the text.
        vad: Settings of the VAD, which bound an utterance.
        ring_s: Seconds by which the session may be behind the file.
        progress: Takes how much was read.
        options: The language and how numbers are written.

    Returns:
        The events, and the text with its times in those of the file.

    Raises:
        Refusal: As `FileReading.events` and `Transcriber.transcribe` do.
    """
    longest_s = (vad.max_utterance_ms + vad.pre_roll_ms + vad.hangover_ms) / 1000
    heard = Heard(reading.format, CHUNK_MS / 1000 + longest_s + ring_s + _SLACK_S)
    all_events: list[Event] = []
    texts: list[Recognition] = []
    chunk: _Chunk | None = None

    async def transcribe(chunk: _Chunk) -> None:
        found = await transcriber.transcribe(chunk.samples, options)
        begin, end = chunk.t0 + reading.offset_ms, chunk.t1 + reading.offset_ms
        segments = (
            TextSegment(min(begin + one.t0, end), min(begin + one.t1, end), one.text)
            for one in found.segments
        )
        texts.append(found._replace(segments=tuple(segments)))

    async with aclosing(reading.events(progress, heard.add)) as events:
        async for event in events:
            all_events.append(event)
            if not isinstance(event, SpeechStart | SpeechEnd):
                continue
            t0, t1 = event.t0 - reading.offset_ms, event.t1 - reading.offset_ms
            if chunk is not None and not _fits(chunk, t0, t1, heard):
                await transcribe(chunk)
                chunk = None
            if isinstance(event, SpeechEnd):
                begin = t0 if chunk is None else chunk.t0
                # Taken now: the next utterance may begin long after this audio is forgotten.
                chunk = _Chunk(begin, t1, heard.between(begin, t1))
    if chunk is not None:
        await transcribe(chunk)
    return all_events, joined(texts or [Recognition("", transcriber.language(options))])


class _Chunk(NamedTuple):
    """Speech to transcribe at once."""

    t0: int
    """Start, milliseconds of the audio."""
    t1: int
    samples: Samples


def _fits(chunk: _Chunk, t0: int, t1: int, heard: Heard) -> bool:
    """Return whether an utterance, or its start, may follow in the same chunk."""
    is_near = t0 - chunk.t1 <= MAX_PAUSE_MS and t1 - chunk.t0 <= CHUNK_MS
    return is_near and heard.is_whole(chunk.t0, t1)


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
        number = self._piece(t0)
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

    def is_whole(self, t0: int, t1: int) -> bool:
        """Return whether no gap lies between two times, milliseconds."""
        return self._piece(t0) == self._piece(t1)

    def _piece(self, ms: int) -> int:
        """Return the number of the piece that a time lies in."""
        return max((n for n, (_, begin_ms) in enumerate(self._pieces) if begin_ms <= ms), default=0)
