"""Voices of files in Redis, which processes share and which outlives them.

An entry is sealed with a secret of its tenant, and its name is keyed with the same secret: whoever
reads Redis learns neither voices nor which files were sent. The store keeps that secret and erases
it with any voice of the tenant, whether Redis answers then or not, so that no entry from before can
be opened again.

Redis is never waited for: a call has a short time, and after a failure there is a pause without
calls. A file is then read anew.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import structlog
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError

from streamd.display import without_password
from streamd.errors import ConfigError, StreamdError, Unavailable
from streamd.files.circuit import Circuit
from streamd.files.voice_cache import FileVoice
from streamd.files.voice_sealing import Place
from streamd.observability.metrics import Metrics
from streamd.store.shared import VOICE_CACHE, voice_cache_secret

log = structlog.get_logger("streamd.files.voice_cache")

TIMEOUT_S = 0.25
"""Seconds that one call may take."""
STORE_TIMEOUT_S = 1.0
"""Seconds that reading a tenant's secret may take."""
PROBE_S = 2.0
MAX_CONNECTIONS = 16
_FAILURES = (RedisError, OSError, TimeoutError)

# KEYS: the voices by file, and the times of their last use. Times are microseconds of the server.
_NOW = """
local at = redis.call('TIME')
local now, life = at[1] * 1000000 + at[2], tonumber(ARGV[2])
local function used(name)
  redis.call('ZADD', KEYS[2], now, name)
  redis.call('PEXPIRE', KEYS[1], math.ceil(life / 1000))
  redis.call('PEXPIRE', KEYS[2], math.ceil(life / 1000))
end
"""
_GET = f"""{_NOW}
local last = redis.call('ZSCORE', KEYS[2], ARGV[1])
if not last then return false end
if tonumber(last) + life <= now then
  redis.call('HDEL', KEYS[1], ARGV[1])
  redis.call('ZREM', KEYS[2], ARGV[1])
  return false
end
used(ARGV[1])
return redis.call('HGET', KEYS[1], ARGV[1])
"""
# A server that lacks memory may have evicted one of the keys without the other.
_PUT = f"""{_NOW}
local most = tonumber(ARGV[4])
if redis.call('HLEN', KEYS[1]) ~= redis.call('ZCARD', KEYS[2]) then
  redis.call('UNLINK', KEYS[1], KEYS[2])
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
used(ARGV[1])
local gone = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now - life, 'LIMIT', 0, 1000)
if #gone == 0 then
  local over = redis.call('ZCARD', KEYS[2]) - most
  if over > 0 then gone = redis.call('ZRANGE', KEYS[2], 0, math.min(over, 1000) - 1) end
end
if #gone > 0 then
  redis.call('HDEL', KEYS[1], unpack(gone))
  redis.call('ZREM', KEYS[2], unpack(gone))
end
return true
"""


class RedisVoiceCache:
    """Voices in Redis; of too many, a tenant's one that was longest unused goes.

    Args:
        url: Of the server, as `redis://host:6379/0`.
        secret: Returns a secret of the store by its name; it blocks.
        entries: Most voices of one tenant.
        expire_s: Seconds without use after which a voice is forgotten.
        metrics: Counts hits, misses and failures.

    Raises:
        ConfigError: The URL cannot be used.
    """

    def __init__(
        self,
        url: str,
        secret: Callable[[str], bytes],
        entries: int,
        expire_s: int,
        metrics: Metrics,
    ) -> None:
        self._client = _client(url, TIMEOUT_S)
        self._get = self._client.register_script(_GET)
        self._put = self._client.register_script(_PUT)
        self._secret = secret
        self._most = entries
        self._life_us = 1_000_000 * expire_s
        self._places: dict[str, Place] = {}
        self._forgotten = 0
        """How often a tenant was forgotten, by which a secret that was read before is known."""
        self._circuit = Circuit()
        self._store = Circuit()
        self._refusals: set[str] = set()
        """Kinds of errors that Redis answered with and that are in the log: each is there once."""
        self._hits = metrics.voice_cache.labels("hit")
        self._misses = metrics.voice_cache.labels("miss")
        self._failures = metrics.voice_cache_failures.labels("failed")
        self._skipped = metrics.voice_cache_failures.labels("skipped")
        metrics.voice_cache_limit.set(entries)

    async def get(self, tenant: str, digest: bytes) -> FileVoice | None:
        """Return the voice of a file; None if it is not known, or Redis does not answer."""
        voice = None
        if (place := await self._place(tenant)) is not None:
            name = place.name(digest)
            sealed = await self._call(lambda: self._get(place.keys, [name, self._life_us]))
            if isinstance(sealed, bytes):
                voice = place.opened(name, sealed)
        (self._misses if voice is None else self._hits).inc()
        return voice

    async def put(self, tenant: str, digest: bytes, voice: FileVoice) -> None:
        """Remember the voice of a file, if Redis answers."""
        if (place := await self._place(tenant)) is not None:
            name = place.name(digest)
            sealed = place.sealed(name, voice)
            await self._call(
                lambda: self._put(place.keys, [name, self._life_us, sealed, self._most])
            )

    async def forget(self, tenant: str) -> None:
        """Forget every voice of a tenant's files.

        Where Redis does not answer, entries stay there until they expire. If a voice was deleted,
        nobody can open them.
        """
        self._forgotten += 1
        self._places.pop(tenant, None)
        if (place := await self._place(tenant)) is not None:
            await self._call(lambda: self._client.unlink(*place.keys))

    async def close(self) -> None:
        """Close the connections."""
        with contextlib.suppress(*_FAILURES):
            await self._client.aclose()

    async def _place(self, tenant: str) -> Place | None:
        """Return the place of a tenant; None while the store cannot be read."""
        known = self._places.get(tenant)
        if known is None and self._store.enter():
            forgotten = self._forgotten
            try:
                async with asyncio.timeout(STORE_TIMEOUT_S):
                    known = await asyncio.to_thread(self._find_place, tenant)
            except (StreamdError, TimeoutError):  # the log has it already
                self._store.failed()
                return None
            self._store.succeeded()
            if forgotten == self._forgotten:
                self._places[tenant] = known
        return known

    def _find_place(self, tenant: str) -> Place:
        return Place(tenant, self._secret(VOICE_CACHE), self._secret(voice_cache_secret(tenant)))

    async def _call(self, command: Callable[[], Any]) -> Any:
        """Return the answer of Redis; None if there is none."""
        if not self._circuit.enter():
            self._skipped.inc()
            return None
        try:
            async with asyncio.timeout(TIMEOUT_S):
                answer = await command()
        except ResponseError as error:  # as of a server without memory, or that is read-only
            self._failures.inc()
            if (kind := type(error).__name__) not in self._refusals:
                self._refusals.add(kind)
                log.warning("Redis refuses to remember voices of files", error=str(error))
            self._circuit.succeeded()  # it does answer
            return None
        except _FAILURES as error:
            self._failures.inc()
            if not self._circuit.is_open:
                log.warning(
                    "Redis does not answer: voices of files are not remembered",
                    error=f"{type(error).__name__}: {error}",
                )
            self._circuit.failed()
            return None
        if self._circuit.is_open:
            log.info("Redis answers again: voices of files are remembered")
        self._circuit.succeeded()
        return answer


async def probe(url: str) -> None:
    """Check that a Redis server answers.

    Raises:
        ConfigError: The URL cannot be used.
        Unavailable: It does not answer, or refuses the user.
    """
    client = _client(url, PROBE_S)
    try:
        async with asyncio.timeout(PROBE_S):
            await client.ping()
    except _FAILURES as error:
        raise Unavailable(
            f"cache.redis_url: {without_password(url)} does not answer: "
            f"{str(error) or type(error).__name__}"
        ) from error
    finally:
        with contextlib.suppress(*_FAILURES):
            await client.aclose()


def _client(url: str, timeout_s: float) -> Any:
    try:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=MAX_CONNECTIONS,
            timeout=timeout_s,
            socket_timeout=timeout_s,
            socket_connect_timeout=timeout_s,
            # Once, because the server may have closed a connection that was not used for long.
            retry=Retry(NoBackoff(), 1),
        )
    except (ValueError, TypeError) as error:
        raise ConfigError(f"cache.redis_url: {error}") from error
    return Redis.from_pool(pool)
