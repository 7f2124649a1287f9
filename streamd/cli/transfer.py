"""Files that commands write whole or not at all, and read."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from streamd.display import display_name
from streamd.errors import Unavailable


@contextlib.contextmanager
def written_whole(path: Path) -> Iterator[BinaryIO]:
    """Write a file for its owner only, which takes its name once it is whole.

    A link stays, and the file that it names is replaced. A pipe or a device cannot be replaced: it
    is written as it is.
    """
    try:
        if path.exists() and not path.is_file():
            with path.open("wb") as out:
                yield out
            return
        path = path.resolve()
        descriptor, name = tempfile.mkstemp(prefix=".streamd-", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as out:
                yield out
                out.flush()
                os.fsync(out.fileno())
            os.replace(name, path)
        except BaseException:
            os.unlink(name)
            raise
    except OSError as error:
        raise Unavailable(f"{display_name(path)}: cannot be written: {error.strerror}") from error


@contextlib.contextmanager
def opened(file: str) -> Iterator[BinaryIO]:
    """Open a file to read; - is stdin."""
    if file == "-":
        yield sys.stdin.buffer
        return
    try:
        with Path(file).open("rb") as opened:
            yield opened
    except OSError as error:
        raise Unavailable(f"{shown(file)}: cannot be read: {error.strerror}") from error


def shown(file: str) -> str:
    """Return what messages call a file."""
    return "the export" if file == "-" else display_name(file)
