"""Whatever a checkpoint of MindSpore says, reading it gives its tensors or one clear error."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mindspore_files import content, write

from streamd.errors import ModelMissing
from streamd.models.convert import mindspore_checkpoint
from streamd.models.convert.mindspore_checkpoint import read_checkpoint

TENSORS = {
    "0.conv.weight": np.arange(24, dtype="<f4").reshape(2, 3, 1, 4),
    "0.conv.bias": np.array([1.5, -2, 3], "<f4"),
    "moment1.0.conv.bias": np.array([0.5, 7], "<f2"),
    "global_step": np.array(70_000, "<i4"),
    "counts": np.array([[-1, 2**40]], "<i8"),
}
WHOLE = content(TENSORS)
FUZZ = settings(
    max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def read(tmp_path, written: bytes):
    path = tmp_path / "net.ckpt"
    path.write_bytes(written)
    return read_checkpoint(path)


def varint(value: int) -> bytes:
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def part(number: int, value: int | bytes) -> bytes:
    """One field."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def tensor(*dims: int, kind: bytes = b"Float32", numbers: int = 6) -> bytes:
    return b"".join(part(1, d) for d in dims) + part(2, kind) + part(3, bytes(4 * numbers))


def value(inner: bytes, name: bytes = b"w") -> bytes:
    return part(1, part(1, name) + part(2, inner))


@pytest.mark.parametrize("checksum", [False, True])
def test_tensors_come_bit_equal_with_their_shapes_and_types(tmp_path, checksum):
    found = read_checkpoint(write(tmp_path / "net.ckpt", TENSORS, checksum=checksum))
    assert list(found) == list(TENSORS)
    for name, array in TENSORS.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()
        assert not found[name].flags.writeable


def test_a_scalar_may_have_no_dims(tmp_path):
    assert read(tmp_path, value(tensor(numbers=1)))["w"].shape == ()


def test_a_flipped_bit_is_found_by_the_checksum(tmp_path):
    path = write(tmp_path / "net.ckpt", TENSORS, checksum=True)
    written = bytearray(path.read_bytes())
    written[60] ^= 1
    with pytest.raises(ModelMissing, match=r"net\.ckpt is not an intact .*: its CRC-32 is wrong"):
        read(tmp_path, bytes(written))


def test_a_file_that_is_cut_off_anywhere_inside_a_tensor_is_refused(tmp_path):
    ends = {len(content(dict(list(TENSORS.items())[:n]))) for n in range(1, len(TENSORS) + 1)}
    for length in set(range(len(WHOLE))) - ends:
        with pytest.raises(ModelMissing, match=r"net\.ckpt is not an intact checkpoint"):
            read(tmp_path, WHOLE[:length])


FOREIGN = {
    "empty": (b"", "it has no tensors"),
    "text": (b"# not a checkpoint\n", "wire type 3"),
    "a zip file": (b"PK\x03\x04" + bytes(40), r"something else than tensors \(field 10\)"),
    "a pickle": (b"\x80\x02}q\x00.", r"something else than tensors \(field 32\)"),
    "another message": (part(3, b"abc"), r"something else than tensors \(field 3\)"),
    "a number for a value": (part(1, 5), "a number in the place"),
    "a number for a tensor": (part(1, part(1, b"w") + part(2, 5)), "a number in the place"),
    "a group": (b"\x0b\x0c", "wire type 3"),
    "a number of 70 bits": (b"\x0a" + b"\xff" * 9 + b"\x7f", "more than 64 bits"),
    "a number without an end": (b"\x0a" + b"\xff" * 11, "more than 64 bits"),
    "a length of 2^62": (b"\x0a" + varint(2**62) + b"abc", "it is cut off"),
    "a map": (part(1, part(1, b"w") + part(3, b"")), r"something else than tensors \(field 3\)"),
    "a value without a name": (part(1, part(2, tensor(6))), "has no tag"),
    "a value with two names": (part(1, part(1, b"w") * 2 + part(2, tensor(6))), "field 1"),
    "a name that is a path": (value(tensor(6), b"../w"), r"'\.\./w' is no name"),
    "a name that is no text": (value(tensor(6), b"\xff"), "a name is no text"),
    "a name of 201 letters": (value(tensor(6), b"w" * 201), "is no name"),
    "two of one name": (value(tensor(6)) * 2, "two tensors have the name 'w'"),
    "no type": (value(part(3, b"")), "has no tensor_type"),
    "no numbers": (value(part(2, b"Float32")), "has no tensor_content"),
    "text in a tensor": (value(tensor(6, kind=b"str")), "tensor w is of the type 'str'"),
    "more than there is": (value(tensor(2**31, 2**31)), "24 bytes, which are not Float32"),
    "less than there is": (value(tensor(5)), r"not Float32 of the shape \(5,\)"),
    "a negative length": (value(tensor(2**64 - 6)), "24 bytes, which are not"),
    "nine axes": (value(tensor(*[1] * 9, numbers=1)), "more than 8 axes"),
    "a size of zero beside others": (value(tensor(0, 6)), r"not Float32 of the shape \(0, 6\)"),
}


@pytest.mark.parametrize(("written", "message"), FOREIGN.values(), ids=FOREIGN)
def test_what_is_no_such_checkpoint_is_refused_with_the_reason(tmp_path, written, message):
    with pytest.raises(ModelMissing, match=rf"net\.ckpt is not an intact .*{message}"):
        read(tmp_path, written)


def test_bounds_hold_for_the_file_and_its_tensors(tmp_path, monkeypatch):
    monkeypatch.setattr(mindspore_checkpoint, "MAX_TENSORS", len(TENSORS))
    assert len(read(tmp_path, WHOLE)) == len(TENSORS)
    monkeypatch.setattr(mindspore_checkpoint, "MAX_TENSORS", len(TENSORS) - 1)
    with pytest.raises(ModelMissing, match="it has more than 4 tensors"):
        read(tmp_path, WHOLE)
    monkeypatch.setattr(mindspore_checkpoint, "MAX_FILE_BYTES", len(WHOLE) - 1)
    with pytest.raises(ModelMissing, match="more than 0 MiB"):
        read(tmp_path, WHOLE)


def read_or_refused(tmp_path, written: bytes) -> int:
    """Bytes of the tensors, after a check of the message if there are none."""
    try:
        return sum(array.nbytes for array in read(tmp_path, written).values())
    except ModelMissing as error:
        message = str(error)
    assert message.startswith("net.ckpt is not an intact checkpoint of MindSpore: ")
    return 0


@FUZZ
@given(data=st.data())
def test_any_damage_gives_tensors_or_one_clear_error(tmp_path, data):
    written = bytearray(WHOLE)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(written) - 1))
        written[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    assert read_or_refused(tmp_path, bytes(written)) <= len(written)


@FUZZ
@given(written=st.binary(max_size=60))
def test_any_bytes_give_tensors_or_one_clear_error(tmp_path, written):
    assert read_or_refused(tmp_path, written) <= len(written)
