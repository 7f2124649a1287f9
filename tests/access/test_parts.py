"""The parts of one daemon, as they work together."""

import dataclasses

from streamd.access.audit.writer import Nowhere
from streamd.access.keys import new_key
from streamd.access.parts import Access
from streamd.config import LimitsConfig
from streamd.observability.metrics import Metrics


async def test_whoever_ends_what_a_revoked_key_has_is_called_once_the_key_is_not_valid(store):
    access = Access(store.access, LimitsConfig(), Nowhere(), needs_key=True, metrics=Metrics())
    _, record = new_key("box", "default", ["stream"], 0)
    valid = []
    access.on_keys = lambda: valid.append(access.keyring.is_valid(record.id))
    access.take([record])
    access.take([dataclasses.replace(record, revoked_ms=1)])
    assert valid == [True, False]
    access.close()
