"""A damaged file of arrays has one kind of error."""

from io import BytesIO
from pathlib import Path

import numpy as np
import pytest

from streamd.arrays import load_arrays
from streamd.errors import ModelMissing


def written(compressed: bool) -> bytes:
    file = BytesIO()
    save = np.savez_compressed if compressed else np.savez
    save(file, a=np.arange(100.0), b=np.zeros((2, 3), np.int8))
    return file.getvalue()


def test_arrays_come_back_as_they_were_saved(tmp_path: Path) -> None:
    path = tmp_path / "m.npz"
    path.write_bytes(written(False))
    loaded = load_arrays(path, "hint", ("a", "b"))
    assert set(loaded) == {"a", "b"}
    assert np.array_equal(loaded["a"], np.arange(100.0))


@pytest.mark.parametrize("compressed", [False, True])
def test_any_damage_is_a_missing_model_with_what_to_do(tmp_path: Path, compressed: bool) -> None:
    path, good = tmp_path / "m.npz", written(compressed)
    damaged = [good[:size] for size in range(0, len(good), 7)]
    damaged += [
        good[:place] + bytes([good[place] ^ 0xFF]) + good[place + 1 :]
        for place in range(0, len(good), 3)
    ]
    messages = []
    for content in damaged:
        path.write_bytes(content)
        try:
            load_arrays(path, "Do this.", ("a", "b"))
        except ModelMissing as error:
            messages.append(str(error))
    assert len(messages) > len(damaged) / 2  # some bytes of an archive mean nothing
    for message in messages:
        assert message.startswith(f"cannot load the model {path} (")
        assert message.endswith("). Do this.")


@pytest.mark.parametrize("kind", ["none", "folder", "pickle", "one array", "lacks an array"])
def test_what_is_no_file_of_these_arrays_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "m.npz"
    if kind == "folder":
        path.mkdir()
    elif kind == "pickle":
        np.savez(path, a=np.array([{}], dtype=object), b=1)
    elif kind == "one array":
        with path.open("wb") as file:
            np.save(file, np.zeros(3))
    elif kind == "lacks an array":
        np.savez(path, a=1)
    with pytest.raises(ModelMissing, match=r"cannot load the model .*m\.npz \(.*\)\. Do this\."):
        load_arrays(path, "Do this.", ("a", "b"))
