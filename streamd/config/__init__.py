"""The configuration: a TOML file, overridden by the environment, refused where it is wrong."""

from streamd.config.checks import check_own_words, is_loopback, needs_key, own_words
from streamd.config.dump import dump
from streamd.config.loading import SYSTEM_FILE, Setting, describe, load
from streamd.config.sections import (
    AccessConfig,
    Config,
    EngineConfig,
    LimitsConfig,
    LogConfig,
    ServerConfig,
    SessionConfig,
    StoreConfig,
)
from streamd.places import audit_path, data_dir, key_path, store_path

__all__ = [
    "SYSTEM_FILE",
    "AccessConfig",
    "Config",
    "EngineConfig",
    "LimitsConfig",
    "LogConfig",
    "ServerConfig",
    "SessionConfig",
    "Setting",
    "StoreConfig",
    "audit_path",
    "check_own_words",
    "data_dir",
    "describe",
    "dump",
    "is_loopback",
    "key_path",
    "load",
    "needs_key",
    "own_words",
    "store_path",
]
