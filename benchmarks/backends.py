"""What each pass takes on each backend, and how many streams a device carries.

    python benchmarks/backends.py                               # onnxruntime, and torch on the CPU
    python benchmarks/backends.py --backend torch --device cuda --threads 4

An item is timed as a worker runs it: with the state of its stream out of and back into the slots,
the checks of its answer, and the copies to and from the device. So it is wall time, and a device
counts with all that one thread waits for. "Streams" is what the device carries of the models alone,
with everything on, in batches of the size that says so: sessions and sockets come on top, and
`streamd bench` measures those.
"""

import argparse
import itertools
import json
import threading
import time
from statistics import median

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from streamd.backends import load_backend
from streamd.config.sections import EngineConfig, TorchConfig
from streamd.engine.passes.ge2e import Ge2eVoice
from streamd.engine.passes.openwakeword import OpenWakeWord
from streamd.engine.passes.silero import SileroVad
from streamd.engine.passes.voiceprint import Voiceprint
from streamd.engine.worker import Batch, run
from streamd.models.library import Library
from streamd.types import Job, Lane

BATCHES = (1, 8, 32)
WORDS = ("alexa", "hey_jarvis", "hey_mycroft", "hey_marvin")
WINDOW = 25_600
PER_SECOND = {"vad": 31.25, "wake": 12.5, "voice": 0.8, "voiceprint": 0.25}
"""Items of a stream in a second with a voice 40 % of the time: windows of GE2E at a hop of 0.5 s,
those of CAM++ of 1.6 s one after the other."""
RNG = np.random.default_rng(1)
CAPACITY = 1024


def main():
    parser = argparse.ArgumentParser(prog="benchmarks/backends.py", description=__doc__)
    parser.add_argument("--backend", action="append", help="default: onnxruntime and torch")
    parser.add_argument("--device", default="auto", help="of torch")
    parser.add_argument("--precision", default="fp32", help="of torch: fp32 or fp16")
    parser.add_argument("--batch", type=int, action="append", help=f"default: {BATCHES}")
    parser.add_argument("--threads", type=int, default=1, help="that share the device")
    parser.add_argument("--seconds", type=float, default=1.5, help="for each figure")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    batches = tuple(args.batch or BATCHES)
    engine = EngineConfig(torch=TorchConfig(device=args.device, precision=args.precision))
    loaded = {
        name: Passes(load_backend(name, engine=engine), max(batches))
        for name in args.backend or ("onnxruntime", "torch")
    }
    console = Console(stderr=True)
    times = {}
    # In turns, so that the backends meet the same moments of the machine.
    turns = list(itertools.product(PER_SECOND, batches, loaded))
    for kind, batch, name in track(turns, "passes", console=console, transient=True):
        times[name, kind, batch] = loaded[name].item_us(kind, batch, args.seconds)
    carried = {
        (name, batch): passes.streams(batch, args.threads, args.seconds)
        for name, passes in loaded.items()
        for batch in batches
    }
    if args.json:
        figures = [
            {"backend": name, "pass": kind, "batch": batch, "us": round(us, 1)}
            for (name, kind, batch), us in times.items()
        ]
        streams = [
            {"backend": name, "batch": batch, "threads": args.threads, "streams": round(count, 1)}
            for (name, batch), count in carried.items()
        ]
        print(json.dumps({"passes": figures, "streams": streams}, indent=2))
        return
    report(loaded, batches, times, carried, args.threads)


def report(loaded, batches, times, carried, threads):
    table = Table(box=None, header_style="dim")
    table.add_column("wall µs an item, at batch")
    for batch in batches:
        table.add_column(str(batch), justify="right")
    for kind in PER_SECOND:
        for name, passes in loaded.items():
            row = [f"{times[name, kind, batch]:.0f}" for batch in batches]
            table.add_row(f"{kind}, {passes.label}", *row)
    for name, passes in loaded.items():
        row = [f"{carried[name, batch]:.0f}" for batch in batches]
        table.add_row(f"streams, {threads} threads, {passes.label}", *row)
    Console().print(table)


class Passes:
    """The passes of a full stack on one backend."""

    def __init__(self, backend, max_batch):
        library = Library()
        device = getattr(backend, "device", None)
        self.label = backend.name if device is None else f"{backend.name} on {device.torch}"
        self.models = {
            "vad": SileroVad(backend, library),
            "wake": OpenWakeWord(backend, library, WORDS),
            "voice": Ge2eVoice(backend, library),
            "voiceprint": Voiceprint(backend, library),
        }
        self.slots = {}
        for kind, model in self.models.items():
            model.max_batch = max_batch
            model.warm()
            self.slots[kind] = backend.slots(model.state, CAPACITY) if model.state else None

    def batch(self, kind, size, first=0):
        """Return a batch of streams from a slot on."""
        model = self.models[kind]
        samples = getattr(model, "item_samples", WINDOW)
        items = [RNG.integers(-3000, 3000, samples).astype(np.int16) for _ in range(size)]
        options = WORDS if kind == "wake" else None
        step = samples - model.context_samples if kind in ("vad", "wake") else 0
        alike = {"options": options, "step": step}
        jobs = [
            Job(kind, Lane.LIVE, slot, load=slot, store=slot, **alike)
            for slot in range(first, first + size)
        ]
        if self.slots[kind] is not None:
            start = self.slots[kind].gather([-1] * size)
            self.slots[kind].scatter(range(first, first + size), start)
        return Batch(model, self.slots[kind], jobs, items)

    def item_us(self, kind, size, seconds):
        """Return the median of the wall microseconds that an item takes."""
        batch = self.batch(kind, size)
        work(batch)
        took, until = [], time.perf_counter() + seconds
        while len(took) < 3 or time.perf_counter() < until:
            work(batch)
            took.append(batch.seconds * 1e6 / size)
        return median(took)

    def streams(self, size, threads, seconds):
        """Return how many streams' models run in real time, on threads that share the device."""
        found = []

        def carry(number):
            first = number * size
            batches = {kind: self.batch(kind, size, first) for kind in PER_SECOND}
            due = dict.fromkeys(PER_SECOND, 0.0)
            done_s, began = 0.0, time.perf_counter()
            # As much of each pass as `size` streams want in each tenth of a second.
            while time.perf_counter() - began < seconds:
                for kind, batch in batches.items():
                    due[kind] += PER_SECOND[kind] / 10
                    while due[kind] >= 1:
                        work(batch)
                        due[kind] -= 1
                done_s += 0.1
            found.append(size * done_s / (time.perf_counter() - began))

        running = [threading.Thread(target=carry, args=(number,)) for number in range(threads)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
        return sum(found)


def work(batch):
    run(batch)
    for output in batch.outputs:
        if isinstance(output, Exception):
            raise output


if __name__ == "__main__":
    main()
