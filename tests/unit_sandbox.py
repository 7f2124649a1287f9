"""The restrictions of a systemd unit, put on a process by bubblewrap where systemd does not run.

Of `systemd/streamd.service`, in the words of systemd.exec(5): file systems (ProtectSystem,
ProtectHome, ProtectKernelTunables, PrivateTmp, PrivateDevices), users and IPC (PrivateUsers,
PrivateIPC, no capabilities, NoNewPrivileges), and each rule that systemd has the kernel enforce by
seccomp: SystemCallFilter, SystemCallArchitectures, RestrictNamespaces, RestrictAddressFamilies,
RestrictRealtime, LockPersonality. The rules are made of what the unit says, with systemd's own
lists of system calls.

What is missing: all that belongs to cgroups (MemoryMax, TasksMax, DevicePolicy, OOMPolicy),
ProtectProc, ProtectHostname, KeyringMode and the last part of RestrictSUIDSGID, the bits at `open`.
"""

import ctypes
import ctypes.util
import errno
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO, NamedTuple

from needs import name_spaces, needs

ROOT = Path(__file__).parents[1]
UNIT = ROOT / "systemd/streamd.service"

_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_NE, _LT, _EQ, _GT, _MASKED_EQ = 1, 2, 4, 6, 7
"""Comparisons of seccomp_rule_add(3)."""
_NAMESPACES = (0x00020000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000)
_SCHED_BATCH, _SCHED_IDLE = 3, 5


class Settings(dict[str, list[str]]):
    """The settings of a unit: every value of each, in order."""

    @classmethod
    def of(cls, *files: Path) -> "Settings":
        """Read a unit, and the drop-ins behind it."""
        found = cls()
        for line in (line for file in files for line in file.read_text().splitlines()):
            name, is_setting, value = line.partition("=")
            if is_setting and not line.startswith("#"):
                found.setdefault(name, []).append(value.strip())
        return found

    def has(self, name: str) -> bool:
        """Whether a switch is on."""
        return self.get(name, ["no"])[-1] in ("yes", "strict", "true")


class _Compare(ctypes.Structure):
    _fields_ = (
        ("arg", ctypes.c_uint),
        ("op", ctypes.c_int),
        ("a", ctypes.c_uint64),
        ("b", ctypes.c_uint64),
    )


class _Filter:
    """One seccomp filter. As with systemd, each restriction has one of its own."""

    def __init__(self, default: int) -> None:
        self._lib = _library()
        self._filter = self._lib.seccomp_init(ctypes.c_uint32(default))
        assert self._filter, "seccomp_init"

    def rule(self, action: int, call: str, *conditions: tuple[int, int, int, int]) -> None:
        """Add a rule; a call that this machine lacks has none."""
        number = self._lib.seccomp_syscall_resolve_name(call.encode())
        if number < 0:
            return
        compares = (_Compare * max(len(conditions), 1))(*(_Compare(*one) for one in conditions))
        failed = self._lib.seccomp_rule_add_array(
            ctypes.c_void_p(self._filter),
            ctypes.c_uint32(action),
            number,
            len(conditions),
            compares,
        )
        assert failed == 0, (call, failed)

    def deny(
        self, call: str, *conditions: tuple[int, int, int, int], code: int = errno.EPERM
    ) -> None:
        self.rule(_ERRNO | code, call, *conditions)

    def export(self) -> IO[bytes]:
        """Return a file with the program."""
        file = tempfile.TemporaryFile()  # noqa: SIM115
        assert self._lib.seccomp_export_bpf(ctypes.c_void_p(self._filter), file.fileno()) == 0
        self._lib.seccomp_release(ctypes.c_void_p(self._filter))
        file.seek(0)
        return file


@cache
def _library() -> ctypes.CDLL:
    lib = ctypes.CDLL("libseccomp.so.2")  # systemd needs it too
    lib.seccomp_init.restype = ctypes.c_void_p
    return lib


@cache
def _group(name: str) -> frozenset[str]:
    """The system calls of a group of systemd's."""
    if not name.startswith("@"):
        return frozenset((name,))
    done = subprocess.run(
        ["systemd-analyze", "--no-pager", "syscall-filter", name],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line.strip() for line in done.stdout.splitlines()[1:]]
    parts = [part for part in lines if part and not part.startswith("#")]
    return frozenset().union(*(_group(part) for part in parts))


def allowed_calls(settings: Settings) -> set[str]:
    """The system calls that the unit allows."""
    allowed: set[str] = set()
    for line in settings["SystemCallFilter"]:
        calls = {call for name in line.lstrip("~").split() for call in _group(name)}
        allowed = allowed - calls if line.startswith("~") else allowed | calls
    return allowed | _group("@default")


def _filters(settings: Settings) -> Iterator[_Filter]:
    calls = _Filter(_ERRNO | errno.EPERM)
    for call in allowed_calls(settings):
        calls.rule(_ALLOW, call)
    yield calls
    others = _Filter(_ALLOW)
    if settings.has("RestrictNamespaces"):
        for kind in _NAMESPACES:
            for call in ("clone", "unshare"):
                others.deny(call, (0, _MASKED_EQ, kind, kind))
        others.deny("setns")
        others.deny("clone3", code=errno.ENOSYS)
    if settings.has("RestrictRealtime"):
        for policy in range(1, 16):
            if policy not in (_SCHED_BATCH, _SCHED_IDLE):
                others.deny("sched_setscheduler", (1, _EQ, policy, 0))
    if settings.has("LockPersonality"):
        others.deny("personality", (0, _NE, 0, 0))
    if settings.has("RestrictSUIDSGID"):
        for bit in (stat.S_ISUID, stat.S_ISGID):
            for call, arg in (("chmod", 1), ("fchmod", 1), ("fchmodat", 2)):
                others.deny(call, (arg, _MASKED_EQ, bit, bit))
    families = [
        int(getattr(socket, name)) for name in settings["RestrictAddressFamilies"][-1].split()
    ]
    first, last = min(families), max(families)
    for condition in (
        (0, _LT, first, 0),
        (0, _GT, last, 0),
        *((0, _EQ, one, 0) for one in range(first, last) if one not in families),
    ):
        others.deny("socket", condition, code=errno.EAFNOSUPPORT)
    yield others


class Sandbox(NamedTuple):
    """How to start one program under the restrictions."""

    launcher: tuple[str, ...]
    pass_fds: tuple[int, ...]


@contextmanager
def sandbox(
    settings: Settings, writable: Iterable[Path] = (), readable: Iterable[Path] = ()
) -> Iterator[Sandbox]:
    """What puts the restrictions of a unit on the program behind it.

    Args:
        settings: Of the unit.
        writable: Folders that the unit may write, as its StateDirectory.
        readable: Folders that are to be seen although they lie in a home or in /tmp.
    """
    needs("systemd-analyze")
    name_spaces("--unshare-user", "--unshare-ipc")
    python = {Path(sys.prefix), Path(sys.base_prefix), ROOT}
    mounts = ["--ro-bind", "/", "/", "--dev", "/dev", "--bind", "/proc", "/proc"]
    mounts += ["--ro-bind", "/proc/sys", "/proc/sys"]
    for hidden in ("/tmp", "/var/tmp", "/home", "/root", "/run/user"):
        if Path(hidden).is_dir():
            mounts += ["--tmpfs", hidden]
    for path in sorted({*readable, *python}):
        mounts += ["--ro-bind", str(path), str(path)]
    for path in writable:
        mounts += ["--bind", str(path), str(path)]
    users = ["--unshare-user", "--uid", "64321", "--gid", "64321", "--unshare-ipc"]
    with ExitStack() as stack:
        programs = [stack.enter_context(one.export()) for one in _filters(settings)]
        numbers = tuple(program.fileno() for program in programs)
        seccomp = [word for number in numbers for word in ("--add-seccomp-fd", str(number))]
        rest = ["--cap-drop", "ALL", "--die-with-parent", "--"]
        yield Sandbox(("bwrap", *users, *mounts, *seccomp, *rest), numbers)


def child_of(parent: int) -> int:
    """The one child of a process."""
    for state in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended meanwhile
            fields = state.read_text().rpartition(")")[2].split()
            if int(fields[1]) == parent:
                return int(state.parent.name)
    raise AssertionError(f"{parent} has no child")
