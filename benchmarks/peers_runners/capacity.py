"""How many live clients a server holds: a ramp of clients, up to the number at which it is late."""

import tempfile
from pathlib import Path

from peers_runners.delays import delays_ms, with_detections
from peers_runners.mix import SETTLING_MS, Mix, run_offline, said
from peers_runners.rule import BEHIND_MS, VALID, judge

BASE = 32
"""Number of different streams; further clients play them again."""


def ramp(run, mix, truth, steps, say):
    """Try more and more clients; a number that does not hold is tried once more.

    A step holds if it is a valid round and at least 95 % as many detections per client come as in
    the first step. The clients have the server's cores, so they may be as late as the server: that
    the cores are full is what is looked for.

    Args:
        run: takes streams, gives a runner's answer.
        mix: what is played, BASE streams.
        truth: streamd's offline events of it.
        steps: numbers of clients to try.
        say: called with what is being done.

    Returns:
        `held`, `then` in words, what broke, and each step's figures.
    """
    tried, held = [], 0
    for clients in steps:
        say(f"{clients} live clients")
        for _ in range(2):
            answer = run([mix.streams[i % BASE] for i in range(clients)])
            arrived = answer.get("arrived", answer["found"])
            late_ms = delays_ms(arrived, truth.wakes, clients, BASE)
            due = sum(
                at > SETTLING_MS
                for client in range(clients)
                for stream, _, at in truth.wakes
                if stream == client % BASE
            )
            came, live = len(late_ms) / max(due, 1), answer["live"]
            live["behind_ms"] = with_detections(live["behind_ms"], late_ms)
            verdict, why = judge(live, None, BEHIND_MS)
            tried.append({"clients": clients, "came": came, "verdict": verdict, "why": why} | live)
            is_held = verdict == VALID and came >= 0.95 * tried[0]["came"]
            if is_held:
                held = clients
                break
        if held < clients:
            break
    last = tried[-1]
    share = 100 * last["came"] / max(tried[0]["came"], 1e-9)
    broke = f"{last['clients']}: {last['why'] or 'in time'}, {share:.0f} % of the detections came"
    is_broken = held < last["clients"]
    return {"held": held, "then": broke if is_broken else "not tried", "steps": tried}


def positives(audio, word, seconds, seed):
    """Return a mix of only the clips that say the word, and streamd's offline events of it."""
    with tempfile.TemporaryDirectory() as scratch:
        for path in audio.rglob("*.flac"):
            if word in said(path):
                (Path(scratch) / path.name).symlink_to(path.resolve())
        mix = Mix(Path(scratch), BASE, seconds, seed)
    return mix, run_offline(mix.streams, {"wake": {"words": [word]}})
