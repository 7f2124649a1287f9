"""Whether a model file is the one that was written, without hashing it at every start.

What was hashed is noted beside the models, with size, inode and times. A file whose note still
fits is not read again. A folder that cannot be written has no notes; its files are hashed anew.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from pathlib import Path

import msgspec

from streamd.models.fetch import sha256

NOTES = ".verified.json"
_SETTLED_NS = 2_000_000_000
"""Age of a file from which a later change shows in its times, however coarse the file system's
clock is."""


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """A file as it was when it was hashed."""

    sha256: str
    size_bytes: int
    inode: int
    modified_ns: int
    changed_ns: int
    """Time of the last change of the inode, which unlike `modified_ns` no program can set."""


class Integrity:
    """Hashes of the files of one folder, remembered."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._notes: dict[str, Note] | None = None

    def is_intact(self, file: str, digest: str) -> bool:
        """Whether the file has this SHA-256.

        Raises:
            OSError: it cannot be read.
        """
        path = self._directory / file
        status = path.stat()
        note = self._known().get(file)
        if note is None or note != _note(status, note.sha256):
            note = _note(status, sha256(path))
            if time.time_ns() - max(note.modified_ns, note.changed_ns) > _SETTLED_NS:
                self._remember(file, note)
        return note.sha256 == digest

    def _known(self) -> dict[str, Note]:
        if self._notes is None:
            self._notes = self._read()
        return self._notes

    def _read(self) -> dict[str, Note]:
        try:
            text = (self._directory / NOTES).read_bytes()
            return msgspec.json.decode(text, type=dict[str, Note])
        except (OSError, msgspec.DecodeError):  # none yet, or of another version
            return {}

    def _remember(self, file: str, note: Note) -> None:
        self._notes = self._read() | {file: note}  # another process may have added some
        with contextlib.suppress(OSError):  # a folder that is only read
            handle, draft = tempfile.mkstemp(prefix=NOTES, dir=self._directory)
            try:
                with os.fdopen(handle, "wb") as out:
                    out.write(msgspec.json.encode(self._notes))
                Path(draft).chmod(0o644)  # the folder may be shared
                os.replace(draft, self._directory / NOTES)
            except OSError:
                Path(draft).unlink(missing_ok=True)


def _note(status: os.stat_result, digest: str) -> Note:
    return Note(
        sha256=digest,
        size_bytes=status.st_size,
        inode=status.st_ino,
        modified_ns=status.st_mtime_ns,
        changed_ns=status.st_ctime_ns,
    )
