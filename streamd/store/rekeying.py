"""The change of the store's key: all records are sealed anew, in one transaction."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from streamd.errors import Unavailable
from streamd.store import calibrations, erasure, keys, newkey, shared, voices, words
from streamd.store.cipher import Cipher
from streamd.store.database import SEALING
from streamd.store.proof import check_proof, read_proof, write_proof
from streamd.store.sql import SqlStore

KINDS = (
    voices.ENROLMENTS,
    voices.BASELINES,
    words.HEADS,
    calibrations.RECORDS,
    keys.DIGESTS,
    shared.SECRETS,
    shared.ANSWERS,
)
"""All sealed records."""


def rekey(store: SqlStore, key_path: Path, progress: Callable[[int, int], None]) -> int:
    """Seal all records of all tenants with a new key, and put it in the place of the old one.

    A run that was interrupted is completed by the next one, and until then the store can be used.
    Other processes may go on: each looks at the proof of the key in all its transactions.

    Args:
        store: The store.
        key_path: Its key file; the old key stays beside it (`newkey.replaced`).
        progress: Is called with the records so far, and with all.

    Returns:
        How many records were sealed anew: none if an interrupted run had sealed them.

    Raises:
        ConfigError: The key before the last one is still there.
        Unavailable: The store or the key cannot be written, or a record is damaged; all is as it
            was.
    """
    database, done = store.database, 0
    try:
        new = Cipher(newkey.begin(key_path))
        with database.writing(*SEALING) as db:
            proof = read_proof(db)
            if proof is None or not check_proof(new, proof):
                old, total = database.cipher, sum(kind.count(db) for kind in KINDS)
                for kind in KINDS:
                    for count in kind.seal_anew(db, old, new):
                        done += count
                        progress(done, total)
                write_proof(db, new)
                erasure.request(db)  # what was sealed with the old key
                database.changed(db)
        newkey.complete(key_path)
    except OSError as error:
        raise Unavailable(
            f"key {error.filename or key_path}: {error.strerror}: the key is changed in a folder "
            "that this user may write; set store.key_path to a copy of it there"
        ) from error
    store.erase()
    return done
