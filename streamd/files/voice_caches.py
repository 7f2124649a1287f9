"""The cache of voices of files that a configuration names: in memory, or in Redis."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

from streamd.config.sections import CacheConfig
from streamd.errors import ConfigError
from streamd.files.voice_cache import MemoryVoiceCache, VoiceCache
from streamd.observability.metrics import Metrics


def open_voice_cache(
    settings: CacheConfig, secret: Callable[[str], bytes], metrics: Metrics
) -> VoiceCache:
    """Return the cache. One in Redis connects at its first use.

    Args:
        settings: The section `[cache]`.
        secret: Returns a secret of the store by its name; it blocks.
        metrics: Counts hits and misses.

    Raises:
        ConfigError: `cache.redis_url` cannot be used, or the package redis is missing.
    """
    if not settings.redis_url or not settings.max_voices:
        return MemoryVoiceCache(settings.max_voices, metrics)
    cache: VoiceCache = in_redis().RedisVoiceCache(
        settings.redis_url, secret, settings.max_voices, settings.redis_expire_s, metrics
    )
    return cache


def in_redis() -> ModuleType:
    """Return the module of the cache in Redis, whose package is an extra.

    Raises:
        ConfigError: The package is missing.
    """
    try:
        from streamd.files import voice_redis
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "redis":
            raise
        raise ConfigError(
            "cache.redis_url needs the package redis: `pip install 'streamd-voice[redis]'`"
        ) from error
    return voice_redis
