"""The proof, in the database, of which key its records are sealed with."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path

from streamd.errors import ConfigError, Unavailable
from streamd.store import newkey
from streamd.store.cipher import Cipher, Damaged, load_key, load_or_make_key
from streamd.store.database import Rows

_PROOF = b"streamd"


@dataclass(frozen=True, slots=True)
class Proven:
    """The cipher of a database's records, and the proof that it is."""

    cipher: Cipher
    proof: bytes


def proven(db: Rows, name: str, key_path: Path) -> Proven:
    """Return the cipher of a database's records.

    A database without a proof gets one, and its key file is created if there is none.

    Args:
        db: a connection, in no transaction.
        name: of the database, for messages.
        key_path: the key file.

    Raises:
        ConfigError: the key file is missing, or it is that of another database.
        OSError: the key file cannot be read or written.
    """
    proof = read_proof(db)
    if proof is None:
        sealed = _seal(Cipher(load_or_make_key(key_path)))
        db.execute(
            "INSERT INTO secrets (name, value) VALUES ('proof', ?) ON CONFLICT DO NOTHING",
            (sealed,),
        )
        proof = read_proof(db)  # of two processes the first wins, perhaps one with another key
        assert proof is not None
    # A new key could not open the records: never create one for a database that has one.
    if not key_path.exists():
        raise ConfigError(
            f"key {key_path}: missing, and the voices in {name} cannot be read without it: "
            "restore it, or delete the database to start anew"
        )
    # The new key of a change that was interrupted, or that is about to take the place of the old.
    for path in (key_path, newkey.pending(key_path), key_path):
        with contextlib.suppress(FileNotFoundError):
            cipher = Cipher(load_key(path))
            if check_proof(cipher, proof):
                return Proven(cipher, proof)
    raise ConfigError(
        f"key {key_path}: not the key that {name} was written with: restore that key, "
        "or delete the database to start anew. If `streamd store rekey` changed it on another "
        "machine, copy it from there"
    )


def still_proven(known: Proven, db: Rows, name: str, key_path: Path) -> Proven:
    """Return the cipher of the records that a transaction sees: another after a change of the key.

    Raises:
        Unavailable: The key file is not that of the records, or no longer; another may come.
        OSError: It cannot be read.
    """
    proof = read_proof(db)
    if proof in (None, known.proof):
        return known
    try:
        return proven(db, name, key_path)
    except ConfigError as error:
        raise Unavailable(str(error)) from error


def check_proof(cipher: Cipher, proof: bytes) -> bool:
    """Return whether the records of a proof's database can be opened by a cipher."""
    try:
        cipher.open(proof, "proof")
    except Damaged:
        return False
    return True


def read_proof(db: Rows) -> bytes | None:
    """Return the proof of a database, if it has one."""
    row = db.execute("SELECT value FROM secrets WHERE name = 'proof'").fetchone()
    return None if row is None else row[0]


def write_proof(db: Rows, cipher: Cipher) -> None:
    """Prove from now on another cipher, in the transaction that seals the records with it."""
    db.execute("UPDATE secrets SET value = ? WHERE name = 'proof'", (_seal(cipher),))


def _seal(cipher: Cipher) -> bytes:
    return cipher.seal(_PROOF, "proof")
