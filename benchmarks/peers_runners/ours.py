"""A `streamd serve` of its own on one core, and live streams to it from another process."""

import multiprocessing
import re

import numpy as np
import streams as live
from peers_runners.job import Core, rss_bytes


def run(modules, streams, server_cores, client_cores):
    """What a peer's runner answers, for streamd with these modules."""
    server, url = live.serve(server_cores)
    try:
        before, resident, core = live.cpu_s(server.pid), 0, Core(server_cores)
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            url = re.sub("^http", "ws", url) + "/v1/stream"
            playing = pool.apply_async(_load, (modules, url, streams, client_cores))
            while not playing.ready():
                playing.wait(0.5)
                resident = max(resident, rss_bytes(server.pid))
            played = playing.get()
        spent_s = live.cpu_s(server.pid) - before
        others = core.others(spent_s)
    finally:
        server.terminate()
        server.wait(30)
    events = [(i, event) for i, (heard, _) in enumerate(played) for event in heard]
    late_ms = [event["latency_ms"] for _, event in events if "latency_ms" in event]
    wakes = [(i, event) for i, event in events if event["type"] == "wake"]
    sent_s = max(event["sent_s"] for _, event in events if event["type"] == "bye")
    lag_s = sent_s - len(streams[0]) / live.RATE_HZ
    return {
        "cpu_s": spent_s,
        "others": others,
        "rss_bytes": resident,
        "found": [(i, e["word"], e["at"]) for i, e in wakes],
        "arrived": [(i, e["word"], e["at"] + e["latency_ms"]) for i, e in wakes],
        "late_ms": max(float(np.percentile(late_ms, 99)) if late_ms else 0.0, 1000 * lag_s),
        "lag_s": lag_s,
    }


def _load(modules, *rest):
    live.MODULES = modules  # of this process alone
    return live.load(*rest)
