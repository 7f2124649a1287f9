"""What each module adds: `python benchmarks/modules.py [--streams 16] [--audio DIR]`.

The serving session and engine in one thread, without sockets: all streams are fed 20 ms at a time,
so that batches form as they do live. CPU milliseconds per second of audio and stream, for growing
sets of modules in turns; the median of the rounds, and what each set adds to the one before.
"""

import argparse
import os
import statistics
import time
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as `streamd serve` sets it, before numpy

from rich.console import Console
from rich.progress import track
from rich.table import Table
from streams import CLIPS, MESSAGE_MS, RATE_HZ, make_streams

from streamd.compose import make_parts
from streamd.config import Config
from streamd.config.sections import EngineConfig
from streamd.files.offline import OfflineAnalysis
from streamd.models.library import Library
from streamd.modules.gallery import Gallery
from streamd.modules.words import NO_WORDS
from streamd.types import AudioFormat

SETS = {
    "vad": {"vad": {}},
    "+ speaker": {"vad": {}, "speaker": {}},
    "+ emotion": {"vad": {}, "speaker": {}, "emotion": {}},
    "+ 4 wake words": {
        "vad": {},
        "speaker": {},
        "emotion": {},
        "wake": {"words": ["alexa", "hey_jarvis", "hey_mycroft", "hey_marvin"]},
    },
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--streams", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--audio", type=Path, default=CLIPS, help="folder of 16 kHz FLAC files")
    args = parser.parse_args()
    parts = make_parts(Config(engine=EngineConfig(threads=1)), Library())
    streams = make_streams(args.audio, args.streams, args.seconds, seed=1)
    cost = {name: [] for name in SETS}
    console = Console()
    for _ in track(range(args.rounds), "rounds", console=console):
        for name, modules in SETS.items():
            cost[name].append(1000 * run(parts, modules, streams) / (args.streams * args.seconds))
    table = Table(title=f"{args.streams} streams, CPU ms per stream-second")
    for column in ("modules", "ms/s", "least", "most", "added", "of what the set before added"):
        table.add_column(column)
    before, added_before = 0.0, None
    for name, values in cost.items():
        # Differences of pairs taken one after the other: what else the machine does falls out.
        here = statistics.median(values)
        added = here - before
        share = f"{100 * added / added_before:.1f} %" if added_before else ""
        spread = (f"{min(values):.2f}", f"{max(values):.2f}")
        table.add_row(name, f"{here:.2f}", *spread, f"{added:.2f}", share)
        before, added_before = here, added
    console.print(table)


def run(parts, modules, streams, gallery=None, words=NO_WORDS):
    """CPU seconds for all streams, with these modules, voices and words of one's own."""
    gallery = gallery or Gallery.empty()
    chosen, _ = parts.registry.resolve(modules, words=words)
    sessions = [
        OfflineAnalysis(parts.engine, parts.registry, chosen, AudioFormat(), gallery)
        for _ in streams
    ]
    step = RATE_HZ * MESSAGE_MS // 1000
    began = time.process_time()
    for start in range(0, len(streams[0]), step):
        for analysis, audio in zip(sessions, streams, strict=True):
            analysis.session.receive_audio(audio[start : start + step].tobytes())
        while sum(analysis.submit() for analysis in sessions):
            while parts.engine.run_waiting():
                pass
        for analysis in sessions:
            analysis.session.events()
    spent = time.process_time() - began
    for analysis in sessions:
        analysis.close()
    return spent


if __name__ == "__main__":
    main()
