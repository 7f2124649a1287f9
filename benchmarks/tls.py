"""What TLS costs: `python benchmarks/tls.py [--streams 16] [--seconds 30] [--rounds 5]`.

Each round starts two servers on one and the same core, one with TLS and one without, and plays
the same live streams to both at once, each from a process of its own on the other cores. So
whatever else the machine does, and however fast it is at that moment, both have the same of it. The
figure is the ratio of their CPU times, each for one second of audio in one stream. The servers are
started in turns, because the one that starts first may have warmer caches. A round also checks that
the events are the same.

The certificate has a key on P-256, the clients take TLS 1.3. Handshakes are in the figure:
one for each stream.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import streams as live
from peers_runners.pace import late_ms
from rich.console import Console
from rich.progress import track
from rich.table import Table

PLAIN, TLS = "without TLS", "with TLS"
MOST_MORE = 0.15
"""Share of CPU time that TLS may add."""
SETS = {"all": live.MODULES, "vad": {"vad": {}}}


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--streams", type=int, default=16, help="to each server")
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--modules", choices=SETS, default="all")
    parser.add_argument(
        "--audio", type=Path, default=live.CLIPS, help="folder of 16 kHz FLAC files"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    console = Console()
    streams = live.make_streams(args.audio, args.streams, args.seconds, args.seed)
    cores = sorted(os.sched_getaffinity(0))
    places = {cores[0]}, set(cores[1:]) or {cores[0]}
    with tempfile.TemporaryDirectory() as home:
        certificate = make_certificate(Path(home))
        rounds = [
            measure(streams, args.seconds, places, certificate, SETS[args.modules], number % 2 == 1)
            for number in track(range(args.rounds), "measuring", console=console)
        ]
    ratios = [one[TLS]["cpu_ms"] / one[PLAIN]["cpu_ms"] for one in rounds]
    table = Table(title=f"{args.streams} streams of {args.seconds:g} s to each server, one core")
    for head in ("", "CPU ms per stream-second", "resident MB", "load late p99, ms"):
        table.add_column(head, justify="right")
    for name in (PLAIN, TLS):
        table.add_row(
            name,
            *(
                f"{statistics.median(one[name][figure] for one in rounds):.{digits}f}"
                for figure, digits in (("cpu_ms", 2), ("rss_mb", 0), ("late_ms", 1))
            ),
        )
    console.print(table)
    more = statistics.median(ratios) - 1
    console.print(
        f"TLS adds {more:.1%} (median of {len(ratios)} pairs, "
        f"{min(ratios) - 1:.1%} to {max(ratios) - 1:.1%})"
    )
    differ = sum(one["differ"] for one in rounds)
    console.print(f"streams whose events differ: {differ}")
    if args.json:
        args.json.write_text(json.dumps({"more": more, "rounds": rounds}, indent=2) + "\n")
    sys.exit(differ > 0 or more > MOST_MORE)


def measure(
    streams: list[Any],
    seconds: float,
    places: tuple[set[int], set[int]],
    certificate: tuple[str, str],
    modules: dict[str, Any],
    is_tls_first: bool,
) -> dict[str, Any]:
    """Play the streams to both servers at once."""
    server_cores, load_cores = places
    names = [TLS, PLAIN] if is_tls_first else [PLAIN, TLS]
    servers = {}
    found: dict[str, Any] = {}
    try:
        for name in names:
            cert, key = certificate if name == TLS else ("", "")
            servers[name] = live.serve(
                server_cores,
                STREAMD_SERVER__TLS_CERT=cert,
                STREAMD_SERVER__TLS_KEY=key,
                # Two servers share a core: neither refuses a stream, or does less for it.
                STREAMD_LIMITS__MAX_LOAD="0",
                STREAMD_LIMITS__MAX_LAG_MS="0",
                STREAMD_LIMITS__MAX_LOOP_LAG_MS="600000",
            )
        before = {name: live.cpu_s(server.pid) for name, (server, _) in servers.items()}
        rss = {name: rss_mb(server.pid) for name, (server, _) in servers.items()}
        with multiprocessing.get_context("spawn").Pool(2) as pool:
            playing = {
                name: pool.apply_async(
                    play,
                    (
                        re.sub("^http", "ws", url) + "/v1/stream",
                        streams,
                        load_cores,
                        certificate[0] if name == TLS else None,
                        modules,
                    ),
                )
                for name, (_, url) in servers.items()
            }
            time.sleep(seconds / 2)
            for name, (server, _) in servers.items():
                found[name] = {"rss_mb": rss_mb(server.pid) - rss[name]}
            played = {name: waiting.get() for name, waiting in playing.items()}
        for name, (server, _) in servers.items():
            used_s = live.cpu_s(server.pid) - before[name]
            found[name]["cpu_ms"] = 1000 * used_s / (len(streams) * seconds)
            found[name]["late_ms"] = late_ms([pace for *_, pace in played[name]])["p99"]
    finally:
        for server, _ in servers.values():
            server.terminate()
            server.wait(30)
    found["differ"] = sum(
        not live.same(live.by_type(one[0]), live.by_type(other[0]))
        for one, other in zip(played[PLAIN], played[TLS], strict=True)
    )
    return found


def play(url: str, streams: list[Any], cores: set[int], ca: str | None, modules: Any) -> Any:
    """Play all streams, in a process of its own."""
    live.MODULES = modules
    return live.load(url, streams, cores, ca)


def rss_mb(pid: int) -> float:
    """Return the resident memory of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024


def make_certificate(home: Path) -> tuple[str, str]:
    """Return the files of a certificate for this machine, and of its key."""
    cert, key = str(home / "cert.pem"), str(home / "key.pem")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *("-nodes", "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
    return cert, key


if __name__ == "__main__":
    main()
