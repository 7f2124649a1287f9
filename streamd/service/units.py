"""The unit files that streamd ships, made for one machine."""

from __future__ import annotations

import ipaddress
import re
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from streamd.errors import WrongUsage

SERVICE, SOCKET = "streamd.service", "streamd.socket"
DROP_INS = ("gpu", "mic", "store-key", "tls")
_EXEC = "ExecStart=/opt/streamd/bin/streamd serve"
_LISTEN = "ListenStream=127.0.0.1:8765"
_HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")
"""Folders that the system's unit cannot see: ProtectHome= and PrivateTmp=."""


def directory() -> Path:
    """Return the folder of the unit files: in the package, or in the repository."""
    packaged = Path(__file__).parent / "files"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "systemd"


def shipped(name: str) -> str:
    """Return a file as it is shipped, as `streamd.socket` or `drop-ins/gpu.conf`."""
    return (directory() / name).read_text(encoding="utf-8")


def service(program: str, *, is_user: bool) -> str:
    """Return the service unit.

    Args:
        program: Path of the streamd that it runs.
        is_user: Whether it is for the manager of a user.
    """
    text = shipped(f"user/{SERVICE}" if is_user else SERVICE)
    return _replaced(text, _EXEC, f"ExecStart={_quoted(program)} serve")


def socket(addresses: Sequence[str]) -> str:
    """Return the socket unit.

    Raises:
        WrongUsage: One of the addresses is none that systemd can listen on.
    """
    lines = [f"ListenStream={listen_stream(address)}" for address in addresses]
    return _replaced(shipped(SOCKET), _LISTEN, "\n".join(lines))


def listen_stream(address: str) -> str:
    """Return `HOST:PORT` or `PORT` as systemd takes it.

    Raises:
        WrongUsage: It has another form, or a name where systemd needs an IP address.
    """
    host, colon, port = address.rpartition(":")
    host = {"localhost": "127.0.0.1"}.get(host, host).removeprefix("[").removesuffix("]")
    try:
        found = ipaddress.ip_address(host) if colon else None
        is_port = port.isascii() and port.isdecimal() and 0 < int(port) < 65_536
    except ValueError:
        is_port = False
    if not is_port:
        raise WrongUsage(
            f"--listen {address}: expected an IP address and a port, as 127.0.0.1:8765, [::]:8765 "
            "or 8765 for every address"
        )
    if found is None:
        return port
    return f"[{found}]:{port}" if found.version == 6 else f"{found}:{port}"


def listens(unit: str) -> list[str]:
    """Return the addresses of a socket unit."""
    return re.findall(r"^ListenStream=(.+)$", unit, re.MULTILINE)


def host_of(address: str) -> str:
    """Return the host of `HOST:PORT`; that of a port alone is every address."""
    host, colon, _ = address.rpartition(":")
    return host.removeprefix("[").removesuffix("]") if colon else "::"


def own_program() -> Path:
    """Return the `streamd` of this environment.

    Raises:
        WrongUsage: It has none.
    """
    program = Path(sysconfig.get_path("scripts")) / "streamd"
    if not program.is_file():
        raise WrongUsage(f"{program} does not exist: name the program with --exec PATH")
    return program


def check_visible(program: Path, *, is_own: bool) -> None:
    """Check that the system's unit can see a program, and the Python that runs it.

    Args:
        program: What the unit runs.
        is_own: Whether it is the `streamd` of this environment.

    Raises:
        WrongUsage: They are where homes and temporary files are, which are hidden from it.
    """
    own = [Path(sys.prefix), Path(sys.base_prefix), Path(__file__).parents[2]]
    for path in [program, *(own if is_own else [])]:
        real = path.resolve()
        if any(real.is_relative_to(hidden) for hidden in _HIDDEN):
            raise WrongUsage(
                f"{real} is hidden from the service, as homes and temporary files are. Install "
                "streamd with the system's Python, in a checkout: `/usr/bin/python3 -m venv "
                "/opt/streamd && /opt/streamd/bin/pip install -c constraints.txt .`, then run "
                "`/opt/streamd/bin/streamd service install`; or use --user"
            )


def _quoted(word: str) -> str:
    """Return a word of a command as systemd.service(5) reads it."""
    escaped = word.replace("%", "%%").replace("$", "$$")
    if re.fullmatch(r"[\w@%+=:,./$-]+", escaped):
        return escaped
    return '"' + escaped.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _replaced(text: str, before: str, after: str) -> str:
    assert text.count(before) == 1, before
    return text.replace(before, after)
