"""Enrolled voices: where they are kept, encrypted, and how they become a gallery."""

from streamd.store.base import (
    DEFAULT_TENANT,
    SpeakerInfo,
    Store,
    check_name,
)
from streamd.store.sqlite import SqliteStore, open_store

__all__ = [
    "DEFAULT_TENANT",
    "SpeakerInfo",
    "SqliteStore",
    "Store",
    "check_name",
    "open_store",
]
