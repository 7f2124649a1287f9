"""What the emotion module learns of an enrolled voice outlives the session, and only there."""

import asyncio
import json
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest
from daemons import DATA, STREAMD, Daemon, converse, cut, environment, speech

from streamd.config import key_path
from streamd.modules.emotion import BASELINE_MODEL
from streamd.modules.emotion_model import Baseline
from streamd.store.sqlite import open_store
from streamd.voices import SPEAKER_MODELS

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


async def test_a_speaker_who_is_not_enrolled_leaves_no_baseline(tmp_path):
    await asyncio.to_thread(run, tmp_path, "enroll", "ada", SLT)
    before = baseline(tmp_path)
    with Daemon(tmp_path) as daemon:
        received = await converse(daemon.url, cut(speech("kal16")), END)
    assert received.of("emotion")
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


async def test_what_was_learned_during_a_lock_is_written_after_it(tmp_path):
    await asyncio.to_thread(run, tmp_path, "enroll", "ada", SLT)
    enrolled = baseline(tmp_path).count
    with Daemon(tmp_path, store__poll_s=0.05) as daemon:
        with closing(sqlite3.connect(tmp_path / "streamd.db", isolation_level=None)) as writer:
            writer.execute("BEGIN IMMEDIATE")
            received = await converse(daemon.url, cut(speech("slt")), END)
            assert [e for e in received.of("speaker") if e["speaker"] == "ada"]
            # The lock outlasts the patience of the write.
            await daemon.eventually(lambda: "cannot be written yet" in daemon.log.read_text())
        await daemon.eventually(lambda: baseline(tmp_path).count > enrolled)
        assert daemon.metric("streamd_queue_limit", queue="baselines") == 1000


async def test_a_running_server_finds_the_database_that_took_the_place_of_a_deleted_one(tmp_path):
    await asyncio.to_thread(run, tmp_path, "enroll", "ada", SLT)
    with Daemon(tmp_path, store__poll_s=0.05) as daemon:

        async def name() -> set[str | None]:
            received = await converse(daemon.url, cut(speech("slt")), END)
            return {e["speaker"] for e in received.of("speaker") if e["final"]}

        assert await name() == {"ada"}
        for file in tmp_path.glob("streamd.db*"):
            file.unlink()
        await daemon.eventually(lambda: "the store was deleted" in daemon.log.read_text())
        assert "ada" not in await name()
        await asyncio.to_thread(run, tmp_path, "enroll", "eve", SLT)
        await daemon.eventually(lambda: "the store can be read again" in daemon.log.read_text())
        assert await name() == {"eve"}
