"""The front end of one session: its frames to the engine, and what comes back to the timeline.

The samples that come in wait here until the engine has made them clean. Control messages wait
behind the audio before them. So the modules receive everything in the order of the stream. All
timelines have the same positions: a sample that comes back stands where the one that went in stood.

The wake words read the clean timeline, and so do speakers and emotion where that helps them. Voice
activity and the text read the other, from which the echo is gone and the noise is not
(`docs/frontend.md`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from streamd.audio.ring import Ring
from streamd.front_ends import FRAME, Kind
from streamd.session.track import Mark, Track
from streamd.types import RATE_HZ, Job, Lane, Samples, Slots

CONTEXT = 2 * RATE_HZ
"""Samples before a flush from which a fresh front end computes its tail."""
LONGEST_JOB = RATE_HZ // 2
"""Samples in one job at most."""
RING = CONTEXT + 3 * RATE_HZ
"""Samples of what comes in that are kept: the context of a flush and what may wait."""

_NOTHING: Samples = np.zeros(0, np.int16)


@dataclass(slots=True, eq=False)
class _Place:
    """A mark on its way to the tracks."""

    mark: Mark
    tracks: Sequence[Track]
    tail: Samples | None
    """The samples that the resampler held, where the mark ends an utterance."""


class FrontEnd:
    """Makes the audio of one session clean.

    Args:
        key: Key of each of its jobs, because only one is out at a time.
        kind: What it is made of.
        clean: The ring that receives the clean samples.
        voices: The ring that receives them as they were before noise suppression; the same where
            there is none.
        slots: The state of the stream at the engine.
    """

    def __init__(self, key: int, kind: Kind, clean: Ring, voices: Ring, slots: Slots) -> None:
        self.key = key
        self._near = Ring(RING)
        self._far = Ring(RING) if kind.has_echo else None
        self._kind = kind
        self._clean = clean
        self._voices = voices
        self._slots = slots
        self._places: deque[_Place] = deque()
        self._piece = 0
        """Position at which the present piece began; frames are counted from here."""
        self._processed = 0
        """Position up to which the live state has processed the input."""
        self._is_fresh = True
        self._is_busy = False

    @property
    def ring_samples(self) -> int:
        """Return the samples that its own rings keep."""
        return RING * (1 if self._far is None else 2)

    @property
    def waiting(self) -> int:
        """Return the number of control messages that wait."""
        return len(self._places)

    @property
    def awaited(self) -> int | None:
        """Return the end of the frame whose samples are due; None if the engine has no job."""
        return self._processed + FRAME if self._is_busy else None

    def write(self, samples: Samples) -> None:
        """Take samples, int16 `[n]`, or `[n, 2]` with the far end."""
        if self._far is None:
            self._near.write(samples)
        else:
            self._near.write(samples[:, 0])
            self._far.write(samples[:, 1])

    def at_place(self, mark: Mark, tracks: Sequence[Track], tail: Samples | None) -> None:
        """Put a mark on tracks when everything that came in before it has come out.

        Args:
            mark: Its place in what came in.
            tracks: Those that it is for.
            tail: What the resampler holds, of the shape of `write`, where the mark ends an
                utterance.
        """
        self._places.append(_Place(mark, tracks, tail))

    def advance(self) -> Job | None:
        """Do what has its turn, and return the next job if there is one."""
        while not self._is_busy:
            limit = self._places[0].mark.head if self._places else self._near.head
            if whole := min(limit - self._processed, LONGEST_JOB) // FRAME:
                return self._live(self._processed + whole * FRAME)
            if not self._places:
                return None
            place = self._places[0]
            if place.tail is not None and place.mark.place > self._clean.head:
                return self._rest(place.mark, place.tail)
            self._passed(_NOTHING)
        return None

    def complete(self, job: Job, output: Samples) -> None:
        """Take what came back."""
        self._is_busy = False
        if job.store < 0:
            begin = self._kind.delay + self._clean.head - job.start
            self._passed(output[begin : begin + job.stop - self._clean.head])
            return
        behind = self._processed - self._piece
        self._processed = job.stop
        self._give(output[max(self._kind.delay - behind, 0) :])

    def _give(self, samples: Samples) -> None:
        clean, voices = _apart(samples)
        self._clean.write(clean)
        if self._voices is not self._clean:
            self._voices.write(voices)

    def _live(self, stop: int) -> Job:
        load = -1 if self._is_fresh else self._slots.live
        self._is_fresh = False
        return self._job(self._processed, stop, self._read(self._processed, stop), load)

    def _rest(self, mark: Mark, tail: Samples) -> Job:
        """Return the job that computes what is missing at a mark, from a fresh state."""
        start = max(self._piece, self._processed - CONTEXT)
        audio = np.concatenate([self._read(start, mark.head), tail])
        frames = -(-(len(audio) + self._kind.delay) // FRAME)
        padded = np.zeros((frames * FRAME, *audio.shape[1:]), np.int16)
        padded[: len(audio)] = audio
        return self._job(start, mark.place, padded, -1, is_kept=False)

    def _job(
        self, start: int, stop: int, samples: Samples, load: int, *, is_kept: bool = True
    ) -> Job:
        self._is_busy = True
        store = self._slots.live if is_kept else -1
        name, options = self._kind.pass_name, self._kind.parts
        return Job(name, Lane.LIVE, self.key, start, stop, samples, load, store, options)

    def _passed(self, rest: Samples) -> None:
        """Put the next mark on its tracks.

        Args:
            rest: What had not come out at its place.
        """
        place = self._places.popleft()
        mark = place.mark
        if mark.resets:
            self._give(rest)
            self._piece = self._processed = mark.place
            self._is_fresh = True
        elif place.tail is not None:
            mark.head = self._clean.head
            mark.tail, mark.voices_tail = _apart(rest)
        else:
            mark.head = self._clean.head
        for track in place.tracks:
            track.marks.append(mark)

    def _read(self, start: int, stop: int) -> Samples:
        near = self._near.read(start, stop)
        return near if self._far is None else np.stack((near, self._far.read(start, stop)), axis=1)


def _apart(samples: Samples) -> tuple[Samples, Samples]:
    """Return the clean samples and those of voices."""
    return (samples, samples) if samples.ndim == 1 else (samples[:, 0], samples[:, 1])
