"""The planner: windows of utterances to the engine, and answers to the readers in stream order.

Windows advance only to the watermark, so the audio alone decides which windows there are. One
window serves every reader that asks for the same one. The engine may answer in any order. The
readers get the answers, and the beginnings and ends of utterances, strictly in stream order.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from streamd.events import TimedEvent
from streamd.modules.base import Reader, SpeculativePass, Utterance, Window, WindowSpec
from streamd.session.degradation import Degradation
from streamd.session.entry import Entry
from streamd.session.optional import OptionalWindows
from streamd.session.plan import MISSING, SKIPPED, Plan
from streamd.session.speculation import Speculation
from streamd.session.track import Mark
from streamd.types import Job, Lane, WindowRequest

MAX_IN_FLIGHT = 4
"""Windows of one session that may be at the engine at once; the others wait without samples."""


class Planner:
    """Plans the windows of all readers over all utterances of one session."""

    def __init__(
        self,
        emit: Callable[[Iterable[TimedEvent]], None],
        finished: Callable[[Utterance], None],
        speculative: Mapping[str, SpeculativePass] | None = None,
        keys: Iterator[int] | None = None,
        degradation: Degradation | None = None,
        skipped: Callable[[str, int, int, int], None] = lambda *span: None,
        useless: list[int] | None = None,
    ) -> None:
        self._emit = emit
        self._finished = finished
        self._skipped = skipped
        """Takes a reader's name, and start, stop and `at` of the speech that it does not get."""
        self._degradation = Degradation() if degradation is None else degradation
        self._keys = itertools.count() if keys is None else keys
        self.useless: list[int] = [] if useless is None else useless
        """Keys of the jobs that became useless since the last call of `withdrawn`."""
        self._speculation = Speculation(speculative or {}, self._keys, self.useless)
        self._open: Plan | None = None
        self.is_held_up = False
        """Whether a hold takes so long that wake words do not wait for it."""
        self.queue: deque[Entry] = deque()
        """The windows and ends that wait, the next one first; only the planner changes it."""
        self._optional = OptionalWindows(self.queue, emit, skipped, self._degradation)
        self._asked: dict[int, Entry] = {}
        """Windows whose answers are due, by the key of their job."""
        self._awaited: dict[int, Entry] = {}
        """Windows that take the answer of a running speculative job, by the key of that job."""

    def opened(self, utterance: Utterance, readers: Sequence[Reader]) -> None:
        """Begin the windows of an utterance for these readers."""
        self._open = Plan(utterance, readers)

    def advance(self, watermark: int, at: int, barrier: Mark | None) -> None:
        """Plan the windows of the open utterance that end at or below the watermark."""
        plan = self._open
        if plan is None:
            return
        ripe = []
        for spec, start in plan.next_start.items():
            while start + spec.length <= watermark:
                ripe.append((start + spec.length, start, spec))
                if spec in plan.optional:
                    start += spec.hop
                else:
                    start += self._degradation.hop(spec.hop, start + spec.length)
            plan.next_start[spec] = start
        # A reader decides about an optional window when it knows the others that end where it does.
        ripe.sort(key=lambda w: (w[0], w[2] in plan.optional, w[1]))
        for stop, start, spec in ripe:
            self._plan_window(plan, spec, Window(start, stop, at), barrier)
        if barrier is None and self._degradation.speculates:
            for spec, start in plan.next_start.items():
                if spec not in plan.optional:
                    self._speculation.consider(plan, spec, start, watermark, at)

    def closed(self, utterance: Utterance, barrier: Mark | None) -> None:
        """Plan the last windows of an utterance that is over."""
        plan, self._open = self._open, None
        assert plan is not None
        assert plan.utterance is utterance
        assert utterance.end is not None
        assert utterance.closed_at is not None
        for spec in sorted(plan.next_start, key=plan.optional.__contains__):
            start = plan.last_start(spec, utterance.end)
            if start is not None:
                window = Window(start, utterance.end, utterance.closed_at, is_last=True)
                self._plan_window(plan, spec, window, barrier)
        self._speculation.end()
        self._optional.place_answers(utterance.closed_at)
        self.queue.append(Entry(plan, utterance.closed_at))

    def barrier(self, at: int, passed: Callable[[], None]) -> None:
        """Call `passed` when everything that was planned so far has been delivered."""
        self.queue.append(Entry(None, at, passed=passed))

    def hold(self, at: int, may_go_on: Callable[[], bool]) -> None:
        """Deliver nothing behind this place until `may_go_on` returns True.

        It is first called when everything before has been delivered.
        """
        self.queue.append(Entry(None, at, hold=may_go_on, begun_before=self._open))

    def _plan_window(
        self, plan: Plan, spec: WindowSpec, window: Window, barrier: Mark | None
    ) -> None:
        if spec in plan.optional:
            self._optional.plan(plan, spec, window, barrier)
            return
        self._optional.place_answers(window.at, before=window.stop)
        whole, begun = self._speculation.take(spec, window.start, window.stop)
        if not plan.is_voiced(spec, window.start, window.stop):
            self._speculation.drop(whole)
            self._speculation.drop(begun)
            return
        request = plan.request(spec, window.start, window.stop)
        plan.last_stop[spec] = window.stop
        entry = Entry(
            plan, window.at, window, spec=spec, request=request, begun=begun, barrier=barrier
        )
        if whole is not None and whole.is_running:
            entry.is_sent, entry.answer = True, whole.answer
            if whole.answer is MISSING:
                self._awaited[whole.key] = entry
        # A job that does not run by now would only delay the window.
        self._speculation.drop(whole)
        self.queue.append(entry)

    @property
    def is_waiting(self) -> bool:
        """Return whether anything has yet to be sent to the engine, answered or delivered."""
        return bool(self.queue or self._optional.wanted or self._speculation.new)

    def jobs(self) -> list[Job]:
        """Return the next windows for the engine, and the speculative jobs."""
        jobs: list[Job] = []
        for entry in (*self._optional.wanted, *self.queue):
            if len(self._asked) == MAX_IN_FLIGHT:
                break
            if entry.is_sent or not (entry.is_plain or entry.is_wanted):
                continue
            request = self._request(entry)
            if request is None:
                continue
            assert entry.spec is not None
            assert entry.plan is not None
            assert entry.window is not None
            entry.is_sent = True
            key = next(self._keys)
            self._asked[key] = entry
            entry.key = key
            lane = Lane.INTERIM if entry.plan.utterance.end is None else Lane.FINAL
            start, stop = entry.window.start, entry.window.stop
            jobs.append(Job(entry.spec.pass_name, lane, key, start, stop, options=request))
        if self._speculation.new:
            jobs += self._speculation.jobs()
        return jobs

    def withdrawn(self) -> list[int]:
        """Return the keys of the jobs whose answers became useless since the last call."""
        withdrawn = self.useless.copy()
        self.useless.clear()
        return withdrawn

    def stop_speculating(self) -> None:
        """Drop the speculative jobs that do not run yet."""
        self._speculation.end()

    def skip(self, place: int) -> None:
        """Leave out the windows that depend on nothing behind a place and that no batch has.

        Their readers do not see them. When it is their turn, a gap is reported for each reader that
        would have had them.
        """
        for entry in (*self._optional.wanted, *self.queue):
            if entry.window is None or entry.answer is not MISSING or entry.at > place:
                continue
            if entry.follows is not None:
                continue
            if entry.is_started or (entry.is_sent and entry.key is None):
                continue  # an answer is under way
            if entry.key is not None:
                del self._asked[entry.key]
                self.useless.append(entry.key)
            self._speculation.drop(entry.begun)
            entry.is_sent, entry.answer = True, SKIPPED
            self._degradation.skipped += entry.is_plain or entry.is_wanted
        self._optional.sort_out()

    def _request(self, entry: Entry) -> WindowRequest | None:
        """Return what to ask for a window; None while the engine computes its beginning."""
        request, begun = entry.request, entry.begun
        assert request is not None
        if begun is None:
            return request
        if begun.answer is not MISSING:
            return request._replace(begun=begun.answer)
        if begun.is_running:
            return None
        # The window was complete before its speculative job was put into a batch.
        self._speculation.drop(begun)
        return request

    def started(self, key: int) -> Mark | None:
        """Take note that a job is put into a batch.

        Returns:
            The barrier whose tail its window may reach into, if there is one.
        """
        if (entry := self._asked.get(key)) is not None:
            entry.is_started = True
            return entry.barrier
        self._speculation.started(key)
        return None

    def complete(self, key: int, answer: Any) -> None:
        """Take the answer to the job of this key."""
        if (entry := self._asked.pop(key, None) or self._awaited.pop(key, None)) is not None:
            entry.answer = answer
            if entry.is_wanted:
                self._optional.sort_out()
        else:
            self._speculation.complete(key, answer)

    def deliver(self) -> None:
        """Give the readers everything that is complete, in order."""
        while self.queue:
            entry = self.queue[0]
            if entry.is_owed:
                return
            if entry.hold is not None:
                if entry.begun_before is not None:
                    _announce(entry.begun_before)
                if not entry.hold():
                    return
                self.queue.popleft()
                continue
            self.queue.popleft()
            plan = entry.plan
            if plan is None:
                assert entry.passed is not None
                entry.passed()
                continue
            _announce(plan)
            if entry.window is None:
                for reader in plan.readers:
                    self._emit(reader.closed(plan.utterance))
                self._finished(plan.utterance)
            elif entry.reader is not None:
                self._optional.ask(entry, plan.utterance)
            elif entry.follows is not None:
                self._optional.deliver(entry.follows, plan.utterance)
            elif entry.answer is SKIPPED:
                self._name_gaps(plan, entry)
            else:
                for reader in plan.readers:
                    if reader.spec == entry.spec:
                        events = reader.window(plan.utterance, entry.window, entry.answer)
                        is_superseded = self._is_superseded(entry)
                        self._emit(self._degradation.left(events, is_superseded=is_superseded))

    def _is_superseded(self, entry: Entry) -> bool:
        """Whether a newer window of the same kind, or the utterance's end, waits already."""
        return self._degradation.coalesces and any(
            later.plan is entry.plan and later.spec in (entry.spec, None) for later in self.queue
        )

    def _name_gaps(self, plan: Plan, first: Entry) -> None:
        """Name what a run of skipped windows leaves out, once for each reader."""
        spans: dict[WindowSpec, tuple[int, int, int]] = {}
        entry = first
        while True:
            assert entry.spec is not None
            assert entry.window is not None
            assert entry.request is not None
            stop = entry.window.stop
            start, _, _ = spans.get(entry.spec, (stop - entry.request.new, 0, 0))
            spans[entry.spec] = (start, stop, entry.at)
            if not self.queue or self.queue[0].answer is not SKIPPED or not self.queue[0].is_plain:
                break
            if self.queue[0].plan is not plan:
                break
            entry = self.queue.popleft()
        for reader in plan.readers:
            if reader.spec in spans:
                self._skipped(reader.name, *spans[reader.spec])

    @property
    def pending_at(self) -> int | None:
        """Return `at` of the oldest answer that is due; None if no answer is."""
        return self.queue[0].at if self.queue else None

    @property
    def waited_for_at(self) -> int | None:
        """`pending_at`, for whom that is worth waiting; None while the machine is short of time."""
        is_worth = not self._degradation.coalesces and not (self.is_held_up and self._is_hold)
        return self.pending_at if is_worth else None

    @property
    def computed_at(self) -> int | None:
        """Return `at` of the oldest answer that the engine owes; a hold is no fault of it."""
        if not self._is_hold:
            return self.pending_at
        for entry in (*self._optional.wanted, *self.queue):
            if (entry.is_plain or entry.is_wanted) and entry.answer is MISSING:
                return entry.at
        return None

    @property
    def _is_hold(self) -> bool:
        return bool(self.queue) and self.queue[0].hold is not None

    def low(self, watermark: int) -> int:
        """Return the oldest sample that a window may still need."""
        low = watermark
        if self._is_hold:
            low = min(low, self.queue[0].at)  # so that what waits behind it has a bound
        if self._open is not None:
            for spec, start in self._open.next_start.items():
                low = min(low, start, max(self._open.utterance.onset, watermark - spec.length))
        for entry in (*self._optional.wanted, *self.queue):
            if entry.window and entry.answer is MISSING and entry.follows is None:
                low = min(low, entry.window.start)
        return low


def _announce(plan: Plan) -> None:
    """Have the readers begin with an utterance, unless they have."""
    if not plan.is_announced:
        plan.is_announced = True
        for reader in plan.readers:
            reader.opened(plan.utterance)
