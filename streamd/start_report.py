"""What the server says of itself at its start: in the log, and in one line on stdout."""

from __future__ import annotations

import math
import socket
import sys
from collections.abc import Sequence

import structlog

from streamd import __version__
from streamd.config import Config, describe
from streamd.modules.registry import Registry
from streamd.modules.wake import WakeModule
from streamd.modules.words import CustomWords
from streamd.observability import descriptors
from streamd.observability.cores import usable_cpus

log = structlog.get_logger("streamd.app")


def allow_descriptors(config: Config) -> None:
    """Take as many file descriptors as a full server needs, or log what to raise."""
    most = config.limits.max_streams
    needed = descriptors.needed(most, config.server.max_waiting)
    allowed = descriptors.allow(needed)
    if allowed < needed:
        log.warning(
            "too few file descriptors for limits.max_streams",
            allowed=allowed,
            needed=needed,
            max_streams=most,
            advice=descriptors.advice(needed),
        )


def report_start(
    config: Config,
    registry: Registry,
    sockets: Sequence[socket.socket],
    words: CustomWords,
    obstacle: str | None,
) -> None:
    """Log what runs here, and which configuration is not the default.

    Args:
        config: The configuration in force.
        registry: The modules.
        sockets: The listeners.
        words: The tenant's own wake words.
        obstacle: Why the fast path is not active; None if it is.
    """
    wake = registry.find(WakeModule)
    known = None if wake is None else wake.listed(words)
    modules, _ = registry.resolve({name: {} for name in registry.modules}, words=words)
    log.info(
        "started",
        version=__version__,
        address=", ".join(_address(*listener.getsockname()[:2]) for listener in sockets),
        models={name: card["model"] for name, card in registry.describe(modules).items()},
        words=known,
        threads=config.engine.threads or math.ceil(usable_cpus()),
        fast_path="active" if obstacle is None else f"not active: {obstacle}",
        config=config.source,
        changed={s.key: s.value for s in describe(config) if s.value != s.default},
    )


def url(config: Config, sockets: Sequence[socket.socket], *, is_tls: bool) -> str:
    """Return where the server listens, with the port that it took where the configuration has 0."""
    port = config.server.port or sockets[0].getsockname()[1]
    return f"{'https' if is_tls else 'http'}://{_address(config.server.host, port)}"


def announce(url: str) -> None:
    """Print the one line on stdout."""
    sys.stdout.write(f"listening on {url}\n")
    sys.stdout.flush()


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
