"""Wake words under conditions: `python -m benchmarks.accuracy.conditions MANIFEST [--voices DIR]`.

MANIFEST is the `wake.csv` of `benchmarks.accuracy.manifests`. Each line of the table that it prints
is one `streamd eval wake` with the options of its first column, in the configuration in force.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from streamd.evaluation.report import percent

CONDITIONS = (
    (),
    ("--gain", "-24"),
    ("--mulaw",),
    ("--opus", "24"),
    ("--room", "300"),
    ("--room", "600"),
    ("--noise", "10:white"),
    ("--noise", "10:pink"),
    ("--noise", "10:babble"),
)


def main():
    parser = argparse.ArgumentParser(prog="benchmarks.accuracy.conditions", description=__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--voices", type=Path, help="folder of people who talk, for babble")
    parser.add_argument("--word", default="alexa")
    args = parser.parse_args()
    voices = [("--noise", f"10:babble:{args.voices}")] if args.voices else []
    print("| options | missed | fired twice | false accepts | in hours |")
    print("|---|---|---|---|---|")
    for options in (*CONDITIONS, *voices):
        found = evaluate(args.manifest, args.word, options)
        shown = " ".join(options).replace(f":{args.voices}", ":VOICES") or "none"
        false = found["fa_per_h"]
        print(
            f"| `{shown}` | {percent(found['miss'])} | {percent(found['double'])} "
            f"| {false.get('false_accepts', '–')} | {false.get('hours', 0):.2f} |",
            flush=True,
        )


def evaluate(manifest, word, options):
    command = [sys.executable, "-m", "streamd", "eval", "wake", manifest, "-w", word, "--json"]
    done = subprocess.run([*command, *options], check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout)


if __name__ == "__main__":
    main()
