"""A file name that is no text in the system's encoding is a name like any other."""

import json
import os
import shutil

import pytest
from daemons import DATA

from streamd.engine.backends.onnxruntime import OnnxRuntime
from streamd.engine.passes.silero import SileroVad
from streamd.models.library import Library, default_directory
from streamd.words.clips import load_clip

NAME = os.fsdecode(b"caf\xe9")
SHOWN = r"caf\xe9"


@pytest.fixture
def folder(tmp_path):
    """A folder of such a name, with a recording of such a name."""
    folder = tmp_path / NAME
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("the file system takes names of text only")
    shutil.copy(DATA / "speech_slt.flac", folder / f"{NAME}.flac")
    return folder


@pytest.mark.parametrize(
    "command",
    [("analyze",), ("enroll", "ada"), ("stream",), ("words", "add", "hey_you", "a", "b")],
    ids=lambda command: command[0],
)
def test_a_file_that_is_missing_is_named(cli, folder, command):
    done = cli.process(*command, folder / f"no{NAME}.flac")
    assert done.code == 6
    if command[0] != "words":
        assert f"{SHOWN}/no{SHOWN}.flac: no such file" in done.err


def test_configuration_and_manifest_are_named(cli, folder):
    (folder / "s.toml").write_text("[store]\npth = 1\n")
    done = cli.process("config", "check", "--config", folder / "s.toml")
    assert done.code == 3
    assert f"{SHOWN}/s.toml:2: store.pth" in done.err
    done = cli.process("eval", "wake", folder / f"{NAME}.csv")
    assert done.code == 2
    assert f"{SHOWN}/{SHOWN}.csv: no such manifest" in done.err


@pytest.mark.models
def test_recordings_models_store_and_results_may_lie_in_such_a_folder(cli, folder):
    models = folder / "models"
    shutil.copytree(default_directory(), models)
    (folder / "s.toml").write_text('[store]\npath = "v.db"\n')
    settings = {"STREAMD_MODELS": models, "STREAMD_CONFIG": folder / "s.toml"}
    done = cli.process("enroll", "ada", folder / f"{NAME}.flac", **settings)
    assert done.code == 0, done.err
    assert f"speech from {folder.parent}/{SHOWN}/{SHOWN}.flac (wide band)" in done.err
    assert (folder / "v.db").exists()

    (folder / "m.csv").write_text(f"path,label,speaker\n{DATA / 'speech_slt.flac'},speech,slt\n")
    out, cache = folder / "out.json", folder / "cache"
    done = cli.process(
        *("eval", "vad", folder / "m.csv", "--jobs", 1, "--out", out),
        XDG_CACHE_HOME=cache,
        **settings,
    )
    assert done.code == 0, done.err
    assert json.loads(out.read_bytes())["manifest"] == f"{folder.parent}/{SHOWN}/m.csv"


@pytest.mark.models
def test_a_clip_is_called_as_it_is_shown(folder):
    file = folder / f"{NAME}.flac"
    shutil.copy(DATA / "phrase_slt.flac", file)
    clip = load_clip(file, SileroVad(OnnxRuntime(), Library()))
    assert clip.name == f"{folder.parent}/{SHOWN}/{SHOWN}.flac", "remarks on it become JSON"
