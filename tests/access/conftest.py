"""A real store, and a clock that stands until a test moves it."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from streamd.access.keys import Keyring
from streamd.access.shared import SharedByStore
from streamd.observability.metrics import Metrics
from streamd.store import open_store
from streamd.store.base import Store


class Clock:
    """Unix time in milliseconds."""

    def __init__(self) -> None:
        self.now_ms = 1_700_000_000_000

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def keyring(clock: Clock) -> Keyring:
    return Keyring(clock)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(tmp_path / "v.db", tmp_path / "key")
    yield opened
    opened.close()


@pytest.fixture
def shared(store: Store, clock: Clock) -> Iterator[SharedByStore]:
    made = SharedByStore(store.access, Metrics(), clock)
    yield made
    made.close()
