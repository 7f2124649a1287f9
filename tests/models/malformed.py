"""Makes malformed files of published models, pulls each, and prints what came of it as JSON.

Run as a program, so that the memory of all of it is that of one process:
`python malformed.py FOLDER`.
"""

import functools
import io
import json
import os
import pickle
import random
import struct
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import sensevoice_made
import xiaoyun
from mindspore_files import ecapa_weights, write

from streamd.engine.backends.onnxruntime import OnnxRuntime
from streamd.errors import ModelMissing
from streamd.models import catalogue
from streamd.models.library import Library

BOMB_BYTES = 2**29
LISTED = 400_000
"""Entries of a zip file that says it has so many."""


def ecapa(directory: Path) -> None:
    directory.mkdir()
    write(directory / "ecapatdnn_vox12.ckpt", ecapa_weights())


MADE: dict[str, Callable[[Path], object]] = {
    "ecapa-tdnn-mindspore": ecapa,
    "sensevoice-small": sensevoice_made.make,
    "xiaoyun-kws": xiaoyun.make,
}
"""Writes the directory of a small model, by its id."""


class Evil:
    """Unpickles into a call."""

    def __init__(self, mark: Path) -> None:
        self.command = f"touch {mark}"

    def __reduce__(self) -> tuple[object, ...]:
        return os.system, (self.command,)


def zipped(entries: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression, compresslevel=1) as archive:
        for name, content in entries.items():
            archive.writestr(f"archive/{name}", content)
    return file.getvalue()


@functools.cache
def bomb() -> bytes:
    """A zip file that is small and holds much."""
    return zipped({"data.pkl": bytes(BOMB_BYTES)}, zipfile.ZIP_DEFLATED)


@functools.cache
def listing() -> bytes:
    """A zip file that is nothing but a list of entries."""
    entry = struct.pack("<4s4B4HL2L5H2L", b"PK\x01\x02", *[0] * 11, 1, *[0] * 6) + b"x"
    entries = entry * LISTED
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, len(entries), 0, 0)
    return entries + end


def contents(good: bytes, mark: Path) -> Iterator[tuple[str, bytes]]:
    """Other contents of a file, by what they are."""
    rng = random.Random(len(good))
    for share in range(0, 60, 15):  # further on, a text may have all that counts
        yield f"cut at {share} %", good[: len(good) * share // 100]
    if b"\0" in good:  # a text may end a little earlier, and be the same one
        yield "without its last byte", good[:-1]
    yield "zeros", bytes(len(good))
    yield "noise", rng.randbytes(len(good))
    yield "noise in the first bytes", rng.randbytes(40) + good[40:]
    yield "deep", b"[" * 200_000
    yield "one long line", b"a: " + b"x" * 1_000_000
    yield "aliases", b"a: &a [1]\n" + b"".join(b"b%d: [*a, *a]\n" % n for n in range(20_000))
    for protocol in (0, 2, pickle.HIGHEST_PROTOCOL):
        program = pickle.dumps({"encoder.weight": Evil(mark)}, protocol)
        yield f"a call, pickle {protocol}", program
        yield f"a call in a zip, pickle {protocol}", zipped({"data.pkl": program})
    nested: object = ()
    for _ in range(400):
        nested = (nested, nested)
    yield "doubled 400 times", zipped({"data.pkl": pickle.dumps(nested, 2)})
    yield "marks without end", zipped({"data.pkl": b"\x80\x02" + b"(" * 90_000})
    yield "a bomb", bomb()
    yield "a list of entries", listing()


def peak_memory_mb() -> int:
    """Return the most memory that this program had; `ru_maxrss` has its parent's, too."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


def main(folder: Path) -> None:
    """Pull all of them; print the answer of each, the seconds of the slowest and the memory."""
    mark, found, slowest_s = folder / "owned", {}, 0.0
    load = OnnxRuntime().load
    library = Library(folder / "models")
    for model_id, make in MADE.items():
        directory = folder / model_id
        make(directory)
        published = catalogue.model(model_id).published
        assert published is not None
        library.pull(load, only=[model_id], sources={model_id: directory})
        for file in (file for file in published.files if not file.optional):
            path = directory.joinpath(*file.name.split("/"))
            good = path.read_bytes()
            for what, content in contents(good, mark):
                path.write_bytes(content)
                began_s = time.process_time()
                try:
                    library.pull(load, only=[model_id], sources={model_id: directory})
                    answer = ""
                except ModelMissing as error:
                    answer = str(error)
                slowest_s = max(slowest_s, time.process_time() - began_s)
                found[f"{model_id}, {file.name}: {what}"] = answer
            path.write_bytes(good)
        # The model of the first pull is still the one that is there.
        assert library.pull(load, only=[model_id], sources={model_id: directory}) == []
    peak_mb = peak_memory_mb()
    sys.stdout.write(json.dumps([found, slowest_s, peak_mb, mark.exists()]))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
