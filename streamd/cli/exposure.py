"""Whether a server may be started: who can reach it, and whether they need a key that exists."""

from __future__ import annotations

from contextlib import closing

from streamd.access.gate import check_exposure
from streamd.access.keys import Keyring
from streamd.cli.common import note
from streamd.cli.runtime import open_voices
from streamd.config import Config, needs_key
from streamd.store.base import Store


def check_keys(config: Config, store: Store) -> None:
    """Check that a server that needs API keys has one.

    Raises:
        ConfigError: There is none.
    """
    keyring = Keyring()
    keyring.replace(store.access.keys())
    check_exposure(config.server.host, config.access, has_key=keyring.has_valid)


def check_exposed(config: Config) -> None:
    """Check the same before a server is started; opens the store only where keys are needed.

    Raises:
        ConfigError: There is no key, or the store cannot be used.
        Unavailable: The store cannot be read.
    """
    if needs_key(config.server.host, config.access):
        with closing(open_voices(config)) as store:
            check_keys(config, store)


def warn_of_exposure(config: Config) -> None:
    """Print what `--insecure` means, if it means something at this address."""
    if needs_key(config.server.host, config.access):
        note(
            f"WARNING: --insecure at {config.server.host}: whoever reaches the port may listen in, "
            "enrol and delete voices. Nobody is asked for a key."
        )
