"""A track: the walk of one stepper along the timeline, with one job in flight at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from streamd.audio.ring import Ring
from streamd.events import Cause
from streamd.modules.stepper import Stepper
from streamd.types import Job, Lane, Samples, Slots


@dataclass(slots=True, eq=False)
class Mark:
    """A place in the stream at which something happens: a barrier, a change, an enrolment."""

    place: int
    """Position on the timeline of all input so far."""
    head: int
    """End of the resampled samples at that time; the resampler still holds those up to `place`."""
    cause: Cause | None = None
    """Why an utterance ends here; None for a change of configuration and for an enrolment."""
    tail: Samples | None = None
    """The samples from `head` to `place`, from copies of the resampler and the front end."""
    voices_tail: Samples | None = None
    """The same on the timeline of voices, where that is another one."""
    resets: bool = False
    """Whether the models start anew after the mark (a gap)."""
    payload: Any = None

    def read(self, ring: Ring, start: int, stop: int) -> Samples:
        """Return a span of the stream as it ends at this barrier."""
        return self._read(ring, self.tail, start, stop)

    def read_voices(self, ring: Ring, start: int, stop: int) -> Samples:
        """Return the same from the timeline of voices."""
        tail = self.tail if self.voices_tail is None else self.voices_tail
        return self._read(ring, tail, start, stop)

    def _read(self, ring: Ring, tail: Samples | None, start: int, stop: int) -> Samples:
        if tail is None or stop <= self.head:
            return ring.read(start, stop)
        resampled = ring.read(min(start, self.head), self.head)
        return np.concatenate([resampled, tail[max(start - self.head, 0) : stop - self.head]])

    @property
    def is_barrier(self) -> bool:
        """Whether the utterance ends here."""
        return self.cause is not None


@dataclass(slots=True, eq=False)
class Progress:
    """How far a track has come, for the other parts of the session."""

    position: int = 0
    """Start of the next live step."""
    step: int = 0
    """Samples from one step to the next; set by the track."""
    barrier: Mark | None = None
    """The barrier whose tail the track walks on a copy, until it has passed the barrier."""

    def covers(self, stop: int) -> bool:
        """Return whether all whole steps up to a sample have been taken."""
        return self.position + self.step > stop


class Track:
    """Walks a stepper over the ring: `advance` returns the next job, `complete` takes its answers.

    Where the stepper does not need its model, the track walks on and the model sleeps. When the
    stepper needs it again, the model first replays what it slept through, as far as it must.

    At a barrier the track walks on a copy of the state, over the remaining samples and zeros up to
    a whole step. The live state then goes on as if nothing had happened.
    """

    def __init__(
        self,
        key: int,
        stepper: Stepper,
        ring: Ring,
        slots: Slots,
        passed: Callable[[Mark], None],
        copies_state: bool = True,
        progress: Progress | None = None,
        *,
        of_voices: bool = False,
    ) -> None:
        self.key = key
        """Key of each of its jobs, because only one is out at a time."""
        self.stepper = stepper
        self._progress = Progress() if progress is None else progress
        self._progress.step = stepper.step
        self._processed = 0
        """End of what the live state has processed; less than `position` where the model sleeps."""
        self.marks: deque[Mark] = deque()
        self.ring = ring
        """The audio that it walks over."""
        self._read = Mark.read_voices if of_voices else Mark.read
        self._slots = slots
        self._passed = passed
        self._copies_state = copies_state
        self._piece_start = 0
        self._fresh = True
        self._busy = False
        self._awaited = 0
        """Position that the input, or a mark, must reach before the track takes another step."""
        self._known: Any = None
        """The stepper's own answer for the next step, if `_last` has asked for it already."""
        self._tail: _Tail | None = None

    @property
    def low(self) -> int:
        """Return the oldest sample that may still be needed."""
        needed = max(self._processed, self._progress.position - self.stepper.reach)
        return max(needed - self.stepper.context, self._piece_start)

    @property
    def position(self) -> int:
        """Start of the next live step."""
        return self._progress.position

    @property
    def awaited(self) -> int | None:
        """Return the end of the step whose answer is due; None if the engine has no job."""
        return self._progress.position + self.stepper.step if self._busy else None

    def advance(self) -> Job | None:
        """Walk as far as possible without the model, and return the next job if there is one."""
        stepper, progress = self.stepper, self._progress
        while not self._busy:
            barrier, limit = None, self.ring.head
            stop = progress.position + stepper.step
            if self.marks:
                if self._tail is not None:
                    if (job := self._tail_step(self._tail)) is not None:
                        return job
                    continue
                if (barrier := next((m for m in self.marks if m.is_barrier), None)) is not None:
                    limit = barrier.head
                if self._reached(stop, limit, barrier):
                    self._passed(self.marks.popleft())
                    continue
            if stop <= limit:
                if limit < self._awaited and not self.marks:
                    return None
                attends = stepper.attends(stop) if stepper.enabled else False
                if attends is None:
                    return None
                if (job := self._live_step(stop, attends, limit, barrier)) is not None:
                    return job
            elif barrier is not None:
                self._begin_tail(barrier)
            else:
                return None
        return None

    def _reached(self, stop: int, limit: int, barrier: Mark | None) -> bool:
        """Whether the step that ends at `stop` is the first under a new configuration."""
        if not self.marks or self.marks[0].is_barrier:
            return False
        return stop > self.marks[0].place or (barrier is not None and stop > limit)

    def complete(self, job: Job, output: Sequence[Any]) -> None:
        """Take the answers of the job in flight, one for each step that was asked."""
        self._busy = False
        if self._tail is not None:
            self._tail_done(self._tail, output)
            return
        self._processed = job.stop
        for one in output:
            start = self._progress.position
            self._progress.position += self.stepper.step
            self.stepper.interpret(start, self._progress.position, one)

    def _live_step(self, stop: int, attends: bool, limit: int, barrier: Mark | None) -> Job | None:
        stepper, progress = self.stepper, self._progress
        start = progress.position
        if not stepper.enabled:
            progress.position = self._processed = stop
            self._fresh = True
            return None
        known, self._known = self._known, None
        if known is None:
            known = stepper.answer(self.ring.view, start, stop, stop if self.marks else limit)
        if known is not None:
            answer, stop = known
            progress.position = self._processed = stop
            stepper.interpret(start, stop, answer)
            return None
        if not attends:
            progress.position = stop
            if limit < stop + stepper.step:
                self._awaited = stop + stepper.step * stepper.at_once_asleep
            stepper.interpret(start, stop, None)
            return None
        self._busy = True
        load = -1 if self._fresh else self._slots.live
        self._fresh = False
        stop = self._last(stop, limit, barrier)
        options = stepper.options()
        return self._job(self._replay_from(), stop, load, self._slots.live, None, options)

    def _last(self, stop: int, limit: int, barrier: Mark | None) -> int:
        """Return the end of the last step that can share a job with the one that ends at `stop`."""
        step = self.stepper.step
        farthest = min(stop + (self.stepper.at_once - 1) * step, limit)
        while (following := stop + step) <= farthest:
            if self._reached(following, limit, barrier) or not self.stepper.attends(following):
                break
            self._known = self.stepper.answer(self.ring.view, stop, following, following)
            if self._known is not None:
                break
            stop = following
        return stop

    def _replay_from(self) -> int:
        """Return where the model begins to replay when it is asked about the next step."""
        farthest = self._progress.position - (self.stepper.replay - 1) * self.stepper.step
        return max(self._processed, farthest)

    def _job(
        self,
        start: int,
        stop: int,
        load: int,
        store: int,
        samples: Samples | None,
        options: Any,
    ) -> Job:
        step = self.stepper.step
        steps = (stop - start) // step
        asked = steps if self._tail is not None else (stop - self._progress.position) // step
        begin = start - self.stepper.context
        if samples is None and begin < self._piece_start:
            pad = np.zeros(self._piece_start - begin, np.int16)
            samples = np.concatenate([pad, self.ring.read(self._piece_start, stop)])
        return Job(
            self.stepper.pass_name,
            Lane.LIVE,
            self.key,
            begin,
            stop,
            samples,
            load,
            store,
            options,
            step,
            steps,
            asked,
        )

    # The walk on a copy.

    def _begin_tail(self, mark: Mark) -> None:
        step, context = self.stepper.step, self.stepper.context
        begin = max(self._progress.position - context, self._piece_start)
        pad = np.zeros(context - (self._progress.position - begin), np.int16)
        audio = np.concatenate([pad, self._read(mark, self.ring, begin, mark.place)])
        steps = -(-(mark.place - self._progress.position) // step)
        if (
            self.stepper.enabled
            and self._copies_state
            and self._processed == self._progress.position
        ):
            steps += self.stepper.tail_steps if mark.place > self._piece_start else 0
        else:
            steps = 0
        padded = np.zeros(context + steps * step, np.int16)
        padded[: len(audio)] = audio[: len(padded)]
        self._progress.barrier = mark
        self._tail = _Tail(
            mark, padded, steps, self.stepper.save(), -1 if self._fresh else self._slots.live
        )

    def _tail_step(self, tail: _Tail) -> Job | None:
        if tail.done == tail.steps:
            self._end_tail(tail)
            return None
        step = self.stepper.step
        offset = tail.done * step
        count = min(self.stepper.tail_at_once, tail.steps - tail.done)
        samples = tail.audio[offset : offset + self.stepper.context + count * step]
        start = self._progress.position + offset
        audio = samples[self.stepper.context :]
        known = self.stepper.answer(lambda begin, end: audio, start, start + step, start + step)
        if known is not None:
            self._interpret_tail(tail, start, known[0])
            return None
        self._busy = True
        options = self.stepper.options_at_end(tail.mark.place - start)
        stop = start + count * step
        return self._job(start, stop, tail.load, self._slots.copy, samples, options)

    def _tail_done(self, tail: _Tail, output: Sequence[Any]) -> None:
        tail.load = self._slots.copy
        for one in output:
            start = self._progress.position + tail.done * self.stepper.step
            self._interpret_tail(tail, start, one)

    def _interpret_tail(self, tail: _Tail, start: int, output: Any) -> None:
        tail.done += 1
        place = tail.mark.place
        start, stop = min(start, place), min(start + self.stepper.step, place)
        self.stepper.interpret(start, stop, output)

    def _end_tail(self, tail: _Tail) -> None:
        self.stepper.finish()
        self.stepper.restore(tail.saved)
        mark = self.marks.popleft()
        self._passed(mark)
        self._tail = self._progress.barrier = None
        if mark.resets:
            self.stepper.reset()
            self._fresh = True
            self._awaited = 0
            self._progress.position = self._processed = self._piece_start = mark.place


@dataclass(slots=True)
class _Tail:
    mark: Mark
    audio: Samples
    steps: int
    saved: Any
    load: int
    done: int = 0
