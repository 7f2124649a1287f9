"""The cohort: speech of people who are nobody's users, as embeddings, without names.

`training/speaker` made that which comes with streamd: 70 people of LibriSpeech (Panayotov et al.,
2015; CC BY 4.0). `streamd speakers fit` makes one of an owner's recordings, sealed with the key of
the store.
"""

from __future__ import annotations

import contextlib
import io
import os
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from streamd.errors import ConfigError
from streamd.models import catalogue
from streamd.modules.centroids import Indices
from streamd.modules.gallery import CHANNELS, Channel, Spoken
from streamd.places import scales_dir
from streamd.store.base import Recording
from streamd.store.cipher import Cipher, Damaged, load_key, load_or_make_key
from streamd.store.newkey import replaced
from streamd.types import Floats
from streamd.voices import fitted_path, whole

FILE = "voice-cohort.npz"
BUNDLED = Path(catalogue.__file__).parent / "weights" / FILE
SPAN_S = 3.2
"""Seconds of speech in each span, about those of a short sentence."""


_SEALED = "cohort"
_SUFFIX = ".cohort"


@dataclass(frozen=True, slots=True, eq=False)
class Cohort:
    """Spans of speech of many speakers, each heard by several models on both channels."""

    speakers: Indices
    """`[spans]`, number of the speaker of each."""
    heard: Mapping[Channel, Mapping[str, Floats]]
    """`[spans, dim]` by channel and catalogue id of the model, unit vectors."""

    @classmethod
    def load(cls, models: tuple[str, ...], path: Path | None = None) -> Cohort:
        """Return the embeddings by these models.

        Args:
            models: Ids of the models, that which decides first; one without embeddings is left
                out.
            path: The file; None is that which comes with streamd.

        Raises:
            ValueError: It is damaged.
        """
        path = path or BUNDLED
        return cls._read(path.read_bytes(), models, path)

    @classmethod
    def of_owner(cls, models: tuple[str, ...], key: Path) -> Cohort:
        """Return the embeddings of the owner's own fit, or those that come with streamd.

        Args:
            models: As of `load`.
            key: File of the store's key.

        Raises:
            ConfigError: The file is damaged, or was sealed with another key.
        """
        path = _path(models[0])
        if not path.is_file():
            return cls.load(models)
        try:
            plain = Cipher(load_key(key)).open(path.read_bytes(), _SEALED, whole(models[0]))
            return cls._read(plain, models, path)
        except (Damaged, OSError, ValueError, zipfile.BadZipFile) as error:
            raise ConfigError(
                f"{path} cannot be opened with the key {key}. Fit it again with `streamd speakers "
                "fit`, or delete it"
            ) from error

    @classmethod
    def _read(cls, content: bytes, models: tuple[str, ...], path: Path) -> Cohort:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            if "speakers" not in file:
                raise ValueError(f"{path}: it has no speakers")
            heard: dict[Channel, dict[str, Floats]] = {channel: {} for channel in CHANNELS}
            for channel in CHANNELS:
                for model in models:
                    name = f"{channel}/{whole(model)}"
                    if name in file:
                        heard[channel][model] = file[name].astype(np.float32)
            return cls(file["speakers"].astype(np.intp), heard)

    def knows(self, model: str) -> bool:
        """Return whether it has embeddings by a model."""
        return all(model in heard for heard in self.heard.values())

    def spoken(self, channel: Channel, span: int) -> dict[str, Spoken]:
        """Return a span as a session would hear it, by model."""
        return {model: Spoken(rows[span], SPAN_S) for model, rows in self.heard[channel].items()}

    def recordings(self, channel: Channel, speakers: npt.ArrayLike) -> list[Recording]:
        """Return the spans of some speakers as if each had enrolled with them."""
        return [
            Recording(
                f"cohort {self.speakers[span]}",
                channel,
                int(SPAN_S * 1000),
                {model: rows[span] for model, rows in self.heard[channel].items()},
            )
            for span in np.flatnonzero(np.isin(self.speakers, speakers))
        ]

    def variations(self, channel: Channel) -> list[dict[str, Floats]]:
        """Return for each speaker by how much two spans differ, `[dim]` by model.

        It is scaled to what one span alone varies.
        """
        found = []
        for speaker in np.unique(self.speakers):
            first, second = np.flatnonzero(self.speakers == speaker)[:2]
            found.append(
                {
                    model: (rows[first] - rows[second]) / np.float32(np.sqrt(2))
                    for model, rows in self.heard[channel].items()
                }
            )
        return found


def keep(cohort: Mapping[str, npt.NDArray[Any]], model: str, key: Path) -> None:
    """Write the cohort of an owner's own fit, which `Cohort.of_owner` reads.

    Args:
        cohort: `speakers`, and embeddings under the channel and the model's id.
        model: Id of the model that decides.
        key: File of the store's key; it is made if there is none.

    Raises:
        ConfigError: It is no key.
        OSError: It or the cohort cannot be read or written.
    """
    content, arrays = io.BytesIO(), dict[str, Any](cohort)
    np.savez_compressed(content, **arrays)
    sealed = Cipher(load_or_make_key(key)).seal(content.getvalue(), _SEALED, whole(model))
    _write(_path(model), sealed)


def seal_anew(key: Path) -> None:
    """Seal all cohorts with the new key of the store that are still sealed with the one before.

    Raises:
        ConfigError: A file is no key.
        OSError: A file cannot be read or written.
    """
    before = replaced(key)
    if not before.exists():
        return
    old, new = Cipher(load_key(before)), Cipher(load_key(key))
    for path in scales_dir(os.environ).glob("*" + _SUFFIX):
        model = path.name.removesuffix(_SUFFIX)
        with contextlib.suppress(
            Damaged
        ):  # sealed with the new key already, or with no key of ours
            _write(path, new.seal(old.open(path.read_bytes(), _SEALED, model), _SEALED, model))


def _write(path: Path, sealed: bytes) -> None:
    draft = path.with_suffix(".draft")
    draft.write_bytes(sealed)
    draft.replace(path)


def _path(model: str) -> Path:
    return fitted_path(model).with_suffix(_SUFFIX)
