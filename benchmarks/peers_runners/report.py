"""The report of what was measured, as rows and in words."""

import os
import platform
import re
import statistics
from collections import Counter
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from peers_runners.rounds import PROOFS
from peers_runners.rule import SERVER, VALID, worst
from peers_runners.venvs import PEERS
from peers_runners.venvs import versions as installed_in

OURS, NO_SOCKET = "streamd", "streamd, no socket"
COLUMNS = (
    "task",
    "system",
    "live streams",
    "ms/s",
    "least – most",
    "streams/core",
    "× streamd",
    "valid",
    "late, ms: load / server",
    "detected",
)


class Task(NamedTuple):
    """What is compared: streamd with these modules, and peers with these words."""

    modules: dict[str, Any]
    peers: dict[str, list[str]]


def rows(bench):
    """The table's: a task's peers, then streamd; a row for each number of live streams."""
    found = []
    for name, task in bench.tasks.items():
        ours = [run for run in _runs(bench, name, OURS) if run["verdict"] == VALID]
        for system in (*task.peers, NO_SOCKET, OURS):
            if why := bench.failed.get(f"{name}: {system}"):
                found.append((name, system, *["–"] * 7, why))
            runs = _runs(bench, name, system)
            largest = max((run["streams"] for run in runs if run["verdict"] == VALID), default=0)
            for streams in sorted({run["streams"] for run in runs}, reverse=True):
                here = [run for run in runs if run["streams"] == streams]
                notes = _detected(here) + _reasons(here)
                if streams == largest:
                    notes += list(_beside(bench, name, system, here))
                cells = (*_cost(here, ours), *_validity(here), "; ".join(notes))
                count = str(streams) if here[0]["live"] else ""
                found.append((name, system, count, *cells))
    return found


def _runs(bench, name, system):
    return bench.figures.get(name, {}).get(system, {"rounds": []})["rounds"]


def _cost(runs, ours):
    valid = [run for run in runs if run["verdict"] == VALID]
    if not valid:
        return ["–"] * 4
    ms = [run["ms"] for run in valid]
    pairs = [(run["ms"], other["ms"]) for run in valid if (other := _beside_ours(run, ours))]
    ratio = f"{statistics.median(a / b for a, b in pairs):.1f}" if pairs else "–"
    here = statistics.median(ms)
    return f"{here:.1f}", f"{min(ms):.1f} – {max(ms):.1f}", f"{1000 / here:.0f}", ratio


def _beside_ours(run, ours):
    """Our run of the same round: a live one's with as many streams, else with the most."""
    same = [one for one in ours if one["round"] == run["round"]]
    if run["live"]:
        same = [one for one in same if one["streams"] == run["streams"]]
    return max(same, key=lambda one: one["streams"], default=None)


def _validity(runs):
    """How many runs of a live server are valid, and the worst lateness of the load and of it."""
    if not runs[0]["live"]:
        return "", ""
    valid = [run for run in runs if run["verdict"] == VALID]
    counted = [run["live"] for run in valid or runs]
    load_ms = max((one["late_ms"]["p99"] for one in counted if one["late_ms"]), default=None)
    behind_ms = max(worst(one)[1] for one in counted)
    load = "–" if load_ms is None else f"{load_ms:.0f}"
    return f"{len(valid)} of {len(runs)}", f"{load} / {behind_ms:.0f}"


def _reasons(runs):
    """Why runs were not valid, the last of each kind."""
    whys = {run["verdict"]: run["why"] for run in runs if run["verdict"] != VALID}
    was_behind = Counter(run["round"] for run in runs if run["verdict"] == SERVER)
    notes = []
    if max(was_behind.values(), default=0) >= PROOFS:
        streams, times = runs[0]["streams"], f"{was_behind.total()} of {len(runs)} runs"
        plural = "s" * (streams > 1)
        notes.append(f"did not keep up with {streams} stream{plural}, {times}: {whys.pop(SERVER)}")
    is_any = any(run["verdict"] == VALID for run in runs)
    return notes + [f"{'run again' if is_any else 'not valid'}: {why}" for why in whys.values()]


def _detected(runs):
    """The words of the valid runs."""
    counts = [run["detected"] for run in runs if run["verdict"] == VALID and run["detected"]]
    if not counts:
        return []
    found, said, elsewhere = map(sum, zip(*counts, strict=True))
    return [f"{found} of {said} words, {elsewhere} elsewhere"]


def _beside(bench, name, system, runs):
    """In words, what else is known of a system."""
    task, truth, compared = bench.tasks[name], bench.truth, runs[-1]["compared"] or {}
    if "agreed" in compared:
        yield f"{100 * compared['speech']:.1f} % speech"
        yield f"{100 * compared['agreed']:.2f} % of frames as streamd"
    if system == OURS and list(task.modules) == ["vad"]:
        yield f"{100 * float((truth.speech >= 0.5).mean()):.1f} % speech"
    if "cosine" in compared:
        yield f"cosine to streamd {compared['cosine']:.4f}, least {compared['least_cosine']:.4f}"
    if system == OURS and "speaker" in task.modules:
        seconds = bench.args.streams * bench.args.seconds
        yield f"{len(truth.embeddings) / seconds:.2f} windows/s"
    if further_bytes := bench.figures[name][system].get("connection_bytes"):
        yield f"{further_bytes / 1e6:.1f} MB a connection"


def versions(pythons):
    """The packages that matter, of each environment."""
    names = ("streamd", "numpy", "onnxruntime", "aiohttp", "uvloop")
    lines = ["streamd: " + ", ".join(f"{name} {version(name)}" for name in names)]
    for peer, python in pythons.items():
        asked = " ".join((*PEERS[peer].requirements, *PEERS[peer].bare))
        wanted = {*re.findall(r"([\w.-]+)==", asked), "wyoming", "tflite-runtime-nightly"}
        found = (f"{name} {number}" for name, number in installed_in(python) if name in wanted)
        lines.append(f"{peer}: " + ", ".join(found))
    return "\n".join(f"- {line}" for line in lines)


def about(bench):
    """Where and when, and what else the machine did."""
    args = bench.args
    cpu = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text())
    systems = [one for task in bench.figures.values() for one in task.values()]
    rounds = [one for figures in systems for one in figures["rounds"] if one["verdict"] == VALID]
    others = [one["others"] for one in rounds if one["others"] is not None]
    load = " ".join(f"{one:.1f}" for one in os.getloadavg())
    taken = f"{100 * min(others):.0f} to {100 * max(others):.0f} %" if others else "an unknown part"
    return (
        f"Measured on {date.today()} on {cpu[1] if cpu else platform.machine()}, {os.cpu_count()} "
        f"cores, Python {platform.python_version()}, load averages {load}: {args.rounds} rounds of "
        f"{args.streams} streams of {args.seconds:g} s. Other work took {taken} of the servers' "
        "core."
    )


def markdown(names, lines):
    """A table to paste."""
    every = [names, ["---"] * len(names), *lines]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in every)
