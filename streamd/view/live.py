"""The view for people at a terminal."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from streamd.view import strip
from streamd.view.choice import Shows, shows_all
from streamd.view.console import stdout
from streamd.view.words import Words, clock, position

FLASH_S = 2.0
REFRESH_HZ = 12.0
_SILENT = {"ready", "ack", "pong"}


class LiveView:
    """Final events scroll by above; a strip below shows what is going on now."""

    def __init__(
        self,
        console: Console | None = None,
        clock_s: Callable[[], float] = time.monotonic,
        shows: Shows = shows_all,
    ) -> None:
        self.alive = True
        self._console = console or stdout()
        self._clock_s = clock_s
        self._shows = shows
        self._words = Words()
        self._speaking: set[str] = set()
        self._speaker: dict[str, Any] | None = None
        self._wake: dict[str, Any] | None = None
        self._woke_at_s = -math.inf
        self._has_moods = False
        self._mood: dict[str, Any] | None = None
        self._dbfs: float | None = None
        self._now_ms = 0
        self._position: tuple[float, float | None] | None = None
        self._wakes: Counter[str] = Counter()
        self._voices: Counter[str] = Counter()
        self._moods: Counter[str] = Counter()
        self._live = Live(
            get_renderable=self._strip,
            console=self._console,
            refresh_per_second=REFRESH_HZ,
            transient=True,
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def level(self, dbfs: float) -> None:
        """Show the level of the audio."""
        self._dbfs = dbfs

    def position(self, done_s: float, total_s: float | None) -> None:
        """Show the position in a file."""
        self._position = done_s, total_s

    def event(self, event: dict[str, Any]) -> None:
        """Take an event into the strip, and into the log if it is final."""
        self._now_ms = max(self._now_ms, event.get("at", 0))
        match event.get("type"):
            case "ready":
                emotion = (event.get("modules") or {}).get("emotion")
                self._has_moods = emotion not in (None, False)
                self._console.print(self._opening(event))
            case "speech_start":
                self._speaking.add(event.get("utterance", ""))
            case "speech_end":
                self._speaking.discard(event.get("utterance", ""))
            case "speaker":
                self._speaker = event
            case "emotion":
                self._has_moods, self._mood = True, event
            case "wake":
                self._wake, self._woke_at_s = event, self._clock_s()
                self._wakes[str(event.get("word"))] += 1
            case "bye":
                self._console.print(self._totals(event))
                return
        if event.get("type") not in _SILENT and event.get("final") is not False:
            self._count(event)
            if self._shows(str(event.get("type"))):
                self._console.print(self._words.row(event))

    def _count(self, final: dict[str, Any]) -> None:
        match final:
            case {"type": "speaker", "speaker": str(name)}:
                self._voices[name] += 1
            case {"type": "emotion", "label": str(label)} if not final.get("abstain"):
                self._moods[label] += 1

    def _strip(self) -> RenderableType:
        """Return a rule with the position, and one line with the current state."""
        width = self._console.width
        cells = strip.fit(self._now(), width)
        return Group(self._rule(width), cells)

    def _now(self) -> strip.Now:
        return strip.Now(
            is_speaking=bool(self._speaking),
            dbfs=self._dbfs,
            at=clock(self._now_ms),
            name=self._words.name(self._speaker) if self._speaker else None,
            decision=self._words.decision(self._speaker) if self._speaker else "",
            has_moods=self._has_moods,
            mood=self._mood,
            wake=self._wake,
            is_wake_fresh=self._clock_s() - self._woke_at_s < FLASH_S,
        )

    def _rule(self, width: int) -> Text:
        if self._position is None:
            return Text("─" * width, style="dim")
        label = f"── {position(*self._position)} "
        return Text((label + "─" * width)[:width], style="dim")

    def _opening(self, ready: dict[str, Any]) -> Text:
        audio = ready.get("audio") or {}
        modules = ", ".join(ready.get("modules") or {})
        rate = f"{audio['rate']} Hz, " if "rate" in audio else ""
        return Text(f"{ready.get('session', '')}  {rate}{modules}\n", style="dim")

    def _totals(self, bye: dict[str, Any]) -> RenderableType:
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(style="dim", width=9)
        table.add_column()
        speech_ms, utterances = bye.get("speech_ms", 0), bye.get("utterances", 0)
        table.add_row("audio", clock(bye.get("duration_ms", 0)))
        noun = "utterance" if utterances == 1 else "utterances"
        table.add_row("speech", f"{clock(speech_ms)} in {utterances} {noun}")
        counted = (("words", self._wakes), ("voices", self._voices), ("moods", self._moods))
        for title, counter in counted:
            if counter:
                listed = ", ".join(f"{name} ({n})" for name, n in counter.most_common())
                table.add_row(title, listed)
        return Group(Text("─" * self._console.width, style="dim"), table)
