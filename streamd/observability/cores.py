"""The cores that this process may use, which may be fewer than the machine has."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

CONTROL_GROUPS = Path("/sys/fs/cgroup")
OWN_GROUPS = Path("/proc/self/cgroup")


def usable_cores() -> list[int]:
    """Return the numbers of these cores."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def usable_cpus() -> float:
    """Return how many cores this process may keep busy all the time.

    A container may see all cores of its machine, while its quota gives it the time of a few.
    """
    return min(float(len(usable_cores())), quota_cpus())


def quota_cpus(own: Path = OWN_GROUPS, groups: Path = CONTROL_GROUPS) -> float:
    """Return the CPU seconds that Linux's control groups allow in each second; infinity if all.

    Args:
        own: Names the groups of this process, as cgroups(7) describes.
        groups: Where their files are.
    """
    lines: list[str] = []
    with suppress(OSError):
        lines = own.read_text().splitlines()
    allowed = float("inf")
    for line in lines:
        _, controllers, path = line.split(":", 2)
        # An outer group bounds those inside. In a container, the path may be that of the host,
        # where nothing is mounted; the group of the container then is the outermost.
        for group in (PurePosixPath(path), *PurePosixPath(path).parents):
            at = str(group).lstrip("/")
            if not controllers:
                allowed = min(allowed, *_version_2(groups / at), float("inf"))
            elif "cpu" in controllers.split(","):
                allowed = min(allowed, *_version_1(groups / controllers / at), float("inf"))
    return allowed


def _version_2(group: Path) -> Iterator[float]:
    with suppress(OSError, ValueError):
        quota, period = (group / "cpu.max").read_text().split()
        if quota != "max":
            yield int(quota) / int(period)


def _version_1(group: Path) -> Iterator[float]:
    with suppress(OSError, ValueError):
        quota = int((group / "cpu.cfs_quota_us").read_text())
        if quota > 0:
            yield quota / int((group / "cpu.cfs_period_us").read_text())
