"""The calibrated thresholds of a tenant as rows of the database."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from streamd.errors import Unavailable
from streamd.modules.voice_scale import Channel
from streamd.store.cipher import Cipher, Damaged
from streamd.store.database import Rows
from streamd.store.sealed import Sealed
from streamd.wall_clock import now_ms


def _bound(tenant: str, model: str, channel: str) -> tuple[str, ...]:
    return (tenant, "calibration", model, channel)


RECORDS = Sealed(
    "calibrations",
    "record",
    ("tenant", "model", "channel"),
    "tenant, model, channel",
    _bound,
)
"""The sealed records."""


class Calibrated(msgspec.Struct, frozen=True, kw_only=True):
    """The threshold that a tenant chose for one voice model and one kind of channel."""

    model: str
    """Catalogue id of the model that decides."""
    channel: Channel
    target_far: float
    """Share of strangers that was to be accepted at the most, 0 to 1."""
    threshold: float
    """Score from which an enrolled voice is accepted."""


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    target_far: float
    threshold: float


def replace(
    db: Rows, cipher: Cipher, tenant: str, model: str, chosen: Iterable[Calibrated]
) -> bool:
    """Store the thresholds of a model in place of all earlier ones, in a transaction.

    Returns:
        Whether there is anything that is different now.
    """
    removed = db.execute(
        "DELETE FROM calibrations WHERE tenant = ? AND model = ?", (tenant, model)
    ).rowcount
    added = 0
    for one in chosen:
        plain = msgspec.json.encode(_Record(target_far=one.target_far, threshold=one.threshold))
        db.execute(
            "INSERT INTO calibrations (tenant, model, channel, record, changed_at)"
            " VALUES (?, ?, ?, ?, ?)",
            (
                tenant,
                model,
                one.channel,
                cipher.seal(plain, *_bound(tenant, model, one.channel)),
                now_ms(),
            ),
        )
        added += 1
    return removed + added > 0


def load(db: Rows, cipher: Cipher, tenant: str) -> list[Calibrated]:
    """Return the thresholds of all models, by model and channel.

    Raises:
        Unavailable: One was tampered with, or is of an unknown version of streamd.
    """
    rows = db.execute(
        "SELECT model, channel, record FROM calibrations WHERE tenant = ? ORDER BY model, channel",
        (tenant,),
    ).fetchall()
    found = []
    for model, channel, sealed in rows:
        try:
            plain = cipher.open(sealed, *_bound(tenant, model, channel))
            record = msgspec.json.decode(plain, type=_Record)
        except (Damaged, ValueError) as error:  # msgspec's errors are ValueErrors too
            raise Unavailable(
                f"the calibration of tenant {tenant!r} in the store is damaged or was tampered "
                f"with: `streamd speakers calibrate --remove --tenant {tenant}`, then calibrate "
                "anew, or restore a backup"
            ) from error
        found.append(
            Calibrated(
                model=model,
                channel=channel,
                target_far=record.target_far,
                threshold=record.threshold,
            )
        )
    return found
