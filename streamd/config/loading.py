"""The loader turns a TOML file and the environment into a `Config`, or names the faults."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from streamd.config import toml
from streamd.config.checks import contradictions
from streamd.config.schema import RefusedError, convert, is_path, is_table, kind_of
from streamd.config.sections import Config, Sections
from streamd.config.toml import KeyPath
from streamd.display import without_password
from streamd.errors import ConfigError
from streamd.places import absolute, expanded
from streamd.validation import Invalid

SYSTEM_FILE = Path("/etc/streamd/streamd.toml")
_PREFIX = "STREAMD_"


_URLS = {"store.url", "cache.redis_url"}
"""Keys whose value may have a password."""


class Setting(NamedTuple):
    """One key as `streamd config check` prints it."""

    key: str
    value: Any
    default: Any
    source: str
    """`default`, `FILE:LINE` or the name of an environment variable."""


def load(path: Path | None, environ: Mapping[str, str]) -> Config:
    """Return the configuration in force.

    The file is `path`, else `$STREAMD_CONFIG`, else `/etc/streamd/streamd.toml` if it exists,
    else none. `STREAMD_SECTION__KEY` overrides a key of it: more `__` reach into
    tables, names are lowered, and a value that is not TOML is taken as a string. A relative path
    is relative to the folder of the file that sets it, or to the current directory if the
    environment sets it.

    Raises:
        ConfigError: one line for each fault: file and line or environment variable, key,
            and what was expected.
    """
    file = _find(path, environ)
    loading = _Loading(environ)
    if file is not None:
        loading.read_file(file)
    loading.read_environ()
    return loading.finish("built-in defaults" if file is None else str(file))


def describe(config: Config) -> list[Setting]:
    """Return every key in the order of the sections, with its default and where it was set."""
    defaults = dict(leaves(Sections()))
    return [Setting(key, value, defaults[key], config.where(key)) for key, value in leaves(config)]


def leaves(config: Sections) -> Iterator[tuple[str, Any]]:
    """Yield every key in the order of the sections, as pairs of (`section.key`, value).

    They are for people and logs: the password in a URL is left out.
    """
    for section in Sections.__struct_fields__:
        for key, value in _leaves(getattr(config, section), section):
            yield key, without_password(value) if key in _URLS else value


def _leaves(struct: msgspec.Struct, prefix: str) -> Iterator[tuple[str, Any]]:
    for name in struct.__struct_fields__:
        value = getattr(struct, name)
        if isinstance(value, msgspec.Struct):
            yield from _leaves(value, f"{prefix}.{name}")
        else:
            yield f"{prefix}.{name}", value


def _find(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    if path is not None:
        # The variable may contain `~`, as may a path that no shell expanded.
        return expanded(path, environ)
    if named := environ.get("STREAMD_CONFIG"):
        file = expanded(named, environ)
        if not file.is_file():
            raise ConfigError(f"STREAMD_CONFIG: no such file: {file}")
        return file
    return SYSTEM_FILE if SYSTEM_FILE.is_file() else None


class _Loading:
    """Collects settings, where later ones replace earlier ones, and every fault on the way."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self._tree: dict[str, Any] = {}
        self._origins: dict[str, str] = {}
        self._faults: dict[str, None] = {}
        """Faults in order; an unknown section counts once, and not once for each of its keys."""

    def read_file(self, file: Path) -> None:
        try:
            text = file.read_text(encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"{file}: cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise ConfigError(f"{file}: not UTF-8, as TOML must be: byte {error.start}") from error
        document = toml.parse(text, str(file))
        where = partial(_place, str(file), toml.lines(text))
        for path, value in _flatten(document):
            self._set(path, (value,), where, file.parent)

    def read_environ(self) -> None:
        for name in sorted(self._environ):
            if not name.startswith(_PREFIX) or "__" not in name:
                continue
            text = self._environ[name]
            path = tuple(name.removeprefix(_PREFIX).lower().split("__"))
            for key, value in _flatten(toml.value(text), path):
                candidates = (value, text) if key == path else (value,)
                self._set(key, candidates, partial(_same, name), Path())

    def finish(self, source: str) -> Config:
        self._raise_faults()
        config = msgspec.convert(self._tree, Config)
        config = msgspec.structs.replace(config, source=source, origins=self._origins)
        for keys, problem in contradictions(config):
            culprit = next((key for key in keys if config.is_set(key)), keys[0])
            self._faults[f"{config.where(culprit)}: {keys[0]}: {problem}"] = None
        self._raise_faults()
        return config

    def _set(
        self,
        path: KeyPath,
        candidates: Sequence[Any],
        where: Callable[[KeyPath], str],
        folder: Path,
    ) -> None:
        """Set a key to the first candidate that its type takes, or note why it takes none.

        A path is relative to `folder`.
        """
        try:
            kind = kind_of(path)
            if is_table(kind) and candidates[0] == {}:
                return
            value = convert(candidates, kind, path)
            if is_path(kind, value):
                value = self._absolute(value, folder, path)
        except RefusedError as refused:
            self._refuse(where, refused.path, str(refused))
            return
        except Invalid as invalid:
            for fault in invalid.faults:
                self._refuse(where, fault.path, fault.what)
            return
        node = self._tree
        for part in path[:-1]:
            node = node.setdefault(part, {})
        node[path[-1]] = value
        self._origins[".".join(path)] = where(path)

    def _refuse(self, where: Callable[[KeyPath], str], path: KeyPath, problem: str) -> None:
        self._faults[f"{where(path)}: {'.'.join(path)}: {problem}"] = None

    def _absolute(self, value: str, folder: Path, path: KeyPath) -> str:
        try:
            return str(absolute(value, folder, self._environ))
        except ConfigError as error:
            raise RefusedError(path, str(error)) from error

    def _raise_faults(self) -> None:
        if self._faults:
            raise ConfigError("\n".join(self._faults))


def _flatten(value: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """Yield every value below a table with its path; an empty table is a value."""
    if isinstance(value, dict) and (value or not path):
        for key, child in value.items():
            yield from _flatten(child, (*path, key))
    else:
        yield path, value


def _place(file: str, lines: Mapping[KeyPath, int], path: KeyPath) -> str:
    known = (lines[path[:length]] for length in range(len(path), 0, -1) if path[:length] in lines)
    return f"{file}:{next(known, 1)}"


def _same(name: str, _: KeyPath) -> str:
    return name
