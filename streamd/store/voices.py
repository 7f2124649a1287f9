"""The voices of a tenant as rows of the database. Every function runs in a transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from operator import itemgetter
from typing import NamedTuple

import numpy as np

from streamd.errors import NameTaken
from streamd.modules.centroids import Centroids, Indices
from streamd.modules.gallery import CHANNELS, Channel, Gallery
from streamd.modules.voice_models import VoiceModels
from streamd.store import calibrations
from streamd.store.base import Enrolment, EnrolmentInfo, Recording, SpeakerInfo
from streamd.store.cipher import Cipher, Damaged
from streamd.store.database import Rows
from streamd.store.sealed import Sealed
from streamd.types import Floats

_FLOAT = np.dtype("<f4")
BASELINE = "baseline"
"""What a baseline is sealed as, in the place of a channel."""

_OWNER = "JOIN speakers ON speakers.id = speaker_id"
ENROLMENTS = Sealed(
    "enrolments",
    "embedding",
    ("enrolments.id",),
    "tenant, name, model, channel",
    lambda *owner: owner,
    join=_OWNER,
)
BASELINES = Sealed(
    "baselines",
    "baseline",
    ("speaker_id", "model"),
    "tenant, name, model",
    lambda *owner: (*owner, BASELINE),
    join=_OWNER,
)
"""Their sealed records, bound as `Tenant.seal` binds them."""

Complain = Callable[[str], Exception]
"""Returns the error for a voice, by its name, whose records cannot be opened."""


class Tenant(NamedTuple):
    """A tenant's name and the cipher of its records."""

    name: str
    cipher: Cipher
    damaged: Complain

    def seal(self, plain: bytes, name: str, model: str, kind: str) -> bytes:
        """Encrypt a record of a voice; `kind` is its channel, or marks a baseline."""
        return self.cipher.seal(plain, self.name, name, model, kind)

    def open(self, sealed: bytes, name: str, model: str, kind: str) -> bytes:
        """Decrypt a record of a voice; raises the error that `damaged` returns."""
        try:
            return self.cipher.open(sealed, self.name, name, model, kind)
        except Damaged as error:
            raise self.damaged(name) from error


def find(db: Rows, tenant: Tenant, name: str) -> int | None:
    """Return the row id of the voice with a (checked) name."""
    row = db.execute(
        "SELECT id FROM speakers WHERE tenant = ? AND name = ?", (tenant.name, name)
    ).fetchone()
    return None if row is None else int(row[0])


def enrol(
    db: Rows,
    tenant: Tenant,
    name: str,
    enrolments: Iterable[Enrolment],
    now_ms: int,
) -> None:
    """Add enrolments to a voice, and create it if there is none of that name.

    Raises:
        ValueError: an embedding is invalid, or of another size than those of its model.
    """
    db.execute(
        "INSERT INTO speakers (tenant, name, created_at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        (tenant.name, name, now_ms),
    )
    for e in enrolments:
        if e.channel not in CHANNELS:
            raise ValueError(f"channel {e.channel!r} is none of {CHANNELS}")
        for model, embedding in {e.model: e.embedding, **e.others}.items():
            sealed = tenant.seal(_packed(embedding), name, model, e.channel)
            other = db.execute(
                "SELECT length(embedding) FROM enrolments WHERE model = ? LIMIT 1", (model,)
            ).fetchone()
            if other and other[0] != len(sealed):
                raise ValueError(f"embeddings of {model} are of another size: {embedding.shape}")
            db.execute(
                "INSERT INTO enrolments"
                " (speaker_id, model, channel, embedding, speech_ms, source, created_at,"
                " public_id, quality) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    find(db, tenant, name),
                    model,
                    e.channel,
                    sealed,
                    e.speech_ms,
                    e.source,
                    now_ms,
                    e.id,
                    e.quality,
                ),
            )


def embeddings(db: Rows, tenant: Tenant, name: str, model: str) -> list[Floats]:
    """Return the embeddings of a voice, unit vectors; empty if there is no such voice."""
    rows = db.execute(
        "SELECT channel, embedding FROM enrolments WHERE speaker_id = ? AND model = ? ORDER BY id",
        (find(db, tenant, name), model),
    ).fetchall()
    return [
        np.frombuffer(tenant.open(sealed, name, model, channel), _FLOAT) for channel, sealed in rows
    ]


def enrolments(db: Rows, tenant: Tenant, name: str) -> list[EnrolmentInfo]:
    """Return the enrolments of a voice, oldest first; empty if there is no such voice."""
    rows = db.execute(
        "SELECT public_id, model, channel, speech_ms, created_at, quality"
        " FROM enrolments WHERE speaker_id = ? ORDER BY id",
        (find(db, tenant, name),),
    )
    found: dict[str, EnrolmentInfo] = {}
    for id_, model, *others in rows.fetchall():
        before = found.get(id_)
        models = (model,) if before is None else (*before.models, model)
        found[id_] = EnrolmentInfo(id_, models, *others)
    return list(found.values())


def recordings(db: Rows, tenant: Tenant, name: str, models: VoiceModels) -> list[Recording]:
    """Return the enrolments of a voice that any of these models knows, oldest first."""
    rows = db.execute(
        "SELECT public_id, model, channel, speech_ms, embedding"
        " FROM enrolments WHERE speaker_id = ? ORDER BY id",
        (find(db, tenant, name),),
    )
    found: dict[str, Recording] = {}
    for id_, maker, channel, speech_ms, sealed in rows.fetchall():
        if (model := models.counting(maker)) is not None:
            one = found.setdefault(id_, Recording(name, channel, speech_ms, {}))
            plain = tenant.open(sealed, name, maker, channel)
            found[id_] = replace(
                one, embeddings={**one.embeddings, model: np.frombuffer(plain, _FLOAT)}
            )
    return list(found.values())


def keep_baseline(
    db: Rows, tenant: Tenant, name: str, model: str, baseline: bytes, now_ms: int
) -> bool:
    """Store a baseline in place of an earlier one; False if there is no such voice."""
    speaker = find(db, tenant, name)
    if speaker is None:
        return False
    sealed = tenant.seal(baseline, name, model, BASELINE)
    db.execute(
        "INSERT INTO baselines (speaker_id, model, baseline, changed_at) VALUES (?, ?, ?, ?)"
        " ON CONFLICT (speaker_id, model)"
        " DO UPDATE SET baseline = excluded.baseline, changed_at = excluded.changed_at",
        (speaker, model, sealed, now_ms),
    )
    return True


def infos(db: Rows, tenant: Tenant) -> list[SpeakerInfo]:
    """Return every voice, by name."""
    rows = db.execute(
        "SELECT name, s.created_at, public_id, channel, model, speech_ms"
        " FROM speakers s JOIN enrolments e ON speaker_id = s.id"
        " WHERE tenant = ? ORDER BY name, e.id",
        (tenant.name,),
    ).fetchall()
    found = []
    for (name, created_ms), group in groupby(rows, key=itemgetter(0, 1)):
        recordings: dict[str, tuple[str, int]] = {}
        models = set()
        for _, _, id_, channel, model, speech_ms in group:
            recordings[id_] = channel, speech_ms
            models.add(model)
        channels = {channel for channel, _ in recordings.values()}
        found.append(
            SpeakerInfo(
                name=name,
                enrolments=len(recordings),
                channels=tuple(c for c in CHANNELS if c in channels),
                models=tuple(sorted(models)),
                speech_ms=sum(speech_ms for _, speech_ms in recordings.values()),
                created_ms=created_ms,
            )
        )
    return found


def rename(db: Rows, tenant: Tenant, old: str, new: str) -> bool:
    """Rename a voice; False if there is none of that name.

    Raises:
        NameTaken: another voice has the new name.
    """
    speaker = find(db, tenant, old)
    if speaker is None:
        return False
    if find(db, tenant, new) not in (None, speaker):
        raise NameTaken(f"a speaker named {new!r} already exists; delete it first")
    # Each record is sealed with the name, so the records change with it.
    enrolments = db.execute(
        "SELECT id, model, channel, embedding FROM enrolments WHERE speaker_id = ?", (speaker,)
    ).fetchall()
    for row, model, channel, sealed in enrolments:
        plain = tenant.open(sealed, old, model, channel)
        db.execute(
            "UPDATE enrolments SET embedding = ? WHERE id = ?",
            (tenant.seal(plain, new, model, channel), row),
        )
    kept = db.execute(
        "SELECT model, baseline FROM baselines WHERE speaker_id = ?", (speaker,)
    ).fetchall()
    for model, sealed in kept:
        plain = tenant.open(sealed, old, model, BASELINE)
        db.execute(
            "UPDATE baselines SET baseline = ? WHERE speaker_id = ? AND model = ?",
            (tenant.seal(plain, new, model, BASELINE), speaker, model),
        )
    db.execute("UPDATE speakers SET name = ? WHERE id = ?", (new, speaker))
    return True


def delete(db: Rows, tenant: Tenant, name: str) -> bool:
    """Delete a voice with its records; False if there is none of that name."""
    done = db.execute("DELETE FROM speakers WHERE tenant = ? AND name = ?", (tenant.name, name))
    return done.rowcount > 0


def gallery(
    db: Rows, tenant: Tenant, models: VoiceModels, baseline_model: str | None, version: int
) -> Gallery:
    """Return the voices that were enrolled with any of these models, with their baselines."""
    names: dict[str, int] = {}
    enrolled = {model: _of_models(db, tenant, models.like(model), names) for model in models.ids}
    # Only now have all voices their index, by name.
    order = {name: index for index, name in enumerate(sorted(names))}
    place = np.array([order[name] for name in names], np.intp)
    kept = db.execute(
        "SELECT name, baseline FROM speakers s JOIN baselines b ON speaker_id = s.id"
        " WHERE tenant = ? AND model = ?",
        (tenant.name, baseline_model),
    ).fetchall()
    baselines: Mapping[str, bytes] = {
        name: tenant.open(sealed, name, str(baseline_model), BASELINE) for name, sealed in kept
    }
    centroids = {
        model: Centroids.build(
            embeddings,
            place[owners] if len(owners) else owners,
            channels,
            models.scale if model == models.deciding else None,
        )
        for model, (embeddings, owners, channels) in enrolled.items()
    }
    accept = {
        one.channel: one.threshold
        for one in calibrations.load(db, tenant.cipher, tenant.name)
        if one.model == models.deciding
    }
    return Gallery.of(tuple(order), centroids, version, baselines, accept)


def _of_models(
    db: Rows, tenant: Tenant, models: Sequence[str], names: dict[str, int]
) -> tuple[Floats, Indices, Indices]:
    """Return embeddings that count as those of one model, each one's voice, and its channel.

    The voice is its number in `names`; voices that are not there are added.
    """
    rows: list[tuple[str, str, Channel, bytes]] = db.execute(
        "SELECT name, model, channel, embedding"
        " FROM speakers s JOIN enrolments e ON speaker_id = s.id"
        f" WHERE tenant = ? AND model IN ({', '.join('?' * len(models))}) ORDER BY name, e.id",
        (tenant.name, *models),
    ).fetchall()
    owners = np.fromiter(
        (names.setdefault(name, len(names)) for name, _, _, _ in rows), np.intp, len(rows)
    )
    channels = np.fromiter((CHANNELS.index(c) for _, _, c, _ in rows), np.intp, len(rows))
    plain = b"".join(
        tenant.open(sealed, name, model, channel) for name, model, channel, sealed in rows
    )
    return np.frombuffer(plain, _FLOAT).reshape(len(rows), -1 if rows else 1), owners, channels


def _packed(embedding: Floats) -> bytes:
    norm = np.linalg.norm(embedding)
    if embedding.ndim != 1 or not np.isfinite(norm) or norm == 0:
        raise ValueError(f"not an embedding: shape {embedding.shape}, norm {norm}")
    return (embedding / norm).astype(_FLOAT).tobytes()
