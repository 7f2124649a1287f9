"""streamd beside its peers: the same audio, CPU per second of it, and the words that each detects.

    python benchmarks/peers.py [--audio DIR] [--streams 16] [--seconds 30] [--rounds 3]
        [--only NAME ...] [--capacity] [--json FILE] [--markdown FILE]

Each peer is installed in an environment of its own (--peers-dir), with streamd's own onnxruntime
and numpy where it takes them. Where pip's index gives torch with CUDA, set
PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu.

The unit is CPU milliseconds of the server's process, all its threads, per second of audio and
stream, so a core carries 1000 divided by that. Rounds take turns: every peer of a task, then
streamd; figures are medians with the least and the most, and the ratio is the median of the
rounds' own ratios. Every measured process stays on one and the same core.

- streamd is `streamd serve` with N live WebSocket streams of 20 ms messages, so its figure has the
  socket, the protocol and the session in it; "no socket" is its session and engine in one thread,
  as benchmarks/modules.py has them. Its VAD always runs, for wake words and voices too.
- wyoming-openwakeword is a server with N live clients of 64 ms messages, as satellites send them.
- Libraries have no server: N connections' objects in one process are fed in turns, offline, as
  fast as they go, without any transport, one thread to each runtime, which flatters them. Loading
  is not counted.
- Resemblyzer embeds 1.6 s at the very places where streamd's speaker module has its windows.
- `glued` is openWakeWord with four words, silero-vad and Resemblyzer, objects of each for every
  connection; streamd's row has emotion on top. Memory is what a further connection takes.

A live round counts only if it is valid, for streamd and wyoming-openwakeword by the same rule
(peers_runners/rule.py): the load's messages were at most 20 ms late (p99), and the server was at
most 250 ms behind, in everything that shows it: acks and events (p99), answers (p90), sockets not
read, the median detection against streamd's offline ones, and the work left after the last message.
Late servers form larger batches or lose audio, a late load asks for less: both look cheap.

Where the load was late, or others had more than a tenth of the core of a server that was behind,
the round is run again, --tries times in all, and is reported as not valid if none was. A server
that is twice behind on its own core did not keep up: the row says so, and half as many streams are
played, and half of those, until it does. streamd is then measured with that number too, for the
ratio: what a live client costs falls as clients are added. "Valid" is how many of all runs with
that number were, and lateness the worst in those (in all, where none was): the load's p99, and
the server's. --json has it for every run.

--capacity lets server and clients have the same two cores (so the load may be as late as the server
there), and plays the clips that say alexa.

"detected" counts clips whose word was detected (by the clip's name, or the bundled ones' text)
and detections elsewhere, in all valid rounds together, at 0.5, with a refractory of 2 s;
pymicro-wakeword has its own cutoffs, and brings other models for the same words. Clips in a
stream's first 3 s do not count. Two peers have no hey_marvin: ok_nabu stands for it.
"""

import argparse
import json
import os
from pathlib import Path

import streams as live
from peers_runners.measure import Bench
from peers_runners.report import COLUMNS, Task, about, markdown, rows, versions
from peers_runners.rounds import PROOFS
from peers_runners.rule import BOUNDS
from peers_runners.venvs import PEERS
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

WORDS = live.MODULES["wake"]["words"]
TASKS = {
    "1 wake word": Task(
        {"wake": {"words": ["alexa"]}},
        {
            "openwakeword": ["alexa"],
            "wyoming-openwakeword": ["alexa"],
            "pymicro-wakeword": ["alexa"],
        },
    ),
    "4 wake words": Task(
        {"wake": {"words": WORDS}},
        {
            "openwakeword": WORDS,
            "wyoming-openwakeword": [*WORDS[:3], "ok_nabu"],
            "pymicro-wakeword": [*WORDS[:3], "okay_nabu"],
        },
    ),
    "VAD": Task({"vad": {}}, {"silero-vad": []}),
    "speaker": Task({"speaker": {}}, {"resemblyzer": []}),
    "everything": Task(live.MODULES, {"glued": WORDS}),
}


def main():
    args = parse_args()
    console = Console()
    if not console.is_terminal:
        console.width = 200
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        doing = progress.add_task("")
        bench = Bench(TASKS, args, lambda text: progress.update(doing, description=text))
        bench.measure()
        capacity = bench.measure_capacity() if args.capacity else {}
    tables = {f"{args.streams} streams of {args.seconds:g} s": (COLUMNS, rows(bench))}
    if capacity:
        held = [(name, str(found["held"]), found["then"]) for name, found in capacity.items()]
        tables["live clients of two cores, 1 wake word"] = (("system", "held", "then"), held)
    for title, (names, lines) in tables.items():
        table = Table(*names, title=title)
        for row in lines:
            table.add_row(*row)
        console.print(table)
    if args.json:
        found = {
            "tasks": bench.figures,
            "failed": bench.failed,
            "capacity": capacity,
            "rule": BOUNDS,
        }
        args.json.write_text(json.dumps(found, indent=2) + "\n")
    if args.markdown:
        parts = [about(bench)]
        for title, table in tables.items():
            parts += [f"{title[0].upper()}{title[1:]}:", markdown(*table)]
        parts.append(versions(bench.pythons))
        args.markdown.write_text("\n\n".join(parts) + "\n")


def parse_args():
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--audio", type=Path, default=live.CLIPS, help="folder of 16 kHz FLAC")
    parser.add_argument("--streams", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tries", type=int, default=4, help="runs until a live round is valid")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=PEERS, default=list(PEERS), metavar="NAME")
    parser.add_argument("--capacity", action="store_true", help="find how many clients hold; long")
    parser.add_argument("--peers-dir", type=Path, default=cache / "streamd" / "peers")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    args = parser.parse_args()
    if args.tries < PROOFS:
        parser.error(f"--tries is at least {PROOFS}")
    return args


if __name__ == "__main__":
    main()
