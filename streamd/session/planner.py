"""Utterances to windows, and windows' answers back to the readers, in the order of the stream.

Windows advance only to the watermark, so which windows there are depends on the audio alone.
One window serves every reader that asked for the same one. Answers may come in any order;
readers see them, and the beginnings and ends of utterances, strictly in order.

Most of a window can be heard before its end is spoken, and the last window of an utterance while
the silence behind it is not yet long enough: that is work ahead, which changes no answer.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from streamd.events import TimedEvent
from streamd.modules.base import Beginning, Reader, Utterance, Window, WindowSpec
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
    """The beginning of a window that is likely to come."""

    is_running: bool = False
    is_off: bool = False
    """Nobody waits for it: the window is heard as a whole, or did not come."""
    answer: Any = _MISSING


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
    cut: Mark | None = None
    """The cut that was being walked on a copy: the window may reach into its tail."""
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
    ahead: dict[tuple[WindowSpec, int], Ahead] = field(default_factory=dict)
    """By the window's beginning."""
    told: bool = False
    """Whether the readers know of the utterance."""

    def has_news(self, spec: WindowSpec, end: int) -> bool:
        """Whether a last window that ends at `end` would say more than the one before."""
        last = self.last_stop.get(spec)
        return last is None or end - last >= spec.hop // 2  # what it adds


class Planner:
    """Windows of all readers over all utterances of one session."""

    def __init__(
        self,
        emit: Callable[[Iterable[TimedEvent]], None],
        finished: Callable[[Utterance], None],
        beginnings: Mapping[str, Beginning] | None = None,
    ) -> None:
        self._emit = emit
        self._finished = finished
        self._beginnings = beginnings or {}
        self._to_begin: list[Job] = []
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

    def advance(self, watermark: int, at: int, cut: Mark | None) -> None:
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
            self._plan_window(plan, spec, Window(start, stop, at), cut)
        if cut is None:
            for spec, start in plan.next_start.items():
                self._look_ahead(plan, spec, start, watermark, at)

    def _look_ahead(
        self, plan: _Plan, spec: WindowSpec, start: int, watermark: int, at: int
    ) -> None:
        """Begin the next window of a kind, and in a pause the one that would be the last."""
        beginning = self._beginnings.get(spec.pass_name)
        if beginning is None or spec.length <= beginning.samples:
            return
        silence = at - watermark
        likely = () if silence >= DOUBT else (start,)
        if silence >= PAUSE and plan.has_news(spec, watermark):
            likely = (_last_start(plan.utterance, spec, watermark),)
        for key, ahead in list(plan.ahead.items()):
            if key[0] == spec and key[1] not in likely and not ahead.is_running:
                ahead.is_off = True
                del plan.ahead[key]
        for begin in likely:
            if begin + beginning.samples > watermark or (spec, begin) in plan.ahead:
                continue
            ahead = plan.ahead[spec, begin] = Ahead()
            stop = begin + beginning.samples
            self._to_begin.append(Job(beginning.pass_name, Lane.AHEAD, ahead, begin, stop))

    def closed(self, utterance: Utterance, cut: Mark | None) -> None:
        """The utterance is over: plan what its end still asks for."""
        plan, self._open = self._open, None
        assert plan is not None
        assert plan.utterance is utterance
        assert utterance.end is not None
        assert utterance.closed_at is not None
        for spec in plan.next_start:
            start = _last_start(utterance, spec, utterance.end)
            if plan.has_news(spec, utterance.end) and utterance.end - start >= spec.minimum:
                window = Window(start, utterance.end, utterance.closed_at, is_last=True)
                self._plan_window(plan, spec, window, cut)
        for ahead in plan.ahead.values():
            ahead.is_off = True
        self._queue.append(Entry(plan, utterance.closed_at))

    def barrier(self, at: int, passed: Callable[[], None]) -> None:
        """Call `passed` when all that was planned so far has been delivered."""
        self._queue.append(Entry(None, at, passed=passed))

    def _plan_window(self, plan: _Plan, spec: WindowSpec, window: Window, cut: Mark | None) -> None:
        length = window.stop - window.start
        ahead = plan.ahead.pop((spec, window.start), None)
        if plan.utterance.voiced(window.start, window.stop) < spec.min_voiced * length:
            if ahead is not None:
                ahead.is_off = True
            return
        new = min(window.stop - plan.last_stop.get(spec, window.start), length)
        plan.last_stop[spec] = window.stop
        request = WindowRequest(plan.extras[spec], new)
        entry = Entry(plan, window.at, window, spec=spec, request=request, ahead=ahead, cut=cut)
        self._queue.append(entry)

    @property
    def is_waiting(self) -> bool:
        """Whether there is anything to send to the engine, to wait for or to deliver."""
        return bool(self._queue or self._to_begin)

    def jobs(self) -> list[Job]:
        """The next windows for the engine, and the beginnings of those to come."""
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
        jobs += [job for job in self._to_begin if not job.tag.is_off]
        self._to_begin.clear()
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
        """Take the answer to a window or to the beginning of one."""
        tag.answer = answer
        if isinstance(tag, Entry):
            self._in_flight -= 1

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


def _last_start(utterance: Utterance, spec: WindowSpec, end: int) -> int:
    """Where the last window of an utterance begins whose speech ends at `end`."""
    return max(utterance.onset, end - spec.length)
