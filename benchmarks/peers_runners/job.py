"""What the runners share. A runner reads its job as JSON on stdin and answers with one JSON line.

A job has `audio` (an .npy file, int16 [streams, samples], 16 kHz), `server_cores` to stay on, and
what its runner wants besides. The answer has `cpu_s`, CPU seconds of all threads, all streams.
"""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np

RATE_HZ = 16_000
REFRACTORY_MS = 2000


def answer(run):
    """Do the job with `run(audio, job)`, a dict; whatever libraries print goes to stderr."""
    job = json.load(sys.stdin)
    os.sched_setaffinity(0, job["server_cores"])
    stdout = os.dup(1)
    os.dup2(2, 1)
    line = json.dumps(run(np.load(job["audio"]), job))
    os.write(stdout, line.encode() + b"\n")


def play(connections, audio, step):
    """Feed all connections a chunk of `step` samples each in turn, as a server of theirs would.

    Returns:
        CPU seconds, and the memory that is resident with all of them open.
    """
    began = time.process_time()
    for start in range(0, audio.shape[1] - step + 1, step):
        for connection, stream in zip(connections, audio, strict=True):
            connection.process(stream[start : start + step])
    return {"cpu_s": time.process_time() - began, "rss_bytes": rss_bytes("self")}


def found(connections):
    """The detections of all as (stream, word, ms)."""
    return [(i, *one) for i, c in enumerate(connections) for one in c.detections.found]


def rss_bytes(pid):
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Core:
    """How much of some cores' time goes to others than one process: `others(cpu_s)`, 0 to 1."""

    def __init__(self, cores):
        self._names = {f"cpu{core}" for core in cores}
        self._busy_s, self._began = self._read_s(), time.monotonic()

    def others(self, cpu_s):
        passed_s = (time.monotonic() - self._began) * len(self._names)
        return max(self._read_s() - self._busy_s - cpu_s, 0.0) / passed_s

    def _read_s(self):
        ticks = 0
        for line in Path("/proc/stat").read_text().splitlines():
            name, *times = line.split()
            if name in self._names:  # user, nice, system, idle, iowait, irq, softirq, steal
                ticks += sum(map(int, (*times[:3], *times[5:8])))
        return ticks / os.sysconf("SC_CLK_TCK")


class Detections:
    """What a user would act on: rising crossings, none of a word within 2 s of the one before."""

    def __init__(self):
        self.found = []
        self._above = {}
        self._last_ms = {}

    def add(self, word, is_above, at_ms):
        is_rising = is_above and not self._above.get(word, False)
        self._above[word] = is_above
        if is_rising and at_ms - self._last_ms.get(word, -REFRACTORY_MS) >= REFRACTORY_MS:
            self._last_ms[word] = at_ms
            self.found.append((word, at_ms))
