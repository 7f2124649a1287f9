"""How soon a server is ready, and where the time goes: `python benchmarks/ready.py [--runs 5]`.

Starts `streamd serve --port 0` with models and store in place and asks for `/health/ready` until
it says so: seconds from starting the process, the median of the runs. Runs of the same command
with a stopwatch inside take turns with these and say what takes how long; one more with
`-X importtime` says which packages the imports are.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import defaultdict
from pathlib import Path

SERVE = ["serve", "--port", "0"]
GOAL_S = 2.0
SHOWN_PACKAGES = 8


def main():
    if sys.argv[1:2] == ["inside"]:
        inside(float(sys.argv[2]))
    from rich.console import Console
    from rich.progress import track
    from rich.table import Table

    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    ready, cpu, stages = [], [], defaultdict(list)
    console = Console()
    with tempfile.TemporaryDirectory() as home:
        start(home, ["-m", "streamd", *SERVE])  # not counted: makes the store, reads the files
        for _ in track(range(args.runs), "starts", console=console):
            took_s, cpu_s, _, _ = start(home, ["-m", "streamd", *SERVE])
            ready.append(took_s)
            cpu.append(cpu_s)
            took_s, _, out, began = start(home, [__file__, "inside"], with_time=True)
            for name, seconds in stages_of(json.loads(out), began, took_s).items():
                stages[name].append(seconds)
        _, _, imports, _ = start(home, ["-X", "importtime", "-m", "streamd", *SERVE])
    figures = {
        "ready_s": {"median": round(statistics.median(ready), 3), "runs": rounded(ready)},
        "cpu_s": {"median": round(statistics.median(cpu), 3), "runs": rounded(cpu)},
        "stages_ms": {n: round(1000 * statistics.median(s), 1) for n, s in stages.items()},
        "imports_ms": packages(imports),
    }
    middle_s = figures["ready_s"]["median"]
    table = Table(title=f"ready after {middle_s:.2f} s, median of {args.runs}; goal {GOAL_S:g} s")
    table.add_column("stage")
    table.add_column("ms", justify="right")
    for name, ms in figures["stages_ms"].items():
        table.add_row(name, f"{ms:.0f}")
    table.add_section()
    for name, ms in list(figures["imports_ms"].items())[:SHOWN_PACKAGES]:
        table.add_row(f"importing {name}, by -X importtime", f"{ms:.0f}")
    console.print(table)
    console.print(
        f"{min(ready):.2f} to {max(ready):.2f} s; CPU {figures['cpu_s']['median']:.2f} s of all "
        "threads. The stopwatch's stages are medians, and need not add up."
    )
    if args.json:
        args.json.write_text(json.dumps(figures, indent=2) + "\n")
    sys.exit(middle_s > GOAL_S)


def start(home, command, with_time=False):
    """Seconds to ready, CPU seconds until then, what it said on stderr, when it was started."""
    from streams import cpu_s as cpu_of  # here: at the top it would be part of what is measured

    environ = os.environ | {"STREAMD_DATA": home, "STREAMD_LOG__LEVEL": "warning"}
    with tempfile.TemporaryFile() as stderr:
        began = time.monotonic()
        server = subprocess.Popen(
            [sys.executable, *command, *([str(began)] if with_time else [])],
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=environ,
        )
        try:
            line = server.stdout.readline().decode()
            if not line.startswith("listening on "):
                stderr.seek(0)
                sys.exit(f"no server: {stderr.read().decode()}")
            wait_until_ready(line.removeprefix("listening on ").strip())
            took_s, cpu_s = time.monotonic() - began, cpu_of(server.pid)
        finally:
            server.terminate()
            server.wait(30)
            server.stdout.close()
        stderr.seek(0)
        return took_s, cpu_s, stderr.read().decode(), began


def wait_until_ready(url):
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    while True:
        try:
            with opener.open(url + "/health/ready", timeout=5):
                return
        except urllib.error.HTTPError as refusal:
            if refusal.code != 503:
                raise
            time.sleep(0.005)


def inside(began):
    """`streamd serve` with a stopwatch: says on stderr when it did what."""
    stamps = {"python": time.monotonic()}
    spent = defaultdict(float)
    import streamd.cli
    from streamd.cli import serve
    from streamd.engine.backends.onnxruntime import OnnxRuntime
    from streamd.engine.passes import ge2e, openwakeword, silero

    def stamped(name, function):
        def call(*args, **options):
            try:
                return function(*args, **options)
            finally:
                stamps[name] = time.monotonic()

        return call

    def timed(name, function):
        def call(*args, **options):
            from_s = time.monotonic()
            try:
                return function(*args, **options)
            finally:
                spent[name] += time.monotonic() - from_s

        return call

    def announce(url, announce=serve.announce):
        stamps["listening"] = time.monotonic()
        announce(url)

    def reads(path, read=serve.read_session_config):
        stamps["imports"] = time.monotonic()
        return read(path)

    serve.announce = announce
    serve.read_session_config = reads
    serve.open_voices = stamped("store", serve.open_voices)
    serve.make_parts = stamped("parts", serve.make_parts)
    OnnxRuntime.load = timed("sessions", OnnxRuntime.load)
    for module in (ge2e, openwakeword, silero):
        module.warm_up = timed("warm", module.warm_up)
    sys.argv = ["streamd", *SERVE]
    try:
        streamd.cli.main()
    finally:
        json.dump({"stamps": stamps, "spent": spent}, sys.stderr)


def stages_of(report, began, took_s):
    """Seconds of each stage."""
    at, spent = report["stamps"], report["spent"]
    models = spent["sessions"] + spent["warm"]
    return {
        "the interpreter": at["python"] - began,
        "imports": at["imports"] - at["python"],
        "configuration and store": at["store"] - at["imports"],
        "model sessions": spent["sessions"],
        "their first runs": spent["warm"],
        "the other parts": at["parts"] - at["store"] - models,
        "engine, HTTP, listening": at["listening"] - at["parts"],
        "the first answer": began + took_s - at["listening"],
    }


def packages(stderr):
    """Milliseconds of imports by top-level package, most first, from `-X importtime`."""
    spent = defaultdict(float)
    for own_us, name in re.findall(r"^import time: +(\d+) \| +\d+ \| +([\w.]+)$", stderr, re.M):
        spent[name.partition(".")[0]] += int(own_us) / 1000
    return {n: round(ms, 1) for n, ms in sorted(spent.items(), key=lambda one: -one[1])}


def rounded(values):
    return [round(value, 3) for value in values]


if __name__ == "__main__":
    main()
