"""Reads a state dict out of a checkpoint in torch's zip format, without torch and without pickle.

Such a checkpoint is a zip file: one pickle that says which tensor lies where (`state_pickle.py`),
and an uncompressed entry for each storage. Reading it never makes more than the file itself holds.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from streamd.errors import ModelMissing
from streamd.models.convert.graph import PULL_PINNED, Weights, check_shapes
from streamd.models.convert.state_pickle import CheckpointError, StatePickle, Storage, Tensor

MAX_FILE_BYTES = 256 * 2**20
MAX_PICKLE_BYTES = 2**20
MAX_ENTRIES = 10_000
_MAX_DIRECTORY_BYTES = 2**22
"""Of the list of entries at the end of the file. `zipfile` makes an object of each entry before it
can be counted, and takes seconds and hundreds of megabytes for a list that is made for that."""


def read_state_dict(
    path: Path, hint: str = PULL_PINNED, max_bytes: int = MAX_FILE_BYTES
) -> dict[str, npt.NDArray[Any]]:
    """Read the tensors of a checkpoint that is one state dict.

    Args:
        path: the checkpoint.
        hint: what to do about a file that is not one, at the end of the message.
        max_bytes: size of the largest file that is read.

    Returns:
        Arrays by name, float32 or int64, that cannot be written.

    Raises:
        ModelMissing: it is not such a checkpoint, is damaged, or asks for more than tensors.
        OSError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            content = file.read(max_bytes + 1)
        if len(content) > max_bytes:
            raise CheckpointError(f"it has more than {max_bytes >> 20} MiB")
        return _read_zip(content)
    except CheckpointError as error:
        raise ModelMissing(
            f"{path.name} is not the expected checkpoint: {error}. {hint}"
        ) from error


def checked(
    source: str, w: Weights, expected: Mapping[str, tuple[int, ...]], hint: str = PULL_PINNED
) -> Weights:
    """Return weights that are exactly those of a network, with numbers that make sense.

    Args:
        source: name of the file.
        w: what it holds.
        expected: name and shape of every weight of the network.
        hint: what to do about a file that has others, at the end of the message.

    Raises:
        ModelMissing: it has others; the message names the weight.
    """
    check_shapes(source, w, expected, is_complete=True, hint=hint)
    for name, values in w.items():
        is_count = name.endswith("num_batches_tracked")
        is_right = values.dtype == (np.int64 if is_count else np.float32)
        least = 0 if name.endswith("running_var") else -np.inf
        if not is_right or not np.isfinite(values).all() or (values < least).any():
            raise ModelMissing(
                f"{source} is not the model that this converter knows: the numbers of "
                f"{name} are of another type, or make no sense. {hint}"
            )
    return w


def norm_shapes(name: str, channels: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Name and shape of each weight of a batch normalisation of torch."""
    for part in ("weight", "bias", "running_mean", "running_var"):
        yield f"{name}.{part}", (channels,)
    yield f"{name}.num_batches_tracked", ()


def _read_zip(content: bytes) -> dict[str, npt.NDArray[Any]]:
    try:
        # In memory, because `zipfile` seeks to whatever place a damaged file names.
        with _Content(content) as file, zipfile.ZipFile(file) as archive:
            file.most_bytes = len(content)
            entries = _entries(archive, len(content))
            tensors = StatePickle(_read(archive, entries, "data.pkl")).run()
            return _arrays(tensors, lambda key: _read(archive, entries, f"data/{key}"))
    except CheckpointError:
        raise
    except (zipfile.BadZipFile, EOFError, RuntimeError, ValueError, OverflowError) as error:
        # All that `zipfile` raises for damage; NotImplementedError is a RuntimeError.
        raise CheckpointError(f"it is no intact zip file ({error})") from error


class _Content(io.BytesIO):
    """The content of a file, of which a read gives so much at most."""

    most_bytes = _MAX_DIRECTORY_BYTES

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > self.most_bytes:
            raise CheckpointError("its list of entries is too long")
        return super().read(size)


def _entries(archive: zipfile.ZipFile, file_bytes: int) -> dict[str, zipfile.ZipInfo]:
    """The entries by their path below the one folder that all of them lie in."""
    infos = archive.infolist()
    if len(infos) > MAX_ENTRIES:
        raise CheckpointError(f"it has more than {MAX_ENTRIES} entries")
    if any(info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 for info in infos):
        raise CheckpointError("an entry is compressed or encrypted")
    if sum(info.file_size for info in infos) > file_bytes:
        raise CheckpointError("its entries overlap")
    if len({info.filename.partition("/")[0] for info in infos}) != 1:
        raise CheckpointError("its entries are not in one folder")
    entries = {info.filename.partition("/")[2]: info for info in infos}
    if len(entries) != len(infos):
        raise CheckpointError("two entries have the same name")
    if "data.pkl" not in entries:
        raise CheckpointError("it has no entry data.pkl")
    if entries["data.pkl"].file_size > MAX_PICKLE_BYTES:
        raise CheckpointError(f"its data.pkl has more than {MAX_PICKLE_BYTES} bytes")
    if "byteorder" in entries and _read(archive, entries, "byteorder") != b"little":
        raise CheckpointError("its numbers are not little-endian")
    return entries


def _read(archive: zipfile.ZipFile, entries: dict[str, zipfile.ZipInfo], name: str) -> bytes:
    """Read one entry; `zipfile` checks its CRC-32."""
    if name not in entries:
        raise CheckpointError(f"it has no entry {name}")
    content = archive.read(entries[name])
    if len(content) != entries[name].file_size:
        raise CheckpointError(f"its entry {name} is cut off")
    return content


def _arrays(
    tensors: dict[str, Tensor], read: Callable[[str], bytes]
) -> dict[str, npt.NDArray[Any]]:
    """Tensors as views into their storages, each of which is read once."""
    storages: dict[str, tuple[Storage, npt.NDArray[Any]]] = {}
    arrays = {}
    for name, (storage, offset, shape) in tensors.items():
        if storage.key not in storages:
            content = read(storage.key)
            if len(content) != storage.size * storage.dtype.itemsize:
                raise CheckpointError(
                    f"storage {storage.key} has {len(content)} bytes instead of "
                    f"{storage.size * storage.dtype.itemsize}"
                )
            storages[storage.key] = storage, np.frombuffer(content, storage.dtype)
        described, values = storages[storage.key]
        if described != storage:
            raise CheckpointError(f"storage {storage.key} is described in two ways")
        end = offset + math.prod(shape)
        if end > len(values):
            raise CheckpointError(f"tensor {name} reaches beyond its storage")
        arrays[name] = values[offset:end].reshape(shape)
    return arrays
