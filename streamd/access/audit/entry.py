"""What the audit log says: one entry for each use of a key and for each change."""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, Protocol

import msgspec

from streamd.access.principal import Principal

Action = Literal[
    "request",
    "voice_enrolled",
    "voice_renamed",
    "voice_deleted",
    "voices_exported",
    "word_added",
    "word_removed",
    "calibrated",
    "calibration_removed",
    "key_created",
    "key_revoked",
    "store_exported",
    "store_imported",
    "store_moved",
    "store_rekeyed",
    "lost",
    "repaired",
    "dropped",
]
"""`lost` counts entries that could not be written, `repaired` bytes of a line that a crash cut, and
`dropped` the entries, from the first one on, that `access.audit_keep` keeps no longer."""
By = Literal["server", "command line"]


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something."""

    by: By
    key: str | None = None
    """Lookup id of the key."""
    key_name: str | None = None
    peer: str | None = None
    """Address of the client."""
    uid: int | None = None
    """User id of whoever runs a command."""

    @classmethod
    def of(cls, principal: Principal | None, peer: str | None) -> Actor:
        """Return who makes a request; None if nobody is known by it."""
        if principal is None:
            return cls("server", peer=peer)
        return cls("server", principal.key_id, principal.key_name, peer)


class Entry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One entry, without its place in the chain."""

    id: str = msgspec.field(default_factory=lambda: f"a_{secrets.token_hex(8)}")
    time: str = msgspec.field(default_factory=lambda: f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}")
    action: Action
    by: By
    tenant: str | None = None
    key: str | None = None
    key_name: str | None = None
    peer: str | None = None
    uid: int | None = None
    method: str | None = None
    path: str | None = None
    """Template of the path, as `/v1/speakers/{name}`: without what the client fills in."""
    outcome: str | None = None
    """`ok`, or the code of the error."""
    voice: str | None = None
    """Pseudonym of a voice, see `alias`."""
    renamed_to: str | None = None
    word: str | None = None
    model: str | None = None
    """Catalogue id of the model whose thresholds were calibrated."""
    target_far: float | None = None
    """Share of strangers that may be accepted, 0 to 1."""
    thresholds: dict[str, float] | None = None
    """Score of acceptance by channel."""
    subject_key: str | None = None
    """Lookup id of the key that was made or revoked."""
    subject_name: str | None = None
    scopes: tuple[str, ...] | None = None
    expires_ms: int | None = None
    count: int | None = None
    """Enrolments that were added, voices, words and keys that were copied, entries that were lost
    or dropped, or bytes that were cut."""
    left_out: int | None = None
    """Refused requests since the last one that was written, when there were too many."""

    @property
    def is_change(self) -> bool:
        """Return whether something was changed, so that the entry must outlive a power cut."""
        return self.action not in ("request", "lost", "repaired", "dropped")


def entry(action: Action, actor: Actor, **fields: object) -> Entry:
    """Return an entry about what an actor does, now."""
    who = {
        "by": actor.by,
        "key": actor.key,
        "key_name": actor.key_name,
        "peer": actor.peer,
        "uid": actor.uid,
    }
    return Entry(action=action, **who, **fields)  # type: ignore[arg-type]


def alias(secret: bytes, tenant: str, name: str) -> str:
    """Return the pseudonym of a voice.

    The log outlives the voices in it. A pseudonym lets whoever has the store and knows the name
    find what happened to a voice, and tells nobody else whose it was.

    Args:
        secret: Of the store, for this purpose alone.
        tenant: Owner of the voice.
        name: Name of the voice.
    """
    message = len(tenant.encode()).to_bytes(4, "little") + tenant.encode() + name.encode()
    return f"v_{hmac.digest(secret, message, 'sha256').hex()[:24]}"


class Recorder(Protocol):
    """Takes entries. Any thread may call it."""

    def record(self, entry: Entry) -> str:
        """Write an entry, now or soon, and return its id; empty where nothing is written."""
        ...
