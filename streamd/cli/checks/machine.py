"""The machine: what its processor can do, its clock, and how many files a process may open."""

from __future__ import annotations

import ctypes
import os
import platform
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from streamd.cli.checks.check import Check
from streamd.config import Config, audit_path
from streamd.errors import Unavailable
from streamd.observability import descriptors
from streamd.observability.cores import usable_cpus
from streamd.places import store_path
from streamd.wall_clock import now_ms

CPU_INFO = Path("/proc/cpuinfo")
EXISTED_MS = 1_735_689_600_000
"""2025-01-01: no clock that is right shows an earlier day to a streamd."""
CLOCK_SLACK_S = 60.0
"""Seconds by which a file may be newer than the clock: the disk may be that of another machine."""
UNSYNCHRONISED_US = 16_000_000
"""Possible error of the clock, microseconds, which the kernel reports where nothing corrects it."""
_BENCH = "`streamd bench` measures how many streams it carries"


class _Timex(ctypes.Structure):
    """The beginning of `struct timex` of adjtimex(2), and room for the rest."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("frequency", ctypes.c_long),
        ("max_error_us", ctypes.c_long),
        ("rest", ctypes.c_byte * 512),
    )


def processor(information: Path = CPU_INFO, machine: str | None = None) -> Check:
    """Say what the processor lacks of what makes models fast.

    Args:
        information: What Linux says about its processors, one `name : value` a line.
        machine: The architecture; None is that of this machine.
    """
    machine = machine or platform.machine()
    cores = f"{usable_cpus():.3g} of {os.cpu_count()} cores usable"
    found = _first_processor(information)
    features = set(found.get("flags", found.get("Features", "")).split())
    named = found.get("model name", machine)
    if not features:
        return Check("cpu", f"{named}, {cores}")
    if machine in ("x86_64", "AMD64"):
        if "avx2" not in features:
            return Check(
                "cpu",
                f"{named} has no AVX2, so models take several times as long. Give a virtual "
                'machine the processor of its host (QEMU and Proxmox: CPU type "host"). Elsewhere '
                f'speaker.model = "ge2e" takes less; {_BENCH}',
                False,
            )
        vnni = {"avx512_vnni", "avx_vnni"} & features
        said = "AVX2 and VNNI" if vnni else "AVX2, without VNNI for models in int8"
        return Check("cpu", f"{named}, {said}, {cores}")
    if machine in ("aarch64", "arm64"):
        dot = "asimddp" in features
        said = "dot product" if dot else "without the dot product for models in int8"
        return Check("cpu", f"{named}, {said}, {cores}")
    return Check("cpu", f"{named}, {cores}")


def clock(config: Config, at_ms: int | None = None) -> Check:
    """Check the wall clock, on which the expiry of keys, tickets and certificates depends.

    Args:
        config: Says which files streamd writes.
        at_ms: The time that the clock shows; None asks it.

    Raises:
        Unavailable: It shows a time that has passed.
    """
    at_ms = now_ms() if at_ms is None else at_ms
    shown = f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"
    depends = "keys, tickets and certificates expire by it"
    if at_ms < EXISTED_MS:
        raise Unavailable(
            f"it is not set: it shows {shown}, and {depends}. `sudo timedatectl set-ntp true` has "
            "it set over the network; `sudo date -s 'YYYY-MM-DD HH:MM'` sets it by hand"
        )
    for path, written_s in _written(config):
        if written_s > at_ms / 1000 + CLOCK_SLACK_S:
            newer = datetime.fromtimestamp(written_s, UTC)
            return Check(
                "clock",
                f"it shows {shown}, but {path} was written later, at {newer:%Y-%m-%d %H:%M} UTC: "
                f"it went backwards, and {depends}. `sudo timedatectl set-ntp true` sets it; if it "
                f"is right now, `touch {path}` ends this note",
                False,
            )
    if not is_synchronised():
        return Check(
            "clock",
            f"{shown}, and nothing synchronises it as far as the kernel knows; {depends}. "
            "`sudo timedatectl set-ntp true` does; a virtual machine or container may have the "
            "clock of its host",
            False,
        )
    return Check("clock", shown)


def is_synchronised() -> bool:
    """Return whether something synchronises the kernel's clock; True where nobody can tell."""
    error_us = max_error_us()
    return error_us is None or error_us < UNSYNCHRONISED_US


def max_error_us() -> int | None:
    """Return the possible error of the kernel's clock, microseconds; None if it does not say."""
    asked = _Timex()  # zeroed, it sets nothing
    with suppress(OSError, AttributeError):  # not Linux
        if ctypes.CDLL(None).adjtimex(ctypes.byref(asked)) >= 0:
            return int(asked.max_error_us)
    return None


def open_files(config: Config) -> Check:
    """Say whether as many streams as are configured may have their file descriptors."""
    most = config.limits.max_streams
    needed = descriptors.needed(most, config.server.max_waiting)
    allowed = descriptors.allow(needed)
    if allowed >= needed:
        return Check("limits", f"{needed} open files needed for {most} streams, and allowed")
    return Check(
        "limits",
        f"{allowed} open files are allowed, {needed} needed for limits.max_streams = {most}: "
        f"{descriptors.advice(needed)}",
        False,
    )


def _first_processor(information: Path) -> dict[str, str]:
    """Return what is known of the first processor."""
    found: dict[str, str] = {}
    with suppress(OSError):
        for line in information.read_text(errors="replace").splitlines():
            name, _, value = line.partition(":")
            if not name.strip() and found:
                break
            found[name.strip()] = value.strip()
    return found


def _written(config: Config) -> Iterator[tuple[Path, float]]:
    """Yield the files that streamd wrote last, with the time in Unix seconds."""
    audit = audit_path(config.access.audit_path, os.environ)
    for path in (store_path(config.store.path, os.environ), audit):
        if path is not None:
            with suppress(OSError):
                yield path, path.stat().st_mtime
