"""The caches that the promises of the cache of voices are tested with."""

import secrets
from collections.abc import Iterator

import pytest
from redis_server import RedisServer
from waiting import HANG_S

from streamd.config.sections import CacheConfig
from streamd.files import voice_redis
from streamd.files.voice_cache import VoiceCache
from streamd.files.voice_caches import open_voice_cache
from streamd.observability.metrics import Metrics


class Secrets(dict[str, bytes]):
    """Secrets as a store keeps them: each is made at its first use."""

    def __missing__(self, name: str) -> bytes:
        return self.setdefault(name, secrets.token_bytes(32))


class Caches:
    """Opens empty caches of one kind.

    Args:
        server: Of those that are in Redis.
    """

    def __init__(self, server: RedisServer | None) -> None:
        self.server = server

    @property
    def is_bounded_for_each_tenant(self) -> bool:
        """Whether each tenant has a bound of its own, not all of them one."""
        return self.server is not None

    def open(self, most: int, metrics: Metrics) -> VoiceCache:
        url = "" if self.server is None else self.server.url
        if self.server is not None:
            with self.server.client() as client:
                client.flushall()
        settings = CacheConfig(max_voices=most, redis_url=url)
        return open_voice_cache(settings, Secrets().__getitem__, metrics)


@pytest.fixture(scope="session", autouse=True)
def patience() -> Iterator[None]:
    """A busy machine must not make Redis look as if it did not answer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(voice_redis, "TIMEOUT_S", HANG_S)
        patch.setattr(voice_redis, "STORE_TIMEOUT_S", HANG_S)
        patch.setattr(voice_redis, "PROBE_S", HANG_S)
        yield


@pytest.fixture(
    scope="session", params=["memory", pytest.param("redis", marks=pytest.mark.services)]
)
def caches(request: pytest.FixtureRequest) -> Caches:
    """Caches of each kind."""
    if request.param == "memory":
        return Caches(None)
    return Caches(request.getfixturevalue("redis_server"))
