"""A model file that changed is noticed at every start, and costs no more than a look at it."""

import os
import shutil
from pathlib import Path

import pytest

from streamd.engine.backends.onnxruntime import OnnxRuntime
from streamd.engine.passes.openwakeword import OpenWakeWord
from streamd.engine.passes.silero import SileroVad
from streamd.errors import ModelMissing
from streamd.models import integrity
from streamd.models.fetch import sha256
from streamd.models.integrity import NOTES, Integrity
from streamd.models.library import Library, default_directory

AGAIN = r"Run `streamd models verify`, then `streamd models pull`\."


class Hashing:
    """Counts the files that are hashed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        monkeypatch.setattr(integrity, "sha256", self)

    def __call__(self, path: Path) -> str:
        self.count += 1
        return sha256(path)


@pytest.fixture
def hashing(monkeypatch: pytest.MonkeyPatch) -> Hashing:
    return Hashing(monkeypatch)


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files count as old from the start, so that no test has to wait for that."""
    monkeypatch.setattr(integrity, "_SETTLED_NS", -1_000_000_000)


def write(folder: Path, content: bytes) -> str:
    (folder / "a.onnx").write_bytes(content)
    return sha256(folder / "a.onnx")


@pytest.mark.usefixtures("settled")
def test_a_file_is_hashed_once_however_many_processes_start(tmp_path, hashing):
    digest = write(tmp_path, b"weights")
    for _ in range(3):
        assert Integrity(tmp_path).is_intact("a.onnx", digest)
    assert hashing.count == 1
    assert not Integrity(tmp_path).is_intact("a.onnx", "another")
    assert set(os.listdir(tmp_path)) == {"a.onnx", NOTES}, "no draft is left"


@pytest.mark.usefixtures("settled")
def test_a_change_of_equal_size_and_time_is_noticed(tmp_path):
    digest = write(tmp_path, b"weights")
    before = (tmp_path / "a.onnx").stat()
    known = Integrity(tmp_path)
    assert known.is_intact("a.onnx", digest)
    write(tmp_path, b"Weights")
    os.utime(tmp_path / "a.onnx", ns=(before.st_atime_ns, before.st_mtime_ns))
    while (tmp_path / "a.onnx").stat().st_ctime_ns == before.st_ctime_ns:
        os.utime(tmp_path / "a.onnx", ns=(before.st_atime_ns, before.st_mtime_ns))
    for at in (known, Integrity(tmp_path)):
        assert not at.is_intact("a.onnx", digest)


def test_a_new_file_is_hashed_again_because_its_times_may_not_show_a_change(
    tmp_path, hashing, monkeypatch
):
    monkeypatch.setattr(integrity, "_SETTLED_NS", 10**18)
    digest = write(tmp_path, b"weights")
    for _ in range(2):
        assert Integrity(tmp_path).is_intact("a.onnx", digest)
    assert hashing.count == 2


@pytest.mark.usefixtures("settled")
@pytest.mark.parametrize("notes", [b"", b"{", b'{"a.onnx": 3}', b"\xff"])
def test_spoilt_notes_are_written_anew(tmp_path, hashing, notes):
    digest = write(tmp_path, b"weights")
    (tmp_path / NOTES).write_bytes(notes)
    for _ in range(2):
        assert Integrity(tmp_path).is_intact("a.onnx", digest)
    assert hashing.count == 1


@pytest.mark.usefixtures("settled")
def test_a_folder_that_cannot_be_written_is_hashed_each_time(tmp_path, hashing, monkeypatch):
    def refused(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr(integrity.tempfile, "mkstemp", refused)
    digest = write(tmp_path, b"weights")
    for _ in range(2):
        assert Integrity(tmp_path).is_intact("a.onnx", digest)
    assert hashing.count == 2
    assert os.listdir(tmp_path) == ["a.onnx"]


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    shutil.copytree(default_directory(), folder)
    return folder


def load_wake(folder: Path) -> OpenWakeWord:
    return OpenWakeWord(OnnxRuntime(), Library(folder), ["alexa"])


def load_vad(folder: Path) -> SileroVad:
    return SileroVad(OnnxRuntime(), Library(folder))


DAMAGE = {
    "empty": lambda good: b"",
    "cut off": lambda good: good[: len(good) // 2],
    "another kind": lambda good: b"no model at all",
    "one bit": lambda good: good[:-100] + bytes([good[-100] ^ 1]) + good[-99:],
}
FILES = {"silero.onnx": load_vad, "wake_embed.onnx": load_wake, "wake_prime.npz": load_wake}


@pytest.mark.models
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
@pytest.mark.parametrize(("file", "load"), FILES.items(), ids=FILES)
def test_a_damaged_model_has_one_message_whatever_its_kind(models, file, load, damage):
    path = models / file
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ModelMissing, match=rf"cannot load the model .*{file} \(.*\)\. {AGAIN}"):
        load(models)


@pytest.mark.models
def test_a_model_that_loads_but_is_another_one_is_refused(models):
    shutil.copy(models / "wake_timer.onnx", models / "wake_alexa.onnx")
    with pytest.raises(ModelMissing, match=rf"wake_alexa\.onnx \(its SHA-256 .* {AGAIN}"):
        load_wake(models)
