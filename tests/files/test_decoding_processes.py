"""The decoding processes: what they may do, when they end, and how many there are."""

import asyncio
import os
import signal
import subprocess
import sys
from typing import Any

import pytest
from waiting import until, wait_until

from streamd.errors import Unavailable
from streamd.files.decoding import landlock
from streamd.files.decoding import pool as pool_module
from streamd.files.decoding import process as process_module
from streamd.files.decoding.pool import Pool
from streamd.files.decoding.process import Decoder
from streamd.observability.metrics import Metrics

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="limits of Linux")


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)


def test_a_process_imports_nothing_of_the_server() -> None:
    loaded = run(
        "import sys, streamd.files.decoding.worker\n"
        "print(*(m for m in sys.modules if m.split('.')[0] in "
        "('onnxruntime', 'aiohttp', 'sqlite3', 'asyncio', 'structlog', 'prometheus_client')))"
    )
    assert (loaded.returncode, loaded.stdout.strip()) == (0, ""), loaded.stderr


@linux_only
@pytest.mark.parametrize(
    ("attempt", "error"),
    [
        ("open('/etc/passwd')", "OSError"),
        ("socket.socket()", "OSError"),
        ("os.write(1, b'') or os.ftruncate(2, 1)", "OSError"),
        ("bytearray(400 << 20)", "MemoryError"),
    ],
)
def test_a_confined_process_can_only_compute(attempt: str, error: str) -> None:
    done = run(
        "import os, socket\n"
        "from streamd.files.decoding.confinement import confine\n"
        "confine(3)\n"
        f"try:\n    {attempt}\n"
        "except (OSError, MemoryError) as e:\n    print(type(e).__name__)\n"
        "print(len(bytearray(200 << 20)))"
    )
    assert done.stdout.split() == [error, str(200 << 20)], done.stderr


@linux_only
@pytest.mark.parametrize(
    ("since", "attempt"),
    [
        (1, "os.open('/etc/passwd', os.O_RDONLY)"),
        (1, "os.listdir('/etc')"),
        (1, "os.execv('/bin/true', ['true'])"),
        (4, "socket.socket().connect(('127.0.0.1', 9))"),
        (6, "os.kill(os.getppid(), signal.SIGCONT)"),
    ],
)
def test_code_that_runs_in_a_confined_process_reaches_nothing_outside(
    since: int, attempt: str
) -> None:
    if landlock.version() < since:
        pytest.skip(f"the kernel has no Landlock of version {since}")
    done = run(
        "import os, signal, socket\n"
        "from streamd.files.decoding.confinement import confine\n"
        "confine(3)\n"
        "os.close(2)\n"  # so that there is a free descriptor
        f"try:\n    {attempt}\n"
        "except OSError as e:\n    print(type(e).__name__)\n"
    )
    assert done.stdout.split() == ["PermissionError"]


@linux_only
async def test_a_process_has_one_thread_when_it_is_confined() -> None:
    decoder = await Decoder.start()
    try:
        assert len(os.listdir(f"/proc/{decoder.pid}/task")) == 1
    finally:
        await decoder.kill()


def test_too_much_cpu_time_ends_a_process() -> None:
    done = run(
        "from streamd.files.decoding.confinement import allow_cpu\nallow_cpu(0.1)\nwhile True: pass"
    )
    assert done.returncode == -signal.SIGXCPU


def is_running(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@linux_only
@pytest.mark.parametrize("signal_", [signal.SIGKILL, signal.SIGTERM])
def test_the_processes_end_with_the_server_however_it_ends(signal_: signal.Signals) -> None:
    server = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import asyncio\n"
            "from streamd.files.decoding.process import Decoder\n"
            "async def main():\n"
            "    decoders = [await Decoder.start() for _ in range(2)]\n"
            "    print(*(d.pid for d in decoders), flush=True)\n"
            "    await asyncio.sleep(3600)\n"
            "asyncio.run(main())",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    pids = [int(pid) for pid in server.stdout.readline().split()]
    assert len(pids) == 2
    assert all(map(is_running, pids))
    server.send_signal(signal_)
    server.wait()
    server.stdout.close()
    wait_until(lambda: not any(map(is_running, pids)))


async def test_no_key_of_the_server_reaches_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMD_KEY", "a secret")
    assert "a secret" not in process_module._environment().values()


async def test_a_process_that_cannot_start_is_unavailable_and_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pool = Pool(2, Metrics())
    with monkeypatch.context() as context:
        context.setattr(sys, "executable", "/nowhere/python")
        with pytest.raises(Unavailable, match="no decoding process can be started"):
            async with pool.lend():
                pass
    with monkeypatch.context() as context:
        context.setattr(process_module, "_environment", lambda: {"PYTHONPATH": "/nowhere"})
        context.setattr(sys, "executable", "/bin/false")
        with pytest.raises(Unavailable, match="ended at its start"):
            async with pool.lend():
                pass
    async with pool.lend() as decoder:
        assert decoder.is_alive
    await pool.close()
    with pytest.raises(Unavailable, match="stopping"):
        async with pool.lend():
            pass


class Fake:
    """Stands for a process in the rules of the pool, which no file is decoded for."""

    made = 0

    def __init__(self) -> None:
        Fake.made += 1
        self.pid = Fake.made
        self.files = 0
        self.is_alive = True

    async def kill(self) -> int:
        self.is_alive = False
        return -9


def fakes(most: int) -> Pool:
    async def start() -> Any:
        await asyncio.sleep(0)
        return Fake()

    return Pool(most, Metrics(), start)


async def test_another_process_starts_only_for_a_file_that_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pool = fakes(2)
    for _ in range(5):
        async with pool.lend():
            pass
    assert len(pool.pids) == 1
    monkeypatch.setattr(pool_module, "PATIENCE_S", 0.0)
    ends = asyncio.Event()

    async def use() -> None:
        async with pool.lend():
            await ends.wait()

    users = [asyncio.create_task(use()) for _ in range(3)]
    await until(lambda: len(pool.pids) == 2)
    users[2].cancel()
    ends.set()
    await asyncio.gather(*users[:2])
    assert len(pool.pids) == 2
    await pool.close()
    assert pool.pids == []


async def test_processes_are_replaced_and_idle_ones_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "FILES_EACH", 2)
    monkeypatch.setattr(pool_module, "IDLE_S", 0.01)
    pool = fakes(2)
    seen = set()
    for _ in range(4):
        async with pool.lend() as decoder:
            decoder.files += 1
            seen.add(decoder.pid)
    assert len(seen) == 2
    async with pool.lend() as decoder:
        pass
    await until(lambda: not pool.pids)
    await pool.close()


async def test_a_process_that_died_while_idle_is_not_lent() -> None:
    pool = Pool(1, Metrics())
    async with pool.lend() as decoder:
        first = decoder.pid
    os.kill(first, signal.SIGKILL)
    await until(lambda: not decoder.is_alive)
    async with pool.lend() as decoder:
        assert decoder.pid != first
    await pool.close()


async def test_a_file_that_fails_ends_its_process() -> None:
    pool = Pool(1, Metrics())
    with pytest.raises(ValueError, match="of the caller"):
        async with pool.lend() as decoder:
            raise ValueError("of the caller")
    assert pool.pids == []
    await until(lambda: not decoder.is_alive)
    assert isinstance(decoder, Decoder)
    await pool.close()
