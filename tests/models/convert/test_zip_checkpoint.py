"""Whatever a checkpoint says, reading it gives its tensors or one clear error, and runs nothing."""

import pickle
import zipfile

import numpy as np
import pytest
from checkpoints import Part, entries, number, numbers, program, tensor, text, write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamd.errors import ModelMissing
from streamd.models.convert import zip_checkpoint
from streamd.models.convert.zip_checkpoint import read_state_dict

TENSORS = {
    "head.weight": np.arange(24, dtype="<f4").reshape(2, 3, 4),
    "head.bias": np.array([1.5, -2, 3], "<f4"),
    "head.count": np.array(7, "<i8"),
    "head.none": np.zeros((0, 3), "<f4"),
}
PART = Part("w", "0", "FloatStorage", 6, 0, (2, 3), (3, 1))
SIX = np.arange(6, dtype="<f4").tobytes()
FUZZ = settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def read(tmp_path, pkl: bytes, **storages: bytes):
    files = {"data.pkl": pkl} | {f"data/{key[1:]}": content for key, content in storages.items()}
    return read_state_dict(write(tmp_path / "w.pt", files))


def test_tensors_come_bit_equal_with_their_shapes_and_types(tmp_path):
    found = read_state_dict(write(tmp_path / "w.pt", entries(TENSORS)))
    assert list(found) == list(TENSORS)
    for name, array in TENSORS.items():
        assert found[name].dtype == array.dtype
        assert found[name].shape == array.shape
        assert found[name].tobytes() == array.tobytes()
        assert not found[name].flags.writeable


def test_tensors_may_share_a_storage(tmp_path):
    other = PART._replace(name="v", offset=3, shape=(3,), strides=(1,))
    found = read(tmp_path, program([PART, other]), _0=SIX)
    assert found["w"].tolist() == [[0, 1, 2], [3, 4, 5]]
    assert found["v"].tolist() == [3, 4, 5]


def test_an_ordered_dict_is_a_state_dict_too(tmp_path):
    pkl = b"\x80\x02ccollections\nOrderedDict\n)R(" + text("w") + tensor(PART) + b"u."
    assert list(read(tmp_path, pkl, _0=SIX)) == ["w"]


VERSIONS = (
    b"}"
    + text("_metadata")
    + b"ccollections\nOrderedDict\n)R("
    + text("")
    + b"}"
    + text("version")
    + b"K\x01su"
    + b"s"
)
"""The attribute that `state_dict()` of a module has: `{"_metadata": {"": {"version": 1}}}`."""
ORDERED = b"ccollections\nOrderedDict\n)R(" + text("w") + tensor(PART) + b"u"


@pytest.mark.parametrize("key", [None, "state_dict", "model_state_dict", "model"])
@pytest.mark.parametrize("attributes", [b"", VERSIONS + b"b"], ids=["", "versions"])
def test_a_modules_state_dict_is_read_at_the_top_or_under_one_known_key(key, attributes, tmp_path):
    state = ORDERED + attributes
    pkl = b"\x80\x02" + (state if key is None else b"}" + text(key) + state + b"s") + b"."
    assert read(tmp_path, pkl, _0=SIX)["w"].tolist() == [[0, 1, 2], [3, 4, 5]]


STATES = {
    "under another key": b"}" + text("weights") + ORDERED + b"s",
    "beside something": b"}(" + text("state_dict") + ORDERED + text("epoch") + b"K\x01u",
    "two deep": b"}" + text("model") + b"}" + text("model") + ORDERED + b"ss",
    "with another attribute": ORDERED + b"}" + text("x") + b"K\x01sb",
    "with more attributes": ORDERED + b"}(" + text("_metadata") + b"}" + text("x") + b"}ub",
    "with a state that is no dict": ORDERED + b"K\x01b",
    "with attributes of a number": b"K\x01" + VERSIONS + b"b",
    "with a name of nothing": b"}" + text("") + tensor(PART) + b"s",
    "with a name beyond ASCII": b"}" + text("w\u00e9") + tensor(PART) + b"s",
}


@pytest.mark.parametrize("state", STATES.values(), ids=STATES)
def test_any_other_form_of_state_is_refused(state, tmp_path):
    with pytest.raises(ModelMissing, match=r"w\.pt is not the expected checkpoint"):
        read(tmp_path, b"\x80\x02" + state + b".", _0=SIX)


class Evil:
    """Unpickles into a call."""

    def __reduce__(self):
        return print, ("owned",)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("value", [Evil(), {"w": Evil()}, [Evil()]], ids=["alone", "item", "list"])
def test_a_checkpoint_that_would_run_something_is_refused(tmp_path, capsys, protocol, value):
    with pytest.raises(ModelMissing, match=r"w\.pt is not the expected checkpoint"):
        read(tmp_path, pickle.dumps(value, protocol))
    assert capsys.readouterr().out == ""


CALLS = {
    "another function": b"cos\nsystem\n(" + text("true") + b"tR.",
    "another function of torch": tensor(PART).replace(b"_rebuild_tensor_v2", b"_load_global_deps"),
    "a storage called as a function": b"ctorch\nFloatStorage\n)R.",
    "a dict made of something": b"ccollections\nOrderedDict\n(" + number(1) + b"tR.",
    "an object's state": b"}}b.",
    "an instance": b"(ios\nsystem\n.",
    "a name from the stack": text("os") + text("system") + b"\x93.",
    "an extension": b"\x82\x01.",
    "another storage type": tensor(PART).replace(b"FloatStorage", b"ByteStorage"),
    "another persistent id": b"(" + text("module") + number(1) + b"tQ.",
    "a persistent id in text": b"P1\n.",
}


@pytest.mark.parametrize("pkl", CALLS.values(), ids=CALLS)
def test_no_other_call_and_no_other_name_is_known(tmp_path, pkl):
    with pytest.raises(ModelMissing, match=r"its data\.pkl (names|has|calls|describes|sets)"):
        read(tmp_path, b"\x80\x02" + pkl, _0=SIX)


SPOILT = {
    "beyond its storage": (PART._replace(offset=1), "beyond its storage"),
    "before its storage": (PART._replace(offset=-1), "-1 is no size"),
    "a negative length": (PART._replace(shape=(-2, 3)), "-2 is no size"),
    "one number many times": (PART._replace(shape=(2**27, 2), strides=(0, 0)), "not contiguous"),
    "more than there is": (PART._replace(shape=(2**27, 2), strides=(2, 1)), "beyond its storage"),
    "turned round": (PART._replace(strides=(1, 2)), "not contiguous"),
    "of nine axes": (PART._replace(shape=(1,) * 9, strides=(1,) * 9), "not contiguous"),
    "in a storage of another size": (PART._replace(count=7), "24 bytes instead of 28"),
    "in a storage of another type": (PART._replace(kind="LongStorage"), "24 bytes instead of 48"),
    "in a storage that is not there": (PART._replace(key="1"), "no entry data/1"),
    "in a file above": (PART._replace(key="../../etc/passwd"), "no name of a storage"),
    "with a path as a name": (PART._replace(name="../w"), "no name of a tensor"),
    "with a very long name": (PART._replace(name="w" * 201), "no name of a tensor"),
}


@pytest.mark.parametrize(("part", "message"), SPOILT.values(), ids=SPOILT)
def test_a_tensor_must_be_what_its_storage_holds(tmp_path, part, message):
    with pytest.raises(ModelMissing, match=message):
        read(tmp_path, program([part]), _0=SIX)


PROGRAMS = {
    "two of one name": (program([PART, PART]), "two tensors have the name 'w'"),
    "a storage of two types": (
        program([PART, PART._replace(name="v", kind="LongStorage", count=3, shape=(), strides=())]),
        "described in two ways",
    ),
    "no dict": (b"\x80\x02" + tensor(PART) + b".", "Tensor in a wrong place"),
    "numbers instead of tensors": (
        b"\x80\x02}" + text("w") + number(1) + b"s.",
        "plain state dict",
    ),
    "a dict in a dict": (b"\x80\x02}" + text("w") + b"}s.", "plain state dict"),
    "itself": (b"\x80\x02}q\x00" + text("w") + b"h\x00s.", "plain state dict"),
    "more than a dict": (b"\x80\x02}}.", "plain state dict"),
    "a number as a name": (b"\x80\x02}" + number(1) + number(1) + b"s.", "1 is no name"),
    "a deep name": (b"\x80\x02}" + b")" + b"\x85" * 100_000 + b")s.", "a tuple is no name"),
    "a deep size": (
        program([PART]).replace(numbers(PART.shape), b")" + b"\x85" * 100_000),
        "a tuple is no size",
    ),
    "a memory of many places": (b"\x80\x02}r\xff\xff\xff\xff.", None),
    "nothing": (b"", "cut off"),
    "no end": (b"\x80\x02}", "cut off"),
    "half an instruction": (b"\x80\x02}X\xff\xff\xff\xffw", "cut off"),
    "half a name": (b"\x80\x02ccollections\nOrdered", "damaged"),
    "a text that is none": (b"\x80\x02}" + text("w").replace(b"w", b"\xff"), "damaged"),
    "no beginning": (b"\x80\x02u.", "damaged"),
    "another protocol": (b"\x80\x04}.", "PROTO"),
    "no mark": (b"\x80\x02}u.", "lacks a mark"),
    "half an item": (b"\x80\x02}(" + text("w") + b"u.", "damaged"),
    "too much": (b"\x80\x02" + b"N" * 2**20, "more than 1048576 bytes"),
}


@pytest.mark.parametrize(("pkl", "message"), PROGRAMS.values(), ids=PROGRAMS)
def test_only_one_plain_state_dict_is_taken(tmp_path, pkl, message):
    if message is None:
        assert read(tmp_path, pkl) == {}
        return
    with pytest.raises(ModelMissing, match=message):
        read(tmp_path, pkl, _0=SIX)


def test_the_error_says_what_to_do(tmp_path):
    with pytest.raises(ModelMissing, match=r"w\.pt .*Pull the pinned version with `streamd models"):
        read(tmp_path, b"")


def test_what_is_no_zip_file_is_refused(tmp_path):
    path = tmp_path / "w.pt"
    for content in (b"", b"no zip", pickle.dumps({}), b"PK\x05\x06" + bytes(18)):
        path.write_bytes(content)
        with pytest.raises(ModelMissing, match=r"w\.pt is not the expected checkpoint"):
            read_state_dict(path)


def test_a_file_that_grows_when_read_is_refused(tmp_path):
    path = write(tmp_path / "w.pt", entries(TENSORS), zipfile.ZIP_DEFLATED)
    with pytest.raises(ModelMissing, match="compressed"):
        read_state_dict(path)


def bomb(path, count: int):
    """A checkpoint whose storages all lie in the same place, as in a file that grows when read."""
    parts = [PART._replace(name=f"w{n}", key=str(n)) for n in range(count)]
    write(path, {"data.pkl": program(parts), "data/0": SIX})
    with zipfile.ZipFile(path) as archive:
        start = archive.start_dir
    content = path.read_bytes()
    ends = content.rindex(b"PK\x05\x06")
    first = content.rindex(b"PK\x01\x02", start, ends)
    row = content[first:ends]
    rows = b"".join(row.replace(b"data/0", f"data/{n}".encode()) for n in range(count))
    directory, end = content[start:first] + rows, bytearray(content[ends:])
    end[8:12] = (count + 1).to_bytes(2, "little") * 2
    end[12:16] = len(directory).to_bytes(4, "little")
    path.write_bytes(content[:start] + directory + end)
    return path


def test_storages_in_the_same_place_are_refused(tmp_path):
    whole = read_state_dict(bomb(tmp_path / "one.pt", 1))
    assert whole["w0"].tolist() == [[0, 1, 2], [3, 4, 5]]
    for count in (2, 10):
        path = bomb(tmp_path / "w.pt", count)
        with zipfile.ZipFile(path) as archive:
            assert len(archive.infolist()) == count + 1
        with pytest.raises(ModelMissing, match=r"w\.pt is not the expected checkpoint"):
            read_state_dict(path)


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    path = tmp_path / "w.pt"
    path.write_bytes(bytes(2**20 + 1))
    with pytest.raises(ModelMissing, match="more than 1 MiB"):
        read_state_dict(path, max_bytes=2**20)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(
    ("extra", "message"),
    [
        (("archive/data/0", b"other"), "same name"),
        (("other/data/0", b"other"), "one folder"),
        (("archive/byteorder", b"big"), "little-endian"),
    ],
)
def test_the_files_of_a_checkpoint_are_what_torch_writes(tmp_path, extra, message):
    path = write(tmp_path / "w.pt", entries(TENSORS))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(*extra)
    with pytest.raises(ModelMissing, match=message):
        read_state_dict(path)


def test_too_many_entries_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(zip_checkpoint, "MAX_ENTRIES", 5)
    with pytest.raises(ModelMissing, match="more than 5 entries"):
        read_state_dict(write(tmp_path / "w.pt", entries(TENSORS)))


def test_a_flipped_bit_in_a_tensor_is_noticed(tmp_path):
    path = write(tmp_path / "w.pt", entries(TENSORS))
    content = bytearray(path.read_bytes())
    content[content.index(TENSORS["head.weight"].tobytes()) + 10] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelMissing, match="CRC"):
        read_state_dict(path)


def accepts_or_refuses(path) -> None:
    """Any other error, and more memory than the file's, fails the test."""
    try:
        found = read_state_dict(path)
    except ModelMissing:
        return
    size = path.stat().st_size
    assert all(array.nbytes <= size for array in found.values())


@given(st.integers(0, 10_000))
@FUZZ
def test_a_file_that_is_cut_off_is_refused(tmp_path, length):
    path = write(tmp_path / "w.pt", entries(TENSORS))
    content = path.read_bytes()
    path.write_bytes(content[: length % len(content)])
    with pytest.raises(ModelMissing):
        read_state_dict(path)


@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=8))
@FUZZ
def test_a_damaged_file_is_read_or_refused(tmp_path, changes):
    path = write(tmp_path / "w.pt", entries(TENSORS))
    content = bytearray(path.read_bytes())
    for place, value in changes:
        content[place % len(content)] = value
    path.write_bytes(content)
    accepts_or_refuses(path)


@given(st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=8))
@FUZZ
def test_a_damaged_pickle_is_read_or_refused(tmp_path, changes):
    files = entries(TENSORS)
    pkl = bytearray(files["data.pkl"])
    for place, value in changes:
        pkl[place % len(pkl)] = value
    accepts_or_refuses(write(tmp_path / "w.pt", files | {"data.pkl": bytes(pkl)}))


PIECES = [
    b"\x80\x02", b"(", b"}", b")", b"t", b"\x85", b"\x86", b"\x87", b"Q", b"R", b"u", b"s", b".",
    b"\x88", b"\x89", b"q\x00", b"h\x00", b"r\x01\x00\x00\x00", b"j\x01\x00\x00\x00", b"0", b"2",
    b"N", b"]", b"b", b"ccollections\nOrderedDict\n", b"ctorch\nFloatStorage\n",
    b"ctorch._utils\n_rebuild_tensor_v2\n", b"cos\nsystem\n", text("storage"), text("w"),
    text("0"), number(0), number(6), number(-1), tensor(PART), text("v") + tensor(PART),
]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=30))
@FUZZ
def test_any_row_of_instructions_is_read_or_refused(tmp_path, pieces):
    files = {"data.pkl": b"\x80\x02}(" + b"".join(pieces) + b"u.", "data/0": SIX}
    accepts_or_refuses(write(tmp_path / "w.pt", files))
