"""The genuine package downloads from a hub that speaks its API, resumes, and leaves no trace."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import xiaoyun
from fakes.hub import Hub
from mindspore_files import content, ecapa_weights
from needs import toolkit

from streamd.engine.backends.onnxruntime import OnnxRuntime
from streamd.errors import ModelMissing
from streamd.models import catalogue, library
from streamd.models.catalogue import Model, Published, PublishedFile
from streamd.models.fetch import Progress
from streamd.models.hub import place
from streamd.models.library import Library

toolkit("modelscope")
ECAPA = "ecapa-tdnn-mindspore"
REPOSITORY, REVISION = "iic/tiny_ecapa", "v1.2.0"
FILE = "sub/ecapatdnn_vox12.ckpt"
OTHER = "configuration.json"
CHECKPOINT = content(ecapa_weights())
PUBLISHED = Published(
    repository=REPOSITORY,
    revision=REVISION,
    files=(PublishedFile(name=FILE), PublishedFile(name=OTHER, optional=True)),
    address="https://example.com",
)


@pytest.fixture
def hub() -> Hub:
    files = {FILE: CHECKPOINT, OTHER: b"{}", "weights_of_another_form.bin": bytes(1_000_000)}
    return Hub(REPOSITORY, REVISION, files)


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Model:
    """ECAPA as if ModelScope had it."""
    changed = msgspec.structs.replace(catalogue.model(ECAPA), published=PUBLISHED)
    others = tuple(changed if m.id == ECAPA else m for m in catalogue.MODELS)
    monkeypatch.setattr(library, "MODELS", others)
    monkeypatch.setitem(catalogue._BY_ID, ECAPA, changed)
    for file in changed.files:
        monkeypatch.setitem(catalogue._BY_FILE, file, changed)
    return changed


@pytest.fixture
def there(hub: Hub, model: Model, monkeypatch: pytest.MonkeyPatch, tmp_path) -> Iterator[Library]:
    home = tmp_path / "home"
    home.mkdir()
    with hub.serving() as endpoint:
        monkeypatch.setenv("MODELSCOPE_ENDPOINT", endpoint)
        monkeypatch.setenv("MODELSCOPE_DOWNLOAD_MAX_RETRIES", "0")
        monkeypatch.setenv("HOME", str(home))
        monkeypatch.delenv("MODELSCOPE_CACHE")
        yield Library(tmp_path / "models")
    assert list(home.iterdir()) == [], "nothing is written to the user's home"


def pull(there: Library, report=lambda progress: None) -> list[str]:
    return [m.id for m in there.pull(OnnxRuntime().load, report, only=[ECAPA])]


def test_a_model_comes_from_the_hub_and_is_converted(
    there: Library, hub: Hub, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    seen: list[Progress] = []
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "modelscope.py").write_text("raise SystemExit('run')")
    monkeypatch.setenv("PYTHONPATH", os.path.abspath(os.environ.get("PYTHONPATH", ".")))
    monkeypatch.chdir(tmp_path / "here")
    assert pull(there, seen.append) == [ECAPA]
    assert OnnxRuntime().load(there.path(model.files[0]))
    assert sorted(hub.ranges) == [(OTHER, ""), (FILE, "")], "no file but those of the catalogue"
    last = {p.name: p for p in seen if p.stage == "fetch"}
    size = len(CHECKPOINT)
    assert last[f"{REPOSITORY}/{FILE}"] == ("fetch", f"{REPOSITORY}/{FILE}", size, size)
    assert {p for p in os.listdir(there.directory) if p != ".lock"} == {
        "manifest.json",
        *model.files,
    }
    assert pull(there) == []


def test_a_cut_download_is_kept_and_resumes_where_it_broke_off(there: Library, hub: Hub):
    hub.cut[FILE] = 100_000
    with pytest.raises(ModelMissing) as caught:
        pull(there)
    message = str(caught.value)
    assert f"cannot download {ECAPA} from {REPOSITORY} {REVISION}" in message
    assert "pull again to go on" in message
    assert f"streamd models pull {ECAPA} --from PATH" in message
    part = there.directory / ".hub" / place(PUBLISHED) / f"{FILE}.incomplete"
    kept = part.stat().st_size
    assert 0 < kept <= 100_000
    hub.ranges.clear()
    assert pull(there) == [ECAPA]
    assert hub.ranges == [(FILE, f"bytes={kept}-")], "what had come whole is not fetched again"
    assert not (there.directory / ".hub").exists()


def test_a_download_that_breaks_off_goes_on_by_itself(
    there: Library, hub: Hub, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MODELSCOPE_DOWNLOAD_MAX_RETRIES", "2")
    hub.cut[FILE] = 100_000
    assert pull(there) == [ECAPA]
    assert len([name for name, _ in hub.ranges if name == FILE]) == 2


def test_a_revision_that_the_hub_has_not_is_named(there: Library, hub: Hub):
    hub.revision = "v2"
    with pytest.raises(ModelMissing, match=rf"{REPOSITORY} {REVISION} of ModelScope: "):
        pull(there)


def test_a_file_that_the_hub_has_not_is_named(there: Library, hub: Hub):
    del hub.files[FILE]
    with pytest.raises(ModelMissing, match=r"has no file sub/ecapatdnn_vox12\.ckpt"):
        pull(there)


def test_a_file_of_another_hash_than_the_pinned_one_is_refused_and_not_kept(
    there: Library, hub: Hub, model: Model, monkeypatch: pytest.MonkeyPatch
):
    pinned = msgspec.structs.replace(PUBLISHED, files=(PublishedFile(name=FILE, sha256="0" * 64),))
    changed = msgspec.structs.replace(model, published=pinned)
    monkeypatch.setitem(catalogue._BY_ID, ECAPA, changed)
    monkeypatch.setattr(
        library, "MODELS", tuple(changed if m.id == ECAPA else m for m in catalogue.MODELS)
    )
    with pytest.raises(ModelMissing, match=r"is not the file that .* its SHA-256 is"):
        pull(there)
    assert not there.has(changed)
    assert not (there.directory / ".hub" / place(pinned)).exists()


def test_the_package_gets_no_id_that_lasts(there: Library, hub: Hub):
    pull(there)
    first = set(hub.agents)
    (there.directory / "ecapa_tdnn.onnx").unlink()
    hub.agents.clear()
    pull(there)
    ids = [{part for a in agents for part in a.split("; ") if "session_id" in part}
           for agents in (first, hub.agents)]  # fmt: skip
    assert ids[0]
    assert not ids[0] & ids[1]


def test_a_hub_that_cannot_be_reached_is_refused_with_the_other_way(
    there: Library, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MODELSCOPE_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(ModelMissing, match=r"(?s)Connection.*--from PATH"):
        pull(there)


def test_the_command_brings_a_model_of_the_catalogue(tmp_path, monkeypatch):
    model = catalogue.model("xiaoyun-kws")
    directory = xiaoyun.make(tmp_path / "published")
    names = [file.name for file in model.published.files]
    files = {n: (directory / n).read_bytes() for n in names if (directory / n).exists()}
    hub = Hub(model.published.repository, model.published.revision, files)
    with hub.serving() as endpoint:
        done = subprocess.run(
            [sys.executable, "-m", "streamd", "models", "pull", model.id],
            env={
                **os.environ,
                "MODELSCOPE_ENDPOINT": endpoint,
                "STREAMD_MODELS": str(tmp_path / "models"),
                "HOME": str(tmp_path / "home"),
            },
            stderr=subprocess.PIPE,
            check=False,
            text=True,
        )
    assert done.returncode == 0, done.stderr
    assert f"{model.id}: licence {model.licence}. Trained on: " in done.stderr
    for name in files:
        assert f"fetching {model.published.repository}/{name}" in done.stderr
    assert f"Pulled into {tmp_path / 'models'}: {model.id}" in done.stderr
    assert Library(tmp_path / "models").has(model)


def test_the_server_and_the_parent_of_a_download_import_no_modelscope():
    code = "import sys, streamd.models.hub, streamd.models.library, streamd.app;"
    code += "assert 'modelscope' not in sys.modules and 'requests' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
