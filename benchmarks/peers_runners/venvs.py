"""A virtual environment for each peer, made once."""

import os
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

RUNNERS = Path(__file__).parent
# What streamd itself runs on, so that it is not the runtimes that are compared.
SAME = tuple(f"{name}=={version(name)}" for name in ("numpy", "onnxruntime"))
SILERO = ("silero-vad==6.2.3", "torch==2.13.0")
# Resemblyzer asks for webrtcvad, which has no wheels, and for a `typing` of Python 2.
RESEMBLYZER = (
    "librosa==0.11.0",
    "scipy==1.17.1",
    "torch==2.13.0",
    "webrtcvad-wheels==2.0.14.post1",
)


@dataclass(frozen=True)
class Peer:
    requirements: tuple[str, ...]
    bare: tuple[str, ...] = ()
    """What is installed without what it asks for."""


PEERS = {
    "openwakeword": Peer(("openwakeword==0.4.0", *SAME)),
    "wyoming-openwakeword": Peer(("wyoming-openwakeword==1.8.2", "numpy==1.26.4")),
    "pymicro-wakeword": Peer(("pymicro-wakeword==2.5.0", SAME[0])),
    "silero-vad": Peer((*SILERO, *SAME)),
    "resemblyzer": Peer((*RESEMBLYZER, SAME[0]), ("Resemblyzer==0.1.4",)),
    "glued": Peer(("openwakeword==0.4.0", *SILERO, *RESEMBLYZER, *SAME), ("Resemblyzer==0.1.4",)),
}


class Failed(Exception):
    """A peer that cannot be installed or run, and why."""


def install(name, directory):
    """The Python of a peer's environment, which is made if it is not there.

    Raises:
        Failed: with the last that pip said.
    """
    peer, home = PEERS[name], directory / name
    python = home / "bin" / "python"
    wanted = "\n".join((*peer.requirements, *peer.bare))
    stamp = home / "installed.txt"
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    _said([sys.executable, "-m", "venv", "--clear", str(home)])
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _said([*pip, *peer.requirements])
    if peer.bare:
        _said([*pip, "--no-deps", *peer.bare])
    stamp.write_text(wanted)
    return python


def versions(python):
    """Name and version of what a peer's environment holds."""
    script = "from importlib.metadata import distributions as d\n"
    script += "for p in d(): print(p.metadata['Name'], p.version)"
    lines = _said([str(python), "-c", script]).splitlines()
    return [line.split() for line in sorted(lines, key=str.lower)]


def call(name, python, job_json):
    """The answer of `run_NAME.py`, JSON; one thread to each library that asks the environment.

    onnxruntime, which several of them import, sends no telemetry.

    Raises:
        Failed: with the last line of its error.
    """
    names = ("OMP", "OPENBLAS", "MKL", "NUMBA")
    threads = {f"{name}_NUM_THREADS": "1" for name in names}
    runner = RUNNERS / f"run_{name.replace('-', '_')}.py"
    return _said(
        [str(python), str(runner)],
        job_json,
        os.environ | threads | {"ORT_DISABLE_TELEMETRY": "1"},
    )


def _said(command, stdin=None, environ=None):
    done = subprocess.run(
        command, input=stdin, capture_output=True, text=True, check=False, env=environ
    )
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise Failed(lines[-1].strip() if lines else f"ended with status {done.returncode}")
    return done.stdout
