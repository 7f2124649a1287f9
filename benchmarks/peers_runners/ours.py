"""A `streamd serve` of its own on one core, and live streams to it from another process."""

import multiprocessing
import os
import re
from collections import Counter

import numpy as np
import streams as live
from peers_runners import pace
from peers_runners.job import Core, rss_bytes
from peers_runners.mix import SETTLING_MS


def run(modules, streams, server_cores, client_cores):
    """What a live peer's runner answers, for streamd with these modules."""
    server, url = live.serve(server_cores)
    try:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            pool.apply(os.sched_setaffinity, (0, client_cores))  # it imports all this anew first
            before, resident, core = live.cpu_s(server.pid), 0, Core(server_cores)
            url = re.sub("^http", "ws", url) + "/v1/stream"
            playing = pool.apply_async(_load, (modules, url, streams, client_cores))
            while not playing.ready():
                playing.wait(0.5)
                resident = max(resident, rss_bytes(server.pid))
            spent_s = live.cpu_s(server.pid) - before
            others, played = core.others(spent_s), playing.get()
    finally:
        server.terminate()
        server.wait(30)
    spent = {"cpu_s": spent_s, "others": others, "rss_bytes": resident}
    if isinstance(played, str):
        return spent | {"found": [], "live": {"late_ms": None, "behind_ms": {}, "lost": played}}
    events = [(i, event) for i, (received, *_) in enumerate(played) for event in received]
    wakes = [(i, event) for i, event in events if event["type"] == "wake"]
    return spent | {
        "found": [(i, e["word"], e["at"]) for i, e in wakes],
        "arrived": [(i, e["word"], e["at"] + e["latency_ms"]) for i, e in wakes],
        "live": _live(played, [event for _, event in events]),
    }


def _live(played, events):
    """What the rule for live rounds asks for."""
    paces = [one for *_, one in played]
    timed = [event for event in events if "latency_ms" in event]
    # As of detections, those of the first seconds do not count, when all streams begin at once.
    late_ms = [event["latency_ms"] for event in timed if event["at"] > SETTLING_MS]
    lag_ms = [event["lag_ms"] for event in events if event["type"] == "ack"]
    byes = [event for event in events if event["type"] == "bye"]
    behind_ms = {
        "p99 of the acks": float(np.percentile(lag_ms, 99)) if lag_ms else 0.0,
        "p99 of the events": float(np.percentile(late_ms, 99)) if late_ms else 0.0,
        "the last of the audio": 1000 * max((bye["after_s"] for bye in byes), default=0.0),
    }
    # Less work than was asked for is as good as late.
    lost = Counter(e["type"] for e in events if e["type"] in ("gap", "degraded"))
    lost["streams that did not end"] = len(played) - len(byes)
    lost_text = ", ".join(f"{count} × {what}" for what, count in lost.items() if count)
    return {"late_ms": pace.late_ms(paces), "behind_ms": behind_ms, "lost": lost_text}


def _load(modules, *rest):
    live.MODULES = modules  # of this process alone
    try:
        return live.load(*rest)
    except OSError as fault:  # in words: not every one of them can be pickled
        return f"a stream was lost, {type(fault).__name__}: {fault}"
