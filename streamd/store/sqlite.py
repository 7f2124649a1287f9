"""The embedded store: one SQLite file, shared by the daemon and the command line."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import numpy as np

from streamd.errors import BadName, ConfigError, NameTaken, StreamdError, Unavailable
from streamd.modules.gallery import CHANNELS, Channel, Gallery
from streamd.modules.words import CustomWord, CustomWords, check_word
from streamd.store import words
from streamd.store.base import DEFAULT_TENANT, SpeakerInfo, check_name
from streamd.store.cipher import Cipher, Damaged, load_key, load_or_make_key
from streamd.store.connect import connect, explained, transaction
from streamd.store.migrate import migrate
from streamd.types import Floats

_PROOF = b"streamd"
_FLOAT = np.dtype("<f4")


def open_store(path: Path, key_path: Path, tenant: str = DEFAULT_TENANT) -> SqliteStore:
    """Open the store; database, key and their directories are made on first use.

    Args:
        path: the database; its directory must allow files beside it (`-wal`, `-shm`).
        key_path: the key file, of mode 0600.
        tenant: whose voices to see.

    Raises:
        ConfigError: the database is not ours, of a newer streamd, or of another key.
        Unavailable: no permission, no disk.
    """
    connection = connect(path)
    try:
        migrate(connection, path)
        with explained(path):
            cipher = _cipher(connection, path, key_path)
    except StreamdError:
        connection.close()
        raise
    return SqliteStore(connection, path, cipher, tenant)


def _cipher(connection: sqlite3.Connection, path: Path, key_path: Path) -> Cipher:
    proof = connection.execute("SELECT value FROM secrets WHERE name = 'proof'").fetchone()
    if proof is None:
        cipher = Cipher(load_or_make_key(key_path))
        # Of two processes at once the first wins; the key file was made once, so both agree.
        connection.execute(
            "INSERT OR IGNORE INTO secrets VALUES ('proof', ?)", (cipher.seal(_PROOF, "proof"),)
        )
        return cipher
    # A new key would not open what is there: never make one for a database that has one.
    if not key_path.exists():
        raise ConfigError(
            f"key {key_path}: missing, and the voices in {path} cannot be read without it: "
            "restore it, or delete the database to start anew"
        )
    cipher = Cipher(load_key(key_path))
    try:
        cipher.open(proof[0], "proof")
    except Damaged as error:
        raise ConfigError(
            f"key {key_path}: not the key that {path} was written with: restore that key, "
            "or delete the database to start anew"
        ) from error
    return cipher


class SqliteStore:
    """See `streamd.store.base.Store`, which says what each call does."""

    def __init__(
        self, connection: sqlite3.Connection, path: Path, cipher: Cipher, tenant: str
    ) -> None:
        self._connection = connection
        self._path = path
        self._cipher = cipher
        self._tenant = tenant
        self._lock = threading.Lock()
        """A connection has one transaction at a time, whoever's thread began it."""
        self._quiet_changes = 0
        """Rows that were changed without the voices being others than before."""

    def add_enrolment(
        self,
        name: str,
        embedding: Floats,
        model: str,
        channel: Channel,
        speech_ms: int,
        source: str,
    ) -> None:
        """Add one enrolment to a voice, which it founds if need be."""
        name = check_name(name)
        if channel not in CHANNELS:
            raise ValueError(f"channel {channel!r} is none of {CHANNELS}")
        sealed = self._cipher.seal(_packed(embedding), self._tenant, name, model, channel)
        now_ms = time.time_ns() // 1_000_000
        with self._writing() as db:
            other = db.execute(
                "SELECT length(embedding) FROM enrolments WHERE model = ? LIMIT 1", (model,)
            ).fetchone()
            if other and other[0] != len(sealed):
                raise ValueError(f"embeddings of {model} are of another size: {embedding.shape}")
            db.execute(
                "INSERT OR IGNORE INTO speakers (tenant, name, created_at) VALUES (?, ?, ?)",
                (self._tenant, name, now_ms),
            )
            db.execute(
                "INSERT INTO enrolments"
                " (speaker_id, model, channel, embedding, speech_ms, source, created_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (self._find(name), model, channel, sealed, speech_ms, source, now_ms),
            )

    def speakers(self) -> list[SpeakerInfo]:
        """Every voice, by name."""
        with self._reading() as db:
            rows = db.execute(
                "SELECT name, s.created_at, channel, model, count(*), sum(speech_ms)"
                " FROM speakers s JOIN enrolments e ON speaker_id = s.id"
                " WHERE tenant = ? GROUP BY s.id, channel, model ORDER BY name, channel, model",
                (self._tenant,),
            ).fetchall()
        found = []
        for (name, created_ms), group in groupby(rows, key=itemgetter(0, 1)):
            _, _, channels, models, counts, speech_ms = zip(*group, strict=True)
            found.append(
                SpeakerInfo(
                    name=name,
                    enrolments=sum(counts),
                    channels=tuple(c for c in CHANNELS if c in channels),
                    models=tuple(sorted(set(models))),
                    speech_ms=sum(speech_ms),
                    created_ms=created_ms,
                )
            )
        return found

    def rename(self, old: str, new: str) -> bool:
        """Rename a voice; False if there is none of that name."""
        new = check_name(new)
        with self._writing() as db:
            speaker = self._find(old)
            if speaker is None:
                return False
            if self._find(new) not in (None, speaker):
                raise NameTaken(f"there is a speaker named {new!r} already: delete it first")
            # The name is sealed into each record, so the records change with it.
            rows = db.execute(
                "SELECT e.id, name, model, channel, embedding"
                " FROM enrolments e JOIN speakers s ON s.id = speaker_id WHERE s.id = ?",
                (speaker,),
            ).fetchall()
            for row, name, model, channel, sealed in rows:
                plain = self._opened(sealed, name, model, channel)
                resealed = self._cipher.seal(plain, self._tenant, new, model, channel)
                db.execute("UPDATE enrolments SET embedding = ? WHERE id = ?", (resealed, row))
            kept = db.execute(
                "SELECT model, baseline FROM baselines WHERE speaker_id = ?", (speaker,)
            ).fetchall()
            for model, sealed in kept:
                plain = self._opened(sealed, check_name(old), model, "baseline")
                resealed = self._cipher.seal(plain, self._tenant, new, model, "baseline")
                db.execute(
                    "UPDATE baselines SET baseline = ? WHERE speaker_id = ? AND model = ?",
                    (resealed, speaker, model),
                )
            db.execute("UPDATE speakers SET name = ? WHERE id = ?", (new, speaker))
        return True

    def delete(self, name: str) -> bool:
        """Delete a voice with its enrolments, past recovery; False if there is none."""
        with self._writing() as db:
            speaker = self._find(name)
            if speaker is None:
                return False
            db.execute("DELETE FROM speakers WHERE id = ?", (speaker,))
        self._forget()
        return True

    def version(self) -> int:
        """A number that grows with every change, also by other processes."""
        with self._reading():
            return self._version()

    def keep_baselines(self, model: str, baselines: Mapping[str, bytes]) -> None:
        """Keep what was learned of voices, in the place of what was kept before."""
        now_ms = time.time_ns() // 1_000_000
        with self._writing() as db:
            before = db.total_changes
            for name, baseline in baselines.items():
                speaker = self._find(name)
                if speaker is not None:
                    sealed = self._cipher.seal(baseline, self._tenant, name, model, "baseline")
                    db.execute(
                        "INSERT OR REPLACE INTO baselines VALUES (?, ?, ?, ?)",
                        (speaker, model, sealed, now_ms),
                    )
            self._quiet_changes += db.total_changes - before

    def load_gallery(self, model: str, baseline_model: str | None = None) -> Gallery:
        """The voices that `model` knows."""
        with self._reading() as db, transaction(db, "DEFERRED"):
            rows = db.execute(
                "SELECT name, channel, embedding"
                " FROM speakers s JOIN enrolments e ON speaker_id = s.id"
                " WHERE tenant = ? AND model = ? ORDER BY name, e.id",
                (self._tenant, model),
            ).fetchall()
            kept = db.execute(
                "SELECT name, baseline FROM speakers s JOIN baselines b ON speaker_id = s.id"
                " WHERE tenant = ? AND model = ?",
                (self._tenant, baseline_model),
            ).fetchall()
            version = self._version()
        indices: dict[str, int] = {}
        owners = np.fromiter(
            (indices.setdefault(name, len(indices)) for name, _, _ in rows), np.intp, len(rows)
        )
        channels = np.fromiter((CHANNELS.index(c) for _, c, _ in rows), np.intp, len(rows))
        plain = b"".join(
            self._opened(sealed, name, model, channel) for name, channel, sealed in rows
        )
        embeddings = np.frombuffer(plain, _FLOAT).reshape(len(rows), -1 if rows else 1)
        baselines = {
            name: self._opened(sealed, name, str(baseline_model), "baseline")
            for name, sealed in kept
        }
        return Gallery.build(tuple(indices), embeddings, owners, channels, version, baselines)

    def add_word(self, word: CustomWord, *, replace: bool = False) -> None:
        """Keep a wake word."""
        check_word(word.info.name)
        with self._writing() as db:
            words.add(db, self._cipher, self._tenant, word, replace=replace)

    def remove_word(self, name: str) -> bool:
        """Delete a wake word, past recovery; False if there is none of that name."""
        with self._writing() as db:
            found = words.remove(db, self._tenant, name)
        self._forget()
        return found

    def load_words(self) -> CustomWords:
        """Every wake word of the tenant's own, by name."""
        with self._reading() as db:
            return words.load(db, self._cipher, self._tenant)

    def close(self) -> None:
        """Give the store back."""
        with self._lock:
            self._connection.close()

    def _forget(self) -> None:
        with self._reading() as db:
            # secure_delete zeroes the pages; the write-ahead log still holds the old ones.
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _find(self, name: str) -> int | None:
        try:
            name = check_name(name)
        except BadName:
            return None  # nobody can have it
        row = self._connection.execute(
            "SELECT id FROM speakers WHERE tenant = ? AND name = ?", (self._tenant, name)
        ).fetchone()
        return None if row is None else int(row[0])

    def _opened(self, sealed: bytes, name: str, model: str, channel: str) -> bytes:
        try:
            return self._cipher.open(sealed, self._tenant, name, model, channel)
        except Damaged as error:
            raise Unavailable(
                f"store {self._path}: an enrolment of {name!r} is damaged or was tampered with: "
                "delete that speaker and enrol anew, or restore a backup"
            ) from error

    def _version(self) -> int:
        # data_version grows with other connections' commits only, total_changes with our own.
        others = self._connection.execute("PRAGMA data_version").fetchone()[0]
        return int(others) + self._connection.total_changes - self._quiet_changes

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock, explained(self._path):
            yield self._connection

    @contextlib.contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._lock, explained(self._path), transaction(self._connection):
            yield self._connection


def _packed(embedding: Floats) -> bytes:
    norm = np.linalg.norm(embedding)
    if embedding.ndim != 1 or not np.isfinite(norm) or norm == 0:
        raise ValueError(f"not an embedding: shape {embedding.shape}, norm {norm}")
    return (embedding / norm).astype(_FLOAT).tobytes()
