"""Draw how the events of one stream relate in time, as an SVG picture.

`tests/pictures.py` plays a clip to a server, and gives its events to `draw`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from html import escape, unescape
from typing import Any

import numpy as np
import numpy.typing as npt

Event = dict[str, Any]

WIDTH, LEFT, RIGHT = 1000, 112, 24
TOP, WAVE, BAR, GAP = 62, 84, 7, 4
ROW_GAP = 20
COLUMNS = 432
"""Columns of the waveform."""
STYLE = """
  .paper { fill: #fff; } text { fill: #3a3f44; font: 13px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
  .name { font: 600 12.5px ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #1c1f22; }
  .small { font-size: 11.5px; fill: #646a70; } .note { font-size: 12px; fill: #0b6f6a; }
  .wave { fill: #8d9499; } .speech { fill: #0f7c77; opacity: .1; } .roll { fill: #0f7c77; opacity: .2; }
  .line { stroke: #e2dfd8; } .until { stroke: #646a70; stroke-dasharray: 2 3; } .at { fill: #b3471d; }
  .final { fill: #0f7c77; } .interim { fill: #0f7c77; opacity: .38; } .tick { stroke: #8d9499; stroke-width: 2; }
  .call { stroke: #b3471d; stroke-width: 1.5; }
  @media (prefers-color-scheme: dark) {
    .paper { fill: #1a1d20; } text { fill: #c9c7c2; } .name { fill: #e8e6e1; } .small { fill: #979da3; }
    .note { fill: #58c3bb; } .wave { fill: #727a81; } .speech, .roll, .final, .interim { fill: #4fbdb5; }
    .line { stroke: #2f3438; } .until { stroke: #979da3; } .at { fill: #f0976b; } .call { stroke: #f0976b; }
  }
"""  # noqa: E501


def draw(events: Sequence[Event], samples: npt.NDArray[np.int16], rate_hz: int) -> str:
    """Return the picture of a stream.

    Args:
        events: All of them, in the order in which they came.
        samples: The audio, mono.
        rate_hz: Of the audio.
    """
    picture = _Picture(1000 * len(samples) / rate_hz)
    starts = _of(events, "speech_start")
    ends = _of(events, "speech_end")
    picture.waveform(samples, starts, ends)
    picture.row("speech_start", starts, lambda e: e["utterance"])
    picture.row("wake", _of(events, "wake"), lambda e: f"“{e['word']}”  {e['score']:.2f}")
    picture.row("speaker", _of(events, "speaker"), _speaker)
    picture.row("emotion", _of(events, "emotion"), _emotion)
    picture.row("transcript", _of(events, "transcript"), lambda e: f"“{e['text']}”")
    picture.row("speech_end", ends, lambda e: f"{e['utterance']}, {e['cause']}")
    picture.marks(_of(events, "flushed"), _of(events, "ack"), rate_hz)
    return picture.finished(events)


def _of(events: Iterable[Event], kind: str) -> list[Event]:
    return [event for event in events if event["type"] == kind]


def _speaker(event: Event) -> str:
    who = event["speaker"] or "nobody enrolled"
    return f"{who}, {event['decision']}"


def _emotion(event: Event) -> str:
    return f"{event['label']} {event['score']:.2f}{', abstains' if event['abstain'] else ''}"


class _Picture:
    def __init__(self, duration_ms: float) -> None:
        self._scale = (WIDTH - LEFT - RIGHT) / duration_ms
        self._duration_ms = duration_ms
        self._y = float(TOP)
        self._parts: list[str] = []

    def waveform(
        self, samples: npt.NDArray[np.int16], starts: list[Event], ends: list[Event]
    ) -> None:
        """Draw the audio, and note where its utterances are."""
        self._top = self._y
        middle, half = self._y + WAVE / 2, WAVE / 2 - 4
        blocks = np.array_split(np.abs(samples.astype(np.int64)), COLUMNS)
        peaks = np.array([block.max() for block in blocks]) / np.abs(samples.astype(np.int64)).max()
        step = (WIDTH - LEFT - RIGHT) / COLUMNS
        for number, peak in enumerate(peaks):
            height = max(0.5, half * float(peak))
            x = LEFT + number * step
            self._rect("wave", x, middle - height, step * 0.72, 2 * height)
        self._spans = [
            (start["t0"], end["t1"], start["utterance"])
            for start, end in zip(starts, ends, strict=True)
        ]
        self._text("name", 16, middle + 4, "audio")
        self._y += WAVE + ROW_GAP

    def row(self, name: str, events: list[Event], label: Callable[[Event], str]) -> None:
        """Draw one type of events: a bar from t0 to t1, and a dot at the last sample needed."""
        lanes: dict[str, int] = {}
        deepest = 0
        top = self._y
        for event in events:
            lane = lanes.get(event.get("utterance", ""), 0)
            lanes[event.get("utterance", "")] = lane + 1
            deepest = max(deepest, lane)
            is_final = event.get("final", True)
            y = top + lane * (BAR + GAP)
            begin, end, at = (self._x(event[key]) for key in ("t0", "t1", "at"))
            self._rect("final" if is_final else "interim", begin, y, max(2.0, end - begin), BAR, 2)
            if at - end > 1:
                self._line("until", end, y + BAR / 2, at, y + BAR / 2)
            self._parts.append(f'<circle class="at" cx="{at:.1f}" cy="{y + BAR / 2:.1f}" r="3.6"/>')
            if is_final:
                self._text("", begin, y + BAR + 15, label(event))
        self._text("name", 16, top + 9, name)
        self._y = top + deepest * (BAR + GAP) + BAR + 18 + ROW_GAP

    def marks(self, flushed: list[Event], acks: list[Event], rate_hz: int) -> None:
        """Draw the flush that the client sent, and the acknowledgements."""
        x = self._x(self._duration_ms)
        for event in flushed:
            self._line("call", x, self._top, x, self._y + 6)
            self._text("small", x - 6, self._top - 8, f"client: flush {event['id']}", "end")
        self._text("name", 16, self._y + 9, "flushed")
        for _ in flushed:
            self._rect("final", x - 3, self._y, 6, BAR, 2)
        self._y += BAR + ROW_GAP
        self._text("name", 16, self._y + 9, "ack")
        for event in acks:
            at = self._x(1000 * event["samples"] / rate_hz)
            self._line("tick", at, self._y, at, self._y + 9)
        self._y += BAR + ROW_GAP

    def finished(self, events: Sequence[Event]) -> str:
        bottom = self._y + 8
        behind = []
        for begin, end, utterance in self._spans:
            x, width = self._x(begin), self._x(end) - self._x(begin)
            behind.append(_rect("speech", x, self._top, width, bottom - self._top))
            behind.append(_rect("roll", x, self._top, self._x(begin + PRE_ROLL_MS) - x, WAVE))
            behind.append(
                f'<text class="note" x="{x:.1f}" y="{self._top - 8:.1f}">'
                f"utterance {utterance}</text>"
            )
        for second in range(int(self._duration_ms / 1000) + 1):
            x = self._x(1000 * second)
            behind.append(
                f'<line class="line" x1="{x:.1f}" y1="{self._top:.1f}" '
                f'x2="{x:.1f}" y2="{bottom:.1f}"/>'
            )
            self._text("small", x, bottom + 16, f"{second} s", "middle")
        height = bottom + 58
        legend = (
            f'<g transform="translate({LEFT} {bottom + 38:.0f})">'
            '<rect class="interim" y="-8" width="22" height="7" rx="2"/>'
            '<text class="small" x="28">interim</text>'
            '<rect class="final" x="88" y="-8" width="22" height="7" rx="2"/>'
            '<text class="small" x="116">final, from t0 to t1</text>'
            '<line class="until" x1="250" y1="-4" x2="272" y2="-4"/>'
            '<circle class="at" cx="276" cy="-4" r="3.6"/>'
            '<text class="small" x="286">at: the last sample that the event needed</text>'
            '<rect class="roll" x="540" y="-11" width="14" height="14"/>'
            '<text class="small" x="560">pre-roll</text></g>'
        )
        body = "\n".join([*behind, *self._parts, legend])
        kept = escape(json.dumps(events, ensure_ascii=False, separators=(",", ":")), quote=False)
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" '
            f'width="{WIDTH}" height="{height:.0f}" role="img">\n'
            "<title>The events of two utterances, on the clock of the stream</title>\n"
            f"<metadata>{kept}</metadata>\n<style>{STYLE}</style>\n"
            f'<rect class="paper" width="{WIDTH}" height="{height:.0f}" rx="10"/>\n'
            '<text x="16" y="28" style="font-weight:600;font-size:15px">'
            "One stream, on its own clock</text>\n"
            f"{body}\n</svg>\n"
        )

    def _x(self, ms: float) -> float:
        return LEFT + ms * self._scale

    def _rect(
        self, kind: str, x: float, y: float, width: float, height: float, round_: int = 0
    ) -> None:
        self._parts.append(_rect(kind, x, y, width, height, round_))

    def _line(self, kind: str, x1: float, y1: float, x2: float, y2: float) -> None:
        self._parts.append(
            f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'
        )

    def _text(self, kind: str, x: float, y: float, text: str, anchor: str = "start") -> None:
        self._parts.append(
            f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">'
            f"{escape(text, quote=False)}</text>"
        )


PRE_ROLL_MS = 200
"""`vad.pre_roll_ms` of the configuration."""


def _rect(kind: str, x: float, y: float, width: float, height: float, round_: int = 0) -> str:
    corner = f' rx="{round_}"' if round_ else ""
    return (
        f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" '
        f'height="{height:.1f}"{corner}/>'
    )


def events_of(picture: str) -> list[Event]:
    """Return the events that a picture was drawn from."""
    inner = picture.partition("<metadata>")[2].partition("</metadata>")[0]
    events: list[Event] = json.loads(unescape(inner))
    return events
