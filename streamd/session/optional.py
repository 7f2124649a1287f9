"""Windows that their reader may leave out: it decides about each when it is the window's turn.

A window of this kind has two places in the planner's queue. At the first its reader decides, from
all that it was given before. At the second, a hop later, it gets the answer, if it wanted it. So
the audio alone decides which windows are computed and where their answers come, and meanwhile the
windows between go on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from streamd.events import TimedEvent
from streamd.modules.base import Utterance, Window, WindowSpec
from streamd.session.degradation import Degradation
from streamd.session.entry import Entry
from streamd.session.plan import MISSING, SKIPPED, Plan
from streamd.session.track import Mark


class OptionalWindows:
    """The optional windows of one session.

    Args:
        queue: The planner's queue.
        emit: Takes events.
        skipped: Takes a reader's name, and start, stop and `at` of the speech that it does not get.
        degradation: Counts the windows that were skipped.
    """

    def __init__(
        self,
        queue: deque[Entry],
        emit: Callable[[Iterable[TimedEvent]], None],
        skipped: Callable[[str, int, int, int], None],
        degradation: Degradation,
    ) -> None:
        self._queue = queue
        self._emit = emit
        self._skipped = skipped
        self._degradation = degradation
        self._unanswered: deque[Entry] = deque()
        """Windows of the open utterance whose answers have no place in the queue yet."""
        self.wanted: list[Entry] = []
        """Windows that their readers want and that have no answer yet, in the order of the stream.
        """

    def plan(self, plan: Plan, spec: WindowSpec, window: Window, barrier: Mark | None) -> None:
        """Give a window its place in the queue, if enough of it is speech."""
        if not plan.is_voiced(spec, window.start, window.stop):
            return
        request = plan.request(spec, window.start, window.stop)
        plan.last_stop[spec] = window.stop
        entry = Entry(
            plan,
            window.at,
            window,
            spec=spec,
            request=request,
            barrier=barrier,
            reader=plan.optional[spec],
        )
        self._unanswered.append(entry)
        self._queue.append(entry)

    def place_answers(self, at: int, before: int | None = None) -> None:
        """Give answers their places in the queue.

        Args:
            at: The last sample that what comes next depends on.
            before: End of the window that comes next, or None at the end of the utterance, which
                all answers precede.
        """
        while self._unanswered:
            entry = self._unanswered[0]
            assert entry.window is not None
            assert entry.spec is not None
            if before is not None and entry.window.stop + entry.spec.hop > before:
                return
            self._unanswered.popleft()
            self._queue.append(Entry(entry.plan, at, entry.window, spec=entry.spec, follows=entry))

    def ask(self, entry: Entry, utterance: Utterance) -> None:
        """Have its reader decide about a window."""
        assert entry.reader is not None
        assert entry.window is not None
        entry.is_wanted = entry.reader.wants(utterance, entry.window)
        if entry.is_awaited:
            self.wanted.append(entry)
        elif entry.is_wanted:
            self._degradation.skipped += 1

    def deliver(self, entry: Entry, utterance: Utterance) -> None:
        """Give its reader the answer of a window, if it wanted it."""
        if not entry.is_wanted:
            return
        assert entry.reader is not None
        assert entry.window is not None
        window = entry.window
        if entry.answer is SKIPPED:
            self._skipped(entry.reader.name, window.start, window.stop, window.at)
        else:
            self._emit(entry.reader.take(utterance, window, entry.answer))

    def sort_out(self) -> None:
        """Forget the windows that have an answer, or will get none."""
        self.wanted = [entry for entry in self.wanted if entry.answer is MISSING]
