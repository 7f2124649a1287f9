"""A round of a live server: runs, until one is valid or there is a reason to stop."""

from peers_runners.rule import SERVER, VALID

PROOFS = 2
"""How often a server must fall behind until that number of streams is too many."""


def until_valid(run, streams, tries):
    """The runs of a round; the last one is valid, if any is.

    Where the machine is to blame, the same number is tried again; where it is the server, the
    number is halved.

    Args:
        run: takes a number of streams, gives a dict with its `verdict`.
        streams: to begin with.
        tries: for each number; at least PROOFS.
    """
    done = []
    while streams:
        here = []
        while len(here) < tries and _count(here, SERVER) < PROOFS and not _count(here, VALID):
            here.append(run(streams))
        done += here
        if _count(here, SERVER) < PROOFS:
            break
        streams //= 2
    return done


def _count(runs, verdict):
    return sum(one["verdict"] == verdict for one in runs)
