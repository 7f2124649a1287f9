"""What the emotion module learns of an enrolled voice outlives the session, and only there."""

import asyncio
import json
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from daemons import DATA, STREAMD, Daemon, converse, cut, environment, speech

from streamd.compose import SPEAKER_MODELS
from streamd.config import key_path
from streamd.modules.emotion import BASELINE_MODEL
from streamd.modules.emotion_model import Baseline
from streamd.store.sqlite import open_store

pytestmark = pytest.mark.models

END = {"type": "end"}
SLT = str(DATA / "speech_slt.flac")


def baseline(home: Path, name: str = "ada") -> Baseline:
    with closing(open_store(home / "streamd.db", key_path({"STREAMD_DATA": str(home)}))) as store:
        kept = store.load_gallery(SPEAKER_MODELS["ge2e"], BASELINE_MODEL).baselines[name]
    known = Baseline.from_bytes(kept)
    assert known is not None
    return known


def run(home: Path, *args: str) -> str:
    done = subprocess.run(
        [*STREAMD, *args], env=environment(home), capture_output=True, text=True, check=True
    )
    return done.stdout


async def test_a_baseline_begins_with_the_enrolment_and_grows_at_the_end_of_each_session(tmp_path):
    await asyncio.to_thread(run, tmp_path, "enroll", "ada", SLT)
    enrolled = baseline(tmp_path).count
    assert enrolled > 0.3
    with Daemon(tmp_path) as daemon:
        first = await converse(daemon.url, cut(speech("slt")), END)
        said = [e for e in first.of("speaker") if e["final"] and e["speaker"] == "ada"]
        assert said
        second = await converse(daemon.url, cut(speech("slt")), END)
    # Each utterance counts, by how calm it sounds, from 0.3 to 1.
    grown = baseline(tmp_path).count - enrolled
    assert 0.3 * 2 * len(said) <= grown <= 2 * len(said)
    # The second session began where the first one ended: the same audio, another baseline.
    assert [e["scores"] for e in first.of("emotion")] != [e["scores"] for e in second.of("emotion")]


async def test_a_stranger_leaves_nothing_behind(tmp_path):
    await asyncio.to_thread(run, tmp_path, "enroll", "ada", SLT)
    before = baseline(tmp_path)
    with Daemon(tmp_path) as daemon:
        heard = await converse(daemon.url, cut(speech("kal16")), END)
    assert heard.of("emotion")
    assert baseline(tmp_path).to_bytes() == before.to_bytes()


async def test_analyze_writes_nothing_and_says_what_a_stream_says(tmp_path):
    await asyncio.to_thread(run, tmp_path, "enroll", "ada", SLT)
    before = baseline(tmp_path)
    offline = [
        json.loads(line)
        for line in (await asyncio.to_thread(run, tmp_path, "analyze", SLT)).splitlines()
    ]
    assert baseline(tmp_path).to_bytes() == before.to_bytes()
    with Daemon(tmp_path) as daemon:
        live = await converse(daemon.url, cut(speech("slt"), 999), END)
    said = [e for e in offline if e["type"] == "emotion"]
    assert [e["scores"] for e in said] == [
        pytest.approx(e["scores"], abs=1e-3) for e in live.of("emotion")
    ]
