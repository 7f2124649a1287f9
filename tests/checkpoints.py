"""Writes checkpoints as torch does, and as it would not."""

import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

KINDS = {"<f4": "FloatStorage", "<i8": "LongStorage"}


class Part(NamedTuple):
    """A tensor as the pickle describes it."""

    name: str
    key: str
    kind: str
    count: int
    """Numbers in its storage."""
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def text(value: str) -> bytes:
    raw = value.encode()
    return b"X" + len(raw).to_bytes(4, "little") + raw


def number(value: int) -> bytes:
    return b"J" + value.to_bytes(4, "little", signed=True)


def numbers(values: Iterable[int]) -> bytes:
    return b"(" + b"".join(number(value) for value in values) + b"t"


def tensor(part: Part) -> bytes:
    """The instructions that make one tensor."""
    storage = b"(" + text("storage") + f"ctorch\n{part.kind}\n".encode() + text(part.key)
    storage += text("cpu") + number(part.count) + b"tQ"
    arguments = storage + number(part.offset) + numbers(part.shape) + numbers(part.strides)
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n(" + arguments + b"\x89ccollections\nOrderedDict\n)RtR"
    )


def program(parts: Iterable[Part]) -> bytes:
    """The pickle of a state dict."""
    items = b"".join(text(part.name) + tensor(part) for part in parts)
    return b"\x80\x02}(" + items + b"u."


def contiguous(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(int(np.prod(shape[axis + 1 :])) for axis in range(len(shape)))


def entries(tensors: Mapping[str, np.ndarray]) -> dict[str, bytes]:
    """The entries of the zip file of some tensors, each in a storage of its own."""
    parts, storages = [], {}
    for number_, (name, array) in enumerate(tensors.items()):
        key = str(number_)
        kind = KINDS[array.dtype.str]
        shape = array.shape
        parts.append(Part(name, key, kind, array.size, 0, shape, contiguous(shape)))
        storages[f"data/{key}"] = array.tobytes()
    return {"data.pkl": program(parts), "version": b"3\n", **storages}


def write(path: Path, files: Mapping[str, bytes], compression: int = zipfile.ZIP_STORED) -> Path:
    """Write entries into a folder of a zip file."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in files.items():
            archive.writestr(f"archive/{name}", content)
    return path
