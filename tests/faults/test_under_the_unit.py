"""Everything works under the restrictions of `systemd/streamd.service`, and they are in force."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import daemons
import pytest
from daemons import (
    DATA,
    DEFAULT,
    STREAMD,
    VOICES,
    assert_same_log,
    converse,
    cut,
    environment,
    silence,
    speech,
)
from unit_sandbox import UNIT, Sandbox, Settings, child_of, sandbox
from unshed import UNSHED, Daemon
from uploading import SPEECH, ask, post
from waiting import HANG_S

from streamd.models.library import default_directory

pytestmark = [
    pytest.mark.faults,
    pytest.mark.skipif(sys.platform != "linux", reason="systemd is Linux's"),
]

FORBIDDEN = {
    "to write outside of its folders": "open('/etc/streamd-test', 'w')",
    "to see homes": "[p for p in os.listdir('/home')][0]",
    "to change the kernel": "open('/proc/sys/kernel/hostname', 'w')",
    "to see devices": "os.stat('/dev/mem')",
    "new namespaces": "check(libc.unshare(0x10000000))",
    "raw sockets": "socket.socket(socket.AF_PACKET, socket.SOCK_RAW)",
    "netlink": "socket.socket(socket.AF_NETLINK)",
    "another user": "os.setuid(0)",
    "to own the files of others": "os.chown('/proc/self', 0, 0)",
    "real-time priority": "os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))",
    "to trace": "check(libc.ptrace(0, 0, 0, 0))",
    "to mount": "check(libc.mount(b'x', b'/tmp', b'tmpfs', 0, 0))",
    "another personality": "check(libc.personality(0x0400000))",
    "files that run as their owner": "os.chmod(os.environ['STREAMD_DATA'], 0o4700)",
}
TRY = """
import ctypes, os, socket
libc = ctypes.CDLL(None, use_errno=True)
def check(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), 'refused')
try:
    {attempt}
except (OSError, IndexError):
    pass
else:
    raise SystemExit('it may')
"""


class Restricted(Daemon):
    """A daemon behind bubblewrap, which stays as the parent of the process."""

    def stop(self, number: int = signal.SIGTERM) -> int:
        os.kill(child_of(self.process.pid), number)
        return self.wait()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


def boxed(home: Path) -> AbstractContextManager[Sandbox]:
    """The restrictions of the unit, for one process."""
    return sandbox(Settings.of(UNIT), [home], [default_directory()])


def run(home: Path, *command: str, is_free: bool = False) -> subprocess.CompletedProcess[str]:
    """Run a program under the restrictions, or free of them."""
    with nullcontext(Sandbox((), ())) if is_free else boxed(home) as box:
        return subprocess.run(
            [*box.launcher, *command],
            env=environment(home, **DEFAULT),
            pass_fds=box.pass_fds,
            capture_output=True,
            check=False,
            text=True,
            timeout=HANG_S,
        )


@pytest.fixture(scope="module")
def restricted(home: Path) -> Iterator[Restricted]:
    daemon = Restricted(home, **DEFAULT, transcript__model="whisper-tiny-en")
    with boxed(home) as box:
        daemon.launcher, daemon.pass_fds = box.launcher, box.pass_fds
        with daemon:
            yield daemon
    assert daemon.complaints() == []


@pytest.mark.parametrize("attempt", FORBIDDEN)
def test_the_restrictions_are_in_force(attempt: str, home: Path) -> None:
    code = TRY.format(attempt=FORBIDDEN[attempt])
    done = run(home, sys.executable, "-c", code)
    assert done.returncode == 0, done.stderr
    without = run(home, sys.executable, "-c", TRY.format(attempt="pass"), is_free=True)
    assert without.stderr.strip() == "it may"


async def test_a_stream_has_the_same_events_as_without_them(
    restricted: Restricted, tmp_path: Path
) -> None:
    audio = [*cut(silence(0.5) + speech("slt") + silence(0.5) + speech("rms", 4))]
    hello = {"type": "hello", "modules": {"vad": {}, "wake": {}, "speaker": {}, "emotion": {}}}
    with daemons.Daemon(tmp_path, **DEFAULT, **UNSHED) as free:
        expected = await converse(free.url, hello, audio, {"type": "end"})
    received = await converse(restricted.url, hello, audio, {"type": "end"})
    assert received.code == 1000
    assert {"speech_start", "wake", "speaker", "emotion"} <= set(received.types)
    assert_same_log(expected.log, received.log)


@pytest.mark.parametrize("enhance", ["webrtc", "deep"])
async def test_a_stream_is_made_clean(enhance: str, restricted: Restricted) -> None:
    hello = {"type": "hello", "audio": {"enhance": enhance}}
    received = await converse(restricted.url, hello, cut(speech("awb", 2)), {"type": "end"})
    assert (received.code, received.codes) == (1000, [])
    assert received.of("ready")[0]["audio"]["enhance"] == enhance


async def test_a_stream_has_text(restricted: Restricted) -> None:
    hello = {"type": "hello", "modules": {"vad": {}, "transcript": {}}}
    received = await converse(restricted.url, hello, cut(speech()), {"type": "end"})
    texts = [event["text"] for event in received.of("transcript") if event["final"]]
    assert any("weather" in text.lower() for text in texts)


CONTAINERS = sorted(path.name for path in (DATA / "containers").iterdir())


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_file_is_decoded(name: str, restricted: Restricted) -> None:
    file = (DATA / "containers" / name).read_bytes()
    answer = post(restricted, "/v1/analyze", ("audio", file))
    assert answer.status == 200, answer.body
    assert "error" not in {event["type"] for event in answer.json}


def test_a_decoding_process_still_gives_up_what_it_does_not_need(home: Path) -> None:
    code = (
        "from streamd.files.decoding import landlock\n"
        "import ctypes\n"
        "ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)\n"
        "known = landlock.version()\n"
        "assert landlock.restrict() == bool(known)\n"
        "try:\n    open('/etc/passwd')\nexcept PermissionError:\n    print('given up')\n"
        "else:\n    print('given up' if not known else 'not given up')\n"
    )
    assert run(home, sys.executable, "-c", code).stdout.strip() == "given up"
    outside = run(home, *STREAMD, "doctor", "--json", is_free=True).stdout
    within = run(home, *STREAMD, "doctor", "--json").stdout
    assert ("Landlock" in within) == ("Landlock" in outside)


def test_a_voice_is_enrolled_and_known(restricted: Restricted) -> None:
    assert post(restricted, "/v1/speakers/Ada", ("audio", SPEECH)).status == 201
    answer = post(restricted, "/v1/identify", ("audio", SPEECH)).json
    assert (answer["decision"], answer["speaker"]) == ("accept", "Ada")


def test_a_word_is_made(restricted: Restricted) -> None:
    clips = [("clips", (DATA / f"phrase_{voice}.flac").read_bytes()) for voice in VOICES]
    answer = post(restricted, "/v1/words/hey_lantern", *clips)
    assert answer.status == 201, answer.body


def test_a_file_has_text(restricted: Restricted) -> None:
    answer = post(restricted, "/v1/transcribe", ("audio", SPEECH))
    assert answer.status == 200, answer.body
    assert "weather" in answer.json["text"]


def test_metrics_are_complete(restricted: Restricted) -> None:
    metrics = ask(restricted, "GET", "/metrics").body.decode()
    for name in ("process_start_time_seconds", "process_open_fds", "process_resident_memory_bytes"):
        assert f"\n{name} " in metrics


@pytest.mark.parametrize(
    "command", [["models", "verify"], ["keys", "create", "kitchen"], ["config", "check"]]
)
def test_commands_work(command: list[str], home: Path) -> None:
    done = run(home, *STREAMD, *command)
    assert done.returncode == 0, done.stderr
