"""How many live clients a server holds: more and more of them, until it is late."""

import math
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
from peers_runners.mix import SETTLING_MS, Mix, listen, said

LATE_MS = 1000
BASE = 8
"""Different streams; further clients play them again."""
EARLY_MS = 500
"""How long before streamd's own time a detection may come and still be that one."""


def ramp(run, mix, truth, steps, say):
    """Try more and more clients; a number that does not hold is tried once more.

    A step holds if 95 % of the detections come within a second of the last sample that they
    depend on, at least 95 % as many per client come as in the first step, and the clients
    could send in time.

    Args:
        run: takes streams, gives a runner's answer.
        mix: what is played, BASE streams.
        truth: what streamd hears in it offline.
        steps: numbers of clients to try.
        say: takes what is being done.

    Returns:
        `held`, `then` in words, what broke, and each step's figures.
    """
    tried, held = [], 0
    for clients in steps:
        say(f"{clients} live clients")
        for _ in range(2):
            answer = run([mix.streams[i % BASE] for i in range(clients)])
            late_ms = lateness(answer.get("arrived", answer["found"]), truth.wakes, clients)
            due = sum(at > SETTLING_MS for _, _, at in truth.wakes) * clients / BASE
            came, lag_s = len(late_ms) / due, answer["lag_s"]
            p95_ms = float(np.percentile(late_ms, 95)) if late_ms else math.inf
            tried.append({"clients": clients, "p95_ms": p95_ms, "came": came, "lag_s": lag_s})
            is_held = p95_ms <= LATE_MS and came >= 0.95 * tried[0]["came"] and lag_s < 1
            if is_held:
                held = clients
                break
        if held < clients:
            break
    last = tried[-1]
    share = 100 * last["came"] / max(tried[0]["came"], 1e-9)
    broke = (
        f"{last['clients']}: p95 {last['p95_ms'] / 1000:.1f} s late, {share:.0f} % came, "
        f"clients {last['lag_s']:.1f} s behind"
    )
    is_broken = held < last["clients"]
    return {"held": held, "then": broke if is_broken else "not tried", "steps": tried}


def positives(audio, word, seconds, seed):
    """A mix of the clips alone that say the word, and what streamd hears in it."""
    with tempfile.TemporaryDirectory() as scratch:
        for path in audio.rglob("*.flac"):
            if word in said(path):
                (Path(scratch) / path.name).symlink_to(path.resolve())
        mix = Mix(Path(scratch), BASE, seconds, seed)
    return mix, listen(mix.streams, {"wake": {"words": [word]}})


def lateness(arrived, wakes, clients, base=BASE):
    """Milliseconds behind streamd's offline `wakes`, of each detection that came.

    A detection is the first to arrive between its time and that of the same client's next.
    """
    late_ms = []
    for client in range(clients):
        came = sorted(at_ms for i, _, at_ms in arrived if i == client)
        due = sorted(at_ms for i, _, at_ms in wakes if i == client % base)
        for at_ms, following_ms in pairwise([*due, math.inf]):
            if at_ms <= SETTLING_MS:
                continue
            hits = [one for one in came if at_ms - EARLY_MS <= one < following_ms - EARLY_MS]
            late_ms += [one - at_ms for one in hits[:1]]
    return late_ms
