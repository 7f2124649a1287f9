"""streamd beside its peers: the same audio, CPU per second of it, and whether each hears the same.

    python benchmarks/peers.py [--audio DIR] [--streams 16] [--seconds 30] [--rounds 3]
        [--only NAME ...] [--capacity] [--json FILE] [--markdown FILE]

Each peer is installed in an environment of its own (--peers-dir), with streamd's own onnxruntime
and numpy where it takes them. Where pip's index gives torch with CUDA, set
PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu.

The unit is CPU milliseconds of the server's process, all its threads, per second of audio and
stream, so a core carries 1000 divided by that. Rounds take turns: every peer of a task, then
streamd; figures are medians with the least and the most, and the ratio is the median of the
rounds' own ratios. Every measured process stays on one and the same core.

- streamd is `streamd serve` with N live WebSocket streams of 20 ms messages, so its figure has the
  socket, the protocol and the session in it; "no socket" is its session and engine in one thread,
  as benchmarks/modules.py has them. Its VAD always runs, for wake words and voices too.
- wyoming-openwakeword is a server with N live clients of 64 ms messages, as satellites send them.
- Libraries have no server: N connections' objects in one process are fed in turns, offline, as
  fast as they go, without any transport, one thread to each runtime, which flatters them. Loading
  is not counted.
- Resemblyzer embeds 1.6 s at the very places where streamd's speaker module has its windows.
- `glued` is openWakeWord with four words, silero-vad and Resemblyzer, objects of each for every
  connection; streamd's row has emotion on top. Memory is what a further connection takes.

A round of a server counts only if it was live: events at most 1 s late (p99; wyoming's detections
against streamd's offline ones, p95). Late servers form larger batches or lose audio, and both look
cheap. The table says how many rounds counted where not all did. What a live client costs falls as
clients are added, for streamd and wyoming-openwakeword alike: compare at several --streams.

--capacity lets server and clients have the same two cores, and plays the clips that say alexa.

"heard" counts clips whose word was detected (by the clip's name, or the text of the bundled ones)
and detections elsewhere, at 0.5, with a refractory of 2 s; pymicro-wakeword has its own cutoffs,
and brings other models for the same words. Clips in a stream's first 3 s do not count. Two peers
have no hey_marvin: ok_nabu stands for it.
"""

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import streams as live
from peers_runners import ours
from peers_runners.capacity import LATE_MS, lateness, positives, ramp
from peers_runners.mix import Mix, listen
from peers_runners.report import COLUMNS, NO_SOCKET, OURS, Task, about, markdown, rows, versions
from peers_runners.venvs import PEERS, Failed, call, install
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

WORDS = live.MODULES["wake"]["words"]
TASKS = {
    "1 wake word": Task(
        {"wake": {"words": ["alexa"]}},
        {
            "openwakeword": ["alexa"],
            "wyoming-openwakeword": ["alexa"],
            "pymicro-wakeword": ["alexa"],
        },
    ),
    "4 wake words": Task(
        {"wake": {"words": WORDS}},
        {
            "openwakeword": WORDS,
            "wyoming-openwakeword": [*WORDS[:3], "ok_nabu"],
            "pymicro-wakeword": [*WORDS[:3], "okay_nabu"],
        },
    ),
    "VAD": Task({"vad": {}}, {"silero-vad": []}),
    "speaker": Task({"speaker": {}}, {"resemblyzer": []}),
    "everything": Task(live.MODULES, {"glued": WORDS}),
}


def main():
    args = parse_args()
    console = Console()
    if not console.is_terminal:
        console.width = 160
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        doing = progress.add_task("")
        bench = Bench(args, lambda text: progress.update(doing, description=text))
        bench.measure()
        capacity = bench.measure_capacity() if args.capacity else {}
    tables = {f"{args.streams} streams of {args.seconds:g} s": (COLUMNS, rows(bench))}
    if capacity:
        held = [(name, str(found["held"]), found["then"]) for name, found in capacity.items()]
        tables["live clients of two cores, 1 wake word"] = (("system", "held", "then"), held)
    for title, (names, lines) in tables.items():
        table = Table(*names, title=title)
        for row in lines:
            table.add_row(*row)
        console.print(table)
    if args.json:
        found = {"tasks": bench.figures, "failed": bench.failed, "capacity": capacity}
        args.json.write_text(json.dumps(found, indent=2) + "\n")
    if args.markdown:
        parts = [about(bench)]
        for title, table in tables.items():
            parts += [f"{title[0].upper()}{title[1:]}:", markdown(*table)]
        parts.append(versions(bench.pythons))
        args.markdown.write_text("\n\n".join(parts) + "\n")


def parse_args():
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--audio", type=Path, default=live.CLIPS, help="folder of 16 kHz FLAC")
    parser.add_argument("--streams", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=PEERS, default=list(PEERS), metavar="NAME")
    parser.add_argument("--capacity", action="store_true", help="find how many clients hold; long")
    parser.add_argument("--peers-dir", type=Path, default=cache / "streamd" / "peers")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    return parser.parse_args()


class Bench:
    """All that is measured, on one mix."""

    def __init__(self, args, say):
        self.figures = {}
        """By task and system: each of the `rounds`, and what the last live one answered."""
        self.failed = {}
        """By task and peer, why there are none."""
        self.pythons = {}
        """By peer that could be installed."""
        self.args, self._say = args, say
        cores = sorted(os.sched_getaffinity(0))
        self._server_cores, self._client_cores = {cores[0]}, set(cores[1:]) or {cores[0]}
        self.tasks = {n: task for n, task in TASKS.items() if task.peers.keys() & set(args.only)}

    def measure(self):
        for peer in self.args.only:
            self._say(f"installing {peer}")
            try:
                self.pythons[peer] = install(peer, self.args.peers_dir)
            except Failed as why:
                for task in (name for name, task in self.tasks.items() if peer in task.peers):
                    self.failed[f"{task}: {peer}"] = f"not installed: {why}"
        self._say("listening to the mix offline")
        args = self.args
        self.mix = Mix(args.audio, args.streams, args.seconds, args.seed)
        self.truth = listen(self.mix.streams, live.MODULES)
        for i in range(args.rounds):
            for name in self.tasks:
                for system in self._systems(name):
                    self._say(f"round {i + 1} of {args.rounds}: {name}, {system}")
                    self._take_turn(name, system)
        if "everything" in self.tasks:
            self._measure_memory()

    def measure_capacity(self):
        """By server, how many live clients hold with one word; both on the same two cores."""
        self._say("choosing clips")
        mix, truth = positives(self.args.audio, "alexa", self.args.seconds, self.args.seed)
        both = set(sorted(self._server_cores | self._client_cores)[:2])
        places, found = {"server_cores": both, "client_cores": both}, {}
        for system, step in {"wyoming-openwakeword": 8, OURS: 16}.items():
            if system not in (OURS, *self.pythons):
                continue
            try:
                found[system] = ramp(
                    lambda streams, s=system: self._run("1 wake word", s, streams, places),
                    mix,
                    truth,
                    range(step, 257, step),
                    lambda text, s=system: self._say(f"{s}: {text}"),
                )
            except Failed as why:
                found[system] = {"held": "–", "then": f"not run: {why}"}
        return found

    def _systems(self, task):
        """Those that take turns: what is wanted, installed and has not failed."""
        peers = [peer for peer in self.tasks[task].peers if peer in self.pythons]
        peers = [peer for peer in peers if f"{task}: {peer}" not in self.failed]
        return [*peers, NO_SOCKET, OURS]

    def _take_turn(self, task, system):
        try:
            answer = self._run(task, system, self.mix.streams)
        except Failed as why:
            self.failed[f"{task}: {system}"] = f"not run: {why}"
            self.figures.get(task, {}).pop(system, None)
            return
        figures = self.figures.setdefault(task, {}).setdefault(system, {"rounds": []})
        if "lag_s" in answer and "late_ms" not in answer:
            answer["late_ms"] = self._late_ms(answer, TASKS[task].peers[system])
        spent_ms = 1000 * answer.pop("cpu_s") / (self.args.streams * self.args.seconds)
        late_ms, others = answer.pop("late_ms", 0.0), answer.pop("others", None)
        is_live = late_ms <= LATE_MS
        figures["rounds"].append(
            {"ms": spent_ms, "late_ms": late_ms, "is_live": is_live, "others": others}
        )
        if is_live or "rss_bytes" not in figures:
            figures.update(answer)

    def _late_ms(self, answer, words):
        """A peer's detections against streamd's offline ones; infinite if none came."""
        wakes = [wake for wake in self.truth.wakes if wake[1] in words]
        found = [one for one in answer["found"] if one[1] in words]
        count = self.args.streams
        late_ms = lateness(found, wakes, count, count)
        if late_ms:
            return max(float(np.percentile(late_ms, 95)), 1000 * answer["lag_s"])
        return float("inf") if lateness(wakes, wakes, count, count) else 0.0

    def _run(self, task, system, streams, places=None):
        """One run over the mix's first streams (any, for what does not ask where voices are)."""
        places = places or {"server_cores": self._server_cores, "client_cores": self._client_cores}
        if system == OURS:
            return ours.run(TASKS[task].modules, streams, **places)
        with tempfile.TemporaryDirectory() as scratch:
            audio, out = Path(scratch) / "audio.npy", Path(scratch) / "out.npy"
            np.save(audio, np.stack(streams))
            job = {name: sorted(cores) for name, cores in places.items()} | {
                "audio": str(audio),
                "out": str(out),
                "words": TASKS[task].peers.get(system),
                "modules": TASKS[task].modules,
                "stops": self.truth.stops[: len(streams)],
            }
            name, python = system, self.pythons.get(system)
            if system == NO_SOCKET:
                name, python = OURS, sys.executable
            answer = json.loads(call(name, python, json.dumps(job)))
            return answer | (self._compared(system, np.load(out)) if out.exists() else {})

    def _compared(self, system, output):
        """How near a peer's output is to streamd's."""
        if system == "silero-vad":
            theirs, agreed = output >= 0.5, (output >= 0.5) == (self.truth.speech >= 0.5)
            return {"speech": float(theirs.mean()), "agreed": float(agreed.mean())}
        cosines = (output * self.truth.embeddings).sum(1)[self.truth.is_full]
        return {"cosine": float(np.median(cosines)), "least_cosine": float(cosines.min())}

    def _measure_memory(self):
        """Resident memory with N connections less that with one, over N - 1."""
        for system in self._systems("everything"):
            if system == NO_SOCKET:
                continue
            self._say(f"memory of a connection: {system}")
            try:
                one = self._run("everything", system, self.mix.streams[:1])
            except Failed as why:
                self.failed[f"everything: {system}"] = f"not run with one connection: {why}"
                continue
            figures = self.figures["everything"][system]
            further_bytes = figures["rss_bytes"] - one["rss_bytes"]
            figures["connection_bytes"] = further_bytes / max(self.args.streams - 1, 1)


if __name__ == "__main__":
    main()
