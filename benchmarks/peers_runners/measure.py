"""All measurements on one mix, in rounds in which every system has its turn."""

import json
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import streams as live
from peers_runners import ours
from peers_runners.capacity import positives, ramp
from peers_runners.delays import delays_ms, with_detections
from peers_runners.mix import Mix, run_offline
from peers_runners.report import NO_SOCKET, OURS
from peers_runners.rounds import until_valid
from peers_runners.rule import VALID, WordResult, judge
from peers_runners.venvs import Failed, call, install

MOST = 512
"""Live clients that are tried."""


class Bench:
    """What was measured so far, and how.

    Args:
        tasks: by name.
        args: of the command line.
        say: takes what is being done.
    """

    def __init__(self, tasks, args, say):
        self.figures = {}
        """By task and system: every run of its `rounds`, and how near its output is to ours."""
        self.failed = {}
        """By task and peer, why there are none."""
        self.pythons = {}
        """By peer that could be installed."""
        self.args, self._say = args, say
        self._holds = {}
        """By task, system and asked number of streams, with how many its last round ended."""
        cores = sorted(os.sched_getaffinity(0))
        self._server_cores, self._client_cores = {cores[0]}, set(cores[1:]) or {cores[0]}
        os.sched_setaffinity(0, self._client_cores)  # what watches stays off the servers' core
        self.tasks = {n: task for n, task in tasks.items() if task.peers.keys() & set(args.only)}

    def measure(self):
        for peer in self.args.only:
            self._say(f"installing {peer}")
            try:
                self.pythons[peer] = install(peer, self.args.peers_dir)
            except Failed as why:
                for task in (name for name, task in self.tasks.items() if peer in task.peers):
                    self.failed[f"{task}: {peer}"] = f"not installed: {why}"
        self._say("run_offlineing to the mix offline")
        args = self.args
        self.mix = Mix(args.audio, args.streams, args.seconds, args.seed)
        self.truth = run_offline(self.mix.streams, live.MODULES)
        for i in range(args.rounds):
            for name in self.tasks:
                for system in self._systems(name):
                    self._take_turn(name, system, i)
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
                    range(step, MOST + 1, step),
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

    def _take_turn(self, task, system, i):
        """One round of a system; streamd's with every number that a live peer's came to."""
        figures = self.figures.setdefault(task, {}).setdefault(system, {"rounds": []})
        asked = {self.args.streams}
        if system == OURS:
            others = [run for one in self.figures[task].values() for run in one["rounds"]]
            asked |= {run["streams"] for run in others if run["round"] == i and _is_live(run)}
        for streams in sorted(asked, reverse=True):
            key = (task, system, streams)

            def run(count):
                self._say(f"round {i + 1} of {self.args.rounds}: {task}, {system}, {count} streams")
                return {"round": i} | self._measured(task, system, count)

            try:
                runs = until_valid(run, self._holds.get(key, streams), self.args.tries)
            except Failed as why:
                self.failed[f"{task}: {system}"] = f"not run: {why}"
                self.figures[task].pop(system)
                return
            figures["rounds"] += runs
            self._holds[key] = runs[-1]["streams"]

    def _measured(self, task, system, count):
        """Return one run on the mix's first streams, with its result and its detections."""
        chosen = self.tasks[task]
        answer = self._run(task, system, self.mix.streams[:count])
        live_one, others, verdict = answer.get("live"), answer.get("others"), WordResult(VALID)
        if live_one:
            arrived = answer.get("arrived", answer["found"])
            late_ms = delays_ms(arrived, self.truth.wakes, count, count)
            live_one["behind_ms"] = with_detections(live_one["behind_ms"], late_ms)
            verdict = judge(live_one, others)
        detected = None
        if "wake" in chosen.modules and "found" in answer:
            words = chosen.peers.get(system) or chosen.modules["wake"]["words"]
            detected = self.mix.tally(answer["found"], words, count)
        return {
            "streams": count,
            "ms": 1000 * answer["cpu_s"] / (count * self.args.seconds),
            "verdict": verdict.kind,
            "why": verdict.why,
            "live": live_one,
            "others": others,
            "rss_bytes": answer["rss_bytes"],
            "found": answer.get("found"),
            "detected": detected,
            "compared": answer.get("compared"),
        }

    def _run(self, task, system, streams, places=None):
        """One run over the mix's first streams (any, for what does not ask where voices are)."""
        places = places or {"server_cores": self._server_cores, "client_cores": self._client_cores}
        chosen = self.tasks[task]
        if system == OURS:
            return _shared(ours.run(chosen.modules, streams, **places), **places)
        with tempfile.TemporaryDirectory() as scratch:
            audio, out = Path(scratch) / "audio.npy", Path(scratch) / "out.npy"
            np.save(audio, np.stack(streams))
            job = {name: sorted(cores) for name, cores in places.items()} | {
                "audio": str(audio),
                "out": str(out),
                "words": chosen.peers.get(system),
                "modules": chosen.modules,
                "stops": self.truth.stops[: len(streams)],
            }
            name, python = system, self.pythons.get(system)
            if system == NO_SOCKET:
                name, python = OURS, sys.executable
            answer = _shared(json.loads(call(name, python, json.dumps(job))), **places)
            if out.exists():
                answer["compared"] = self._compared(system, np.load(out))
            return answer

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
            figures = self.figures["everything"].get(system, {"rounds": []})
            valid = [run for run in figures["rounds"] if run["verdict"] == VALID]
            if system == NO_SOCKET or not valid or valid[-1]["streams"] < 2:
                continue
            self._say(f"memory of a connection: {system}")
            try:
                one = self._run("everything", system, self.mix.streams[:1])
            except Failed as why:
                self.failed[f"everything: {system}"] = f"not run with one connection: {why}"
                continue
            further_bytes = valid[-1]["rss_bytes"] - one["rss_bytes"]
            figures["connection_bytes"] = further_bytes / (valid[-1]["streams"] - 1)


def _shared(answer, server_cores, client_cores):
    """Where the load has the server's core, what others took is not known."""
    return answer | ({"others": None} if server_cores & client_cores else {})


def _is_live(run):
    return run["live"] is not None and run["verdict"] == VALID
