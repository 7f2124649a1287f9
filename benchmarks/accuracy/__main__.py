"""Speech edges, labels and changes: `python -m benchmarks.accuracy FIXTURES [--only PART]`.

The configuration in force counts, as in `STREAMD_SPEAKER__MODEL=ge2e python -m …`. Enrolled voices
are measured by `benchmarks.accuracy.speakers`, wake words by `benchmarks.accuracy.conditions`.
"""

import argparse
import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from streamd.cli.runtime import ready_library

from . import edges, turns
from .sessions import CONFIG, read_manifest

PARTS = {"edges": edges, "turns": turns}


def main():
    parser = argparse.ArgumentParser(
        prog="benchmarks.accuracy", description=__doc__.split("\n", 1)[0]
    )
    parser.add_argument("fixtures", type=Path, help="folder with manifest.csv")
    parser.add_argument("--json", type=Path, help="write the tables here too")
    parser.add_argument("--only", choices=PARTS, help="one part alone")
    parser.add_argument("--processes", type=int, default=2)
    args = parser.parse_args()
    ready_library(CONFIG)
    clips = read_manifest(args.fixtures)
    chosen = [args.only] if args.only else list(PARTS)
    todo = [(name, *task) for name in chosen for task in PARTS[name].tasks(clips)]
    results = run(todo, args.processes)
    report = {}
    for name in chosen:
        own = [results[i] for i, (part, *_) in enumerate(todo) if part == name]
        for table in PARTS[name].tables(own, args.fixtures):
            print(table.markdown())
            report[table.title] = table.records()
    if args.json:
        args.json.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", "utf-8")


def run(todo, processes):
    """Answers in the order of the tasks."""
    results = [None] * len(todo)
    spawned = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(processes, spawned) as pool,
        Progress(console=Console(stderr=True)) as progress,
    ):
        bar = progress.add_task("hearing", total=len(todo))
        waiting = {pool.submit(task, args): i for i, (_, _, task, args) in enumerate(todo)}
        for future in as_completed(waiting):
            i = waiting[future]
            results[i] = future.result()
            progress.update(bar, advance=1, description=f"{todo[i][0]}: {todo[i][1]}")
    return results


if __name__ == "__main__":
    main()
