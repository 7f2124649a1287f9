"""The chains of one session: the jobs of utterances whose pass carries a state along.

A chain is the jobs of one utterance for one stateful reader. It copies the speech out of the ring
as it comes, so that neither the ring nor voice activity and wake words wait for a slow model. All
chains of a reader run one after the other with one job in flight, so its events come in the order
of the stream. Nothing else waits for them but the end of their utterance (`speech_end` comes after
the final events), and the flushes, gaps and ends behind it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from streamd.audio.ring import Ring
from streamd.events import TimedEvent
from streamd.modules.base import Utterance, Window
from streamd.modules.stateful import StatefulReader
from streamd.session.degradation import Degradation
from streamd.session.track import Mark
from streamd.types import RATE_HZ, ChainRequest, Job, Lane, Samples

BLOCK = RATE_HZ // 4
"""Samples of speech that may wait in the ring before a chain copies them."""
MAX_BEHIND = 30 * RATE_HZ
"""Samples by which the answers may be behind the audio, or as many as the ring holds if these are
more. Beyond that the session takes no audio, so that the copies have a bound. Only a sender that is
ahead of real time gets there: for others, what is late is left out before."""


@dataclass(slots=True, eq=False)
class _Chain:
    """One utterance for one reader."""

    utterance: Utterance
    reader: StatefulReader
    next_stop: int
    """End of the next job of the grid."""
    taken: int
    """Sample up to which the speech was copied."""
    given: int
    """Sample up to which jobs had it."""
    pieces: list[Samples] = field(default_factory=list)
    """The speech from `given` to `taken`."""
    state: Any = None
    is_begun: bool = False
    """Whether the reader knows of the utterance."""

    def cut(self, stop: int) -> Samples:
        """Return the speech from `given` to a sample, which goes into a job."""
        speech = np.concatenate(self.pieces) if self.pieces else np.zeros(0, np.int16)
        size = stop - self.given
        self.pieces = [speech[size:]]
        self.given = stop
        return speech[:size]

    def put_back(self, samples: Samples) -> None:
        """Take back the speech of a job that does not run."""
        self.pieces.insert(0, samples)
        self.given -= len(samples)


@dataclass(slots=True, eq=False)
class _Step:
    """One job of a chain, or what will be one."""

    chain: _Chain
    span: Window
    late_from: int
    """`at` of the oldest job whose place it takes, or its own."""
    job: Job | None = None
    """Its job, once the engine has it."""
    is_started: bool = False
    """Whether a batch has its job."""
    is_skipped: bool = False


class Chains:
    """Plans the jobs of all chains, and gives the answers to the readers.

    Args:
        ring: The audio of voices.
        emit: Takes events.
        finished: Takes an utterance about which all is said.
        skipped: Takes a reader's name, and start, stop and `at` of the speech that it does not get.
        keys: The numbers for the session's jobs.
        useless: Takes the keys of jobs whose answers nobody needs any more.
    """

    def __init__(
        self,
        ring: Ring,
        emit: Callable[[Iterable[TimedEvent]], None],
        finished: Callable[[Utterance], None],
        skipped: Callable[[str, int, int, int], None],
        keys: Iterator[int],
        useless: list[int],
    ) -> None:
        self.degradation = Degradation()
        """What the readers do without, under load."""
        self._ring = ring
        self._emit = emit
        self._finished = finished
        self._skipped = skipped
        self._keys = keys
        self._useless = useless
        self._open: list[_Chain] = []
        """The chains of the open utterance."""
        self._steps: dict[str, deque[_Step]] = {}
        """The jobs to come, by the reader's name; the first may be in flight."""
        self._in_flight: dict[int, _Step] = {}
        """By the key of the job."""
        self._unfinished: dict[str, list[_Chain]] = {}
        """The chains of utterances that are not over yet, by the utterance."""
        self._order: deque[Utterance | Callable[[], None]] = deque()
        """Utterances, and what comes behind them, that wait for chains."""

    def opened(self, utterance: Utterance, readers: Sequence[StatefulReader]) -> None:
        """Begin the chains of an utterance for these readers."""
        begin = utterance.start
        self._open = [
            _Chain(utterance, reader, utterance.onset + reader.spec.hop, begin, begin)
            for reader in readers
        ]
        if self._open:
            self._unfinished[utterance.id] = list(self._open)

    def advance(self, watermark: int, at: int, barrier: Mark | None) -> None:
        """Plan the jobs that end at or below the watermark; of several at once, only the last."""
        for chain in self._open:
            stop, spec = chain.next_stop, chain.reader.spec
            if stop > watermark:
                if watermark - chain.taken >= BLOCK:
                    self._copy(chain, watermark, barrier)
                continue
            while (following := stop + self.degradation.hop(spec.hop, stop)) <= watermark:
                stop = following
            chain.next_stop = following
            self._copy(chain, watermark, barrier)
            self._plan(chain, Window(chain.utterance.start, stop, at))

    def closed(self, utterance: Utterance, barrier: Mark | None) -> None:
        """Plan the last jobs of an utterance that is over."""
        assert utterance.end is not None
        assert utterance.closed_at is not None
        for chain in self._open:
            self._copy(chain, utterance.end, barrier)
            self._plan(
                chain, Window(utterance.start, utterance.end, utterance.closed_at, is_last=True)
            )
        self._open = []

    def ended(self, utterance: Utterance) -> None:
        """Finish an utterance, about which all but the chains has been said, after its chains."""
        self._order.append(utterance)
        self._settle()

    def after(self, passed: Callable[[], None]) -> None:
        """Call `passed` when everything before it is finished."""
        self._order.append(passed)
        self._settle()

    @property
    def is_waiting(self) -> bool:
        """Return whether any job has yet to be answered."""
        return any(self._steps.values())

    def jobs(self) -> list[Job]:
        """Return the next job of each reader that has none in flight."""
        jobs = []
        for steps in self._steps.values():
            self._coalesce(steps)
            if steps and steps[0].job is None:
                jobs.append(self._job(steps[0]))
        return jobs

    def started(self, key: int) -> None:
        """Take note that a job is put into a batch."""
        if (step := self._in_flight.get(key)) is not None:
            step.is_started = True

    def complete(self, key: int, answer: tuple[Any, Any]) -> bool:
        """Take the answer to a job, an output and a state; return False if it is of no chain."""
        step = self._in_flight.pop(key, None)
        if step is None:
            return False
        chain, steps = step.chain, self._steps[step.chain.reader.name]
        steps.popleft()
        output, chain.state = answer
        self._begin(chain)
        reader, utterance = chain.reader, chain.utterance
        if step.span.is_last:
            self._emit(reader.closed(utterance, step.span, output))
            self._end(chain)
        else:
            is_superseded = bool(steps) and steps[0].chain is chain
            events = reader.heard(utterance, step.span, output)
            self._emit(self.degradation.left(events, is_superseded=is_superseded))
        self._pass_skipped(steps)
        return True

    def skip(self, place: int) -> None:
        """Leave out the jobs that depend on nothing behind a place and that no batch has.

        Of an utterance whose last job is left out, a gap is reported in place of the final events.
        """
        for steps in self._steps.values():
            for step in list(steps):
                if step.span.at > place or step.is_started or step.is_skipped:
                    continue
                self._withdraw(step)
                if step.span.is_last:
                    step.is_skipped = True
                    self.degradation.skipped += 1
                else:
                    steps.remove(step)
                    self.degradation.coalesced += 1
            self._pass_skipped(steps)

    @property
    def due_at(self) -> int | None:
        """Return `at` of the oldest job that is not answered; None without one."""
        return min((steps[0].span.at for steps in self._steps.values() if steps), default=None)

    @property
    def late_from(self) -> int | None:
        """Return `due_at`, or that of an older job whose place a newer one has taken."""
        return min((steps[0].late_from for steps in self._steps.values() if steps), default=None)

    @property
    def low(self) -> int | None:
        """Return the oldest sample that the ring must keep; None if it need not keep any."""
        return min((chain.taken for chain in self._open), default=None)

    @property
    def held_bytes(self) -> int:
        """Return the memory of the speech that is copied and in no job, bytes."""
        chains = {id(step.chain): step.chain for steps in self._steps.values() for step in steps}
        chains |= {id(chain): chain for chain in self._open}
        return sum(piece.nbytes for chain in chains.values() for piece in chain.pieces)

    # Inside.

    def _copy(self, chain: _Chain, stop: int, barrier: Mark | None) -> None:
        """Copy the speech up to a sample out of the ring."""
        if stop > chain.taken:
            read = self._ring.read if barrier is None else self._read_of(barrier)
            chain.pieces.append(read(chain.taken, stop))
            chain.taken = stop

    def _read_of(self, barrier: Mark) -> Callable[[int, int], Samples]:
        return lambda start, stop: barrier.read_voices(self._ring, start, stop)

    def _plan(self, chain: _Chain, span: Window) -> None:
        self._steps.setdefault(chain.reader.name, deque()).append(_Step(chain, span, span.at))

    def _job(self, step: _Step) -> Job:
        chain, span = step.chain, step.span
        start, key = chain.given, next(self._keys)
        step.job = Job(
            chain.reader.spec.pass_name,
            Lane.FINAL if span.is_last else Lane.INTERIM,
            key,
            start,
            span.stop,
            samples=chain.cut(span.stop),
            options=ChainRequest(chain.state, span.is_last, chain.reader.options),
        )
        self._in_flight[key] = step
        return step.job

    def _coalesce(self, steps: deque[_Step]) -> None:
        """Under load, drop the interim jobs behind which a newer one of the utterance waits."""
        while (
            self.degradation.coalesces
            and len(steps) > 1
            and steps[1].chain is steps[0].chain
            and not steps[0].is_started
        ):
            dropped = steps.popleft()
            self._withdraw(dropped)
            steps[0].late_from = dropped.late_from
            self.degradation.coalesced += 1

    def _withdraw(self, step: _Step) -> None:
        """Take back a job that no batch has."""
        if step.job is not None:
            assert step.job.samples is not None
            step.chain.put_back(step.job.samples)
            del self._in_flight[step.job.key]
            self._useless.append(step.job.key)
            step.job = None

    def _pass_skipped(self, steps: deque[_Step]) -> None:
        """Report the gap of each utterance that is left out and whose turn it is."""
        while steps and steps[0].is_skipped:
            step = steps.popleft()
            span = step.span
            self._begin(step.chain)
            self._skipped(step.chain.reader.name, span.start, span.stop, span.at)
            self._end(step.chain)

    def _begin(self, chain: _Chain) -> None:
        if not chain.is_begun:
            chain.is_begun = True
            chain.reader.opened(chain.utterance)

    def _end(self, chain: _Chain) -> None:
        chain.state, chain.pieces = None, []
        chains = self._unfinished[chain.utterance.id]
        chains.remove(chain)
        if not chains:
            del self._unfinished[chain.utterance.id]
            self._settle()

    def _settle(self) -> None:
        """Finish what waits for no chain any more, in order."""
        while self._order:
            first = self._order[0]
            if isinstance(first, Utterance):
                if first.id in self._unfinished:
                    return
                self._order.popleft()
                self._finished(first)
            else:
                self._order.popleft()
                first()
