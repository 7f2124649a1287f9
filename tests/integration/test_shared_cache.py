"""Daemons that share the voices of files through Redis, and go on without it."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemons import Daemon
from redis_server import RedisServer
from uploading import PHRASE, SPEECH, ask, post
from waiting import wait_until

pytestmark = [pytest.mark.services, pytest.mark.models]

LOOKS = "streamd_voice_cache_lookups_total"


@pytest.fixture
def server() -> Iterator[RedisServer]:
    server = RedisServer()
    yield server
    server.close()


def verify(daemon: Daemon) -> float:
    answer = post(daemon, "/v1/verify-speaker", ("reference", SPEECH), ("test", PHRASE))
    assert answer.status == 200
    similarity: float = answer.json["similarity"]
    return similarity


def test_daemons_share_what_they_read_and_a_deletion_clears_it(
    tmp_path: Path, server: RedisServer
) -> None:
    homes = [tmp_path / "one", tmp_path / "two"]
    for home in homes:
        home.mkdir()
    shared = {
        "cache__redis_url": server.url,
        "store__path": tmp_path / "v.db",
        "store__key_path": tmp_path / "key",
    }
    with Daemon(homes[0], **shared) as one, Daemon(homes[1], **shared) as two:
        # On a busy machine Redis may be asked in vain, so each is done until it holds.
        first = verify(one)
        wait_until(lambda: verify(one) == first and one.metric(LOOKS, result="hit") >= 2)
        assert two.metric(LOOKS, result="hit") == 0
        wait_until(lambda: verify(two) == first and two.metric(LOOKS, result="hit") >= 2)
        with server.client() as client:
            assert client.dbsize() == 2
            assert ask(one, "POST", "/v1/speakers/Ada", SPEECH).status == 201
            assert client.dbsize() == 2
            assert ask(one, "DELETE", "/v1/speakers/Ada").status == 200
            wait_until(lambda: client.dbsize() == 0)
        assert one.complaints() == two.complaints() == []


def test_requests_go_on_while_redis_is_away_and_use_it_again(
    tmp_path: Path, server: RedisServer
) -> None:
    with Daemon(tmp_path, cache__redis_url=server.url) as daemon:
        first = verify(daemon)
        server.stop(signal.SIGKILL)
        assert verify(daemon) == first
        assert daemon.metric("streamd_voice_cache_failures_total", cause="failed") >= 1
        server.start()
        hits = daemon.metric(LOOKS, result="hit")
        wait_until(lambda: verify(daemon) == first and daemon.metric(LOOKS, result="hit") > hits)
        said = [record["message"] for record in daemon.records() if "Redis" in record["message"]]
        assert said[0] == "Redis does not answer: voices of files are not remembered"
        assert said[-1] == "Redis answers again: voices of files are remembered"


def test_a_redis_that_refuses_costs_no_request_and_its_password_is_in_no_log(
    tmp_path: Path, server: RedisServer
) -> None:
    url = server.url.replace("unix://", "unix://nobody:hunter2@")
    with Daemon(tmp_path, cache__redis_url=url) as daemon:
        assert verify(daemon) == verify(daemon)
        assert daemon.metric("streamd_voice_cache_failures_total", cause="failed") >= 1
        log = daemon.log.read_text()
        assert "Redis does not answer" in log
        assert "hunter2" not in log
