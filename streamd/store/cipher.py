"""Encryption of voice embeddings at rest: AES-256-GCM under one key file.

The owner of a record is authenticated with it. So nobody who can write the database, but has no
key, can give one voice's embedding to another name.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from streamd.errors import ConfigError

KEY_BYTES = 32
_NONCE_BYTES = 12
"""NIST SP 800-38D: 96 random bits are good for 2^32 records under one key."""
_OTHERS_MAY = 0o027
"""Group may read (a secret mounted by an orchestrator), nobody else anything."""


class Damaged(Exception):
    """A record of another key, or one that was changed or moved."""


class Cipher:
    """Seals and opens records. Thread-safe."""

    def __init__(self, key: bytes) -> None:
        self._aead = AESGCM(key)

    def seal(self, plain: bytes, *belongs_to: str) -> bytes:
        """Encrypt; the result is nonce, ciphertext and tag, 28 bytes longer."""
        nonce = os.urandom(_NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, plain, _bound(belongs_to))

    def open(self, sealed: bytes, *belongs_to: str) -> bytes:
        """Decrypt a record that was sealed with the same `belongs_to`.

        Raises:
            Damaged: another key, another owner, or changed bytes.
        """
        nonce, rest = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            return self._aead.decrypt(nonce, rest, _bound(belongs_to))
        except (InvalidTag, ValueError) as error:
            raise Damaged from error


def _bound(belongs_to: tuple[str, ...]) -> bytes:
    # Lengths first: ("a", "bc") and ("ab", "c") must differ.
    parts = [part.encode() for part in belongs_to]
    return b"".join(len(part).to_bytes(4, "little") + part for part in parts)


def load_key(path: Path) -> bytes:
    """Read the key file: 64 hexadecimal digits.

    Raises:
        ConfigError: it holds something else, or others may read it.
        OSError: it cannot be read.
    """
    if path.stat().st_mode & _OTHERS_MAY:
        raise ConfigError(f"{path}: other users may read the key: chmod 600 {path}")
    with contextlib.suppress(ValueError):
        key = bytes.fromhex(path.read_text(encoding="ascii"))
        if len(key) == KEY_BYTES:
            return key
    raise ConfigError(
        f"{path}: not a key file of streamd (64 hexadecimal digits): restore it from a backup"
    )


def load_or_make_key(path: Path) -> bytes:
    """Read the key file, or create it (mode 0600) if there is none.

    Two processes that create it at once get the same key.

    Raises:
        ConfigError: as `load_key`.
        OSError: it cannot be read or written.
    """
    if not path.exists():
        make_key(path)
    return load_key(path)


def make_key(path: Path, like: Path | None = None) -> None:
    """Write a new key to a file, unless there is one.

    Args:
        path: The file.
        like: A file whose owner and mode it gets; without one it is for this user alone.

    Raises:
        OSError: It cannot be written.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # A link to a complete file: nobody reads half a key, and the first key stays.
    descriptor, name = tempfile.mkstemp(prefix=".key-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(KEY_BYTES) + "\n")
            file.flush()
            if like is not None:
                status = like.stat()
                os.fchown(file.fileno(), status.st_uid, status.st_gid)
                os.fchmod(file.fileno(), status.st_mode & 0o777)
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(name, path)
    finally:
        os.unlink(name)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Return after the names of the files in a folder are on the disk."""
    held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(held)
    finally:
        os.close(held)
