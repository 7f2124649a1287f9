"""Answers are kept, sealed, and never asked for twice."""

import multiprocessing
import os
import time

import numpy as np
import pytest
import soundfile
from daemons import DATA

from streamd.config import Config
from streamd.errors import BadManifest, ModelMissing, StreamdError
from streamd.evaluation.cache import Cache, fingerprint, task_key
from streamd.evaluation.manifest import Manifest, Row
from streamd.evaluation.running import Runner
from streamd.evaluation.spoken import unpack
from streamd.evaluation.streams import Stream
from streamd.evaluation.tasks import Beginning, Task
from streamd.models.library import Library

VAD = {"vad": {}}


@pytest.fixture
def manifest(tmp_path):
    samples, _ = soundfile.read(DATA / "speech_slt.flac", dtype="int16")
    rows = []
    for n in range(4):
        soundfile.write(tmp_path / f"{n}.wav", samples[n * 16_000 : (n + 2) * 16_000], 16_000)
        rows.append(Row(line=n + 2, path=f"{n}.wav"))
    return Manifest(path=tmp_path / "m.csv", rows=tuple(rows))


@pytest.fixture
def make(tmp_path, manifest):
    """A runner with the cache of the test."""
    opened = []

    def made(jobs=1, is_fresh=False, name="one", config=None):
        cache = Cache(tmp_path / "cache", name, is_fresh)
        reports = []
        runner = Runner(
            config or Config(), Library(), manifest, {}, cache, jobs, lambda *t: reports.append(t)
        )
        opened.extend((runner, cache))
        return runner, reports

    yield made
    for each in opened:
        each.close()


def tasks_of(manifest):
    return [
        Task(stream=Stream(rows=(row,)), modules=VAD, keep=("speech_start", "speech_end"))
        for row in manifest.rows
    ]


def test_processes_and_one_process_give_the_same_answers_in_order(make, manifest):
    tasks = tasks_of(manifest)
    here, _ = make(1, name="here")
    there, reports = make(2, name="there")
    assert here("files", tasks) == there("files", tasks)
    assert reports[0] == ("files", 0, 4, 0)
    assert reports[-1] == ("files", 4, 4, 0)


def test_a_fault_ends_nothing_else_and_results_are_kept(make, manifest):
    tasks = tasks_of(manifest)
    good = manifest.file(manifest.rows[2]).read_bytes()
    manifest.file(manifest.rows[2]).write_bytes(b"no audio")
    runner, reports = make()
    with pytest.raises(BadManifest, match=r"m.csv:4: .*2.wav"):
        runner("files", tasks)
    assert reports[-1] == ("files", 4, 4, 0)
    manifest.file(manifest.rows[2]).write_bytes(good)
    again, reports = make()
    assert len(again("files", tasks)) == 4
    assert reports[0] == ("files", 3, 4, 3)
    third, reports = make()
    assert third("files", tasks) == again("files", tasks)
    assert reports == [("files", 4, 4, 4)]


@pytest.mark.parametrize("jobs", [1, 2])
def test_damaged_recordings_are_all_named(make, manifest, jobs):
    for row in manifest.rows[1:3]:
        manifest.file(row).write_bytes(b"no audio")
    runner, _ = make(jobs)
    with pytest.raises(BadManifest, match=r"m.csv:3: .*\n.*m.csv:4: ") as refused:
        runner("files", tasks_of(manifest))
    assert len(str(refused.value).splitlines()) == 2


def test_a_worker_that_is_killed_is_named_and_leaves_no_process(make, manifest):
    runner, _ = make(2)
    runner("files", tasks_of(manifest)[:2])
    for process in multiprocessing.active_children():
        process.kill()
    with pytest.raises(StreamdError, match="a worker process was killed"):
        runner("files", tasks_of(manifest))
    runner.close()
    assert multiprocessing.active_children() == []


def test_a_worker_reports_models_that_cannot_be_loaded(make, manifest, tmp_path):
    bad = tmp_path / "no-model.npz"
    bad.write_bytes(b"x")
    config = Config(emotion=type(Config().emotion)(model=str(bad)))
    runner, _ = make(2, config=config)
    with pytest.raises(ModelMissing, match="no-model"):
        runner("files", tasks_of(manifest))


def test_fresh_runs_everything_again(make, manifest):
    make()[0]("files", tasks_of(manifest))
    runner, reports = make(is_fresh=True)
    runner("files", tasks_of(manifest))
    assert reports[0] == ("files", 0, 4, 0)


def test_a_key_is_that_of_the_recording_and_what_is_done_to_it(manifest):
    task, other = tasks_of(manifest)[:2]
    key = task_key(task, manifest)
    assert key != task_key(other, manifest)
    (row,) = task.stream.rows
    moved = Stream(rows=(Row(line=99, path=row.path),))
    assert key == task_key(Task(stream=moved, modules=VAD, keep=task.keep), manifest)
    assert key != task_key(Task(stream=moved, modules=VAD), manifest)
    soundfile.write(manifest.file(row), np.zeros(999, np.int16), 16_000)
    assert key != task_key(task, manifest)


def test_a_row_with_a_broken_or_changed_line_runs_again(tmp_path):
    cache = Cache(tmp_path, "one")
    cache.put("a", {"n": 1})
    cache.put("b", {"n": 2})
    cache.close()
    file = tmp_path / "one.jsonl"
    first, second = file.read_text().splitlines()
    file.write_text(f"{first}\n{second[:-9]}")
    cut = Cache(tmp_path, "one")
    assert (cut.get("a"), cut.get("b")) == ({"n": 1}, None)
    cut.close()
    file.write_text(f"{first.replace('a', 'c', 1)}\n")
    moved = Cache(tmp_path, "one")
    assert moved.get("c") is None
    moved.close()


def test_nothing_of_a_voice_is_readable_on_disk(make, manifest, tmp_path):
    row = Row(line=2, path="0.wav")
    task = Task(stream=Stream(rows=(row,)), beginnings=(Beginning(None),))
    (answer,) = make()[0]("voices", [task])
    packed, *_ = (one["embedding"] for one in answer["voices"][0]["spoken"].values())
    assert abs(np.linalg.norm(unpack(packed)) - 1) < 1e-5
    written = (tmp_path / "cache" / "one.jsonl").read_text()
    assert packed not in written
    assert "embedding" not in written
    for file in (tmp_path / "cache").iterdir():
        assert file.stat().st_mode & 0o077 == 0


def test_what_nobody_asked_for_in_a_month_is_dropped(tmp_path):
    for name in ("old", "new"):
        Cache(tmp_path, name).close()
    month_s = 31 * 86_400
    os.utime(tmp_path / "old.jsonl", (time.time() - month_s,) * 2)
    Cache(tmp_path, "other").close()
    assert {path.name for path in tmp_path.glob("*.jsonl")} == {"new.jsonl", "other.jsonl"}


def test_a_fingerprint_is_the_same_again_and_another_for_other_options():
    assert fingerprint("a", 1) == fingerprint("a", 1)
    assert fingerprint("a", 1) != fingerprint("a", 2)
