"""Where streamd keeps what it writes."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from streamd.errors import ConfigError


def data_dir(environ: Mapping[str, str]) -> Path:
    """The data directory: store, its key, state. It need not exist yet.

    `$STREAMD_DATA`, else `streamd` in `$XDG_DATA_HOME`, else the platform's place for it.

    Raises:
        ConfigError: none is set and the user has no home directory.
    """
    if named := environ.get("STREAMD_DATA"):
        return Path(named).absolute()
    xdg = Path(environ.get("XDG_DATA_HOME", ""))
    if xdg.is_absolute():  # the XDG specification has relative ones ignored
        return xdg / "streamd"
    try:
        home = Path(environ["HOME"]) if environ.get("HOME") else Path.home()
    except RuntimeError as error:
        raise ConfigError("no home directory: set STREAMD_DATA to a directory") from error
    if sys.platform == "darwin":
        return home / "Library" / "Application Support" / "streamd"
    return home / ".local" / "share" / "streamd"


def store_path(configured: str, environ: Mapping[str, str]) -> Path:
    """File of the store: `store.path` of the configuration, else one in the data directory."""
    return Path(configured).absolute() if configured else data_dir(environ) / "streamd.db"


def key_path(environ: Mapping[str, str]) -> Path:
    """File of the key that encrypts voices; beside the store only where that is the default."""
    return data_dir(environ) / "key"
