"""How fast a revoked key is out, and what the time of a reply tells: `python benchmarks/access.py`.

`revocation` opens streams with a key, revokes it in the store, and takes the time until the last
of them was closed with 4001, again and again. `--store-url` uses a PostgreSQL database; its tables
and its keys are left as they are.

`tenants` asks, as one tenant, for what another tenant has and for what nobody has, in pairs whose
order is random: a voice, a word, a ticket, the token of a stream. It prints the difference of the
medians with a bootstrap interval, beside the same for two things that nobody has. An interval that
leaves out 0, where that of nobody's things does not, is a difference that a stranger may see.
Each kind has as many names, tickets or tokens, which are asked for again and again: the first
request for a path is some microseconds slower, because libraries remember paths.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import streams as live
from rich.console import Console
from rich.progress import track
from rich.table import Table
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from streamd.access.keys import new_key
from streamd.config import StoreConfig
from streamd.engine.passes.heads import WordHead
from streamd.modules.words import CustomWord, WordEstimate, WordInfo
from streamd.store.base import Enrolment, Store
from streamd.store.opening import open_configured
from streamd.wall_clock import now_ms

OTHER = "other"
KNOWN_S = 3.0
"""Seconds after which a server knows every key."""
LATEST_S = 30.0
RESAMPLES = 2000
WARM_UP = 200
"""Answers whose times do not count."""
SETTINGS = {
    "STREAMD_ACCESS__KEYS": "always",
    # A machine that is busy with other things refuses no stream.
    "STREAMD_LIMITS__MAX_LOAD": "0",
    "STREAMD_LIMITS__MAX_LAG_MS": "0",
    "STREAMD_LIMITS__MAX_LOOP_LAG_MS": "600000",
    "STREAMD_LIMITS__IDLE_S": "3600",
}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("what", choices=["revocation", "tenants"])
    parser.add_argument("-n", type=int, help="revocations (50), or pairs (2000)")
    parser.add_argument("--streams", type=int, default=64, help="of the key that is revoked")
    parser.add_argument("--store-url", default="", help="PostgreSQL database")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    random.seed(args.seed)
    with tempfile.TemporaryDirectory() as home:
        place = Path(home)
        if args.what == "revocation":
            found = revocation(place, args.n or 50, args.streams, args.store_url)
        else:
            found = tenants(place, args.n or 2000, args.store_url, args.seed)
    if args.json:
        args.json.write_text(json.dumps(found, indent=2) + "\n")


@contextlib.contextmanager
def serving(place: Path, store_url: str) -> Iterator[str]:
    """A server on all cores; its URL."""
    settings = SETTINGS | {
        "STREAMD_DATA": str(place),
        "STREAMD_STORE__URL": store_url,
        "STREAMD_STORE__KEY_PATH": str(place / "key"),
    }
    server, url = live.serve(os.sched_getaffinity(0), **settings)
    try:
        yield url
    finally:
        server.terminate()
        server.wait()


def opened(place: Path, store_url: str) -> Store:
    """The store of the server."""
    environ = {"STREAMD_DATA": str(place)}
    return open_configured(StoreConfig(url=store_url, key_path=str(place / "key")), environ)


def make_key(store: Store, name: str, tenant: str = "default") -> str:
    """Make a key with all scopes but `admin`."""
    text, record = new_key(name, tenant, ["stream", "enrol"], now_ms())
    store.access.add_key(record)
    return text


def connected(url: str, key: str) -> connect:
    """A socket for a stream, as a context."""
    return connect(
        url.replace("http", "ws", 1) + "/v1/stream",
        additional_headers={"X-API-Key": key},
        compression=None,
        ping_interval=None,
        proxy=None,
    )


def ready(socket: ClientConnection) -> dict[str, Any]:
    """Begin a stream; its `ready`."""
    socket.send(json.dumps({"type": "hello", "modules": {"vad": {}}}))
    event: dict[str, Any] = json.loads(socket.recv())
    assert event["type"] == "ready", event
    return event


def revocation(place: Path, times: int, streams: int, store_url: str) -> list[float]:
    """Seconds from each revocation to the last close."""
    run = f"{random.getrandbits(32):08x}"
    latest_s, others = [], []
    with closing(opened(place, store_url)) as store:
        keys = {f"{run} {n}": make_key(store, f"{run} {n}") for n in range(times)}
        with serving(place, store_url) as url:
            for name, key in track(keys.items(), "revoking"):
                with ExitStack() as sockets:
                    opened_now = [
                        sockets.enter_context(connected(url, key)) for _ in range(streams)
                    ]
                    for socket in opened_now:
                        ready(socket)
                    time.sleep(random.uniform(0, 1))  # the server polls at any phase
                    began_s = time.monotonic()
                    assert store.access.revoke_key(name, now_ms()) is not None
                    closed_s = [until_closed(socket) - began_s for socket in opened_now]
                latest_s.append(max(closed_s))
                others.append(min(closed_s))
    quantiles = np.quantile(latest_s, [0.5, 0.95, 1.0]) * 1000
    kind = "PostgreSQL" if store_url else "SQLite"
    Console().print(
        f"{kind}, {times} revocations of a key with {streams} streams, until the last was closed: "
        f"p50 {quantiles[0]:.0f}, p95 {quantiles[1]:.0f}, longest {quantiles[2]:.0f} ms; "
        f"first to last p50 {1000 * np.median(np.subtract(latest_s, others)):.0f} ms"
    )
    return latest_s


def until_closed(socket: ClientConnection) -> float:
    """When the server closed it, monotonic seconds."""
    with contextlib.suppress(ConnectionClosed):
        while True:
            socket.recv(LATEST_S)
    assert socket.close_code == 4001, socket.close_code
    return time.monotonic()


def tenants(place: Path, pairs: int, store_url: str, seed: int) -> dict[str, Any]:
    """By what is asked for, the difference that another tenant's makes."""
    with closing(opened(place, store_url)) as store:
        mine, other = make_key(store, "mine"), make_key(store, "other", OTHER)
        fill(store.of(OTHER))
        with serving(place, store_url) as url, closing(Asker(url, mine)) as asker:
            time.sleep(KNOWN_S)
            tickets = [asker.ticket(other) for _ in range(20)]
            with connected(url, other) as held:
                token = ready(held)["resume"]["token"]
                cases: dict[str, tuple[Callable[[str], float], list[str]]] = {
                    "voice, GET": (asker.voice, NAMES),
                    "voice, DELETE": (asker.no_voice, NAMES),
                    "word, DELETE": (asker.no_word, NAMES),
                    "ticket beside a key": (asker.shown, tickets),
                    "token of a stream": (asker.resumed, [token]),
                }
                found = {
                    what: measure(ask, theirs, pairs, what) for what, (ask, theirs) in cases.items()
                }
    report(found, seed)
    return {what: {k: list(v) for k, v in one.items()} for what, one in found.items()}


NAMES = [f"lantern{number:02}" for number in range(20)]


def fill(store: Store) -> None:
    """Give a tenant voices and words."""
    estimate = WordEstimate(
        missed=1, tries=20, missed_clean=0, tries_clean=5, false_accepts=2, negatives_s=3600
    )
    for number, name in enumerate(NAMES):
        vector = np.random.default_rng(number).normal(size=256).astype(np.float32)
        store.enrol(name, [Enrolment(vector, "ge2e", "wide", 5000, "a.wav")])
        weights = np.random.default_rng(number).normal(size=(16, 96)).astype(np.float32)
        info = WordInfo(
            name=name, clips=5, phrase_ms=640, threshold=0.5, estimate=estimate, training_data=""
        )
        store.add_word(CustomWord(info, WordHead(weights, -1.5).pack()))


class Asker:
    """One tenant's client, which takes the time of each answer, in seconds."""

    def __init__(self, url: str, key: str) -> None:
        self._url, self._key = url, key
        parts = urlsplit(url)
        assert parts.hostname is not None
        self._http = http.client.HTTPConnection(parts.hostname, parts.port)

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def ticket(self, key: str) -> str:
        """Return a ticket of a key."""
        self._ask("POST", "/v1/tickets", 201, key)
        return str(json.loads(self._body)["ticket"])

    def voice(self, name: str) -> float:
        """Look a voice up."""
        return self._ask("GET", f"/v1/speakers/{name}", 404)

    def no_voice(self, name: str) -> float:
        """Delete a voice."""
        return self._ask("DELETE", f"/v1/speakers/{name}", 404)

    def no_word(self, name: str) -> float:
        """Delete a word."""
        return self._ask("DELETE", f"/v1/words/{name}", 404)

    def shown(self, ticket: str) -> float:
        """Show a ticket beside the key, where a stream would be opened."""
        return self._ask("GET", f"/v1/stream?ticket={ticket}", 426)

    def resumed(self, token: str) -> float:
        """Resume a stream."""
        hello = json.dumps({"type": "hello", "resume": {"token": token, "last_seq": 0}})
        with connected(self._url, self._key) as socket:
            began_s = time.perf_counter()
            socket.send(hello)
            answer = socket.recv()
            took_s = time.perf_counter() - began_s
        assert json.loads(answer)["code"] == "resume_unknown"
        return took_s

    def _ask(self, method: str, path: str, status: int, key: str = "") -> float:
        began_s = time.perf_counter()
        self._http.request(method, path, headers={"X-API-Key": key or self._key})
        answer = self._http.getresponse()
        self._body = answer.read()
        took_s = time.perf_counter() - began_s
        assert answer.status == status, (path, answer.status, self._body)
        return took_s


def measure(
    ask: Callable[[str], float], theirs: list[str], pairs: int, what: str
) -> dict[str, np.ndarray]:
    """Take the times of so many answers about another tenant's, and as many twice of nobody's."""
    asked_for = {
        "theirs": theirs,
        "nobody's": [unlike(one) for one in theirs],
        "nobody's again": [unlike(one) for one in theirs],
    }
    times: dict[str, list[float]] = {kind: [] for kind in asked_for}
    for number in track(range(WARM_UP + pairs), what):
        for kind in random.sample(list(asked_for), 3):
            took_s = ask(random.choice(asked_for[kind]))
            if number >= WARM_UP:
                times[kind].append(took_s)
    return {kind: 1e6 * np.array(taken) for kind, taken in times.items()}


def unlike(text: str) -> str:
    """A name, ticket or token of the same form and length that nobody has."""
    keep = 2 if "_" in text[:3] else 0
    letters = "abcdefghijklmnopqrstuvwxyz"
    return text[:keep] + "".join(random.choice(letters) for _ in text[keep:])


def report(found: dict[str, dict[str, np.ndarray]], seed: int) -> None:
    """Print the differences of the medians, with intervals of 95 %."""
    table = Table(title="times of answers, microseconds")
    for head in ("asked for", "median", "another tenant's less nobody's", "nobody's less nobody's"):
        table.add_column(head, justify="right")
    draw = np.random.default_rng(seed)
    for what, times in found.items():
        none = times["nobody's"]
        table.add_row(
            what,
            f"{np.median(none):.0f}",
            difference(draw, times["theirs"], none),
            difference(draw, times["nobody's again"], none),
        )
    Console().print(table)


def difference(draw: np.random.Generator, one: np.ndarray, other: np.ndarray) -> str:
    """The difference of two medians, with its bootstrap interval."""
    picks = [
        np.median(draw.choice(one, len(one))) - np.median(draw.choice(other, len(other)))
        for _ in range(RESAMPLES)
    ]
    low, high = np.quantile(picks, [0.025, 0.975])
    return f"{np.median(one) - np.median(other):+.1f} ({low:+.1f} to {high:+.1f})"


if __name__ == "__main__":
    sys.exit(main())
