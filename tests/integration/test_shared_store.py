"""Two daemons on one PostgreSQL database, and the command line beside them."""

import asyncio
import signal
import subprocess
from pathlib import Path

import pytest
from daemons import DATA, STREAMD, Daemon, converse, cut, environment, speech
from databases import PostgresPlace, PostgresServer
from waiting import HANG_S

pytestmark = [pytest.mark.services, pytest.mark.models]

SLT = str(DATA / "speech_slt.flac")


def run(home: Path, *args: str, **settings: object) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [*STREAMD, *args],
        env=environment(home, **settings),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done


async def speakers(daemon: Daemon) -> set[str]:
    received = await converse(daemon.url, cut(speech("slt")), {"type": "end"})
    return {event["speaker"] for event in received.of("speaker") if event["final"]}


async def come_to_hear(daemon: Daemon, names: set[str]) -> None:
    async with asyncio.timeout(HANG_S):
        while await speakers(daemon) != names:
            pass


async def test_every_daemon_learns_of_each_change_and_outlives_the_server(
    tmp_path: Path,
) -> None:
    server = PostgresServer()
    try:
        place = PostgresPlace(tmp_path, server)
        shared = {"store__url": place.url}
        homes = [tmp_path / "one", tmp_path / "two"]
        for home in homes:
            home.mkdir()
        # A busy machine may not skip a window whose speaker is waited for.
        settings = {**shared, "store__key_path": tmp_path / "key", "limits__max_lag_ms": 0}
        with Daemon(homes[0], **settings) as one, Daemon(homes[1], **settings) as two:
            assert await speakers(one) == {"S1"}
            await asyncio.to_thread(run, homes[0], "enroll", "ada", SLT, **settings)
            for daemon in (one, two):
                await come_to_hear(daemon, {"ada"})
            await asyncio.to_thread(server.stop, signal.SIGKILL)
            assert await speakers(one) == {"ada"}, "what is known stays in use"
            await asyncio.to_thread(server.start)
            await asyncio.to_thread(run, homes[1], "speakers", "rename", "ada", "eve", **settings)
            for daemon in (one, two):
                await come_to_hear(daemon, {"eve"})
            await asyncio.to_thread(run, homes[1], "speakers", "delete", "eve", **settings)
            for daemon in (one, two):
                await come_to_hear(daemon, {"S1"})
            said = one.log.read_text() + two.log.read_text()
            assert place.url not in said
    finally:
        server.close()


async def test_a_store_that_was_moved_to_a_database_serves_the_same_voices(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    url = PostgresPlace(tmp_path, postgres_server).url
    await asyncio.to_thread(run, tmp_path, "enroll", "ada", SLT)
    moved = await asyncio.to_thread(run, tmp_path, "store", "move", url)
    assert "Moved 1 voices, words and keys" in moved.stderr
    assert url not in moved.stderr, "it has the password"
    with Daemon(tmp_path, store__url=url, limits__max_lag_ms=0) as daemon:
        assert await speakers(daemon) == {"ada"}
    listed = await asyncio.to_thread(run, tmp_path, "speakers", "--json", store__url=url)
    assert '"ada"' in listed.stdout
