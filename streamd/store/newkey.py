"""The files of a change of the store's key: `key.new` takes the place of `key`, now `key.old`.

`key.new` is on the disk before a record is sealed with it, and becomes `key` after all records are.
So one of the two always opens the store, wherever a change was interrupted.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from streamd.errors import ConfigError
from streamd.store.cipher import load_key, make_key, sync_folder


def pending(key: Path) -> Path:
    """Return the file of a new key while the records are sealed with it."""
    return _beside(key, ".new")


def replaced(key: Path) -> Path:
    """Return the file of the key before the last change."""
    return _beside(key, ".old")


def begin(key: Path) -> bytes:
    """Return the new key: that of a change that was interrupted, or one that is made now.

    Raises:
        ConfigError: An earlier key would be overwritten, or a file is no key.
        OSError: A file cannot be read or written.
    """
    new, old = pending(key), replaced(key)
    if old.exists() and load_key(old) != load_key(key):
        raise ConfigError(
            f"key {old}: it is from an earlier change, and exports from before that need it: move "
            "it to your backups, or delete it, and try again"
        )
    if not new.exists():
        make_key(new, like=key)
    return load_key(new)


def complete(key: Path) -> None:
    """Put the new key in the place of the old one, which stays beside it; again does nothing.

    Raises:
        OSError: A file cannot be written.
    """
    new, real = pending(key), key.resolve()
    with contextlib.suppress(FileNotFoundError):  # another process has done it
        if new.exists():
            with contextlib.suppress(FileExistsError):
                os.link(real, replaced(key))
            os.replace(new, real)
    sync_folder(real.parent)


def _beside(key: Path, suffix: str) -> Path:
    real = key.resolve()  # of a link, the file is replaced and not the link
    return real.with_name(real.name + suffix)
