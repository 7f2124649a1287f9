"""How late a server's detections come after streamd's offline ones of the same audio."""

import math
from itertools import pairwise

import numpy as np
from peers_runners.mix import SETTLING_MS

EARLY_MS = 500
"""Milliseconds before streamd's own time at which a detection may come and still be that one."""


def delays_ms(arrived, wakes, clients, base):
    """Return the milliseconds from streamd's offline `wakes` to each detection.

    A detection is the first of its word to arrive between its time and that of the client's next.

    Args:
        arrived: (client, word, ms).
        wakes: (stream, word, ms).
        clients: how many there are.
        base: how many different streams they play.
    """
    found = []
    for client in range(clients):
        for word in {word for _, word, _ in wakes}:
            came = sorted(at for i, w, at in arrived if (i, w) == (client, word))
            due = sorted(at for i, w, at in wakes if (i, w) == (client % base, word))
            for at_ms, following_ms in pairwise([*due, math.inf]):
                hits = [one for one in came if at_ms - EARLY_MS <= one < following_ms - EARLY_MS]
                if at_ms > SETTLING_MS:
                    found += [one - at_ms for one in hits[:1]]
    return found


def with_detections(behind_ms, late_ms):
    """Return the other measures of a server's delay, with that of its detections, if any came.

    Their median: with few, the 95th percentile is the single word that was missed and then "found"
    late in something else, which says nothing about time.
    """
    return behind_ms | ({"detections": float(np.median(late_ms))} if late_ms else {})
