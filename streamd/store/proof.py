"""The proof, in the database, of which key its records are sealed with."""

from __future__ import annotations

from pathlib import Path

from streamd.errors import ConfigError
from streamd.store.cipher import Cipher, Damaged, load_key, load_or_make_key
from streamd.store.database import Rows

_PROOF = b"streamd"


def proven_cipher(db: Rows, name: str, key_path: Path) -> Cipher:
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
        sealed = Cipher(load_or_make_key(key_path)).seal(_PROOF, "proof")
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
    cipher = Cipher(load_key(key_path))
    if not check_proof(cipher, proof):
        raise ConfigError(
            f"key {key_path}: not the key that {name} was written with: restore that key, "
            "or delete the database to start anew"
        )
    return cipher


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
