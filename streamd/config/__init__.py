"""The configuration: a TOML file, overridden by the environment, refused where it is wrong."""

from streamd.config.checks import check_host, check_own_words, own_words
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
from streamd.places import data_dir, key_path, store_path

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
    "check_host",
    "check_own_words",
    "data_dir",
    "describe",
    "dump",
    "key_path",
    "load",
    "own_words",
    "store_path",
]
