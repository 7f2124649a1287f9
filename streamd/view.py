"""What `streamd stream`, `mic` and `analyze` show: the live view, or one wire event per line.

Both views have the same four methods, so that a command does not care which one it has.
"""

from __future__ import annotations

import json
import math
import os
import sys
import time
from array import array
from collections import Counter
from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol, Self, TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

ACCENT = "cyan"
FLASH_S = 2.0
FLOOR_DBFS = -60.0
METER_CELLS = 24
REFRESH_HZ = 12.0
_VOICE_STYLES = ("green", "yellow", "magenta", "blue", "bright_red", "bright_cyan")
_DECISIONS = {
    "accept": "accepted",
    "reject": "not enrolled",
    "unsure": "unsure",
    "too_short": "too short to tell",
}
_SILENT = {"ready", "ack", "pong"}


class View(Protocol):
    """Where a command sends what it hears."""

    alive: bool
    """False once nobody reads the output any more; the command should stop."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def event(self, event: dict[str, Any]) -> None:
        """Show one wire event."""

    def level(self, dbfs: float) -> None:
        """Show how loud the audio is that is being sent."""


def make_view(stdout_is_tty: bool, json: bool) -> View:
    """The live view on a terminal, JSON lines everywhere else and with `--json`."""
    return LiveView() if stdout_is_tty and not json else JsonLines()


def dbfs(pcm_s16le: bytes) -> float:
    """RMS level of a block of samples, −60 and below for silence."""
    samples = array("h", pcm_s16le[: len(pcm_s16le) // 2 * 2])
    if sys.byteorder == "big":
        samples.byteswap()
    if not samples:
        return FLOOR_DBFS
    mean_square = sum(x * x for x in samples) / len(samples) / 32768**2
    return max(FLOOR_DBFS, 10 * math.log10(max(mean_square, 1e-12)))


def clock(ms: int) -> str:
    """Stream time as mm:ss.mmm."""
    return f"{ms // 60_000:02}:{ms // 1000 % 60:02}.{ms % 1000:03}"


class JsonLines:
    """One wire event per line, flushed, for a pipe or a program."""

    def __init__(self, out: TextIO | None = None) -> None:
        self.alive = True
        self._out = out or sys.stdout

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass

    def event(self, event: dict[str, Any]) -> None:
        """Write the event; quietly nothing once the reader has gone, as after `| head -1`."""
        if not self.alive:
            return
        try:
            self._out.write(json.dumps(event, ensure_ascii=False) + "\n")
            self._out.flush()
        except BrokenPipeError:
            self.alive = False
            # Python flushes stdout once more at exit and would complain there.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self._out.fileno())

    def level(self, dbfs: float) -> None:
        """Levels are no wire events."""


class LiveView:
    """Final events scroll by above; a strip below says what is going on now."""

    def __init__(
        self, console: Console | None = None, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self.alive = True
        self._console = console or Console(highlight=False)
        self._clock_s = clock_s
        self._speaking: set[str] = set()
        self._speaker: dict[str, Any] | None = None
        self._wake: dict[str, Any] | None = None
        self._woke_at_s = -math.inf
        self._dbfs: float | None = None
        self._now_ms = 0
        self._voices: dict[str, str] = {}
        self._wakes: Counter[str] = Counter()
        self._heard: Counter[str] = Counter()
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
                self._console.print(self._opening(event))
            case "speech_start":
                self._speaking.add(event.get("utterance", ""))
            case "speech_end":
                self._speaking.discard(event.get("utterance", ""))
            case "speaker":
                self._speaker = event
            case "wake":
                self._wake, self._woke_at_s = event, self._clock_s()
                self._wakes[str(event.get("word"))] += 1
            case "bye":
                self._console.print(self._totals(event))
                return
        if event.get("type") not in _SILENT and event.get("final") is not False:
            if event.get("type") == "speaker" and event.get("speaker"):
                self._heard[event["speaker"]] += 1
            self._console.print(self._line(event))

    def _line(self, event: dict[str, Any]) -> Table:
        """One row of the log. Tables of one row line up, since the first columns are fixed."""
        row = Table.grid(padding=(0, 2, 0, 0))
        row.add_column(width=9, style="dim", no_wrap=True)
        row.add_column(width=14, no_wrap=True)
        row.add_column(overflow="fold")
        time_ms = event.get("t1")
        kind = str(event.get("type"))
        style = {"wake": f"bold {ACCENT}", "error": "bold red", "warning": "yellow"}.get(kind, "")
        row.add_row(
            clock(time_ms) if isinstance(time_ms, int) else "",
            Text(kind, style=style),
            self._says(event),
        )
        return row

    def _says(self, event: dict[str, Any]) -> Text:
        """The event in words, and the plain JSON of a type that this version does not know."""
        match event:
            case {"type": "speech_start", "utterance": utterance, "t0": t0}:
                return Text(f"{utterance}  from {clock(t0)}", style="dim")
            case {"type": "speech_end", "utterance": utterance}:
                spoken_s = event.get("speech_ms", 0) / 1000
                return Text(f"{utterance}  {spoken_s:.1f} s, {event.get('cause')}", style="dim")
            case {"type": "wake", "word": word}:
                by = f"  by {event['speaker']}" if event.get("speaker") else ""
                return Text.assemble((word, f"bold {ACCENT}"), f"  {_score(event)}{by}")
            case {"type": "speaker"}:
                return self._who(event)
            case {"type": "speaker_change"}:
                return Text.assemble(self._name(event.get("from")), " to ", self._name(event["to"]))
            case {"type": "emotion", "label": label}:
                return Text(f"{label}  {_score(event)}{'  unsure' if event.get('abstain') else ''}")
            case {"type": "transcript", "text": text}:
                return Text(text)
            case {"type": "error" | "warning", "code": code}:
                return Text(f"{event.get('message', '')}  ({code})")
            case {"type": "draining"}:
                return Text("the server is about to restart")
            case _:
                rest = {k: v for k, v in event.items() if k not in ("type", "seq", "t0", "t1")}
                return Text(json.dumps(rest, ensure_ascii=False), style="dim")

    def _who(self, event: dict[str, Any]) -> Text:
        decision = str(event.get("decision"))
        score = "" if decision == "too_short" else f"  {_score(event)}"
        return Text.assemble(
            self._name(event.get("speaker")), f"  {_DECISIONS.get(decision, decision)}{score}"
        )

    def _name(self, name: str | None) -> Text:
        if name is None:
            return Text("unknown", style="dim")
        style = self._voices.setdefault(name, _VOICE_STYLES[len(self._voices) % len(_VOICE_STYLES)])
        return Text(name, style=f"bold {style}")

    def _strip(self) -> RenderableType:
        strip = Table.grid(expand=True, padding=(0, 2, 0, 0))
        strip.add_column(width=10, no_wrap=True)
        strip.add_column(width=METER_CELLS + 5, no_wrap=True)
        strip.add_column(ratio=1, no_wrap=True, overflow="ellipsis")
        strip.add_column(justify="right", no_wrap=True)
        state = Text("speaking", style=f"bold {ACCENT}") if self._speaking else Text("quiet")
        who = self._who(self._speaker) if self._speaker else Text("nobody yet", style="dim")
        strip.add_row(state, self._meter(), who, self._last_wake())
        return Group(Text("─" * self._console.width, style="dim"), strip)

    def _meter(self) -> Text:
        if self._dbfs is None:
            return Text(clock(self._now_ms), style="dim")
        filled = round(METER_CELLS * max(0.0, min(1.0, 1 - self._dbfs / FLOOR_DBFS)))
        return Text.assemble(
            ("━" * filled, ACCENT if self._speaking else "default"),
            ("─" * (METER_CELLS - filled), "dim"),
            (f"{self._dbfs:4.0f}", "dim"),
        )

    def _last_wake(self) -> Text:
        if self._wake is None:
            return Text("no wake word yet", style="dim")
        fresh = self._clock_s() - self._woke_at_s < FLASH_S
        word = f" {self._wake.get('word')} "
        return Text.assemble(
            (word, f"bold reverse {ACCENT}" if fresh else ACCENT), f" {_score(self._wake)}"
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
        table.add_row("speech", f"{clock(speech_ms)} in {_count(utterances, 'utterance')}")
        for title, counter in (("words", self._wakes), ("voices", self._heard)):
            if counter:
                listed = ", ".join(f"{name} ({n})" for name, n in counter.most_common())
                table.add_row(title, listed)
        return Group(Text("─" * self._console.width, style="dim"), table)


def _score(event: dict[str, Any]) -> str:
    score = event.get("score")
    return f"{score:.2f}" if isinstance(score, int | float) else ""


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
