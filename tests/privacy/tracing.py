"""Runs programs under strace and says where they send to and what they write."""

import re
from collections.abc import Iterable, Sequence
from ipaddress import ip_address
from pathlib import Path

NETWORK = ("connect", "sendto", "sendmsg", "sendmmsg")
OPENING = ("open", "openat", "openat2", "creat")
CHANGING = (
    "mkdir", "mkdirat", "mknod", "mknodat", "rename", "renameat", "renameat2", "link", "linkat",
    "symlink", "symlinkat", "unlink", "unlinkat", "rmdir", "truncate", "chmod", "fchmodat",
    "chown", "lchown", "fchownat", "utimensat",
)  # fmt: skip
DNS_PORT = 53
DEVICES = ("/dev/null", "/dev/tty", "/dev/pts/", "/dev/shm/")

_CALL = re.compile(r"^\d+ +(\w+)\((.*)$")
_PATH = re.compile(r'(?:(?:AT_FDCWD|\d+)<((?:[^>\\]|\\.)*)>, )?"((?:[^"\\]|\\.)*)"')
_FAMILY = re.compile(r"sa_family=(AF_\w+)")
_ADDRESS = re.compile(r'inet_addr\("([^"]+)"\)|inet_pton\(AF_INET6, "([^"]+)"')
_PORT = re.compile(r"sin6?_port=htons\((\d+)\)")


def traced(command: Sequence[str], trace: Path) -> list[str]:
    """The command under strace, which writes the calls of all its processes to a file."""
    calls = ",".join(f"?{name}" for name in (*NETWORK, *OPENING, *CHANGING))
    options = ["-f", "-y", "--seccomp-bpf", "-qq", "-s", "4096", "-o", str(trace)]
    return ["strace", *options, "-e", f"trace={calls}", "-e", "signal=none", *command]


def violations(trace: Path, cwd: Path, may_write: Iterable[Path]) -> list[str]:
    """The calls of a trace that leave the machine or write outside of some folders.

    Args:
        trace: what strace wrote.
        cwd: where the program ran.
        may_write: absolute folders.

    Not counted: loopback except for its port 53, the kernel's own sockets (netlink), devices
    and shared memory, and making the parents of a folder that may be written.
    """
    allowed = list(may_write)
    found = []
    for line in trace.read_text(errors="replace").splitlines():
        if call := _CALL.match(line):
            name, arguments = call[1], call[2]
            if name in NETWORK:
                is_wrong = _leaves(arguments)
            else:
                paths = (cwd / path for path in _written(name, arguments))
                is_wrong = any(not _may(path, allowed) for path in paths)
            if is_wrong:
                found.append(line)
    return found


def _leaves(arguments: str) -> bool:
    family = _FAMILY.search(arguments)
    if family is None or family[1] in ("AF_NETLINK", "AF_UNSPEC"):
        return False  # no address: the socket's peer, to which it had to connect
    address, port = _ADDRESS.search(arguments), _PORT.search(arguments)
    if address is None or port is None:
        return True  # a Unix socket too: a name service may answer there
    return int(port[1]) == DNS_PORT or not ip_address(address[1] or address[2]).is_loopback


def _written(name: str, arguments: str) -> list[Path]:
    if name in OPENING and not re.search(r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC", arguments):
        return [] if name != "creat" else _paths(arguments)
    paths = _paths(arguments)
    return paths[1:] if name.startswith("symlink") else paths


def _paths(arguments: str) -> list[Path]:
    """Paths of a call, absolute where strace says relative to what."""
    return [Path(folder, path) for folder, path in _PATH.findall(arguments)]


def _may(path: Path, allowed: list[Path]) -> bool:
    if str(path).startswith(DEVICES):
        return True
    return any(path.is_relative_to(folder) or folder.is_relative_to(path) for folder in allowed)
