"""Enrolled voices: where they are kept, encrypted, and how they become a gallery."""

from streamd.store.base import (
    DEFAULT_TENANT,
    Enrolment,
    SpeakerInfo,
    Store,
)
from streamd.store.names import check_name
from streamd.store.sql import SqlStore
from streamd.store.sqlite import open_store

__all__ = [
    "DEFAULT_TENANT",
    "Enrolment",
    "SpeakerInfo",
    "SqlStore",
    "Store",
    "check_name",
    "open_store",
]
