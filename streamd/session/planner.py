"""Utterances to windows, and windows' answers back to the readers, in the order of the stream.

Windows advance only to the watermark, so which windows there are depends on the audio alone.
One window serves every reader that asked for the same one. Answers may come in any order;
readers see them, and the beginnings and ends of utterances, strictly in order.

Most of a window can be heard before its end is spoken, and all of the last window of an utterance
while the silence behind it is not yet long enough: that is work ahead, which changes no answer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from streamd.events import TimedEvent
from streamd.modules.base import Reader, SpeculativePass, Utterance, Window, WindowSpec
from streamd.session.track import Mark
from streamd.types import Job, Lane, WindowRequest

MAX_IN_FLIGHT = 4
"""Windows of one session that wait for the engine at a time; the rest wait uncut."""

DOUBT, PAUSE = 1024, 3072
"""Silence after which it is not sure that speech goes on, and after which it is likely over: half
of the usual hangover. In samples."""

_MISSING = object()


@dataclass(slots=True, eq=False)
class Ahead:
    """A window that is likely to come, or the beginning of one."""

    is_running: bool = False
    """A thread has it, or had."""
    is_off: bool = False
    """Nobody waits for it: the window is heard when it is asked for, or did not come."""
    answer: Any = _MISSING
    entry: Entry | None = None
    """Whose answer this is, where it is all of a window."""


@dataclass(slots=True, eq=False)
class Entry:
    """One thing to tell the readers of an utterance, when it is its turn."""

    plan: _Plan | None
    """None for a barrier."""
    at: int
    window: Window | None = None
    """None for the end of the utterance."""
    passed: Callable[[], None] | None = None
    """What to do when a barrier is reached."""
    spec: WindowSpec | None = None
    request: WindowRequest | None = None
    ahead: Ahead | None = None
    """Its beginning."""
    barrier: Mark | None = None
    """The barrier that was being walked on a copy: the window may reach into its tail."""
    sent: bool = False
    answer: Any = _MISSING


@dataclass(slots=True, eq=False)
class _Plan:
    """The windows of one utterance. What is on is fixed when it opens."""

    utterance: Utterance
    readers: Sequence[Reader]
    next_start: dict[WindowSpec, int] = field(default_factory=dict)
    last_stop: dict[WindowSpec, int] = field(default_factory=dict)
    extras: dict[WindowSpec, frozenset[str]] = field(default_factory=dict)
    ahead: dict[_Likely, Ahead] = field(default_factory=dict)
    told: bool = False
    """Whether the readers know of the utterance."""

    def last_start(self, spec: WindowSpec, end: int) -> int | None:
        """Where the last window begins if the speech ends at `end`; None if there is none."""
        last = self.last_stop.get(spec)
        if last is not None and end - last < spec.hop // 2:  # what it would add
            return None
        start = max(self.utterance.onset, end - spec.length)
        return start if end - start >= spec.minimum else None

    def is_voiced(self, spec: WindowSpec, start: int, stop: int) -> bool:
        """Whether there is speech enough in a window."""
        return self.utterance.voiced(start, stop) >= spec.min_voiced * (stop - start)

    def request(self, spec: WindowSpec, start: int, stop: int) -> WindowRequest:
        """What is asked of a window if it is the next."""
        new = min(stop - self.last_stop.get(spec, start), stop - start)
        return WindowRequest(self.extras[spec], new)

    def drop_but(self, spec: WindowSpec, likely: _Likely | None) -> None:
        """Give up what is not likely any more; a beginning that a thread has may still serve."""
        for key, ahead in list(self.ahead.items()):
            may_serve = key.stop is None and ahead.is_running
            if key.spec == spec and key != likely and not may_serve:
                ahead.is_off = True
                del self.ahead[key]


class _Likely(NamedTuple):
    """What may be heard ahead."""

    spec: WindowSpec
    start: int
    stop: int | None
    """None for the beginning of a window that ends where it ends."""


class Planner:
    """Windows of all readers over all utterances of one session."""

    def __init__(
        self,
        emit: Callable[[Iterable[TimedEvent]], None],
        finished: Callable[[Utterance], None],
        ahead: Mapping[str, SpeculativePass] | None = None,
    ) -> None:
        self._emit = emit
        self._finished = finished
        self._ahead = ahead or {}
        """By the pass that would be asked."""
        self._to_hear: list[Job] = []
        """Work ahead that the engine has not been given yet."""
        self._open: _Plan | None = None
        self._queue: deque[Entry] = deque()
        self._in_flight = 0

    def opened(self, utterance: Utterance, readers: Sequence[Reader]) -> None:
        """An utterance began; `readers` will hear of it."""
        self._open = _Plan(utterance, readers)
        for reader in readers:
            spec = reader.spec
            self._open.next_start[spec] = utterance.onset
            self._open.extras[spec] = self._open.extras.get(spec, frozenset()) | reader.extras

    def advance(self, watermark: int, at: int, barrier: Mark | None) -> None:
        """Plan the windows of the open utterance that end at or below the watermark."""
        plan = self._open
        if plan is None:
            return
        ripe = []
        for spec, start in plan.next_start.items():
            while start + spec.length <= watermark:
                ripe.append((start + spec.length, start, spec))
                start += spec.hop
            plan.next_start[spec] = start
        ripe.sort(key=lambda w: w[:2])
        for stop, start, spec in ripe:
            self._plan_window(plan, spec, Window(start, stop, at), barrier)
        if barrier is None:
            for spec, start in plan.next_start.items():
                self._look_ahead(plan, spec, start, watermark, at)

    def _look_ahead(
        self, plan: _Plan, spec: WindowSpec, start: int, watermark: int, at: int
    ) -> None:
        """Begin the next window of a kind; in a pause, hear the one that would be the last."""
        speculative_pass = self._ahead.get(spec.pass_name)
        if speculative_pass is None:
            return
        silence, likely = at - watermark, None
        if silence >= PAUSE:
            if (last := plan.last_start(spec, watermark)) is not None:
                likely = _Likely(spec, last, watermark)
        elif (
            silence < DOUBT
            and speculative_pass.samples < spec.length
            and start + speculative_pass.samples <= watermark
        ):
            likely = _Likely(spec, start, None)
        plan.drop_but(spec, likely)
        if likely is None or likely in plan.ahead:
            return
        request, stop = None, likely.stop
        if stop is None:
            stop = likely.start + speculative_pass.samples
        else:
            begun = plan.ahead.get(likely._replace(stop=None))
            is_at_it = begun is not None and begun.answer is _MISSING
            if is_at_it or not plan.is_voiced(spec, likely.start, stop):
                return
            request = plan.request(spec, likely.start, stop)
            if begun is not None:
                request = request._replace(begun=begun.answer)
        ahead = plan.ahead[likely] = Ahead()
        job = Job(
            speculative_pass.pass_name, Lane.SPECULATIVE, ahead, likely.start, stop, options=request
        )
        self._to_hear.append(job)

    def closed(self, utterance: Utterance, barrier: Mark | None) -> None:
        """The utterance is over: plan what its end still asks for."""
        plan, self._open = self._open, None
        assert plan is not None
        assert plan.utterance is utterance
        assert utterance.end is not None
        assert utterance.closed_at is not None
        for spec in plan.next_start:
            start = plan.last_start(spec, utterance.end)
            if start is not None:
                window = Window(start, utterance.end, utterance.closed_at, is_last=True)
                self._plan_window(plan, spec, window, barrier)
        for ahead in plan.ahead.values():
            ahead.is_off = True
        self._queue.append(Entry(plan, utterance.closed_at))

    def barrier(self, at: int, passed: Callable[[], None]) -> None:
        """Call `passed` when all that was planned so far has been delivered."""
        self._queue.append(Entry(None, at, passed=passed))

    def _plan_window(
        self, plan: _Plan, spec: WindowSpec, window: Window, barrier: Mark | None
    ) -> None:
        likely = _Likely(spec, window.start, window.stop)
        whole = plan.ahead.pop(likely, None)
        begun = plan.ahead.pop(likely._replace(stop=None), None)
        if not plan.is_voiced(spec, window.start, window.stop):
            for ahead in (whole, begun):
                if ahead is not None:
                    ahead.is_off = True
            return
        request = plan.request(spec, window.start, window.stop)
        plan.last_stop[spec] = window.stop
        entry = Entry(
            plan, window.at, window, spec=spec, request=request, ahead=begun, barrier=barrier
        )
        if whole is not None:
            # A thread that has not come to it by now would only keep it waiting.
            entry.sent, whole.is_off = whole.is_running, not whole.is_running
            entry.answer, whole.entry = whole.answer, entry
        self._queue.append(entry)

    @property
    def is_waiting(self) -> bool:
        """Whether there is anything to send to the engine, to wait for or to deliver."""
        return bool(self._queue or self._to_hear)

    def jobs(self) -> list[Job]:
        """The next windows for the engine, and what can be heard of those to come."""
        jobs: list[Job] = []
        for entry in self._queue:
            if self._in_flight == MAX_IN_FLIGHT:
                break
            if entry.window is None or entry.sent:
                continue
            request = self._request(entry)
            if request is None:
                continue
            assert entry.spec is not None
            assert entry.plan is not None
            entry.sent = True
            self._in_flight += 1
            lane = Lane.INTERIM if entry.plan.utterance.end is None else Lane.FINAL
            start, stop = entry.window.start, entry.window.stop
            jobs.append(Job(entry.spec.pass_name, lane, entry, start, stop, options=request))
        jobs += [job for job in self._to_hear if not job.tag.is_off]
        self._to_hear.clear()
        return jobs

    def _request(self, entry: Entry) -> WindowRequest | None:
        """What to ask for a window; None while a thread is at its beginning."""
        request, ahead = entry.request, entry.ahead
        assert request is not None
        if ahead is None:
            return request
        if ahead.answer is not _MISSING:
            return request._replace(begun=ahead.answer)
        if ahead.is_running:
            return None
        ahead.is_off = True  # the window is whole before a thread has come to it
        return request

    def complete(self, tag: Entry | Ahead, answer: Any) -> None:
        """Take the answer to a window or to what was heard ahead."""
        tag.answer = answer
        if isinstance(tag, Entry):
            self._in_flight -= 1
        elif tag.entry is not None:
            tag.entry.answer = answer

    def deliver(self) -> None:
        """Tell the readers all that is complete, in order."""
        while self._queue:
            entry = self._queue[0]
            if entry.window is not None and entry.answer is _MISSING:
                return
            self._queue.popleft()
            plan = entry.plan
            if plan is None:
                assert entry.passed is not None
                entry.passed()
                continue
            if not plan.told:
                plan.told = True
                for reader in plan.readers:
                    reader.opened(plan.utterance)
            if entry.window is None:
                for reader in plan.readers:
                    self._emit(reader.closed(plan.utterance))
                self._finished(plan.utterance)
                continue
            for reader in plan.readers:
                if reader.spec == entry.spec:
                    self._emit(reader.window(plan.utterance, entry.window, entry.answer))

    @property
    def pending_at(self) -> int | None:
        """`at` of the oldest answer that is still out, None if there is none."""
        return self._queue[0].at if self._queue else None

    @property
    def depth(self) -> int:
        """Windows and ends that wait."""
        return len(self._queue)

    def low(self, watermark: int) -> int:
        """The oldest sample that may still be asked for."""
        low = watermark
        if self._open is not None:
            for spec, start in self._open.next_start.items():
                low = min(low, start, max(self._open.utterance.onset, watermark - spec.length))
        waiting = (e.window.start for e in self._queue if e.window and e.answer is _MISSING)
        return min(low, min(waiting, default=low))
