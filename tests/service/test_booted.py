"""The units under a real systemd, which is the first process of name spaces of its own.

It has an overlay of this machine's files, so that nothing of it is changed. Needs root, overlayfs
and the version 2 of cgroups: `make test-systemd`.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from daemons import DATA, converse, cut, speech
from needs import needs
from unit_sandbox import ROOT, child_of
from waiting import HANG_S, wait_until

from streamd.models.library import default_directory
from streamd.service import units

pytestmark = pytest.mark.systemd

TARGETS = ("sysinit", "basic", "shutdown", "sockets", "network-online", "time-sync", "multi-user")
JOURNAL = ("systemd-journald.service", "systemd-journald.socket", "systemd-journald-dev-log.socket")
BOOT = """
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs "$1/disk"
R="$1/disk/root"
mkdir "$R" "$1/disk/upper" "$1/disk/work"
mount -t overlay -o "lowerdir=/,upperdir=$1/disk/upper,workdir=$1/disk/work" overlay "$R"
mount -t proc proc "$R/proc"
mount -t sysfs sysfs "$R/sys"
mount -t cgroup2 none "$R/sys/fs/cgroup"
mount -t tmpfs tmpfs "$R/run"
mount -t tmpfs tmpfs "$R/tmp"
mount --rbind /dev "$R/dev"
mkdir -p "$R/opt/streamd/bin" "$R/opt/python" "$R/opt/packages" "$R/opt/source" "$R/opt/units" \
  "$R/var/cache/streamd/models" "$R/etc/streamd/tls" "$R/before"
mount --bind "$2" "$R/opt/python"
mount --bind "$3" "$R/opt/packages"
mount --bind "$4" "$R/opt/source"
mount --bind "$1/units" "$R/opt/units"
cp -r "$5/." "$R/var/cache/streamd/models"
cp "$1/streamd" "$R/opt/streamd/bin/streamd"
printf '[Journal]\\nStorage=volatile\\n' > "$R/etc/systemd/journald.conf"
chroot "$R" systemd-sysusers /opt/source/systemd/sysusers.d/streamd.conf
chroot "$R" chown -R streamd:streamd /var/cache/streamd
cd "$R"
pivot_root . before
cd /
umount -l /before
mount --make-rshared /
exec env -i container=other SYSTEMD_UNIT_PATH=/opt/units PATH=/usr/sbin:/usr/bin:/sbin:/bin \\
  /lib/systemd/systemd --system --unit=go.target --show-status=no
"""
PROGRAM = """#!/bin/sh
LD_LIBRARY_PATH=/opt/python/lib PYTHONPATH=/opt/packages:/opt/source \\
  exec /opt/python/bin/python{version} -m streamd "$@"
"""


class Booted:
    """A running systemd, with streamd as its service."""

    def __init__(self, pid: int, port: int, folder: Path) -> None:
        self.pid, self.port, self.folder = pid, port, folder
        self.http_url = f"http://127.0.0.1:{port}"

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command beside the service, as root."""
        return subprocess.run(
            ["nsenter", "-t", str(self.pid), "-m", "-p", "-i", "-u", "-C", "-r", "-w", *command],
            capture_output=True,
            check=False,
            stdin=subprocess.DEVNULL,
            text=True,
            timeout=HANG_S,
        )

    def done(self, *command: str) -> str:
        """Run one that must succeed, and return what it prints."""
        done = self.run(*command)
        assert done.returncode == 0, (command, done.stdout, done.stderr, self.journal())
        return done.stdout

    def journal(self, *options: str) -> str:
        return self.run("journalctl", "--no-pager", "-u", "streamd", "-o", "cat", *options).stdout

    def shows(self, name: str) -> str:
        return self.done("systemctl", "show", "streamd", "-p", name, "--value").strip()

    def health(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.http_url}/health/ready", timeout=HANG_S) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    def drop_in(self, name: str, text: str) -> None:
        """Install a drop-in; it holds from the next start on."""
        below = self.folder / "units/streamd.service.d"
        below.mkdir(exist_ok=True)
        (below / f"{name}.conf").write_text(text)
        self.done("systemctl", "daemon-reload")


@pytest.fixture(scope="module")
def booted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Booted]:
    needs("unshare", "nsenter", "systemctl", "journalctl", "systemd-sysusers")
    if os.geteuid() != 0:
        pytest.skip("only root may start a systemd")
    folder = tmp_path_factory.mktemp("booted")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    lay_out(folder, port)
    python, packages = sys.base_prefix, sysconfig.get_path("purelib")
    arguments = [folder, python, packages, ROOT, default_directory()]
    spaces = ["--fork", "--pid", "--mount", "--uts", "--ipc", "--cgroup", "--kill-child"]
    with (folder / "console").open("wb") as console:
        process = subprocess.Popen(
            ["unshare", *spaces, "bash", "-c", BOOT, "boot", *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
        )
    try:
        wait_until(lambda: process.poll() is not None or runs_systemd(process.pid))
        assert process.poll() is None, (folder / "console").read_text()
        found = Booted(child_of(process.pid), port, folder)
        wait_until(lambda: state(found) in ("active", "failed"))
        assert found.shows("ActiveState") == "active", found.journal()
        yield found
    finally:
        with contextlib.suppress(AssertionError, ProcessLookupError):
            os.kill(child_of(process.pid), signal.SIGKILL)
        process.kill()
        process.wait()


def state(booted: Booted) -> str:
    return booted.run("systemctl", "is-active", "streamd").stdout.strip()


def lay_out(folder: Path, port: int) -> None:
    """Write the units, and what they need of others in the place of this machine's."""
    below = folder / "units"
    below.mkdir()
    (folder / "disk").mkdir()
    for name in TARGETS:
        (below / f"{name}.target").write_text("[Unit]\nDefaultDependencies=no\n")
    for name in JOURNAL:
        (below / name).write_text((Path("/lib/systemd/system") / name).read_text())
    wanted = f"{' '.join(JOURNAL)} {units.SOCKET} {units.SERVICE}"
    (below / "go.target").write_text(f"[Unit]\nDefaultDependencies=no\nRequires={wanted}\n")
    (below / units.SERVICE).write_text(units.service("/opt/streamd/bin/streamd", is_user=False))
    (below / units.SOCKET).write_text(units.socket([f"127.0.0.1:{port}"]))
    program = folder / "streamd"
    program.write_text(PROGRAM.format(version=f"{sys.version_info[0]}.{sys.version_info[1]}"))
    program.chmod(0o755)


def runs_systemd(parent: int) -> bool:
    """Whether the child has become systemd, and answers."""
    with contextlib.suppress(AssertionError, OSError):
        pid = child_of(parent)
        return Path(f"/proc/{pid}/comm").read_text() == "systemd\n" and (
            Path(f"/proc/{pid}/root/run/systemd/private").exists()
        )
    return False


async def test_a_stream_works(booted: Booted) -> None:
    url = booted.http_url.replace("http", "ws", 1) + "/v1/stream"
    received = await converse(url, cut(speech()), {"type": "end"})
    assert received.code == 1000
    assert {"wake", "speaker", "emotion"} <= set(received.types)


@pytest.mark.parametrize("name", ["whole_8s.m4a", "whole_8s.mp3", "whole_3s.flac"])
def test_a_file_is_decoded(name: str, booted: Booted) -> None:
    body = (DATA / "containers" / name).read_bytes()
    request = urllib.request.Request(f"{booted.http_url}/v1/analyze", data=body)
    with urllib.request.urlopen(request, timeout=HANG_S) as answer:
        assert answer.status == 200


def test_the_status_line_and_the_priorities_of_the_log_are_systemds(booted: Booted) -> None:
    assert booted.shows("StatusText").startswith("ready: ")
    (started,) = [line for line in booted.journal("-p", "info").splitlines() if "started" in line]
    assert json.loads(started)["message"] == "started"
    assert "started" not in booted.journal("-p", "warning")


def test_a_reload_takes_the_configuration(booted: Booted) -> None:
    booted.done("sh", "-c", "printf '[server]\\ndrain_s = 1\\n' > /etc/streamd/streamd.toml")
    booted.done("systemctl", "reload", "streamd")  # it may return before the signal has arrived
    wait_until(lambda: '"taken": ["server.drain_s"]' in booted.journal())
    wait_until(lambda: booted.shows("ActiveState") == "active")


async def test_who_asks_during_a_restart_is_answered_by_the_next_process(booted: Booted) -> None:
    before = booted.shows("MainPID")
    restart = asyncio.create_task(asyncio.to_thread(booted.done, "systemctl", "restart", "streamd"))
    while not restart.done():
        assert (await asyncio.to_thread(ready_or_draining, booted)) in (200, 503)
    await restart
    assert booted.shows("MainPID") != before
    assert booted.health()["status"] == "ready"


def ready_or_draining(booted: Booted) -> int:
    try:
        booted.health()
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.code
    return 200


def test_a_process_that_hangs_is_restarted_by_the_watchdog(booted: Booted) -> None:
    booted.drop_in("watchdog", "[Service]\nWatchdogSec=5\n")
    booted.done("systemctl", "restart", "streamd")
    pid = int(booted.shows("MainPID"))
    assert pid > 1
    booted.done("kill", "-STOP", str(pid))
    wait_until(lambda: booted.shows("NRestarts") == "1" and booted.shows("ActiveState") == "active")
    assert "Watchdog timeout" in booted.journal()


def test_a_wrong_configuration_is_not_started_again_and_again(booted: Booted) -> None:
    booted.done("sh", "-c", "printf '[server]\\nports = 1\\n' > /etc/streamd/streamd.toml")
    assert booted.run("systemctl", "restart", "streamd").returncode != 0
    assert (booted.shows("ExecMainStatus"), booted.shows("NRestarts")) == ("3", "0")
    assert "server.ports: unknown key" in booted.journal("-p", "err")
    booted.done("rm", "/etc/streamd/streamd.toml")
    booted.done("systemctl", "restart", units.SOCKET, units.SERVICE)


def test_the_key_of_the_store_comes_as_a_credential(booted: Booted) -> None:
    booted.done("systemctl", "stop", units.SOCKET, units.SERVICE)
    booted.done("mv", "/var/lib/streamd/key", "/etc/streamd/store.key")
    booted.done("chown", "root:", "/etc/streamd/store.key")
    booted.drop_in("store-key", units.shipped("drop-ins/store-key.conf"))
    booted.done("systemctl", "start", units.SOCKET, units.SERVICE)
    assert booted.health()["status"] == "ready"
    assert booted.run("test", "-e", "/var/lib/streamd/key").returncode != 0


def test_the_command_shows_and_restarts_it(booted: Booted) -> None:
    program = "/opt/streamd/bin/streamd"
    assert "health   ready" in booted.done(program, "service", "status")
    assert "health   ready" in booted.done(program, "service", "restart", "--rolling")
