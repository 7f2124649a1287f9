"""What an export of a store consists of: one record for each line.

Bytes are sealed with the key of the store, as they are in its database, and stand in base64.
"""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Struct

FORMAT = 2
"""Raised by a change that an older streamd would misread."""


class Header(Struct, frozen=True, tag="streamd_store"):
    """The first line."""

    format: int
    """`FORMAT` of whoever wrote it."""
    proof: bytes
    """Tells whether a key is the one that the records are sealed with."""
    created_ms: int


class EnrolmentRow(Struct, frozen=True):
    """One recording of a voice."""

    model: str
    channel: str
    embedding: bytes
    speech_ms: int
    source: str
    created_ms: int
    id: str = ""
    """Empty in an export of a streamd that gave no ids."""
    quality: str = ""


class BaselineRow(Struct, frozen=True):
    """What a module learned of a voice."""

    model: str
    baseline: bytes
    changed_ms: int


class Voice(Struct, frozen=True, tag="voice"):
    """A voice with all that is known of it."""

    tenant: str
    name: str
    created_ms: int
    enrolments: tuple[EnrolmentRow, ...]
    """Oldest first."""
    baselines: tuple[BaselineRow, ...]


class Word(Struct, frozen=True, tag="word"):
    """A wake word of a tenant's own."""

    tenant: str
    name: str
    info: str
    head: bytes


class Key(Struct, frozen=True, tag="key"):
    """An API key; its digest is sealed."""

    id: str
    name: str
    tenant: str
    scopes: str
    created_ms: int
    expires_ms: int | None
    revoked_ms: int | None
    digest: bytes


class Calibration(Struct, frozen=True, tag="calibration"):
    """A threshold that a tenant chose for a voice model and a channel; `record` is sealed."""

    tenant: str
    model: str
    channel: str
    record: bytes
    changed_ms: int


class Secret(Struct, frozen=True, tag="secret"):
    """A secret that processes share."""

    name: str
    value: bytes


class Ticket(Struct, frozen=True, tag="ticket"):
    """A ticket that was used."""

    id: str
    until_ms: int


class Use(Struct, frozen=True, tag="use"):
    """A use that counts against a limit."""

    bucket: str
    until_ms: int


class Reply(Struct, frozen=True, tag="reply"):
    """The first reply to a request with an idempotency key."""

    tenant: str
    key: str
    request: bytes
    status: int
    content_type: str
    body: bytes
    until_ms: int


class End(Struct, frozen=True, tag="end"):
    """The last line, without which an export is not whole."""

    sha256: str
    """Of all lines before it, hexadecimal."""


Record: TypeAlias = Voice | Word | Key | Calibration | Secret | Ticket | Use | Reply
Line: TypeAlias = Header | Record | End
