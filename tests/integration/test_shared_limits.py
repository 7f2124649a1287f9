"""Two daemons on one store: the limits of a key hold for both together."""

import asyncio
import signal
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from daemons import Daemon, dial
from databases import Place, PostgresPlace, SqlitePlace
from websockets.exceptions import InvalidStatus

from streamd.access.keys import new_key
from streamd.wall_clock import now_ms

pytestmark = pytest.mark.models


class Shared(NamedTuple):
    """A store, and what a daemon needs to use it."""

    place: Place
    settings: dict[str, object]

    def key(self, name: str) -> str:
        """Make a key."""
        text, record = new_key(name, "default", ["stream"], now_ms())
        with closing(self.place.open()) as store:
            store.access.add_key(record)
        return text

    def daemon(self, name: str, **settings: object) -> Daemon:
        """A daemon with a data directory of its own."""
        home = self.place.folder / name
        home.mkdir()
        return Daemon(home, **{**self.settings, "access__keys": "always", **settings})


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.services)])
def shared(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shared]:
    settings: dict[str, object] = {"store__key_path": tmp_path / "key"}
    if request.param == "sqlite":
        yield Shared(SqlitePlace(tmp_path), settings | {"store__path": tmp_path / "v.db"})
        return
    place = PostgresPlace(tmp_path, request.getfixturevalue("postgres_server"))
    yield Shared(place, settings | {"store__url": place.url})


def shows(key: str) -> dict[str, Any]:
    return {"additional_headers": {"X-API-Key": key}}


async def asked(daemon: Daemon, key: str, streams: AsyncExitStack) -> int:
    """Open a stream: 101, or the status of the refusal."""
    try:
        await streams.enter_async_context(dial(daemon.url, **shows(key)))
    except InvalidStatus as refused:
        return refused.response.status_code
    return 101


async def once(daemon: Daemon, key: str) -> int:
    """Open a stream and close it again."""
    async with AsyncExitStack() as streams:
        return await asked(daemon, key, streams)


async def opened(daemon: Daemon, key: str, streams: AsyncExitStack) -> None:
    """Open a stream, as soon as the daemons know that others are closed."""
    while (status := await asked(daemon, key, streams)) != 101:
        assert status == 429
        await asyncio.sleep(0.1)


async def test_a_key_has_as_many_streams_as_it_may_at_both_together(shared: Shared) -> None:
    one, other = shared.key("one"), shared.key("other")
    limit = {"limits__streams_per_key": 3}
    with shared.daemon("a", **limit) as here, shared.daemon("b", **limit) as there:
        async with AsyncExitStack() as streams:
            for daemon in (here, there, here):
                assert await asked(daemon, one, streams) == 101
            for daemon in (here, there):
                assert await once(daemon, one) == 429
                assert await once(daemon, other) == 101
        async with AsyncExitStack() as streams:
            for _ in range(3):
                await opened(here, one, streams)
            assert await once(there, one) == 429
            here.stop(signal.SIGKILL)
            await opened(there, one, streams)
        assert there.complaints() == []


async def test_a_daemon_that_stops_gives_its_places_back_at_once(shared: Shared) -> None:
    key = shared.key("one")
    limit = {"limits__streams_per_key": 1}
    with shared.daemon("a", **limit) as here, shared.daemon("b", **limit) as there:
        async with dial(here.url, **shows(key)):
            assert await once(there, key) == 429
            await asyncio.to_thread(here.stop)
        assert await once(there, key) == 101


async def test_a_key_makes_as_many_requests_a_second_as_it_may_at_both_together(
    shared: Shared,
) -> None:
    """Each daemon alone would let in twice as many."""
    key, rate, lasts_s = shared.key("one"), 10, 8.0
    limit = {"limits__requests_per_s_per_key": rate}
    with shared.daemon("a", **limit) as here, shared.daemon("b", **limit) as there:
        began_s = time.monotonic()

        def ask(daemon: Daemon) -> int:
            let_in = 0
            while time.monotonic() - began_s < lasts_s:
                status, headers, _ = daemon.get("/v1/info", **{"X-API-Key": key})
                assert status == 200 or (status, bool(headers["Retry-After"])) == (429, True)
                let_in += status == 200
            return let_in

        let_in = sum(await asyncio.gather(*(asyncio.to_thread(ask, d) for d in (here, there))))
        allowed = rate * (time.monotonic() - began_s + 1)
        assert let_in <= allowed + 3 * rate, "what each lets in before it knows of the other"
        assert here.complaints() == there.complaints() == []
