"""Wire events in words: the rows of the live view's log, and the phrases of its strip."""

from __future__ import annotations

import json
from typing import Any

from rich.table import Table
from rich.text import Text

ACCENT = "cyan"
_VOICE_STYLES = ("green", "yellow", "magenta", "blue", "bright_red", "bright_cyan")
_DECISIONS = {
    "accept": "accepted",
    "reject": "not enrolled",
    "unsure": "unsure",
    "too_short": "too short to tell",
}


class Words:
    """Events in words; a voice keeps the colour in which it first appeared."""

    def __init__(self) -> None:
        self._voices: dict[str, str] = {}

    def row(self, event: dict[str, Any]) -> Table:
        """Return one row of the log. Rows line up, because the first columns have a fixed width."""
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
        """Return the event in words, or its JSON if this version does not know its type."""
        match event:
            case {"type": "speech_start", "utterance": utterance, "t0": t0}:
                return Text(f"{utterance}  from {clock(t0)}", style="dim")
            case {"type": "speech_end", "utterance": utterance}:
                spoken_s = event.get("speech_ms", 0) / 1000
                return Text(f"{utterance}  {spoken_s:.1f} s, {event.get('cause')}", style="dim")
            case {"type": "wake", "word": word}:
                by = f"  by {event['speaker']}" if event.get("speaker") else ""
                return Text.assemble((word, f"bold {ACCENT}"), f"  {number(event, 'score')}{by}")
            case {"type": "speaker"}:
                return self.who(event)
            case {"type": "speaker_change"}:
                return Text.assemble(self._name(event.get("from")), " to ", self._name(event["to"]))
            case {"type": "emotion", "label": label}:
                return _mood(event, str(label))
            case {"type": "transcript", "text": text}:
                return Text(text)
            case {"type": "error" | "warning", "code": code}:
                return Text(f"{event.get('message', '')}  ({code})")
            case {"type": "enrolled", "speaker": str(name)}:
                return self._enrolled(event, name)
            case {"type": "degraded", "module": str(module)}:
                return Text(f"the server is busy: {module} less often")
            case {"type": "recovered", "module": str(module)}:
                return Text(f"{module} as often as before")
            case {"type": "draining"}:
                return Text("the server is about to restart")
            case _:
                rest = {k: v for k, v in event.items() if k not in ("type", "seq", "t0", "t1")}
                return Text(json.dumps(rest, ensure_ascii=False), style="dim")

    def _enrolled(self, event: dict[str, Any], name: str) -> Text:
        label = event.get("label")
        quality = event.get("quality") or {}
        found = ", ".join(str(issue.get("code")) for issue in quality.get("issues", ()))
        verdict = str(quality.get("verdict", "")) + (f": {found}" if found else "")
        said = ", ".join(map(str, event.get("utterances", ())))
        was = f", {label} until now" if label else ""
        return Text.assemble(self._name(name), f"  from {said}{was}", (f"  {verdict}", "dim"))

    def who(self, event: dict[str, Any]) -> Text:
        """Return a speaker decision with the name."""
        return Text.assemble(self.name(event), f"  {self.decision(event)}")

    def name(self, event: dict[str, Any]) -> Text:
        """Return the name in a speaker decision."""
        return self._name(event.get("speaker"))

    def decision(self, event: dict[str, Any]) -> str:
        """Return a speaker decision in words, without the name."""
        decision = str(event.get("decision"))
        score = "" if decision == "too_short" else f"  {number(event, 'score')}"
        return f"{_DECISIONS.get(decision, decision)}{score}"

    def _name(self, name: str | None) -> Text:
        if name is None:
            return Text("unknown", style="dim")
        style = self._voices.setdefault(name, _VOICE_STYLES[len(self._voices) % len(_VOICE_STYLES)])
        return Text(name, style=f"bold {style}")


def mood_now(event: dict[str, Any]) -> Text:
    """Return the label alone, or `unsure` if the event abstains."""
    if event.get("abstain"):
        return Text("unsure", style="dim")
    return Text(str(event.get("label", "")))


def _mood(event: dict[str, Any], label: str) -> Text:
    likeliest = f"{label} {number(event, 'score')}".rstrip()
    if event.get("abstain"):
        return Text(f"unsure (most like {likeliest})", style="dim")
    arousal = number(event, "arousal")
    return Text.assemble(likeliest, (f"  arousal {arousal}", "dim") if arousal else "")


def clock(ms: int) -> str:
    """Return stream time as mm:ss.mmm."""
    return f"{ms // 60_000:02}:{ms // 1000 % 60:02}.{ms % 1000:03}"


def position(done_s: float, total_s: float | None) -> str:
    """Return a position as `0:12 of 1:30`, without a total that is unknown or was too small."""
    done = _minutes(done_s)
    return done if total_s is None or done_s > total_s + 1 else f"{done} of {_minutes(total_s)}"


def _minutes(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def number(event: dict[str, Any], key: str) -> str:
    """Return a field of 0 to 1 with two decimals; empty if the event has none."""
    value = event.get(key)
    return f"{value:.2f}" if isinstance(value, int | float) else ""
