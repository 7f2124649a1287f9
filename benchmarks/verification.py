"""How many recordings a second the engine verifies: `python benchmarks/verification.py`.

Each verification is 3 s of speech: the windows that the speaker module takes of it, their mean
embedding, its score against an enrolled voice, and the verdict. All requests go through one engine,
started on an event loop as `streamd serve` starts it, one at a time and 16 in flight, so that
batches form across them; then the same through whole sessions, whose voice activity says which
windows there are. Decoding is not counted.

`--threads` is what `engine.threads` is. `--hop-ms 700` takes three windows of 3 s, evenly, where
the live hop of 500 takes four. "Cores" is the CPU that was had: where others use the machine it is
less than there are.
"""

import argparse
import asyncio
import json
import os
import sys
import time
from collections import Counter
from contextlib import closing
from functools import partial
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as `streamd serve` sets it, before numpy

import msgspec
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from streamd.bench.speech import read_clips
from streamd.compose import make_parts
from streamd.config import Config
from streamd.config.sections import EngineConfig
from streamd.models.library import Library
from streamd.modules.base import Utterance
from streamd.modules.enrolment import VoiceModule, VoiceReader
from streamd.modules.gallery import Gallery
from streamd.modules.registry import Registry
from streamd.session.planner import Planner
from streamd.session.session import Session
from streamd.settings import SpeakerSettings
from streamd.types import RATE_HZ, AudioFormat

try:
    from uvloop import Loop
except ImportError:  # there is none for this platform
    Loop = None

SECONDS = 3
MODELS = ("ge2e", "ge2e-int8")
CHANNEL = "wide"
GOAL = 100
NAME = "enrolled"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--audio", type=Path, help="folder of recordings; default: bundled clips")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--in-flight", type=int, default=16)
    parser.add_argument("--hop-ms", type=int, help="between windows; default: as configured")
    parser.add_argument(
        "--voice-batch",
        type=int,
        default=EngineConfig().voice_batch,
        help="windows a batch at the most",
    )
    parser.add_argument("--seconds", type=float, default=2.5, help="for each measurement")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    recordings = [middle(clip) for clip in read_clips(args.audio)]
    rows = []
    console = Console()
    for model in track(MODELS, "models", console=console):
        with asyncio.Runner(loop_factory=Loop) as runner:
            rows += runner.run(measure(model, recordings, args))
    print_table(console, rows, len(recordings))
    if args.json:
        args.json.write_text(json.dumps({"goal_per_s": GOAL, "rows": rows}, indent=2) + "\n")


def middle(clip):
    """Return 3 s of a clip: the middle of it, or all of it, repeated."""
    size = SECONDS * RATE_HZ
    return np.resize(clip[max(len(clip) - size, 0) // 2 :], size)


async def measure(model, recordings, args):
    """Measure every way of asking one engine, one after the other."""
    speaker = SpeakerSettings(model=model)
    if args.hop_ms:
        speaker = msgspec.structs.replace(speaker, hop_ms=args.hop_ms)
    config = Config(
        engine=EngineConfig(threads=args.threads, voice_batch=args.voice_batch), speaker=speaker
    )
    parts = make_parts(config, Library())
    parts.engine.start()
    batches = count_batches(parts.engine)
    speaker = parts.registry.readers["speaker"]
    try:
        embeddings = [(await InSession(parts, audio).voice())[0] for audio in recordings[:8]]
        embedding = next((one for one in embeddings if one is not None), None)
        if embedding is None:
            sys.exit("no speech in the first recordings: there is nobody to enrol")
        gallery = Gallery.build([NAME], embedding[None], np.zeros(1, int), np.zeros(1, int))
        rows = []
        for way in (Whole, InSession):
            for in_flight in (1, args.in_flight):
                band = speaker.settings.thresholds.of(CHANNEL)
                verify = partial(verify_one, way, parts, gallery, band)
                batches.clear()
                row = await keep_busy(verify, recordings, in_flight, args.seconds)
                rows.append(
                    {
                        "model": model,
                        "threads": args.threads,
                        "windows": way.windows,
                        **row,
                        "mean_batch": round(sum(batches) / max(len(batches), 1), 2),
                    }
                )
        return rows
    finally:
        parts.engine.stop()


async def verify_one(way, parts, gallery, band, audio):
    """Return the decision, and how many windows it took."""
    embedding, windows = await way(parts, audio).voice()
    if embedding is None:
        return "too_short", windows
    (match,) = gallery.search(embedding, CHANNEL)
    if match.score >= band.accept:
        return "accept", windows
    return ("unsure" if match.score >= band.reject else "reject"), windows


async def keep_busy(verify, recordings, in_flight, seconds):
    """Run so many verifications at a time, for so long."""
    decisions, latencies, windows = Counter(), [], 0
    numbers = iter(range(10**9))
    cpu_s, began = time.process_time(), time.perf_counter()

    async def client():
        nonlocal windows
        while (asked := time.perf_counter()) < began + seconds:
            decision, taken = await verify(recordings[next(numbers) % len(recordings)])
            latencies.append(time.perf_counter() - asked)
            decisions[decision] += 1
            windows += taken

    await asyncio.gather(*(client() for _ in range(in_flight)))
    cpu_s, took_s = time.process_time() - cpu_s, time.perf_counter() - began
    count = len(latencies)
    p50, p99 = np.percentile(latencies, (50, 99))
    return {
        "in_flight": in_flight,
        "per_s": round(count / took_s, 1),
        "p50_ms": round(1000 * float(p50), 1),
        "p99_ms": round(1000 * float(p99), 1),
        "cpu_ms": round(1000 * cpu_s / count, 1),
        "cores": round(cpu_s / took_s, 2),
        "windows_each": round(windows / count, 2),
        "decisions": dict(decisions),
    }


class Request:
    """One recording, with a lease of the engine while it is processed."""

    def __init__(self, parts, audio):
        self.engine, self.audio = parts.engine, audio
        self.reader = VoiceReader(parts.registry.readers["speaker"].settings)
        self.done = asyncio.get_running_loop().create_future()
        self.lease = parts.engine.open()
        self.lease.sink = self

    async def voice(self):
        """Return the embedding, None if there is no speech, and the number of its windows."""
        with closing(self):
            self.begin()
            await self.done
        embeddings = self.reader.embeddings
        return self.reader.mean if embeddings else None, len(embeddings)

    def close(self):
        self.engine.close(self.lease)

    def fail(self, job, error):
        if not self.done.done():
            self.done.set_exception(error)


class Whole(Request):
    """Takes all of the recording for speech: a plan of windows, and no session."""

    windows = "all"

    def begin(self):
        stop = len(self.audio)
        utterance = Utterance("u1", 0, 0, 0, runs=[(0, stop)], speech=stop)
        self.planner = Planner(lambda events: None, self.done.set_result)
        self.planner.opened(utterance, [self.reader])
        self.planner.advance(stop, stop, None)
        utterance.end = utterance.closed_at = stop
        self.planner.closed(utterance, None)
        self.advance()

    def cut(self, job):
        return self.audio[job.start : job.stop]

    def complete(self, job, output):
        self.planner.complete(job.key, output)

    def advance(self):
        self.planner.deliver()
        self.engine.submit(self.lease, self.planner.jobs())


class InSession(Request):
    """Runs the serving session, with voice activity, as fast as it goes."""

    windows = "voiced"

    def __init__(self, parts, audio):
        super().__init__(parts, audio)
        module = VoiceModule(self.reader)
        self.session = Session(
            Registry(parts.registry.vad, [], [module], ()),
            {module.name: None},
            AudioFormat(),
            self.lease.slots,
            Gallery.empty,
        )

    def begin(self):
        self.left = memoryview(self.audio.tobytes())
        self.advance()

    def cut(self, job):
        return self.session.cut(job)

    def complete(self, job, output):
        self.session.complete(job, output)

    def advance(self):
        taken = 1
        while self.left and taken:  # quiet audio is taken in at once, without a job
            taken = self.session.receive_audio(self.left)
            self.left = self.left[taken:]
            if not self.left:
                self.session.receive_end()
            self.engine.submit(self.lease, self.session.jobs())
        self.engine.submit(self.lease, self.session.jobs())
        self.engine.withdraw(self.lease, self.session.withdrawn())
        if self.session.ended and not self.done.done():
            self.done.set_result(None)


def count_batches(engine):
    """Return the sizes of the batches of the voice pass, as they come."""
    (voice,) = (model for model in engine._passes.values() if model.name == "voice")
    sizes, run = [], voice.run

    def counted(items, options, state):
        sizes.append(len(items))
        return run(items, options, state)

    voice.run = counted
    return sizes


def print_table(console, rows, count):
    table = Table(title=f"verifications of {SECONDS} s, {count} recordings; goal {GOAL}/s")
    for column in (
        "model", "windows", "threads", "in flight", "a second", "p50, ms", "p99, ms",
        "CPU, ms", "cores", "windows each", "mean batch", "accept / unsure / reject",
    ):  # fmt: skip
        table.add_column(column, justify="left" if column in ("model", "windows") else "right")
    for row in rows:
        decisions = row["decisions"]
        table.add_row(
            *(str(row[name]) for name in ("model", "windows", "threads")),
            *(
                str(row[name])
                for name in ("in_flight", "per_s", "p50_ms", "p99_ms", "cpu_ms", "cores")
            ),
            f"{row['windows_each']:.1f}",
            f"{row['mean_batch']:.1f}",
            " / ".join(str(decisions.get(name, 0)) for name in ("accept", "unsure", "reject")),
        )
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
