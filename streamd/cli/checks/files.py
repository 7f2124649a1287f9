"""The files: the models, the audit log, and the disk below them."""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from pathlib import Path

from streamd.access.audit.check import check as audit_check
from streamd.access.audit.journal import rotated
from streamd.cli.checks.check import Check
from streamd.cli.runtime import is_fault
from streamd.config import Config, audit_path, data_dir
from streamd.errors import ModelMissing, Unavailable
from streamd.models.library import Library

NEEDED_MB = 500
NEEDED_FILES = 1000
_PROBE_BYTES = 64 * 1024
"""Bytes of a file that is written and gone at once: a quota shows in no number of the disk's."""


def models(config: Config) -> str:
    """Check the files of the models.

    Raises:
        ModelMissing: One is missing, or is not what was pulled.
    """
    library = Library()
    bad = [found for found in library.verify() if is_fault(found, config)]
    if bad:
        named = ", ".join(f"{found.file} ({found.status})" for found in bad)
        raise ModelMissing(
            f"{named} in {library.directory}: run `streamd models pull`. Without a network, "
            "`streamd models pull --to DIR` on another machine, and copy the folder"
        )
    return f"all intact, in {library.directory}"


def audit(config: Config) -> str:
    """Check that nobody changed the audit log.

    Raises:
        AuditBroken: Somebody did; the message names the place.
        Unavailable: It cannot be read.
    """
    path = audit_path(config.access.audit_path, os.environ)
    if path is None:
        return 'there is none: access.audit_path is "off"'
    if not path.exists() and not rotated(path):
        return f"{path} has no entry yet"
    found = audit_check(path)
    if not found.entries:
        return f"{path} has no entry yet"
    removed = found.first_seq - 1
    older = f", {removed} older ones are no longer kept" if removed else ""
    return (
        f"{path}: all {found.entries} entries are as they were written{older}; the last one is "
        f"{found.last.seq}, SHA-256 {found.last.hash}"
    )


def disk() -> Check:
    """Check that the data directory, or the folder that it will be made in, takes a file.

    Raises:
        Unavailable: It does not: permission, no space, a quota.
    """
    directory = data_dir(os.environ)
    owner = directory.stat().st_uid if directory.exists() else os.geteuid()
    while not directory.exists():
        directory = directory.parent
    _probe(directory)
    free_mb = shutil.disk_usage(directory).free // 1_000_000
    if free_mb < NEEDED_MB:
        return Check("disk", f"{free_mb} MB free at {directory}: make room", False)
    status = os.statvfs(directory)
    if status.f_files and status.f_favail < NEEDED_FILES:
        return Check(
            "disk",
            f"room for {status.f_favail} more files at {directory}, although {free_mb} MB are "
            "free: its inodes are used up; delete small files",
            False,
        )
    if owner != os.geteuid():
        name = _user(owner)
        return Check(
            "disk",
            f"{directory} belongs to {name}, so this says little about the server: "
            f"`sudo -u {name} streamd doctor`, with the same --config",
            False,
        )
    return Check("disk", f"{free_mb} MB free at {directory}")


def _probe(directory: Path) -> None:
    try:
        with tempfile.TemporaryFile(dir=directory) as probe:
            probe.write(bytes(_PROBE_BYTES))
            probe.flush()
            os.fsync(probe.fileno())
    except OSError as error:
        user = _user(os.geteuid())
        raise Unavailable(
            f"{directory} takes no file: {error.strerror}: make room, or give it to the server's "
            f"user with `sudo chown -R {user} {directory}`, or set STREAMD_DATA to another folder"
        ) from None


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:  # of another machine, or of a container
        return str(number)
