"""Voices of files in a real Redis server: sealed, forgotten, and never waited for."""

import asyncio
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from redis_server import RedisServer
from structlog.testing import capture_logs
from waiting import HANG_S, until

from streamd.errors import ConfigError, Unavailable
from streamd.files import circuit
from streamd.files.circuit import Circuit
from streamd.files.voice_cache import FileVoice
from streamd.files.voice_caches import in_redis
from streamd.files.voice_redis import RedisVoiceCache
from streamd.observability.metrics import Metrics
from streamd.store import Enrolment, SqlStore, open_store

pytestmark = pytest.mark.services

VOICE = FileVoice(np.linspace(0, 1, 256, dtype=np.float32), 1234, "wide")
DIGEST = bytes(range(32))


@pytest.fixture
def server(redis_server: RedisServer) -> RedisServer:
    with redis_server.client() as client:
        client.flushall()
        client.config_set("maxmemory", 0)
    return redis_server


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqlStore]:
    with closing(open_store(tmp_path / "v.db", tmp_path / "key")) as store:
        yield store


def opened(
    url: str, store: SqlStore, metrics: Metrics | None = None, expire_s: int = 1000
) -> RedisVoiceCache:
    """The cache as one process has it."""
    return RedisVoiceCache(url, store.access.secret, 100, expire_s, metrics or Metrics())


def failures(metrics: Metrics, cause: str) -> float | None:
    return metrics.registry.get_sample_value("streamd_voice_cache_failures_total", {"cause": cause})


async def test_another_process_with_the_same_store_finds_a_voice_and_another_store_does_not(
    server: RedisServer, store: SqlStore, tmp_path: Path
) -> None:
    one, two = opened(server.url, store), opened(server.url, store)
    await one.put("default", DIGEST, VOICE)
    found = await two.get("default", DIGEST)
    assert found is not None
    assert np.array_equal(found.embedding, VOICE.embedding)
    with closing(open_store(tmp_path / "w.db", tmp_path / "other key")) as stranger:
        three = opened(server.url, stranger)
        assert await three.get("default", DIGEST) is None
        await three.forget("default")
        await three.close()
    assert await one.get("default", DIGEST) is not None
    await one.close()
    await two.close()


async def test_nobody_reads_voices_files_or_tenants_in_redis(
    server: RedisServer, store: SqlStore
) -> None:
    cache = opened(server.url, store)
    await cache.put("a-tenant", DIGEST, VOICE)
    content = server.content()
    assert len(content) > 1024
    assert VOICE.embedding is not None
    packed = VOICE.embedding.tobytes()
    pieces = [packed[at : at + 16] for at in range(0, len(packed), 16)]
    for part in (b"a-tenant", DIGEST, DIGEST.hex().encode(), *pieces):
        assert part not in content
    await cache.close()


async def test_an_entry_that_was_moved_or_changed_is_none(
    server: RedisServer, store: SqlStore
) -> None:
    cache = opened(server.url, store)
    await cache.put("default", b"one", VOICE)
    await cache.put("default", b"two", FileVoice(None, 0, "wide"))
    with server.client() as client:
        (key,) = [key for key in client.scan_iter() if client.type(key) == b"hash"]
        (one, sealed), (two, other) = client.hgetall(key).items()
        client.hset(key, mapping={one: other, two: sealed[:-1]})
    assert await cache.get("default", b"one") is None
    assert await cache.get("default", b"two") is None
    await cache.put("default", b"one", VOICE)
    assert await cache.get("default", b"one") is not None
    await cache.close()


async def test_what_is_not_used_expires(server: RedisServer, store: SqlStore) -> None:
    cache = opened(server.url, store, expire_s=1)
    await cache.put("default", b"old", VOICE)
    with server.client() as client:
        before = client.dbsize()
        assert all(0 < client.pttl(key) <= 1000 for key in client.scan_iter())
        await until(lambda: client.dbsize() == 0)
        assert before == 2
    # One that is used often keeps the others' keys, and not the others.
    patient = opened(server.url, store, expire_s=1000)
    await patient.put("default", b"old", VOICE)
    name = (await patient._place("default")).name(b"old")
    with server.client() as client:
        (used,) = [key for key in client.scan_iter() if client.type(key) == b"zset"]
        client.zadd(used, {name: 1})
        await patient.put("default", b"new", VOICE)
        assert client.zscore(used, name) is None
    assert await patient.get("default", b"old") is None
    assert await patient.get("default", b"new") is not None
    await cache.close()
    await patient.close()


async def test_a_server_that_evicted_one_key_keeps_nothing_for_ever(
    server: RedisServer, store: SqlStore
) -> None:
    cache = opened(server.url, store)
    await cache.put("default", b"lost", VOICE)
    with server.client() as client:
        (used,) = [key for key in client.scan_iter() if client.type(key) == b"zset"]
        client.delete(used)
        assert await cache.get("default", b"lost") is None
        await cache.put("default", b"new", VOICE)
        sizes = {client.type(key): key for key in client.scan_iter()}
        assert client.hlen(sizes[b"hash"]) == client.zcard(sizes[b"zset"]) == 1
    await cache.close()


async def test_a_deleted_voice_leaves_nothing_that_can_be_opened_though_redis_is_away(
    server: RedisServer, store: SqlStore
) -> None:
    cache = opened(server.url, store)
    for tenant in ("default", "acme"):
        theirs = store.of(tenant)
        theirs.enrol("ada", [Enrolment(np.eye(4)[0], "m", "wide", 1000, "a.wav")])
        await cache.put(tenant, DIGEST, VOICE)
    before = await cache._place("default")
    # As `streamd speakers delete` does, which knows nothing of Redis.
    assert store.delete("ada")
    after = opened(server.url, store)
    place = await after._place("default")
    assert place.keys == before.keys
    with server.client() as client:
        ((name, sealed),) = client.hgetall(before.keys[0]).items()
    assert before.opened(name, sealed) is not None
    assert place.opened(name, sealed) is None
    assert place.name(DIGEST) != name
    assert await after.get("default", DIGEST) is None
    # The watcher of a running server says so, and Redis is cleared too.
    await cache.forget("default")
    with server.client() as client:
        assert client.keys()
        assert not any(client.exists(key) for key in before.keys)
    assert await cache.get("default", DIGEST) is None
    assert await after.get("acme", DIGEST) is not None, "another tenant's stay"
    await cache.close()
    await after.close()


@pytest.fixture
def own_server() -> Iterator[RedisServer]:
    """A server that the test may kill."""
    server = RedisServer()
    yield server
    server.close()


async def test_a_server_that_went_away_is_asked_now_and_then_and_used_again(
    own_server: RedisServer, store: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 0.0
    monkeypatch.setattr(in_redis(), "Circuit", lambda: Circuit(lambda: now_s))
    metrics = Metrics()
    cache = opened(own_server.url, store, metrics)
    await cache.put("default", DIGEST, VOICE)
    own_server.stop(signal.SIGKILL)
    with capture_logs() as logs:
        for _ in range(20):
            assert await cache.get("default", DIGEST) is None
            await cache.put("default", DIGEST, VOICE)
        await cache.forget("default")
    assert failures(metrics, "failed") == 1
    assert failures(metrics, "skipped") == 40
    assert [entry["log_level"] for entry in logs] == ["warning"], "once, not for each request"
    own_server.start()
    assert await cache.get("default", DIGEST) is None
    assert failures(metrics, "skipped") == 41, "it is not asked before the pause is over"
    now_s += circuit.PAUSE_S
    await cache.put("default", DIGEST, VOICE)
    assert await cache.get("default", DIGEST) is not None
    assert failures(metrics, "failed") == 1
    await cache.close()


@pytest.mark.parametrize("is_paused", [True, False], ids=["paused", "deaf"])
async def test_one_call_waits_for_a_server_that_does_not_answer_and_no_other(
    own_server: RedisServer,
    store: SqlStore,
    monkeypatch: pytest.MonkeyPatch,
    is_paused: bool,
) -> None:
    now_s = 0.0
    monkeypatch.setattr(in_redis(), "Circuit", lambda: Circuit(lambda: now_s))
    metrics = Metrics()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setattr(in_redis(), "TIMEOUT_S", 0.05)
        url = own_server.url if is_paused else f"redis://127.0.0.1:{listener.getsockname()[1]}"
        cache = opened(url, store, metrics)
        await cache._place("default")
        own_server.pause()
        assert await cache.get("default", DIGEST) is None
        for _ in range(3):
            found = await asyncio.gather(*(cache.get("default", DIGEST) for _ in range(10)))
            assert found == [None] * 10
        assert (failures(metrics, "failed"), failures(metrics, "skipped")) == (1, 30)
        now_s += circuit.PAUSE_S
        await asyncio.gather(*(cache.get("default", DIGEST) for _ in range(10)))
        assert (failures(metrics, "failed"), failures(metrics, "skipped")) == (2, 39)
        own_server.pause(is_paused=False)
        if is_paused:  # what was not read then is no answer to what is asked now
            monkeypatch.setattr(in_redis(), "TIMEOUT_S", HANG_S)
            now_s += circuit.PAUSE_S
            await cache.put("default", DIGEST, VOICE)
            for number in range(20):
                await cache.put("default", bytes([number]), VOICE._replace(speech_ms=number))
            for number in range(20):
                found_one = await cache.get("default", bytes([number]))
                assert found_one is not None
                assert found_one.speech_ms == number
        await cache.close()


@pytest.mark.parametrize("hangs", [False, True], ids=["fails", "hangs"])
async def test_a_store_that_is_away_is_asked_now_and_then(
    server: RedisServer, store: SqlStore, monkeypatch: pytest.MonkeyPatch, hangs: bool
) -> None:
    now_s, asked, is_away = 0.0, 0, True
    monkeypatch.setattr(in_redis(), "Circuit", lambda: Circuit(lambda: now_s))
    may_end = threading.Event()

    def secret(name: str) -> bytes:
        nonlocal asked
        asked += 1
        if is_away and hangs:
            may_end.wait(HANG_S)
        if is_away:
            raise Unavailable("the server does not answer")
        return store.access.secret(name)

    cache = RedisVoiceCache(server.url, secret, 100, 1000, Metrics())
    with monkeypatch.context() as patch:
        patch.setattr(in_redis(), "STORE_TIMEOUT_S", 0.05)
        for _ in range(20):
            await cache.put("default", DIGEST, VOICE)
            assert await cache.get("default", DIGEST) is None
    assert asked == 1
    is_away = False
    now_s += circuit.PAUSE_S
    await cache.put("default", DIGEST, VOICE)
    assert await cache.get("default", DIGEST) is not None
    may_end.set()
    await cache.close()


async def test_a_server_without_memory_fails_no_request(
    server: RedisServer, store: SqlStore
) -> None:
    metrics = Metrics()
    cache = opened(server.url, store, metrics)
    await cache.put("default", DIGEST, VOICE)
    with server.client() as client, capture_logs() as logs:
        client.config_set("maxmemory", 1)
        for number in range(3):
            await cache.put("default", bytes([number]), VOICE)
        assert failures(metrics, "failed") == 3
        assert [entry["event"] for entry in logs] == ["Redis refuses to remember voices of files"]
        client.config_set("maxmemory", 0)
    assert await cache.get("default", DIGEST) is not None, "there is no pause: it does answer"
    await cache.put("default", b"0", VOICE)
    assert await cache.get("default", b"0") is not None
    await cache.close()


async def test_a_server_says_whether_it_answers(server: RedisServer) -> None:
    probe = in_redis().probe
    await probe(server.url)
    with pytest.raises(ConfigError, match=r"cache\.redis_url"):
        await probe("redis://host:port/0")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(Unavailable, match="does not answer") as caught:
        await probe(f"redis://user:hunter2@127.0.0.1:{port}/0")
    assert "hunter2" not in str(caught.value)
    with pytest.raises(Unavailable, match="does not answer: "):
        await probe(server.url.replace("unix://", "unix://nobody:hunter2@"))


async def test_many_at_once_share_a_bounded_number_of_connections(
    server: RedisServer, store: SqlStore
) -> None:
    cache = opened(server.url, store)
    await cache.put("default", DIGEST, VOICE)
    found = await asyncio.wait_for(
        asyncio.gather(*(cache.get("default", DIGEST) for _ in range(200))), HANG_S
    )
    assert None not in found
    with server.client() as client:
        assert len(client.client_list()) <= in_redis().MAX_CONNECTIONS + 1
    await cache.close()
