"""The machine that the figures were measured on."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from streamd import __version__
from streamd.observability.cores import usable_cores

_PACKAGES = ("aiohttp", "numpy", "onnxruntime", "uvloop", "websockets")


def described() -> dict[str, Any]:
    """Return the machine, the versions and the date for the JSON."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": cpu_model(),
        "cores": len(usable_cores()),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "versions": {"streamd": __version__, "python": platform.python_version(), **_versions()},
    }


def cpu_model() -> str:
    """Return the name of the processor as the system reports it."""
    if sys.platform == "darwin":
        asked = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    named = dict(line.split(":", 1) for line in reversed(lines) if ":" in line)
    found = {key.strip(): value.strip() for key, value in named.items()}
    return found.get("model name") or found.get("Model") or platform.processor() or "unknown"


def busy_s() -> float | None:
    """Return seconds since boot that the cores of this process were busy, for any process."""
    try:
        lines = Path("/proc/stat").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    names = {f"cpu{core}" for core in usable_cores()}
    ticks = 0
    for line in lines:
        name, *times = line.split()
        if name in names:
            idle, waiting = (int(time) for time in times[3:5])
            ticks += sum(map(int, times[:8])) - idle - waiting
    return ticks / os.sysconf("SC_CLK_TCK")


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:  # uvloop, where there is none for the platform
            continue
    return found
