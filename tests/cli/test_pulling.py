"""`streamd models pull` brings published models from a path, or says why it does not."""

import json
from pathlib import Path

import pytest
from daemons import DATA, Daemon, assert_same_log, converse, cut, silence, speech
from mindspore_files import ecapa_weights, write

from streamd.models.library import default_directory

ECAPA = "ecapa-tdnn-mindspore"
HELLO = {"type": "hello", "modules": {"vad": {}, "speaker": {}}}
END = {"type": "end"}
AUDIO = speech("slt", 4.0) + silence(1.0)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("mine") / "ecapatdnn_vox12.ckpt", ecapa_weights())


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A models' directory of the test's own, with the default models in it."""
    directory = tmp_path / "models"
    directory.mkdir()
    for file in default_directory().iterdir():
        if file.is_file() and not file.name.startswith("."):
            (directory / file.name).symlink_to(file)
    return directory


def test_a_published_model_comes_from_a_path_with_its_licence_and_training_data(
    cli, checkpoint, models
):
    assert "to get it" in cli("models", "list", STREAMD_MODELS=models).out
    done = cli("models", "pull", ECAPA, "--from", checkpoint, STREAMD_MODELS=models)
    assert (done.code, done.out) == (0, "")
    assert f"{ECAPA}: licence Apache-2.0. Trained on: VoxCeleb1" in done.err
    assert f"Pulled into {models}: {ECAPA}" in done.err
    rows = json.loads(cli("models", "list", "--json", STREAMD_MODELS=models).out)
    assert {row["id"]: row["present"] for row in rows}[ECAPA]
    assert cli("models", "verify", STREAMD_MODELS=models).code == 0
    again = cli("models", "pull", ECAPA, "--from", checkpoint.parent, STREAMD_MODELS=models)
    assert "All models are present" in again.err


def test_a_path_needs_the_models_that_it_has(cli, checkpoint, models):
    done = cli("models", "pull", "--from", checkpoint, STREAMD_MODELS=models)
    assert done.code == 2
    assert "--from needs the ids" in done.err
    done = cli("models", "pull", "silero-vad-6.2.3", "--from", checkpoint, STREAMD_MODELS=models)
    assert done.code == 7
    assert "comes in a wheel, not from a path" in done.err


def test_a_configuration_that_names_a_published_model_says_how_to_get_it(cli, models):
    chosen = {"STREAMD_MODELS": models, "speaker__model": "ecapa"}
    for command in (["models", "pull"], ["analyze", DATA / "speech_slt.flac"]):
        done = cli(*command, **chosen)
        assert done.code == 7, done.err
        assert f"streamd models pull {ECAPA} --from PATH" in done.err
        assert f"{ECAPA}: licence Apache-2.0. Trained on: VoxCeleb1" in done.err


async def test_a_server_goes_on_with_what_it_had_when_a_pull_is_refused(
    cli, checkpoint, models, tmp_path
):
    settings = {"STREAMD_MODELS": models, "speaker__model": "ecapa"}
    assert cli("models", "pull", ECAPA, "--from", checkpoint, **settings).code == 0
    half = tmp_path / "half.ckpt"
    half.write_bytes(checkpoint.read_bytes()[:-100])
    other = write(tmp_path / "other.ckpt", ecapa_weights(seed=9))
    idle = {"limits__max_lag_ms": 0, "models__idle_unload_s": 1}
    with Daemon(tmp_path, **settings, **idle) as daemon:
        before = (await converse(daemon.url, HELLO, cut(AUDIO), END)).log
        assert any(event["type"] == "speaker" for event in before)
        done = cli("models", "pull", ECAPA, "--from", half, **settings)
        assert done.code == 7
        assert "half.ckpt is not an intact checkpoint of MindSpore: it is cut off" in done.err
        assert cli("models", "verify", **settings).code == 0
        # A pull that succeeds is for the next start, also if the server loads its model again.
        assert cli("models", "pull", ECAPA, "--from", other, **settings).code == 0
        await daemon.eventually(
            lambda: daemon.metric("streamd_model_loaded", model="ecapa_tdnn") == 0
        )
        assert_same_log((await converse(daemon.url, HELLO, cut(AUDIO), END)).log, before)
        assert daemon.complaints() == []
