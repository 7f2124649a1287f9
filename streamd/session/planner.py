"""Utterances to windows, and windows' answers back to the readers, in the order of the stream.

Windows advance only to the watermark, so which windows there are depends on the audio alone.
One window serves every reader that asked for the same one. Answers may come in any order;
readers see them, and the beginnings and ends of utterances, strictly in order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from streamd.events import TimedEvent
from streamd.modules.base import Reader, Utterance, Window, WindowSpec
from streamd.session.track import Mark
from streamd.types import Job, Lane, WindowRequest

MAX_IN_FLIGHT = 4
"""Windows of one session that wait for the engine at a time; the rest wait uncut."""

_MISSING = object()


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
    told: bool = False
    """Whether the readers know of the utterance."""


class Planner:
    """Windows of all readers over all utterances of one session."""

    def __init__(
        self,
        emit: Callable[[Iterable[TimedEvent]], None],
        finished: Callable[[Utterance], None],
    ) -> None:
        self._emit = emit
        self._finished = finished
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

    def closed(self, utterance: Utterance, cut: Mark | None) -> None:
        """The utterance is over: plan what its end still asks for."""
        plan, self._open = self._open, None
        assert plan is not None
        assert plan.utterance is utterance
        assert utterance.end is not None
        assert utterance.closed_at is not None
        for spec in plan.next_start:
            start = max(utterance.onset, utterance.end - spec.length)
            last = plan.last_stop.get(spec)
            # A last window that adds less than half a hop would say what the one before said.
            is_new = last is None or utterance.end - last >= spec.hop // 2
            if is_new and utterance.end - start >= spec.minimum:
                window = Window(start, utterance.end, utterance.closed_at, is_last=True)
                self._plan_window(plan, spec, window, cut)
        self._queue.append(Entry(plan, utterance.closed_at))

    def barrier(self, at: int, passed: Callable[[], None]) -> None:
        """Call `passed` when all that was planned so far has been delivered."""
        self._queue.append(Entry(None, at, passed=passed))

    def _plan_window(self, plan: _Plan, spec: WindowSpec, window: Window, cut: Mark | None) -> None:
        length = window.stop - window.start
        if plan.utterance.voiced(window.start, window.stop) < spec.min_voiced * length:
            return
        new = min(window.stop - plan.last_stop.get(spec, window.start), length)
        plan.last_stop[spec] = window.stop
        request = WindowRequest(plan.extras[spec], new)
        self._queue.append(Entry(plan, window.at, window, spec=spec, request=request, cut=cut))

    def jobs(self) -> list[Job]:
        """The next windows for the engine."""
        jobs: list[Job] = []
        if self._in_flight >= MAX_IN_FLIGHT:
            return jobs
        for entry in self._queue:
            if self._in_flight == MAX_IN_FLIGHT:
                break
            if entry.window is None or entry.sent or entry.answer is not _MISSING:
                continue
            assert entry.spec is not None
            assert entry.plan is not None
            entry.sent = True
            self._in_flight += 1
            final = entry.plan.utterance.end is not None
            lane = Lane.FINAL if final else Lane.INTERIM
            window = entry.window
            jobs.append(
                Job(
                    entry.spec.pass_name,
                    lane,
                    entry,
                    window.start,
                    window.stop,
                    options=entry.request,
                )
            )
        return jobs

    def complete(self, entry: Entry, answer: Any) -> None:
        """Take the answer to a window."""
        self._in_flight -= 1
        entry.answer = answer

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
