"""What waits in the planner's queue until it is its turn in the stream."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from streamd.modules.base import OptionalReader, Window, WindowSpec
from streamd.session.plan import MISSING, Plan
from streamd.session.speculation import Attempt
from streamd.session.track import Mark
from streamd.types import WindowRequest


@dataclass(slots=True, eq=False)
class Entry:
    """Something that the readers of an utterance get when it is its turn."""

    plan: Plan | None
    """The plan of the utterance; None for a barrier and for a hold."""
    at: int
    window: Window | None = None
    """The window; None for the end of the utterance."""
    passed: Callable[[], None] | None = None
    """Called when a barrier is reached."""
    hold: Callable[[], bool] | None = None
    """Returns whether what follows may be delivered; asked again and again until it may."""
    begun_before: Plan | None = None
    """The plan of the utterance that was open at a hold."""
    spec: WindowSpec | None = None
    request: WindowRequest | None = None
    begun: Attempt | None = None
    """The speculative job over the beginning of the window."""
    barrier: Mark | None = None
    """The barrier whose copy was being run when the window was planned; the window may reach into
     its tail."""
    key: int | None = None
    """The key of its job, once there is one."""
    is_sent: bool = False
    is_started: bool = False
    """Whether a batch has its job."""
    answer: Any = MISSING
    reader: OptionalReader | None = None
    """The reader of an optional window, which decides when it is its turn whether it wants it."""
    is_wanted: bool = False
    follows: Entry | None = None
    """The optional window whose answer its reader gets here, if it wanted it."""

    @property
    def is_plain(self) -> bool:
        """Whether it is a window that its readers get in any case."""
        return self.window is not None and self.reader is None and self.follows is None

    @property
    def is_awaited(self) -> bool:
        """Whether it is an optional window that is wanted and has no answer yet."""
        return self.is_wanted and self.answer is MISSING

    @property
    def is_owed(self) -> bool:
        """Whether it cannot be delivered before the engine has answered."""
        if self.follows is not None:
            return self.follows.is_awaited
        return self.is_plain and self.answer is MISSING
