"""The databases that the promises of a store are tested with."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from databases import Place, PostgresPlace, SqlitePlace

from streamd.store import DEFAULT_TENANT, SqlStore


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.services)])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """An empty database of each kind."""
    if request.param == "sqlite":
        return SqlitePlace(tmp_path)
    return PostgresPlace(tmp_path, request.getfixturevalue("postgres_server"))


@pytest.fixture
def opened(place: Place) -> Iterator[Callable[..., SqlStore]]:
    """Opens the store as one more process has it; all are closed after the test."""
    stores: list[SqlStore] = []

    def open_one(tenant: str = DEFAULT_TENANT) -> SqlStore:
        stores.append(place.open(tenant))
        return stores[-1]

    yield open_one
    for store in stores:
        store.close()


@pytest.fixture
def store(opened: Callable[..., SqlStore]) -> SqlStore:
    return opened()
