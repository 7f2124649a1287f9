"""The places of streamd's files: every folder, by one rule.

streamd's own environment variable comes first, then the folder of the XDG specification, then the
platform's usual one below the user's home. `~` is the home in every path that a user gives.
"""

from __future__ import annotations

import os
import pwd
import sys
from collections.abc import Mapping
from pathlib import Path

from streamd.errors import ConfigError

Environ = Mapping[str, str]
OFF = "off"
"""In the place of a path: there is to be no such file."""


def data_dir(environ: Environ) -> Path:
    """Return the data directory, which holds store and key; it need not exist yet.

    Raises:
        ConfigError: no variable names it, and the user has no home directory.
    """
    return _named("STREAMD_DATA", environ) or _data(environ)


def models_dir(environ: Environ) -> Path:
    """Return the folder of the converted models; it raises as `data_dir` does."""
    return _named("STREAMD_MODELS", environ) or _cache(environ, "STREAMD_MODELS") / "models"


def eval_dir(environ: Environ) -> Path:
    """Return the folder of earlier results of `streamd eval`; it raises as `data_dir` does."""
    return _cache(environ) / "eval"


def key_path(environ: Environ, configured: str = "") -> Path:
    """Return the file of the key that encrypts voices: `store.key_path` if it is set."""
    return Path(configured) if configured else data_dir(environ) / "key"


def scales_dir(environ: Environ) -> Path:
    """Return the folder of the scales that an owner fitted; it raises as `data_dir` does."""
    return data_dir(environ) / "voices"


def tls_dir(environ: Environ) -> Path:
    """Return the folder of a certificate that streamd made; it raises as `data_dir` does."""
    return data_dir(environ) / "tls"


def store_path(configured: str, environ: Environ) -> Path:
    """Return the file of the store: `store.path` if it is set, else one in the data directory."""
    return Path(configured) if configured else data_dir(environ) / "streamd.db"


def units_dir(environ: Environ) -> Path:
    """Return the folder of the user's units of systemd.

    Raises:
        ConfigError: no variable names it, and the user has no home directory.
    """
    return _xdg("XDG_CONFIG_HOME", ".config", environ, ("XDG_CONFIG_HOME",)) / "systemd/user"


def microsoft_dir(environ: Environ) -> Path | None:
    """Return where onnxruntime leaves its telemetry, None for a user without a home directory."""
    home = _home(environ)
    return home / ".cache/Microsoft" if home is not None else None


def audit_path(configured: str, environ: Environ) -> Path | None:
    """Return the file of the audit log: `access.audit_path`, else one in the data directory.

    None if there is to be no such log.
    """
    if configured == OFF:
        return None
    return Path(configured) if configured else data_dir(environ) / "audit.jsonl"


def absolute(path: str | os.PathLike[str], base: Path, environ: Environ) -> Path:
    """Return a user's path as an absolute one: `~` is expanded, else `base` goes before it.

    Raises:
        ConfigError: it begins with `~` and there is no such user, or no home directory.
    """
    return (base / expanded(path, environ)).absolute()


def expanded(path: str | os.PathLike[str], environ: Environ) -> Path:
    """Return a user's path with `~` expanded; it raises as `absolute` does."""
    first, *rest = Path(path).parts or (".",)
    if first.startswith("~"):
        return _home_of(first[1:], environ, str(path)).joinpath(*rest)
    return Path(path)


def _named(variable: str, environ: Environ) -> Path | None:
    path = environ.get(variable)
    return absolute(path, Path(), environ) if path else None


def _data(environ: Environ) -> Path:
    if sys.platform == "darwin":
        usual = "Library/Application Support"
    else:
        usual = ".local/share"
    return _xdg("XDG_DATA_HOME", usual, environ, ("STREAMD_DATA", "XDG_DATA_HOME")) / "streamd"


def _cache(environ: Environ, *variables: str) -> Path:
    usual = "Library/Caches" if sys.platform == "darwin" else ".cache"
    return _xdg("XDG_CACHE_HOME", usual, environ, (*variables, "XDG_CACHE_HOME")) / "streamd"


def _xdg(variable: str, usual: str, environ: Environ, named: tuple[str, ...]) -> Path:
    folder = Path(environ.get(variable, ""))
    if folder.is_absolute():  # the XDG specification says to ignore relative paths
        return folder
    home = _home(environ)
    if home is None:
        raise ConfigError(
            f"no home directory: set {' or '.join(named)} to the path of a folder, or set HOME"
        )
    return home / usual


def _home(environ: Environ) -> Path | None:
    home = Path(environ.get("HOME", ""))
    if home.is_absolute():
        return home
    try:
        return Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        return None


def _home_of(user: str, environ: Environ, path: str) -> Path:
    if not user:
        home = _home(environ)
        if home is None:
            raise ConfigError(f"{path}: there is no home directory: set HOME, or give a full path")
        return home
    try:
        return Path(pwd.getpwnam(user).pw_dir)
    except KeyError:
        raise ConfigError(f"{path}: there is no user {user!r}: give a full path") from None
