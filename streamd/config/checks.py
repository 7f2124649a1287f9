"""Checks that the type of one key cannot make: of several keys together, and whom it lets in."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterator
from operator import attrgetter

from streamd.config.sections import (
    MIN_LAG_MS,
    RING_BEYOND_LAG_S,
    AccessConfig,
    Config,
)
from streamd.errors import ConfigError
from streamd.naming import WordName, is_keyword
from streamd.settings import WakeSettings
from streamd.validation import fits

_BUILT_IN = WakeSettings().load

_REDIS_SCHEMES = ("redis://", "rediss://", "unix://")
_NOT_ABOVE = (
    ("vad.off", "vad.on"),
    ("speaker.new", "speaker.assign"),
    ("speaker.thresholds.wide.reject", "speaker.thresholds.wide.accept"),
    ("speaker.thresholds.narrow.reject", "speaker.thresholds.narrow.accept"),
)


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a port that is bound to `host`."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def needs_key(host: str, settings: AccessConfig) -> bool:
    """Return whether whoever connects must show an API key.

    Args:
        host: Address that the server binds.
        settings: The section `[access]`.
    """
    return settings.keys == "always" or not is_loopback(host)


def contradictions(config: Config) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield (keys involved, the first at fault; what is wrong with it) for each contradiction."""
    for low, high in _NOT_ABOVE:
        low_value, high_value = attrgetter(low)(config), attrgetter(high)(config)
        if low_value > high_value:
            yield (low, high), f"{low_value} is above {high} = {high_value}"

    redis_url = config.cache.redis_url
    if redis_url and not redis_url.startswith(_REDIS_SCHEMES):
        yield (
            ("cache.redis_url",),
            f"expected a URL that begins with {', '.join(_REDIS_SCHEMES)}",
        )

    lag_ms = config.limits.max_lag_ms
    if 0 < lag_ms < MIN_LAG_MS:
        yield (
            ("limits.max_lag_ms",),
            f"expected 0, for no bound, or at least {MIN_LAG_MS}, got {lag_ms}",
        )
    elif lag_ms > config.longest_lag_ms and config.is_set("limits.max_lag_ms"):
        yield (
            ("limits.max_lag_ms", "session.ring_s"),
            f"{lag_ms} is above {config.longest_lag_ms}, which session.ring_s = "
            f"{config.session.ring_s} allows: the ring keeps {RING_BEYOND_LAG_S} s more. Lower it, "
            f"raise session.ring_s to {-(-lag_ms // 1000) + RING_BEYOND_LAG_S}, or set 0 to leave "
            "out nothing",
        )

    for key in ("server.trusted_proxies", "access.allow_ips"):
        for listed in attrgetter(key)(config):
            if not _is_network(listed):
                yield (
                    (key,),
                    'expected addresses or networks, as "127.0.0.1" or "10.0.0.0/8", '
                    f'got "{listed}"',
                )

    if config.server.tls_key and not config.server.tls_cert:
        yield (
            ("server.tls_key", "server.tls_cert"),
            "there is no server.tls_cert: name the file of the certificate that has this key",
        )

    loaded = ", ".join(config.wake.load) or "empty"
    for key in ("words", "thresholds", "patiences"):
        for word in getattr(config.wake, key):
            may_be_own = word in config.wake.words and _may_be_own(word)
            named = "wake.words" if key == "words" else f"wake.{key}.{word}"
            if is_keyword(word):
                if config.wake.keyword_model == "off":
                    yield (
                        (named, "wake.keyword_model"),
                        f"{word!r} needs a keyword model: it has characters other than a-z, 0-9 "
                        'and _; set wake.keyword_model = "xiaoyun"',
                    )
            elif word not in config.wake.load and not may_be_own:
                yield (named, "wake.load"), f"{word!r} is not in wake.load ({loaded})"
    if "transcript" in config.session.modules and config.transcript.model == "off":
        yield (
            ("session.modules", "transcript.model"),
            '"transcript" needs a model: set transcript.model, or leave the module out',
        )
    if config.wake.load and not config.wake.words:
        yield (
            ("wake.words", "wake.load"),
            "empty: name what a client listens for that names no word; to have no wake words "
            "at all, empty wake.load too",
        )


def own_words(config: Config) -> list[str]:
    """Return the default words that can only be words of the user's own."""
    words = config.wake.words
    return [word for word in words if word not in config.wake.load and not is_keyword(word)]


def check_own_words(config: Config, known: Collection[str]) -> None:
    """Check that the default words exist among the user's own, which the configuration cannot know.

    Raises:
        ConfigError: a default word does not exist; clients that name no word would miss it.
    """
    for word in own_words(config):
        if word not in known:
            raise ConfigError(
                f"{config.where('wake.words')}: wake.words: {word!r} is not in wake.load and no "
                f"word of your own: `streamd words add {word} FILE…` would make it one"
            )


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True


def _may_be_own(word: str) -> bool:
    return fits(word, WordName) and word not in _BUILT_IN
