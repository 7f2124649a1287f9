"""The library has what it says it has, whoever pulls, and whatever happens to it."""

import json
import os
import subprocess
import sys

import pytest
from waiting import HANG_S

from streamd.engine.backends.onnxruntime import OnnxRuntime
from streamd.errors import ModelMissing, Unavailable
from streamd.models import catalogue
from streamd.models.library import Library

SILERO = "silero-vad-6.2.3"
PULL = (
    "import sys; from pathlib import Path; from streamd.models.library import Library;"
    "from streamd.engine.backends.onnxruntime import OnnxRuntime;"
    "print(len(Library(Path(sys.argv[1])).pull(OnnxRuntime().load, only=[sys.argv[2]])))"
)


@pytest.fixture
def pulled(index, wheels, tmp_path):
    """A library with Silero in it."""
    index.hold(wheels["silero-vad"])
    library = Library(tmp_path / "models")
    library.pull(OnnxRuntime().load, only=[SILERO])
    return library


def status(library, file):
    return {finding.file: finding.status for finding in library.verify()}[file]


def test_an_empty_library_lacks_every_model_with_a_file(tmp_path):
    library = Library(tmp_path / "models")
    assert [m.id for m in library.missing()] == [m.id for m in catalogue.MODELS if m.files]
    assert library.words() == ()
    assert {finding.status for finding in library.verify()} == {"missing"}
    assert not library.directory.exists(), "looking makes nothing"


def test_a_missing_model_is_named_with_the_way_to_get_it(tmp_path):
    with pytest.raises(ModelMissing, match=rf"(?s){SILERO}.*streamd models pull.*STREAMD_MODELS"):
        Library(tmp_path).path("silero.onnx")


def test_an_unknown_id_is_refused_before_anything_is_fetched(tmp_path):
    with pytest.raises(ModelMissing, match="unknown model 'silero'"):
        Library(tmp_path / "models").pull(OnnxRuntime().load, only=["silero"])
    assert not (tmp_path / "models").exists()


@pytest.mark.models
def test_a_pulled_model_is_there_and_verifies(pulled):
    assert OnnxRuntime().load(pulled.path("silero.onnx"))
    assert status(pulled, "silero.onnx") == "ok"
    assert SILERO not in [model.id for model in pulled.missing()]
    files = {"manifest.json", "silero.onnx"}
    assert {file for file in os.listdir(pulled.directory) if file[0] != "."} == files


@pytest.mark.models
def test_what_is_there_is_not_pulled_again(pulled, index):
    (index.directory / catalogue.model(SILERO).wheel.filename).unlink()
    assert pulled.pull(OnnxRuntime().load, only=[SILERO]) == []


@pytest.mark.models
def test_a_flipped_byte_is_found_and_the_next_pull_repairs_it(pulled):
    path = pulled.path("silero.onnx")
    good = path.read_bytes()
    path.write_bytes(good[:5000] + bytes([good[5000] ^ 1]) + good[5001:])
    assert status(pulled, "silero.onnx") == "changed"
    assert [m.id for m in pulled.pull(OnnxRuntime().load, only=[SILERO])] == [SILERO]
    assert path.read_bytes() == good, "conversion is reproducible"
    assert status(pulled, "silero.onnx") == "ok"


@pytest.mark.models
def test_a_file_of_another_converter_is_stale_and_counts_as_missing(pulled):
    manifest = pulled.directory / "manifest.json"
    found = json.loads(manifest.read_bytes())
    found["silero.onnx"]["converter"] -= 1
    manifest.write_text(json.dumps(found))
    assert status(pulled, "silero.onnx") == "stale"
    assert SILERO in [model.id for model in pulled.missing()]
    with pytest.raises(ModelMissing):
        pulled.path("silero.onnx")


@pytest.mark.models
def test_a_spoilt_manifest_vouches_for_nothing(pulled):
    (pulled.directory / "manifest.json").write_text("{")
    assert status(pulled, "silero.onnx") == "missing"
    assert [m.id for m in pulled.pull(OnnxRuntime().load, only=[SILERO])] == [SILERO]


@pytest.mark.models
def test_a_pull_that_fails_changes_nothing(pulled, index, wheels):
    before = {p.name: p.read_bytes() for p in pulled.directory.iterdir()}
    index.hold(wheels["openwakeword"])

    def load(path):
        raise ModelMissing("no such runtime")

    with pytest.raises(ModelMissing, match="no such runtime"):
        pulled.pull(load, only=["wake-alexa-0.1"])
    assert {p.name: p.read_bytes() for p in pulled.directory.iterdir()} == before


@pytest.mark.models
def test_what_a_killed_pull_left_is_cleared_away(pulled):
    (pulled.directory / ".pull-left").mkdir()
    (pulled.directory / ".pull-left" / "half.onnx").write_bytes(b"half")
    pulled.pull(OnnxRuntime().load, only=[SILERO])
    assert not (pulled.directory / ".pull-left").exists()


@pytest.mark.models
def test_a_word_brings_the_embedding_that_it_reads(index, wheels, tmp_path):
    index.hold(wheels["openwakeword"])
    library = Library(tmp_path / "models")
    got = library.pull(OnnxRuntime().load, only=["wake-alexa-0.1"])
    assert [m.id for m in got] == ["openwakeword-embedding-0.4.0", "wake-alexa-0.1"]
    assert library.words() == ("alexa",)


@pytest.mark.models
def test_two_processes_may_pull_at_once_and_one_does_the_work(index, wheels, tmp_path):
    index.hold(wheels["silero-vad"])
    command = [sys.executable, "-c", PULL, str(tmp_path / "models"), SILERO]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    counts = sorted(process.communicate(timeout=HANG_S)[0].strip() for process in both)
    assert [process.returncode for process in both] == [0, 0]
    assert counts == ["0", "1"]
    assert status(Library(tmp_path / "models"), "silero.onnx") == "ok"


def test_a_directory_that_cannot_be_written_is_unavailable_and_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match="file/models"):
        Library(tmp_path / "file" / "models").pull(OnnxRuntime().load)


def test_a_full_disk_is_unavailable_and_named(lying_pip, tmp_path):
    lying_pip("sys.exit('ERROR: [Errno 28] No space left on device')")
    library = Library(tmp_path / "models")
    with pytest.raises(Unavailable, match=r"(?s)models: No space left on device.*STREAMD_MODELS"):
        library.pull(OnnxRuntime().load)
    assert os.listdir(library.directory) == [".lock"]


def test_serving_needs_no_converter():
    code = "import sys, streamd.models.library, streamd.engine.passes.openwakeword;"
    code += "assert 'onnx' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
