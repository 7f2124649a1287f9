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

from streamd.view.base import FLOOR_DBFS
from streamd.view.console import stdout
from streamd.view.words import ACCENT, Words, clock, mood_now, number

FLASH_S = 2.0
METER_CELLS = 24
MOOD_CELLS = 9
"""As wide as the longest label, so that nothing moves when the label changes."""
AROUSAL_CELLS = 6
NARROW = 100
"""Below this width the bars are short, or the speaker would be cut off."""
NARROW_METER_CELLS = 9
NARROW_AROUSAL_CELLS = 4
REFRESH_HZ = 12.0
_SILENT = {"ready", "ack", "pong"}


class LiveView:
    """Final events scroll by above; a strip below says what is going on now."""

    def __init__(
        self, console: Console | None = None, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self.alive = True
        self._console = console or stdout()
        self._clock_s = clock_s
        self._words = Words()
        self._speaking: set[str] = set()
        self._speaker: dict[str, Any] | None = None
        self._wake: dict[str, Any] | None = None
        self._woke_at_s = -math.inf
        self._has_moods = False
        self._mood: dict[str, Any] | None = None
        self._dbfs: float | None = None
        self._now_ms = 0
        self._wakes: Counter[str] = Counter()
        self._heard: Counter[str] = Counter()
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
        """Feed the meter."""
        self._dbfs = dbfs

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
            self._console.print(self._words.row(event))

    def _count(self, final: dict[str, Any]) -> None:
        match final:
            case {"type": "speaker", "speaker": str(name)}:
                self._heard[name] += 1
            case {"type": "emotion", "label": str(label)} if not final.get("abstain"):
                self._moods[label] += 1

    def _strip(self) -> RenderableType:
        """The cells of now in one line; moods have one where they are listened for."""
        short = self._has_moods and self._console.width < NARROW
        cells: list[Text] = []
        strip = Table.grid(expand=True, padding=(0, 2, 0, 0))
        strip.add_column(width=8 if short else 10, no_wrap=True)
        cells.append(Text("speaking", style=f"bold {ACCENT}") if self._speaking else Text("quiet"))
        meter_cells = NARROW_METER_CELLS if short else METER_CELLS
        strip.add_column(width=meter_cells + 5, no_wrap=True)
        cells.append(self._meter(meter_cells))
        strip.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        cells.append(
            self._words.who(self._speaker) if self._speaker else Text("nobody yet", style="dim")
        )
        if self._has_moods:
            arousal_cells = NARROW_AROUSAL_CELLS if short else AROUSAL_CELLS
            strip.add_column(width=MOOD_CELLS + 1 + arousal_cells, no_wrap=True)
            cells.append(self._last_mood(arousal_cells))
        strip.add_column(justify="right", no_wrap=True)
        cells.append(self._last_wake())
        strip.add_row(*cells)
        return Group(Text("─" * self._console.width, style="dim"), strip)

    def _meter(self, cells: int) -> Text:
        if self._dbfs is None:
            return Text(clock(self._now_ms), style="dim")
        bar = _bar(1 - self._dbfs / FLOOR_DBFS, cells, ACCENT if self._speaking else "default")
        return Text.assemble(bar, (f"{self._dbfs:4.0f}", "dim"))

    def _last_mood(self, cells: int) -> Text:
        if self._mood is None:
            return Text("no mood yet", style="dim")
        label = mood_now(self._mood)
        label.align("left", MOOD_CELLS)
        arousal = self._mood.get("arousal")
        if not isinstance(arousal, int | float):
            return label
        return Text.assemble(label, " ", _bar(arousal, cells, ACCENT))

    def _last_wake(self) -> Text:
        if self._wake is None:
            return Text("no wake word yet", style="dim")
        fresh = self._clock_s() - self._woke_at_s < FLASH_S
        word = f" {self._wake.get('word')} "
        return Text.assemble(
            (word, f"bold reverse {ACCENT}" if fresh else ACCENT),
            f" {number(self._wake, 'score')}",
        )

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
        table.add_row("heard", clock(bye.get("duration_ms", 0)))
        noun = "utterance" if utterances == 1 else "utterances"
        table.add_row("speech", f"{clock(speech_ms)} in {utterances} {noun}")
        counted = (("words", self._wakes), ("voices", self._heard), ("moods", self._moods))
        for title, counter in counted:
            if counter:
                listed = ", ".join(f"{name} ({n})" for name, n in counter.most_common())
                table.add_row(title, listed)
        return Group(Text("─" * self._console.width, style="dim"), table)


def _bar(share: float, cells: int, style: str) -> Text:
    """`cells` wide, filled as far as `share` of 0 to 1."""
    filled = round(cells * max(0.0, min(1.0, share)))
    return Text.assemble(("━" * filled, style), ("─" * (cells - filled), "dim"))
