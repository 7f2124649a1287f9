"""Whether a live round counts: the one rule, for every server that is measured live.

It counts if the load kept real time and the server kept up with it. A late load makes less work, or
the same in bursts; a server that is behind forms larger batches or loses audio. Both look cheap.

A runner's answer has `live`: `late_ms`, `p99` and `most` of all messages; `behind_ms`, by what
shows it, how far the server was behind; `lost`, streams or audio, in words, or "".
"""

from typing import NamedTuple

from streamd.bench.step import LATE_MS

BEHIND_MS = 250
"""What `streamd bench` asks of p99. Not a second: streamd on a share of a core, half a second late,
took a third of its CPU."""
OTHERS = 0.1
"""Share of its core that others may take before a delay is not the server's fault."""

VALID, LOAD, MACHINE, SERVER = "valid", "load", "machine", "server"
"""Results of a round; only the last says something about how much the server carries."""
BOUNDS = {"load_late_p99_ms": LATE_MS, "server_behind_ms": BEHIND_MS, "others": OTHERS}


class WordResult(NamedTuple):
    """One of the four results, and why, in words."""

    kind: str
    why: str = ""


def judge(live, others, late_ms=LATE_MS):
    """Return the result of a round.

    Args:
        live: the runner's.
        others: share of the server's core that others took; None where the load is among them.
        late_ms: bound of the load's lateness, p99.
    """
    if live["late_ms"] and live["late_ms"]["p99"] > late_ms:
        return WordResult(LOAD, f"the load was late, p99 {live['late_ms']['p99']:.0f} ms")
    name, behind_ms = worst(live)
    if behind_ms <= BEHIND_MS and not live["lost"]:
        return WordResult(VALID)
    why = live["lost"] or f"{name} up to {behind_ms / 1000:.2f} s late"
    if others is not None and others > OTHERS:
        return WordResult(MACHINE, f"others took {100 * others:.0f} % of the core, {why}")
    return WordResult(SERVER, why)


def worst(live):
    """Return the measure that shows the server most behind, and by how many milliseconds."""
    return max(live["behind_ms"].items(), key=lambda one: one[1], default=("nothing", 0.0))
