"""What was measured, as rows and in words."""

import os
import platform
import re
import statistics
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from peers_runners.venvs import PEERS
from peers_runners.venvs import versions as installed_in

OURS, NO_SOCKET = "streamd", "streamd, no socket"
COLUMNS = ("task", "system", "ms/s", "least – most", "streams/core", "× streamd", "heard")


class Task(NamedTuple):
    """What is compared: streamd with these modules, and peers with these words."""

    modules: dict[str, Any]
    peers: dict[str, list[str]]


def rows(bench):
    """The table's: a task's peers, then streamd. Rounds that were not live do not count."""
    found = []
    for name, task in bench.tasks.items():
        for system in (*task.peers, NO_SOCKET, OURS):
            if why := bench.failed.get(f"{name}: {system}"):
                found.append((name, system, *["–"] * 4, why))
            elif figures := bench.figures[name].get(system):
                numbers = _numbers(figures["rounds"], bench.figures[name][OURS]["rounds"])
                found.append((name, system, *numbers, "; ".join(heard(bench, name, system))))
    return found


def _numbers(rounds, ours):
    ms = [one["ms"] for one in rounds if one["is_live"]]
    if not ms:
        return ["–"] * 4
    pairs = [(a, b) for a, b in zip(rounds, ours, strict=True) if a["is_live"] and b["is_live"]]
    ratio = f"{statistics.median(a['ms'] / b['ms'] for a, b in pairs):.1f}" if pairs else "–"
    here = statistics.median(ms)
    return f"{here:.1f}", f"{min(ms):.1f} – {max(ms):.1f}", f"{1000 / here:.0f}", ratio


def heard(bench, name, system):
    """In words, what a system found, and what it took."""
    figures, task, truth = bench.figures[name][system], bench.tasks[name], bench.truth
    if "wake" in task.modules and "found" in figures:
        words = task.peers.get(system) or task.modules["wake"]["words"]
        found, said, elsewhere = bench.mix.tally(figures["found"], words)
        yield f"{found} of {said} words, {elsewhere} elsewhere"
    if "agreed" in figures:
        yield f"{100 * figures['speech']:.1f} % speech"
        yield f"{100 * figures['agreed']:.2f} % of frames as streamd"
    if system == OURS and list(task.modules) == ["vad"]:
        yield f"{100 * float((truth.speech >= 0.5).mean()):.1f} % speech"
    if "cosine" in figures:
        yield f"cosine to streamd {figures['cosine']:.4f}, least {figures['least_cosine']:.4f}"
    if system == OURS and "speaker" in task.modules:
        seconds = bench.args.streams * bench.args.seconds
        yield f"{len(truth.embeddings) / seconds:.2f} windows/s"
    if "connection_bytes" in figures:
        yield f"{figures['connection_bytes'] / 1e6:.1f} MB a connection"
    rounds = figures["rounds"]
    late_s = [one["late_ms"] / 1000 for one in rounds if not one["is_live"]]
    if late_s:
        counted = f"{len(rounds) - len(late_s)} of {len(rounds)} rounds counted"
        yield f"{counted}, up to {max(late_s):.1f} s late"


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
    rounds = [one for figures in systems for one in figures["rounds"]]
    others = [one["others"] for one in rounds if one["others"] is not None]
    load = " ".join(f"{one:.1f}" for one in os.getloadavg())
    return (
        f"Measured on {date.today()} on {cpu[1] if cpu else platform.machine()}, {os.cpu_count()} "
        f"cores, Python {platform.python_version()}, load averages {load}: {args.rounds} rounds of "
        f"{args.streams} streams of {args.seconds:g} s. Other work took {100 * min(others):.0f} "
        f"to {100 * max(others):.0f} % of the servers' core."
    )


def markdown(names, lines):
    """A table to paste."""
    every = [names, ["---"] * len(names), *lines]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in every)
