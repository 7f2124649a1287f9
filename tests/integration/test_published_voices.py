"""A server identifies voices by an owner's checkpoint, over a socket and over REST."""

import pytest
from daemons import Daemon, converse, cut, silence, speech
from library_folders import beside_defaults
from mindspore_files import ecapa_weights, write
from uploading import SPEECH, ask, post

from streamd.engine.backends.onnxruntime import OnnxRuntime
from streamd.models.fetch import sha256
from streamd.models.library import Library

ECAPA, GE2E = "ecapa-tdnn-mindspore-int8", "ge2e-resemblyzer-0.1.4"
HELLO = {"type": "hello", "modules": {"vad": {}, "speaker": {}}}
pytestmark = pytest.mark.models


@pytest.fixture
def models(tmp_path):
    """The default models, and beside them a small ECAPA-TDNN: its folder and its id."""
    folder = beside_defaults(tmp_path / "models")
    (tmp_path / "home").mkdir()
    path = write(tmp_path / "mine.ckpt", ecapa_weights())
    Library(folder).pull(OnnxRuntime().load, only=[ECAPA], sources={ECAPA: path})
    return folder, f"{ECAPA}@{sha256(path)[:8]}"


async def test_voices_are_enrolled_and_known_by_a_checkpoint_of_ones_own(tmp_path, models):
    folder, model = models
    settings = {"speaker__model": "ecapa-int8", "STREAMD_MODELS": folder}
    with Daemon(tmp_path / "home", **settings) as daemon:
        answer = post(daemon, "/v1/speakers/Ada", ("audio", SPEECH))
        assert answer.json["enrolment"]["models"] == [model, GE2E]
        talk = [*cut(speech("slt", 5.0) + silence(1.0))]
        received = await converse(daemon.url, HELLO, talk, {"type": "end"})
        card = received.of("ready")[0]["modules"]["speaker"]
        assert card["model"] == f"{model}, {GE2E}"
        assert card["scale"] == "provisional"
        (final,) = [event for event in received.of("speaker") if event["final"]]
        assert (final["decision"], final["speaker"]) == ("accept", "Ada")
        found = post(daemon, "/v1/identify?limit=1", ("audio", SPEECH)).json
        assert (found["decision"], found["speaker"]) == ("accept", "Ada")
        same = post(daemon, "/v1/verify-speaker", ("reference", SPEECH), ("test", SPEECH)).json
        assert same["decision"] == "accept"
        refused = ask(daemon, "GET", "/v1/calibration")
        assert refused.status == 501
        assert "streamd speakers fit" in str(refused.json)
