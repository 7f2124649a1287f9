"""A machine that runs real sessions, the real engine and the real policy of load in simulated time.

The clock, the threads and the models are simulated. Each thread that has a batch, and the event
loop while it has a tick, share the capacity of one core by weight. The models are the fake passes;
what a batch costs is set here. So a run gives the same result on any computer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from fakes.driving import ALL_ON, fake_passes, fake_registry, pcm, silence, tone, word

from streamd.engine.base import Lease
from streamd.engine.local import LocalEngine
from streamd.engine.passes.fake import FakeSpeculative
from streamd.engine.worker import Batch, run
from streamd.events import Event
from streamd.live.headroom import Bounds
from streamd.live.load import EVERY_S, LATE, Load
from streamd.live.pace import Pace
from streamd.live.shedding import Shedding
from streamd.live.sink import SessionSink
from streamd.modules.gallery import Gallery
from streamd.modules.words import NO_WORDS
from streamd.observability.metrics import Metrics
from streamd.session.session import Session
from streamd.types import RATE_HZ, AudioFormat, Job

STEP_S = 0.002
"""Of the simulation."""
MESSAGE_S = 0.04
MESSAGE_BYTES = int(MESSAGE_S * RATE_HZ) * 2
READ_BYTES = 32_768
TICK_S = 0.02
LATENESS_S = 0.25
"""How often the lateness of the streams is recorded."""

COST_S = {
    "vad": (0.0008, 0.00024),
    "wake": (0.0016, 0.0016),
    "voice": (0.006, 0.028),
    FakeSpeculative.name: (0.006, 0.018),
}
"""Seconds that a batch takes of a whole core: for the batch, and for each step or window in it."""
LOOP_S = (0.0005, 0.00012)
"""Seconds that a tick takes: for the tick, and for each stream that it reads."""
WEIGHTS = {0: 1024, 5: 335, 10: 110}
"""Linux's weights of nice values."""

SPEECH = pcm(tone(300, 3000), silence(1000), word(), silence(1200), tone(440, 1600), silence(880))
"""Eight seconds: two utterances, and a wake word between them."""


class SimulatedWorker:
    """Stands in for `streamd.engine.worker.Worker`; the machine gives it time."""

    def __init__(
        self,
        name: str,
        passes: Sequence[str],
        done: Callable[[SimulatedWorker, Batch, bool], None],
        nice: int = 0,
    ) -> None:
        self.name = name
        self.passes = passes
        self.weight = WEIGHTS[nice]
        self.is_idle = True
        self.left_s = 0.0
        self._done = done
        self._batches: list[Batch] = []

    def start(self) -> None:
        """Do nothing: there is no thread."""

    def submit(self, batches: list[Batch]) -> None:
        """Take batches to run one after the other."""
        assert self.is_idle
        self.is_idle = False
        self._batches = list(batches)
        self._begin()

    def _begin(self) -> None:
        batch = self._batches[0]
        once, each = COST_S[batch.model.name]
        self.left_s = once + each * sum(job.steps for job in batch.jobs)

    def spend(self, seconds: float) -> None:
        """Use CPU time; a batch that is complete is handed back."""
        self.left_s -= seconds
        while self._batches and self.left_s <= 0:
            over_s = self.left_s
            batch = self._batches.pop(0)
            run(batch)
            if self._batches:
                self._begin()
                self.left_s += over_s
            self._done(self, batch, not self._batches)


class Talker(SessionSink):
    """A client that talks in real time, its socket, and its stream."""

    is_due = False

    def __init__(self, machine: Machine, begins_at: int) -> None:
        self.machine = machine
        lease = machine.engine.open()
        session = Session(
            machine.registry, machine.modules, AudioFormat(), lease.slots, Gallery.empty
        )
        super().__init__(session, machine.engine, lease)
        self.lease: Lease = lease
        self.pace = Pace(machine.now_s)
        self.events: list[tuple[float, Event]] = []
        """What the client received, and when."""
        self.told: list[tuple[float, str]] = []
        """The events about the load, and when."""
        self.opened_s = machine.now_s
        self.sent = self.received = 0
        """Bytes."""
        self._begins_at = begins_at
        self.shedding = Shedding(
            session, self.pace, machine.max_lag_s, self._tell, self.advance, machine.now_s
        )
        machine.load.add(self.shedding)

    def _tell(self, event: Event) -> None:
        self.told.append((self.machine.now_s, event.__struct_config__.tag))

    def talk(self) -> None:
        """Send what is due by now."""
        due = int((self.machine.now_s - self.opened_s) / MESSAGE_S) * MESSAGE_BYTES
        self.sent = max(self.sent, due)

    def read(self) -> None:
        """Take what has come, as far as there is room."""
        waiting = min(self.sent - self.received, READ_BYTES)
        size = min(waiting, self.session.room)
        if size < waiting:
            self.pace.held_up(self.machine.now_s)
        size -= size % 2
        if size <= 0:
            return
        begin = (self._begins_at + self.received) % len(SPEECH)
        data = (SPEECH * 2)[begin : begin + size]
        self.received += self.session.receive_audio(data)
        self.pace.took(size / 2 / RATE_HZ, self.session.audio.position, self.machine.now_s)

    def is_ahead(self) -> bool:
        return self.pace.is_ahead(self.machine.now_s)

    def advance(self) -> None:
        self.submit()
        self.events += [(self.machine.now_s, event) for event in self.session.events()]

    def fail(self, job: Job, error: Exception) -> None:
        raise error

    @property
    def backlog(self) -> int:
        """Samples that were taken and that VAD and wake words have yet to pass."""
        return self.received // 2 - min(track.position for track in self.session._tracks)

    def live_late_s(self) -> float:
        """How long ago the audio was sent that VAD and wake words are at."""
        heard_s = min(track.position for track in self.session._tracks) / RATE_HZ
        return max(self.machine.now_s - self.opened_s - heard_s - 0.08 - MESSAGE_S, 0.0)

    def late_s(self, since_s: float, until_s: float, *kinds: str) -> float:
        """The greatest lateness of the client's events in a while, by when they came."""
        late = [
            at_s - self.opened_s - event.at / 1000  # type: ignore[attr-defined]
            for at_s, event in self.events
            if since_s <= at_s < until_s and event.__struct_config__.tag in kinds
        ]
        return max(late, default=0.0)


@dataclass
class Machine:
    """One core, its server and the clients."""

    max_lag_s: float = 5.0
    max_load: float = 0.9
    now_s: float = 0.0
    capacity: float = 1.0
    """Share of the core that the server gets."""
    talkers: list[Talker] = field(default_factory=list)
    late: list[tuple[float, float]] = field(default_factory=list)
    """A moment, and how late the live work of the latest stream was."""
    admitted: list[bool] = field(default_factory=list)
    """What newcomers would have been told, when a test asked."""
    ahead: set[Talker] = field(default_factory=set)
    """Streams that were ahead of real time at any moment."""
    most_backlog: int = 0
    """Samples that a stream took and that were still to be heard, at the most."""

    def __post_init__(self) -> None:
        self.workers: list[SimulatedWorker] = []
        self.metrics = Metrics()
        self.registry = fake_registry()
        self.modules, _ = self.registry.resolve(
            ALL_ON | {"speaker": {"hop_ms": 500}}, words=NO_WORDS
        )
        *passes, text, speculative = fake_passes()
        assert text.name == "transcript"  # nobody asks for it
        for voice in (*passes[2:], speculative):
            voice.max_batch = 2  # few dear streams: a batch takes as long as one of many cheap ones
        self.engine = LocalEngine(
            passes, 200, 1, self.metrics, [speculative], lambda: self.now_s, self._make_worker
        )
        self.engine.start(lambda: None)
        bounds = Bounds(1, self.max_load, self.max_lag_s * LATE, 1.0)
        self.load = Load(self.engine, bounds, self.metrics, lambda: self.cpu_s, lambda: self.loop_s)
        self.cpu_s = self.loop_s = 0.0
        self.used_s: dict[str, float] = {}
        self._used: list[tuple[float, dict[str, float]]] = []
        self._tick_left_s = 0.0
        self._next_tick_s = 0.0
        self._next_look_s = EVERY_S
        self._next_late_s = 0.0
        self._in_tick = False

    def _make_worker(self, *args: Any) -> SimulatedWorker:
        self.workers.append(SimulatedWorker(*args))
        return self.workers[-1]

    def connect(self, count: int) -> None:
        """Let so many clients begin to talk, each at another place of the recording."""
        for _ in range(count):
            begins_at = len(self.talkers) * 7919 * MESSAGE_BYTES % len(SPEECH)
            self.talkers.append(Talker(self, begins_at))

    def run(self, seconds: float) -> None:
        """Let time pass."""
        until_s = self.now_s + seconds
        while self.now_s < until_s:
            self.now_s += STEP_S
            self._step()

    def _step(self) -> None:
        self._spend(STEP_S * self.capacity)
        while self.engine.collect():
            pass
        if self._in_tick and not self._has_loop_work:
            self._in_tick = False
            with self.engine.together():
                for talker in self.talkers:
                    talker.read()
                    talker.advance()
        if not self._in_tick and self.now_s >= self._next_tick_s:
            for talker in self.talkers:
                talker.talk()
            self._in_tick = True
            once, each = LOOP_S
            self._tick_left_s = once + each * len(self.talkers)
            self._next_tick_s = self.now_s + TICK_S
        if self.now_s >= self._next_look_s and not self._in_tick:
            loop_lag_s = self.now_s - self._next_look_s
            self._next_look_s = self.now_s + EVERY_S
            self.load.look(self.now_s, loop_lag_s)
            for talker in self.talkers:
                talker.advance()
        if self.now_s >= self._next_late_s:
            self._next_late_s = self.now_s + LATENESS_S
            self._note()

    def _note(self) -> None:
        late_s = max((talker.live_late_s() for talker in self.talkers), default=0.0)
        self.late.append((self.now_s, late_s))
        self.ahead.update(talker for talker in self.talkers if talker.is_ahead())
        backlog = max((talker.backlog for talker in self.talkers), default=0)
        self.most_backlog = max(self.most_backlog, backlog)
        self._used.append((self.now_s, dict(self.used_s)))

    def _spend(self, seconds: float) -> None:
        """Share CPU time out among all that has something to do, by weight."""
        while seconds > 1e-9:
            busy = [w for w in self.workers if not w.is_idle and w.left_s > 0]
            weight = sum(w.weight for w in busy) + (WEIGHTS[0] if self._has_loop_work else 0)
            if not weight:
                return
            needs = [w.left_s * weight / w.weight for w in busy]
            if self._has_loop_work:
                needs.append(self._tick_left_s * weight / WEIGHTS[0])
            piece = min(seconds, *needs)
            seconds -= piece
            self.cpu_s += piece
            if self._has_loop_work:
                share_s = piece * WEIGHTS[0] / weight
                self._tick_left_s -= share_s
                self.loop_s += share_s
            for worker in busy:
                share_s = piece * worker.weight / weight
                self.used_s[worker.name] = self.used_s.get(worker.name, 0.0) + share_s
                worker.spend(share_s + 1e-12)

    @property
    def _has_loop_work(self) -> bool:
        return self._in_tick and self._tick_left_s > 1e-12

    def used_between(self, since_s: float, until_s: float, *workers: str) -> float:
        """CPU seconds that threads used in a while."""
        notes = [used for at_s, used in self._used if since_s <= at_s < until_s]
        return sum(notes[-1].get(name, 0.0) - notes[0].get(name, 0.0) for name in workers)

    def most_late_s(self, since_s: float, until_s: float = float("inf")) -> float:
        """The greatest lateness of live work in a while."""
        return max((late for at_s, late in self.late if since_s <= at_s < until_s), default=0.0)
