"""What a clean sound gives each module: `python -m benchmarks.accuracy.frontend DIR --voices DIR`.

The first DIR is what `benchmarks.accuracy.manifests` made of the fixtures; the second is a folder
of people who talk, for babble and for the loudspeaker. Each cell is one `streamd eval`, whose
recordings and enrolments go through the front end before every module, whatever streamd lets a
module read. So the table is the reason for what it lets them. `--only KIND` and `--on CONDITION`
choose lines, `--module` chooses columns.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from streamd.audio.frontend.chain import Chain
from streamd.evaluation import streams
from streamd.evaluation.report import percent
from streamd.front_ends import FRAME, Kind
from streamd.types import AudioFormat

KIND = "STREAMD_BENCH_FRONT_END"
"""Environment variable with the parts of the front end of a cell, with + between them."""
TASKS = {
    "vad": ("vad.csv",),
    "wake": ("wake.csv", "-w", "alexa"),
    "speaker": ("speaker.csv", "--channel", "wide", "--length", "2"),
    "emotion": ("emotion.csv",),
}
KINDS = ("off", "webrtc", "deep")
ECHO_KINDS = ("off", "echo", "echo+webrtc", "echo+deep")


def conditions(voices, noise):
    """The options of each line, and the front ends that it is measured with."""
    yield "clean", (), KINDS
    yield "pink noise, 10 dB", ("--noise", "10:pink"), KINDS
    yield "pink noise, 0 dB", ("--noise", "0:pink"), KINDS
    yield "babble, 10 dB", ("--noise", f"10:babble:{voices}"), KINDS
    if noise:
        yield "recorded noise, 5 dB", ("--noise", f"5:{noise}"), KINDS
    yield "room, RT60 600 ms", ("--room", "600"), KINDS
    yield "loudspeaker, 0 dB", ("--loudspeaker", f"0:{voices}"), ECHO_KINDS


def main():
    parser = argparse.ArgumentParser(prog="benchmarks.accuracy.frontend", description=__doc__)
    parser.add_argument("manifests", type=Path)
    parser.add_argument("--voices", type=Path, required=True)
    parser.add_argument("--noise", type=Path, help="folder of recorded noise, for one line more")
    parser.add_argument("--only", action="append", help="one front end, as echo+webrtc; repeat")
    parser.add_argument("--on", action="append", help="one condition, by its beginning; repeat")
    parser.add_argument("--module", action="append", choices=TASKS, help="one column; repeat")
    args = parser.parse_args()
    print("| condition | front end | VAD: F1, missed, false | wake missed | speaker EER | UAR |")
    print("|---|---|---|---|---|---|")
    for name, options, kinds in conditions(args.voices, args.noise):
        if args.on and not any(name.startswith(on) for on in args.on):
            continue
        for kind in kinds:
            if not args.only or kind in args.only:
                cells = [
                    _cell(args.manifests, task, options, kind)
                    if not args.module or task in args.module
                    else ""
                    for task in TASKS
                ]
                print(f"| {name} | {kind} | {' | '.join(cells)} |", flush=True)


def _cell(manifests, task, options, kind):
    manifest, *own = TASKS[task]
    command = [sys.executable, "-m", __spec__.name, "cell", "eval", task, manifests / manifest]
    # Without echo cancellation the far end is sent, too, and left out here.
    far = ("--far-end",) if "--loudspeaker" in options else ()
    command += [*own, *options, *far, "--json", "--fresh", "--jobs", "1"]
    done = subprocess.run(
        command, check=True, stdout=subprocess.PIPE, env={**os.environ, KIND: kind}
    )
    found = json.loads(done.stdout)
    names = {
        "vad": ("f1", "miss", "false_alarm"),
        "wake": ("miss",),
        "speaker": ("eer",),
        "emotion": ("uar",),
    }
    return ", ".join(percent(found[name]) for name in names[task])


def cell():
    """Run one `streamd eval` whose sound is made clean before the session has it."""
    given = os.environ[KIND]
    kind = Kind(() if given == "off" else tuple(given.split("+")))
    real = streams.carry

    def carry(samples, pieces, changes, is_narrow):
        data, fmt = real(samples, pieces, changes, is_narrow=False)
        audio = np.frombuffer(data, np.int16).reshape(-1, fmt.channels)
        if kind.has_echo and fmt.channels == 1:  # an enrolment, without a loudspeaker
            audio = np.concatenate((audio, np.zeros_like(audio)), axis=1)
        return made_clean(audio if kind.has_echo else audio[:, 0], kind).tobytes(), AudioFormat()

    streams.carry = carry
    sys.argv = ["streamd", *sys.argv[2:]]
    from streamd.cli import main as streamd

    streamd()


def made_clean(audio, kind):
    """Return the output of a front end, at the places of its input."""
    if not kind.parts:
        return audio
    count = len(audio)
    frames = -(-(count + kind.delay) // FRAME) * FRAME
    padded = np.pad(audio, [(0, frames - count), *[(0, 0)] * (audio.ndim - 1)])
    out = Chain(kind).run(padded)[kind.delay : kind.delay + count]
    return out if out.ndim == 1 else np.ascontiguousarray(out[:, 0])


if __name__ == "__main__":
    cell() if sys.argv[1:2] == ["cell"] else main()
