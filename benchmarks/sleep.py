"""What the wake word's sleep saves and changes: `python benchmarks/sleep.py FOLDER...`.

Each folder's clips, each followed by 1.5 times its length of noise at -72 dBFS, go through the
serving session twice, with `wake.gate` on and off. Prints how many wake events there are, which
differ, how many steps the model was asked for, and CPU seconds. `--keyword 小云小云` looks for
keywords by XiaoYun instead, which must be pulled.
"""

import argparse
import os
import sys
import time
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as `streamd serve` sets it, before numpy

import numpy as np
import soundfile
from rich.console import Console
from rich.progress import track
from rich.table import Table

from streamd.compose import make_parts
from streamd.config import Config
from streamd.config.sections import EngineConfig
from streamd.files.offline import OfflineAnalysis
from streamd.models.library import Library
from streamd.modules.gallery import Gallery
from streamd.settings import WakeSettings
from streamd.types import RATE_HZ, AudioFormat

WORDS = ["alexa", "hey_jarvis", "hey_mycroft", "hey_marvin", "weather", "timer"]
BLOCK = RATE_HZ // 2


class Counted(OfflineAnalysis):
    """An analysis that counts the steps of wake words and keywords."""

    steps = 0

    def complete(self, job, output):
        self.steps += job.steps if job.pass_name in ("wake", "keyword") else 0
        super().complete(job, output)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("folders", nargs="+", type=Path, help="folders of 16 kHz FLAC")
    parser.add_argument("--keyword", action="append", help="a word that XiaoYun spells")
    args = parser.parse_args()
    model = "xiaoyun" if args.keyword else "off"
    parts = {
        gate: make_parts(
            Config(
                engine=EngineConfig(threads=1),
                wake=WakeSettings(gate=gate, keyword_model=model),
            ),
            Library(),
        )
        for gate in (True, False)
    }
    console = Console()
    table = Table(title="a wake word that sleeps, beside one that does not")
    for column in ("folder", "minutes", "events", "that differ", "steps", "CPU"):
        table.add_column(column, justify="left" if column == "folder" else "right")
    differ = 0
    for folder in track(args.folders, "folders", console=console):
        audio = mix(folder)
        (events, steps, cpu_s), (awake, all_steps, all_cpu_s) = (
            run_offline(parts[gate], audio, args.keyword or WORDS) for gate in (True, False)
        )
        differ += len(events ^ awake)
        table.add_row(
            folder.name,
            f"{len(audio) / RATE_HZ / 60:.1f}",
            str(len(awake)),
            str(len(events ^ awake)),
            f"{steps / all_steps:.0%}",
            f"{cpu_s / all_cpu_s:.0%}",
        )
    console.print(table)
    sys.exit(1 if differ else 0)


def mix(folder):
    """Return the clips of a folder in order, each followed by near silence."""
    rng, pieces = np.random.default_rng(0), []
    for path in sorted(folder.rglob("*.flac")):
        clip, rate_hz = soundfile.read(path, dtype="int16", always_2d=True)
        if rate_hz == RATE_HZ:
            quiet = rng.normal(0, 32768 * 10 ** (-72 / 20), len(clip) * 3 // 2)
            pieces += [clip[:, 0], np.rint(quiet).astype(np.int16)]
    if not pieces:
        sys.exit(f"no 16 kHz .flac files in {folder}")
    return np.concatenate(pieces)


def run_offline(parts, audio, words):
    """Return wake events as (word, t0, t1, at, score), steps, and CPU seconds."""
    chosen, _ = parts.registry.resolve({"vad": {}, "wake": {"words": words}})
    analysis = Counted(parts.engine, parts.registry, chosen, AudioFormat(), Gallery.empty())
    blocks = (audio[i : i + BLOCK].tobytes() for i in range(0, len(audio), BLOCK))
    began = time.process_time()
    wakes = {
        (e.word, e.t0, e.t1, e.at, round(e.score, 3))
        for e in analysis.events(blocks)
        if e.__struct_config__.tag == "wake"
    }
    analysis.close()
    return wakes, analysis.steps, time.process_time() - began


if __name__ == "__main__":
    main()
