"""The files of the audit log: appended by several processes, chained by hashes, rotated by size."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from streamd.access.audit.entry import Entry
from streamd.errors import Unavailable

ORIGIN = "0" * 64
"""What the first line of all names as the hash of the line before."""
MAX_LINE_BYTES = 65_536
_DIGITS = 12
"""Digits of the number in the name of a rotated file, so that names sort as numbers do."""


class Link(NamedTuple):
    """A place in the chain."""

    seq: int
    """Number of the line, from 1."""
    hash: str
    """SHA-256 of the line without its newline."""


START = Link(0, ORIGIN)


class Head(msgspec.Struct, frozen=True):
    """The part of a line that the chain needs."""

    seq: int
    prev: str


class Line(Entry, frozen=True, kw_only=True, omit_defaults=True):
    """An entry at its place in the chain."""

    seq: int
    prev: str
    """Hash of the line before."""


def hash_of(line: bytes) -> str:
    """Return the hash of a line without its newline."""
    return hashlib.sha256(line).hexdigest()


def rotated(path: Path) -> list[Path]:
    """Return the earlier files of a log, the oldest first."""
    found = path.parent.glob(f"{path.name}.{'[0-9]' * _DIGITS}")
    return sorted(found, key=lambda file: file.name)


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Translate errors of the file system.

    Raises:
        Unavailable: No permission, no disk.
    """
    try:
        yield
    except OSError as error:
        raise Unavailable(
            f"audit log {error.filename or path}: {error.strerror}: check the path, its owner and "
            'the free space, or set access.audit_path to another file or "off"'
        ) from error


class Journal:
    """Appends to the log. Any thread may use it, and so may other processes at the same time.

    Args:
        path: The file that is written now. Earlier ones lie beside it, numbered by their last line.
        max_bytes: Size from which the next entry begins a new file.
        keep: Earlier files that are kept; the oldest is deleted.
    """

    def __init__(self, path: Path, max_bytes: int, keep: int) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._keep = keep
        self._lock = threading.Lock()
        self._known: tuple[tuple[int, int, int], Link] | None = None
        """Device, inode and size of the file when this process last wrote it, and its last line."""

    def append(self, entries: Sequence[Entry]) -> None:
        """Write entries, all or none.

        Raises:
            Unavailable: They cannot be written, or the last line of the file is none of ours.
        """
        with self._lock, explained(self.path), locked(self.path):
            self._append(entries)

    def probe(self) -> None:
        """Check that it can be written; raises as `append` does."""
        with self._lock, explained(self.path), locked(self.path):
            file = self._open()
            try:
                self._last(file)
            finally:
                os.close(file)

    def _open(self) -> int:
        return os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def _append(self, entries: Sequence[Entry]) -> None:
        file = self._open()
        try:
            last, cut_bytes = self._last(file)
            size = os.fstat(file).st_size
            surplus: list[Path] = []
            if size >= self._max_bytes and last.seq:
                os.close(file)
                file, surplus = self._rotate(last)
                size = 0
            if surplus:
                # Before they go, so that a beginning that somebody else cut off is told from it.
                count = int(surplus[-1].suffix[1:])
                entries = [Entry(action="dropped", by=entries[0].by, count=count), *entries]
            if cut_bytes:
                repaired = Entry(action="repaired", by=entries[0].by, count=cut_bytes)
                entries = [repaired, *entries]
            data = bytearray()
            for entry in entries:
                line = _encode(entry, last)
                last = Link(last.seq + 1, hash_of(line))
                data += line + b"\n"
            _write(file, data, size)
            if surplus or any(entry.is_change for entry in entries):
                os.fsync(file)
            self._known = (_identity(file), last)
            for old in surplus:
                with contextlib.suppress(OSError):  # the next rotation tries again
                    old.unlink()
        finally:
            os.close(file)

    def _last(self, file: int) -> tuple[Link, int]:
        """Return the last whole line, and how many bytes behind it were cut off."""
        if self._known is not None and self._known[0] == _identity(file):
            return self._known[1], 0
        size = os.fstat(file).st_size
        tail = os.pread(file, MAX_LINE_BYTES, max(0, size - MAX_LINE_BYTES))
        cut_bytes = len(tail) - tail.rfind(b"\n") - 1
        if cut_bytes:  # a process died while it wrote
            os.ftruncate(file, size - cut_bytes)
            tail = tail[:-cut_bytes]
        if tail:
            return self._link(tail, self.path), cut_bytes
        for before in reversed(rotated(self.path)):
            with before.open("rb") as earlier:
                length = earlier.seek(0, os.SEEK_END)
                earlier.seek(max(0, length - MAX_LINE_BYTES))
                return self._link(earlier.read(), before), cut_bytes
        return START, cut_bytes

    def _link(self, tail: bytes, path: Path) -> Link:
        line = tail.removesuffix(b"\n").rpartition(b"\n")[2]
        try:
            return Link(msgspec.json.decode(line, type=Head).seq, hash_of(line))
        except msgspec.MsgspecError:
            raise Unavailable(
                f"audit log {path}: its last line was not written by streamd. "
                "`streamd doctor --audit` shows where the log is broken; move the file to another "
                "folder, so that a new one begins"
            ) from None

    def _rotate(self, last: Link) -> tuple[int, list[Path]]:
        """Begin a new file; return it, and the earlier ones that are not to be kept."""
        os.rename(self.path, self.path.with_name(f"{self.path.name}.{last.seq:0{_DIGITS}d}"))
        return self._open(), rotated(self.path)[: -self._keep or None]


@contextlib.contextmanager
def locked(path: Path, *, is_shared: bool = False) -> Iterator[None]:
    """Keep other processes from the log; the lock goes with the process that holds it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(
        path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
    )
    try:
        fcntl.flock(lock, fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _encode(entry: Entry, before: Link) -> bytes:
    fields = {name: getattr(entry, name) for name in entry.__struct_fields__}
    return msgspec.json.encode(Line(seq=before.seq + 1, prev=before.hash, **fields))


def _write(file: int, data: bytes | bytearray, size: int) -> None:
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(file, view) :]
    except OSError:
        os.ftruncate(file, size)
        raise


def _identity(file: int) -> tuple[int, int, int]:
    found = os.fstat(file)
    return found.st_dev, found.st_ino, found.st_size
