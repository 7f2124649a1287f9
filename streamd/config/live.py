"""Which keys a running server takes from a changed configuration; the others wait for a restart."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from streamd.config.loading import leaves
from streamd.config.sections import Config

LIVE = frozenset(
    {
        "access.allow_ips",
        "limits.connections_per_s",
        "limits.enrolments_per_h_per_key",
        "limits.requests_per_s_per_key",
        "limits.streams_per_key",
        "log.level",
        "server.drain_s",
        "server.origins",
        "server.trusted_proxies",
    }
)


class Change(NamedTuple):
    """What a changed configuration means for a running server."""

    config: Config
    """The configuration in force from now on."""
    taken: list[str]
    """Keys that have a new value in it."""
    waiting: list[str]
    """Keys whose new value needs a restart."""


def change(running: Config, new: Config) -> Change:
    """Return what a server with one configuration does with the next."""
    before = dict(leaves(running))
    changed = [key for key, value in leaves(new) if value != before.get(key)]
    taken = [key for key in changed if key in LIVE]
    config = running
    for key in taken:
        section, _, name = key.partition(".")
        replaced = msgspec.structs.replace(
            getattr(config, section), **{name: getattr(getattr(new, section), name)}
        )
        config = msgspec.structs.replace(config, **{section: replaced})
    return Change(config, taken, [key for key in changed if key not in LIVE])
