"""A published model comes from its owner's files, or is refused with the reason."""

import json
import os
import re
import shutil

import msgspec
import pytest
from mindspore_files import ecapa_weights, write

from streamd.engine.backends.onnxruntime import OnnxRuntime
from streamd.errors import ModelMissing
from streamd.models import catalogue, hub
from streamd.models.catalogue import Published, PublishedFile
from streamd.models.fetch import sha256
from streamd.models.library import Library
from streamd.models.model import digest_of
from streamd.models.publication import located, ways

ECAPA = "ecapa-tdnn-mindspore"
FILE = "ecapa_tdnn.onnx"


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    path = tmp_path_factory.mktemp("published") / "ecapatdnn_vox12.ckpt"
    write(path, ecapa_weights())
    return path


@pytest.fixture
def library(tmp_path):
    return Library(tmp_path / "models")


def pull(library, path):
    return [m.id for m in library.pull(OnnxRuntime().load, only=[ECAPA], sources={ECAPA: path})]


def model(*files, repository="iic/tiny"):
    """A model of the catalogue with other published files."""
    published = Published(
        repository=repository, revision="v1", files=files, address="https://example.com/tiny"
    )
    return msgspec.structs.replace(catalogue.model(ECAPA), id="tiny", published=published)


def test_a_model_comes_from_a_checkpoint_or_from_the_directory_with_it(checkpoint, library):
    assert pull(library, checkpoint) == [ECAPA]
    assert OnnxRuntime().load(library.path(FILE))
    assert library.has(catalogue.model(ECAPA))
    assert library.source_digest(catalogue.model(ECAPA)) == sha256(checkpoint)
    made = library.path(FILE).read_bytes()
    (library.directory / FILE).unlink()
    assert pull(library, checkpoint.parent) == [ECAPA]
    assert library.path(FILE).read_bytes() == made


def test_the_same_files_are_not_converted_again_and_others_are(checkpoint, library, tmp_path):
    pull(library, checkpoint)
    assert pull(library, checkpoint.parent) == []
    other = tmp_path / "mine.ckpt"
    write(other, ecapa_weights(seed=6))
    assert pull(library, other) == [ECAPA]
    assert library.source_digest(catalogue.model(ECAPA)) == sha256(other)


def test_a_checkpoint_that_is_refused_leaves_the_model_that_was_there(
    checkpoint, library, tmp_path
):
    pull(library, checkpoint)
    before = {p.name: p.read_bytes() for p in library.directory.iterdir()}
    half = tmp_path / "half.ckpt"
    half.write_bytes(checkpoint.read_bytes()[:-1000])
    with pytest.raises(ModelMissing, match=r"half\.ckpt is not an intact checkpoint"):
        pull(library, half)
    assert {p.name: p.read_bytes() for p in library.directory.iterdir()} == before
    assert library.path(FILE)


def test_without_files_the_message_says_how_to_get_them(library):
    with pytest.raises(ModelMissing, match=rf"Download https://.* models pull {ECAPA} --from PATH"):
        library.pull(OnnxRuntime().load, only=[ECAPA])
    with pytest.raises(ModelMissing, match=rf"models pull {ECAPA} --from PATH.*STREAMD_MODELS"):
        library.path(FILE)


def test_a_model_of_a_hub_names_both_ways():
    text = ways(model(PublishedFile(name="a")))
    assert text.startswith("Run `streamd models pull tiny`, which needs a network, or download ")
    assert text.endswith("`streamd models pull tiny --from PATH`")


def test_a_model_in_a_wheel_comes_from_no_path(library, tmp_path):
    with pytest.raises(ModelMissing, match=r"comes in a wheel"):
        library.pull(OnnxRuntime().load, sources={"silero-vad-6.2.3": tmp_path})


def test_a_path_without_the_file_is_refused_by_name(library, tmp_path):
    with pytest.raises(ModelMissing, match=r"has no file ecapatdnn_vox12\.ckpt, which "):
        pull(library, tmp_path)
    with pytest.raises(ModelMissing, match=r"nowhere is no directory with the files of"):
        pull(library, tmp_path / "nowhere")


def test_files_lie_below_the_directory_and_an_optional_one_may_be_absent(tmp_path):
    tiny = model(
        PublishedFile(name="sub/a.bin"),
        PublishedFile(name="b.bin", optional=True),
        PublishedFile(name="c.bin"),
    )
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.bin").write_bytes(b"a")
    (tmp_path / "c.bin").write_bytes(b"c")
    source = located(tiny, tmp_path)
    assert source.files == (tmp_path / "sub" / "a.bin", tmp_path / "c.bin")
    (tmp_path / "b.bin").write_bytes(b"b")
    more = located(tiny, tmp_path)
    assert [path.name for path in more.files] == ["a.bin", "b.bin", "c.bin"]
    assert more.digest != source.digest
    with pytest.raises(ModelMissing, match=r"is no directory with .*: sub/a\.bin, c\.bin\."):
        located(tiny, tmp_path / "c.bin")


def test_a_file_of_another_hash_than_the_pinned_one_is_refused(tmp_path):
    (tmp_path / "a").write_bytes(b"right")
    digest = sha256(tmp_path / "a")
    pinned = model(PublishedFile(name="a", sha256=digest))
    assert located(pinned, tmp_path).digest == digest == pinned.source_digest
    (tmp_path / "a").write_bytes(b"wrong")
    with pytest.raises(ModelMissing, match=rf"SHA-256 is [0-9a-f]{{64}}, not {digest}"):
        located(pinned, tmp_path)


@pytest.mark.parametrize(
    "left", ["._____temp/sub/a.bin", "sub/a.bin.incomplete", "sub/a.bin_0_1048575"]
)
def test_a_download_that_was_not_finished_is_named(tmp_path, left):
    (tmp_path / "sub").mkdir()
    (tmp_path / left).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / left).write_bytes(b"half")
    message = rf"not finished: sub/a\.bin is in part in .*{re.escape(left)}\. Finish it"
    with pytest.raises(ModelMissing, match=message):
        located(model(PublishedFile(name="sub/a.bin")), tmp_path)


def test_a_pointer_in_the_place_of_a_large_file_is_named(tmp_path):
    (tmp_path / "a").write_text(
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0' * 64}\nsize 28036335\n"
    )
    with pytest.raises(ModelMissing, match=r"a is a pointer of Git LFS .* Run `git lfs pull`"):
        located(model(PublishedFile(name="a")), tmp_path)


def test_the_directory_of_another_model_is_named(tmp_path):
    tiny = model(PublishedFile(name="a"))
    configuration = tmp_path / "configuration.json"
    configuration.write_text(json.dumps({"model_name_in_hub": {"ms": "iic/other"}}))
    with pytest.raises(ModelMissing, match=r"is the directory of iic/other, not of tiny\. Run "):
        located(tiny, tmp_path)
    for other in ('{"model_name_in_hub": {"ms": "iic/tiny"}}', "[]", "{", "[" * 100_000, "\xff"):
        configuration.write_bytes(other.encode("latin-1"))
        with pytest.raises(ModelMissing, match=r"has no file a, which tiny needs"):
            located(tiny, tmp_path)


def test_what_is_no_plain_file_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "a")
    with pytest.raises(ModelMissing, match="has no file a"):
        located(model(PublishedFile(name="a")), tmp_path)
    with pytest.raises(ModelMissing, match="a is no directory with the files of tiny: a"):
        located(model(PublishedFile(name="a")), tmp_path / "a")


def test_code_beside_a_model_is_never_run(checkpoint, library, tmp_path):
    folder = tmp_path / "repository"
    shutil.copytree(checkpoint.parent, folder)
    mark = tmp_path / "ran"
    for name in ("model.py", "__init__.py", "modeling_ecapa.py", "setup.py", "conftest.py"):
        (folder / name).write_text(f"open({str(mark)!r}, 'w').close()\n")
    settings = {"allow_remote": True, "plugins": ["model"], "model": {"type": "model:Evil"}}
    (folder / "configuration.json").write_text(json.dumps(settings))
    assert pull(library, folder) == [ECAPA]
    assert not mark.exists()


def test_without_the_package_of_the_hub_the_message_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModelMissing) as caught:
        hub.download(model(PublishedFile(name="a")), tmp_path / "to")
    assert "pip install 'streamd-voice[modelscope]'" in str(caught.value)
    assert "streamd models pull tiny --from PATH" in str(caught.value)
    assert not (tmp_path / "to").exists()


def test_a_file_of_the_hub_has_to_be_the_one_that_is_known_and_an_owner_s_need_not(tmp_path):
    (tmp_path / "a").write_bytes(b"right")
    digest = sha256(tmp_path / "a")
    known = model(PublishedFile(name="a", hub_sha256=digest))
    assert located(known, tmp_path, is_of_hub=True).digest == digest
    (tmp_path / "a").write_bytes(b"tuned")
    assert located(known, tmp_path).digest == sha256(tmp_path / "a")
    with pytest.raises(ModelMissing, match=rf"not {digest}"):
        located(known, tmp_path, is_of_hub=True)


def test_the_digest_of_several_files_depends_on_their_names_and_not_on_their_order():
    one, other = "1" * 64, "2" * 64
    assert digest_of({"a": one, "b": other}) == digest_of({"b": other, "a": one})
    assert digest_of({"a": one, "b": other}) != digest_of({"a": other, "b": one})
    assert digest_of({"a": one}) == one


def test_a_file_that_is_written_meanwhile_is_refused(checkpoint, library, tmp_path):
    growing = tmp_path / "growing.ckpt"
    shutil.copyfile(checkpoint, growing)

    def load(path):
        with growing.open("ab") as file:
            file.write(b"more")
        return OnnxRuntime().load(path)

    with pytest.raises(ModelMissing, match=r"growing\.ckpt was written while it was converted"):
        library.pull(load, only=[ECAPA], sources={ECAPA: growing})
    assert not library.has(catalogue.model(ECAPA))


def test_a_manifest_of_an_earlier_version_is_read(checkpoint, library):
    pull(library, checkpoint)
    entry = json.loads((library.directory / "manifest.json").read_bytes())[FILE]
    assert set(entry) == {"model", "sha256", "wheel_sha256", "converter"}
    assert entry["wheel_sha256"] == sha256(checkpoint)
    assert {f for f in os.listdir(library.directory) if f[0] != "."} == {
        "manifest.json",
        FILE,
        "ecapa_tdnn.ckpt",
    }
    assert re.fullmatch(r"[0-9a-f]{64}", entry["sha256"])
