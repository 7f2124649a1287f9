"""The server and every command send nothing off the machine and write nothing but their own.

One home directory, empty at first, for all of it: whatever a framework leaves there shows.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pytest
import soundfile
from backend_under_test import OF_A_PROGRAM
from daemons import DATA, STREAMD
from many_speakers import record
from mindspore_files import ecapa_weights, write
from needs import needs
from tracing import traced, violations

from streamd.cli.main import COMMANDS
from streamd.models.library import default_directory

pytestmark = pytest.mark.timeout(300)

NOT_RUN = {"serve", "mic"}
"""The server is up all the while; what `mic` adds to `stream` is the system's sound driver."""
SPEECH = DATA / "speech_slt.flac"
PHRASES = [str(DATA / f"phrase_{voice}.flac") for voice in ("slt", "rms", "kal16")]
BENCH = "bench --start 1 --max 1 --step-s 1 --p99-ms 30000 --plot {out}/bench.svg"
RUNS = [
    ["--version"],
    ["--help"],
    ["config", "check"],
    ["models", "list"],
    ["models", "pull"],
    ["models", "verify"],
    ["models", "pull", "ecapa-tdnn-mindspore", "--from", "{checkpoint}", "--to", "{out}/models"],
    ["models", "convert", "{checkpoint}", "{out}/ecapa.onnx"],
    ["enroll", "Ada", str(SPEECH)],
    ["speakers"],
    ["speakers", "show", "Ada"],
    ["store", "export", "{out}/backup.jsonl"],
    ["store", "move", "{out}/moved.db"],
    ["store", "--config", "{empty}", "import", "{out}/backup.jsonl"],
    ["store", "rekey"],
    ["speakers", "calibrate", "--apply"],
    ["speakers", "fit", "{recordings}"],
    ["speakers", "export", "{out}/voices.jsonl"],
    ["speakers", "import", "{out}/voices.jsonl", "--tenant", "acme"],
    ["keys", "certificate"],
    ["analyze", str(SPEECH), "--json"],
    ["analyze", "{stereo}", "--far-end", "1", "--enhance", "deep", "--json"],
    ["stream", str(SPEECH), "--fast", "--enhance", "webrtc", "--url", "{url}"],
    ["keys", "create", "home"],
    ["keys", "list"],
    ["keys", "wait"],
    ["keys", "revoke", "home"],
    ["words", "add", "hey_lantern", *PHRASES],
    ["eval", "vad", "{manifest}", "-j", "2", "--plot", "{out}"],
    BENCH.split(),
    ["service", "install", "--user", "--dry-run"],
    ["health", "--port", "{port}"],
    ["doctor"],
]


class Place:
    """Where traced programs live: a home, a folder for temporary files and one for output."""

    def __init__(self, root: Path) -> None:
        self.root, self.home = root, root / "home"
        self.temporary, self.out = root / "tmp", root / "out"
        for folder in (self.home, self.temporary, self.out):
            folder.mkdir()
        self.models = default_directory()
        own = [self.home / ".local/share/streamd", self.home / ".cache/streamd"]
        self.may_write = [*own, self.models, self.temporary, self.out]

    def start(self, trace: Path, command: list[str]) -> subprocess.Popen[str]:
        """A program under strace; the first line that it prints is its process id."""
        return subprocess.Popen(
            traced(["sh", "-c", 'echo $$; exec "$@"', "sh", *command], trace),
            env={
                "HOME": str(self.home),
                "TMPDIR": str(self.temporary),
                "PATH": os.environ["PATH"],
                "STREAMD_MODELS": str(self.models),
                "PYTHONDONTWRITEBYTECODE": "1",
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://192.0.2.1:4318",
                "OTEL_TRACES_EXPORTER": "otlp",
                "UV_USE_IO_URING": "0",  # strace sees calls, not what goes through a ring
                **OF_A_PROGRAM,
            },
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def violations(self, trace: Path) -> list[str]:
        """What a program did that none of ours may do."""
        return violations(trace, self.home, self.may_write)

    def run(self, trace: Path, command: list[str]) -> list[str]:
        """Run a program to its good end: its violations."""
        with self.start(trace, command) as process:
            output, _ = process.communicate(timeout=280)
        assert process.returncode == 0, output
        return self.violations(trace)


@pytest.fixture(scope="module", autouse=True)
def strace() -> None:
    needs("strace")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = Place(tmp_path_factory.mktemp("privacy"))
    (place.root / "clips.csv").write_text(
        f"path,label,speaker,start_ms,end_ms,session,split\n{SPEECH},speech,,,,,\n"
    )
    key = place.home / ".local/share/streamd/key"
    write(place.root / "ecapatdnn.ckpt", ecapa_weights())
    samples, rate = soundfile.read(SPEECH, dtype="int16")
    soundfile.write(place.root / "stereo.wav", np.stack((samples, samples[::-1]), 1), rate)
    record(place.root / "recordings")
    (place.root / "empty.toml").write_text(
        f'[store]\npath = "{place.out}/imported.db"\nkey_path = "{key}"\n'
    )
    return place


@pytest.fixture(scope="module")
def server(place: Place) -> Iterator[str]:
    """The URL of a server that runs, traced, while all commands do."""
    trace = place.root / "serve.trace"
    with place.start(trace, [*STREAMD, "serve", "--port", "0"]) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        try:
            lines = []  # what it logs comes here too
            for line in process.stdout:
                lines.append(line)
                if line.startswith("listening on http"):
                    break
            else:
                pytest.fail("".join(lines))
            yield line.split()[-1].replace("http", "ws", 1) + "/v1/stream"
        finally:
            os.kill(pid, 15)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0, output
    assert place.violations(trace) == []


@pytest.mark.parametrize("run", RUNS, ids=lambda run: " ".join(run[:2]))
def test_a_command_sends_nothing_and_writes_its_own_folders_only(
    run: list[str], place: Place, server: str, tmp_path: Path
) -> None:
    if "--plot" in run:
        pytest.importorskip("matplotlib")
    names = {
        "url": server,
        "port": urlsplit(server).port,
        "manifest": place.root / "clips.csv",
        "empty": place.root / "empty.toml",
        "checkpoint": place.root / "ecapatdnn.ckpt",
        "stereo": place.root / "stereo.wav",
        "recordings": place.root / "recordings",
        "out": place.out,
    }
    command = [*STREAMD, *(word.format(**names) for word in run)]
    assert place.run(tmp_path / "trace", command) == []
    assert list(place.temporary.iterdir()) == []


def test_every_command_is_looked_at() -> None:
    assert {run[0] for run in RUNS if run[0] in COMMANDS} == COMMANDS.keys() - NOT_RUN


OFFENCES = {
    "a name lookup": "socket.getaddrinfo('streamd.invalid', 80)",
    "a datagram": "socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.1', 9))",
    "a connection": "s = socket.socket(); s.setblocking(False); s.connect(('192.0.2.1', 443))",
    "a file at home": "open('note', 'w')",
    "a folder at home": "os.makedirs('.cache/Vendor')",
    "a file renamed": "open('.cache/streamd/x', 'w'); os.rename('.cache/streamd/x', 'x')",
}


@pytest.mark.parametrize("offence", OFFENCES)
def test_the_trace_shows_what_is_not_allowed(offence: str, tmp_path: Path) -> None:
    code = f"""
import contextlib, os, socket
os.makedirs('.cache/streamd')
with contextlib.suppress(OSError):
    {OFFENCES[offence]}
"""
    found = Place(tmp_path).run(tmp_path / "trace", [sys.executable, "-c", code])
    assert found
    assert not any("streamd" in line and "mkdir" in line for line in found)


def test_loopback_and_own_folders_are_allowed(tmp_path: Path) -> None:
    code = """
import os, socket
socket.socket(type=socket.SOCK_DGRAM).connect(('127.0.0.1', 9))
os.makedirs('.cache/streamd/x')
open('.cache/streamd/x/y', 'w').close()
open('/dev/null', 'w').close()
"""
    assert Place(tmp_path).run(tmp_path / "trace", [sys.executable, "-c", code]) == []
