"""How free the event loop is under load: `python benchmarks/loop.py [--against CHECKOUT]`.

Starts `streamd serve` on one core, has `streamd bench` play 40 and then 64 live streams to it, and
meanwhile asks for `/health/ready`, each time on a new connection, as a load balancer does. A timer
inside the server says how long the loop does not come back: that is the rest of a turn, and what
the machine takes away. The CPU time of the loop's thread between two calls of that timer leaves out
what the machine takes away; no turn takes more. With `--against`, another checkout takes turns with
this one in each round; figures are medians of the rounds. On a machine that others use, only CPU
and ratios mean anything.
"""

import argparse
import asyncio
import http.client
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

HERE = Path(__file__).resolve().parents[1]
SAMPLE_S = 0.005
"""Seconds between two looks at how late the loop is."""
PROBE_S = 0.05
"""Seconds between two requests, on average."""
SETTLE_S = 2.0
"""Seconds from the last stream that opens to the first look."""
LONG_MS = 10.0
COLUMNS = {
    "health_p50_ms": "health p50, ms",
    "health_p99_ms": "p99",
    "turn_p50_ms": "loop held p50, ms",
    "turn_p99_ms": "p99",
    "turn_max_ms": "longest",
    "long_percent": f"over {LONG_MS:g} ms, %",
    "turn_cpu_p99_ms": "CPU between two looks p99, ms",
    "turn_cpu_max_ms": "most",
    "cpu_ms": "CPU ms per stream-second",
}


def main():
    if sys.argv[1:2] == ["inside"]:
        inside(Path(sys.argv[2]), int(sys.argv[3]))
        return
    from rich.console import Console
    from rich.progress import track
    from rich.table import Table

    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument(
        "--against", type=Path, help="another checkout, for example before a change"
    )
    parser.add_argument("--streams", type=int, nargs="+", default=[40, 64])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    trees = [HERE] if args.against is None else [HERE, args.against.resolve()]
    runs = [(n, tree) for _ in range(args.rounds) for n in args.streams for tree in trees]
    found: dict[tuple[int, Path], list[dict[str, float]]] = {}
    console = Console(width=None if sys.stdout.isatty() else 140)
    for streams, tree in track(runs, "measuring", console=console):
        found.setdefault((streams, tree), []).append(measure(tree, streams, args.seconds))
    middle = {
        key: {name: round(statistics.median(r[name] for r in rounds), 2) for name in COLUMNS}
        for key, rounds in found.items()
    }
    table = Table(title=f"the event loop under load, medians of {args.rounds}")
    for head in ("streams", "checkout", *COLUMNS.values()):
        table.add_column(head, justify="right")
    for (streams, tree), figures in sorted(middle.items()):
        table.add_row(str(streams), tree.name, *(f"{figures[name]:.1f}" for name in COLUMNS))
    console.print(table)
    if args.json:
        results = [{"streams": n, "checkout": t.name, "rounds": r} for (n, t), r in found.items()]
        args.json.write_text(json.dumps(results, indent=2) + "\n")


def measure(tree, streams, seconds):
    """Measure one server with so many streams."""
    with tempfile.TemporaryDirectory() as home:
        late, played = Path(home) / "late.json", Path(home) / "bench.json"
        environ = os.environ | {
            "PYTHONPATH": str(tree),
            "STREAMD_DATA": home,
            "STREAMD_LOG__LEVEL": "warning",
            "STREAMD_ENGINE__THREADS": "1",
        }
        server = subprocess.Popen(
            [sys.executable, __file__, "inside", str(late), str(streams)],
            env=environ,
            stdout=subprocess.PIPE,
        )
        try:
            line = server.stdout.readline().decode()
            url = line.removeprefix("listening on ").strip()
            command = [sys.executable, "-m", "streamd", "bench", "--p99-ms", "1e9"]
            command += ["--url", url.replace("http", "ws", 1) + "/v1/stream"]
            command += ["--start", str(streams), "--max", str(streams)]
            command += ["--step-s", str(seconds), "--json", str(played)]
            bench = subprocess.Popen(
                command,
                env=os.environ | {"PYTHONPATH": str(HERE)},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            while ask(url)["streams"] < streams:
                time.sleep(PROBE_S)
            time.sleep(SETTLE_S)
            began = time.monotonic()
            health = probe(url, until=began + seconds - SETTLE_S)
            ended = time.monotonic()
            if bench.wait(timeout=seconds + 120):
                sys.exit("the load failed")
        finally:
            server.terminate()
            server.wait(60)
            server.stdout.close()
        looks = [look for look in json.loads(late.read_text()) if began <= look[0] <= ended]
        turns, cpu = [look[1] for look in looks], [look[2] for look in looks]
        step = json.loads(played.read_text())["steps"][0]
    return {
        "health_p50_ms": quantile(health, 0.5),
        "health_p99_ms": quantile(health, 0.99),
        "turn_p50_ms": quantile(turns, 0.5),
        "turn_p99_ms": quantile(turns, 0.99),
        "turn_max_ms": max(turns),
        "turn_cpu_p99_ms": quantile(cpu, 0.99),
        "turn_cpu_max_ms": max(cpu),
        "long_percent": 100 * sum(ms > LONG_MS for ms in turns) / len(turns),
        "cpu_ms": step["server"]["cpu_ms"],
    }


def probe(url, until):
    """Return the milliseconds from a new connection to the whole answer, of each request."""
    took = []
    while (now := time.monotonic()) < until:
        ask(url)
        took.append(1000 * (time.monotonic() - now))
        time.sleep(random.uniform(0, 2 * PROBE_S))
    return took


def ask(url):
    """Return what `/health/ready` answers on a connection of its own."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)
    connection.request("GET", "/health/ready")
    answer = connection.getresponse()
    body = json.loads(answer.read())
    connection.close()
    if answer.status != 200:
        sys.exit(f"not ready: {body}")
    return body


def quantile(values, share):
    ranked = sorted(values)
    return ranked[min(int(share * len(ranked)), len(ranked) - 1)]


def inside(out, streams):
    """Serve on one core, and write down how late the loop was when, and its CPU time until then."""
    from streamd.app import Daemon
    from streamd.cli import main as streamd

    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    os.environ["STREAMD_LIMITS__MAX_STREAMS"] = str(streams + 1)
    late, run = [], Daemon.run

    async def sample():
        cpu = time.thread_time()
        while True:
            due = time.monotonic() + SAMPLE_S
            await asyncio.sleep(SAMPLE_S)
            now, before, cpu = time.monotonic(), cpu, time.thread_time()
            late.append((now, 1000 * max(now - due, 0.0), 1000 * (cpu - before)))

    async def sampled(self, listening):
        sampler = asyncio.create_task(sample())
        try:
            await run(self, listening)
        finally:
            sampler.cancel()
            out.write_text(json.dumps(late))

    Daemon.run = sampled
    sys.argv = ["streamd", "serve", "--port", "0"]
    streamd()


if __name__ == "__main__":
    main()
