"""Results of workers on disk, so that an interrupted evaluation continues where it stopped.

There is one file for each combination of options, models, code and configuration, with one
encrypted line for each stream, so that a manifest may grow. Results contain voice embeddings, which
are never written unencrypted.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

import streamd
from streamd.errors import Unavailable
from streamd.evaluation.manifest import Manifest
from streamd.evaluation.tasks import Result, Task
from streamd.places import eval_dir
from streamd.store.cipher import Cipher, Damaged, load_or_make_key

KEPT_DAYS = 30
_NO_INFLUENCE = ("cli", "evaluation", "transport", "view", "words")
"""Packages that do not influence the results of a worker…"""
_INFLUENCE = (
    "evaluation/codecs.py",
    "evaluation/conditions.py",
    "evaluation/tasks.py",
    "evaluation/noise.py",
    "evaluation/recordings.py",
    "evaluation/rooms.py",
    "evaluation/scored.py",
    "evaluation/spoken.py",
    "evaluation/streams.py",
    "words/data/talk.ogg",
)
"""…except for these."""


def default_directory(environ: Mapping[str, str]) -> Path:
    """Return `streamd/eval` in the user's cache directory."""
    return eval_dir(environ)


def fingerprint(*of: Any) -> str:
    """Return a hash of everything that a result depends on, besides the recording itself."""
    text = json.dumps([streamd.__version__, _code(), *of], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _code() -> str:
    """Return a hash of the source and data: during development the version does not change."""
    root = Path(streamd.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        place = path.relative_to(root)
        counts = place.parts[0] not in _NO_INFLUENCE or str(place) in _INFLUENCE
        if counts and path.is_file() and path.suffix != ".pyc":
            digest.update(path.read_bytes())
    return digest.hexdigest()


def task_key(task: Task, manifest: Manifest) -> str:
    """Return the key of a task: equal rows, options and files have equal keys."""
    digest = hashlib.sha256(msgspec.json.encode(_without_lines(task)))
    for file in sorted({manifest.file(row) for row in task.stream.rows}):
        status = file.stat()
        digest.update(os.fsencode(file.absolute()))
        digest.update(f" {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _without_lines(task: Task) -> Task:
    """Return the task without line numbers: a row may move in its manifest."""
    rows = tuple(msgspec.structs.replace(row, line=0) for row in task.stream.rows)
    return msgspec.structs.replace(task, stream=msgspec.structs.replace(task.stream, rows=rows))


class Cache:
    """Results by the key of their task.

    Args:
        directory: holds the files and their key.
        name: of the file, a `fingerprint`.
        is_fresh: ignore earlier results.

    Raises:
        Unavailable: it cannot be written.
    """

    def __init__(self, directory: Path, name: str, is_fresh: bool = False) -> None:
        self._name = name
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._cipher = Cipher(load_or_make_key(directory / "key"))
            self._path = directory / f"{name}.jsonl"
            _forget_old(directory)
            self._known = {} if is_fresh else dict(self._read())
            flags = os.O_WRONLY | os.O_CREAT | (os.O_TRUNC if is_fresh else os.O_APPEND)
            self._file = os.fdopen(os.open(self._path, flags, 0o600), "w", encoding="ascii")
        except OSError as error:
            raise Unavailable(
                f"{directory}: results cannot be kept: {error.strerror or error}. Set "
                "XDG_CACHE_HOME to a directory that can be written."
            ) from error

    def __len__(self) -> int:
        return len(self._known)

    def get(self, key: str) -> Result | None:
        """Return a result of an earlier run or of this one."""
        return self._known.get(key)

    def put(self, key: str, result: Result) -> None:
        """Store a result; it is on disk when this returns."""
        text = json.dumps(result)
        sealed = self._cipher.seal(text.encode(), self._name, key)
        self._file.write(f"{key} {base64.b64encode(sealed).decode()}\n")
        self._file.flush()
        self._known[key] = json.loads(text)  # the same as a later run reads it

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _read(self) -> Iterator[tuple[str, Result]]:
        if not self._path.exists():
            return
        for line in self._path.read_text(encoding="ascii").splitlines():
            key, _, sealed = line.partition(" ")
            try:
                yield key, json.loads(self._cipher.open(base64.b64decode(sealed), self._name, key))
            except (Damaged, ValueError):  # truncated while it was written
                continue


def _forget_old(directory: Path) -> None:
    """Delete files that did not change for a month."""
    oldest_s = time.time() - KEPT_DAYS * 86_400
    for path in directory.glob("*.jsonl"):
        with contextlib.suppress(FileNotFoundError):  # another evaluation deleted it first
            if path.stat().st_mtime < oldest_s:
                path.unlink()
