"""What an evaluation measures is what the configuration in force would report."""

import msgspec
import numpy as np
import pytest
import soundfile
from daemons import DATA, VOICES, assert_same_log

from streamd.compose import make_parts
from streamd.config import Config
from streamd.evaluation.conditions import PLAIN
from streamd.evaluation.manifest import Manifest, Row
from streamd.evaluation.spoken import unpack
from streamd.evaluation.streams import Stream, open_stream
from streamd.evaluation.tasks import SIDE_BY_SIDE, Beginning, Executor, Task
from streamd.evaluation.workers import do_here
from streamd.files.offline import OfflineAnalysis
from streamd.models.library import Library
from streamd.modules.gallery import Gallery
from streamd.settings import WakeSettings

ALL = {"vad": {}, "wake": {"words": ["alexa"]}, "speaker": {}, "emotion": {}}
KEPT = ("speech_start", "speech_end", "wake", "speaker", "speaker_change", "emotion")


@pytest.fixture(scope="module")
def manifest(tmp_path_factory):
    """Clips of five voices, and a recording in which the wake word has to sleep."""
    folder = tmp_path_factory.mktemp("hearing")
    rows = []

    def add(name, samples):
        soundfile.write(folder / name, samples, 16_000)
        rows.append(Row(line=len(rows) + 2, path=name))

    rng = np.random.default_rng(1)
    quiet = rng.normal(0, 60, 5 * 16_000).astype(np.int16)
    clips = {v: soundfile.read(DATA / f"speech_{v}.flac", dtype="int16")[0] for v in VOICES}
    add("long.flac", clips["slt"])
    for voice, samples in clips.items():
        add(f"{voice}.flac", samples[7000:60_000])
    add("pauses.flac", np.concatenate([quiet, clips["slt"][:24_000], quiet, clips["rms"], quiet]))
    return Manifest(path=folder / "m.csv", rows=tuple(rows))


@pytest.fixture(scope="module")
def executor(manifest):
    """With the defaults."""
    return Executor(Config(), Library(), manifest)


def answers(executor, tasks):
    """In the order of the tasks."""
    found = dict(do_here(executor, tasks))
    return [found[number] for number in range(len(tasks))]


def with_wake(**settings):
    return Config(wake=WakeSettings(**settings))


def served(manifest, row, config, parts=None):
    """The events of a session in this configuration that has the engine to itself."""
    parts = parts or make_parts(config, Library())
    modules, _ = parts.registry.resolve(ALL)
    audio = open_stream(Stream(rows=(row,)), manifest, PLAIN)
    analysis = OfflineAnalysis(parts.engine, parts.registry, modules, audio.format, Gallery.empty())
    events = [msgspec.to_builtins(event) for event in analysis.events([audio.data])]
    analysis.close()
    return [e for e in events if e["type"] in KEPT and e.get("final") is not False]


def task(row, **more):
    return Task(stream=Stream(rows=(row,)), modules=ALL, keep=KEPT, **more)


def test_sessions_side_by_side_report_what_each_reports_alone(executor, manifest):
    results = answers(executor, [task(row) for row in manifest.rows])
    parts = make_parts(Config(), Library())
    for row, answer in zip(manifest.rows, results, strict=True):
        assert_same_log(answer["events"], served(manifest, row, Config(), parts))
    assert {event["type"] for event in results[0]["events"]} >= set(KEPT[:4])


def test_more_tasks_than_places_are_all_done(executor, manifest):
    rows = [msgspec.structs.replace(manifest.rows[2], line=n) for n in range(SIDE_BY_SIDE + 3)]
    results = answers(executor, [task(row) for row in rows])
    assert len(results) == len(rows)
    for answer in results:
        assert_same_log(answer["events"], results[0]["events"])


def test_voices_side_by_side_are_those_of_each_alone(executor, manifest):
    tasks = [
        Task(stream=Stream(rows=(row,)), beginnings=(Beginning(None), Beginning(1.0)))
        for row in manifest.rows[1:4]
    ]
    together, alone = answers(executor, tasks), [answers(executor, [t])[0] for t in tasks]
    for one, other in zip(together, alone, strict=True):
        for a, b in zip(one["voices"], other["voices"], strict=True):
            assert (a["channel"], a["speech_ms"]) == (b["channel"], b["speech_ms"])
            assert a["spoken"].keys() == b["spoken"].keys() != set()
            for model, heard in a["spoken"].items():
                other_heard = b["spoken"][model]
                assert heard["seconds"] == other_heard["seconds"]
                assert unpack(heard["embedding"]) == pytest.approx(
                    unpack(other_heard["embedding"]), abs=1e-5
                )


@pytest.mark.parametrize("threshold", [0.05, 0.5])
def test_the_curve_is_what_a_server_with_each_threshold_reports(executor, manifest, threshold):
    row = manifest.rows[-1]
    (result,) = answers(executor, [task(row, thresholds=(threshold,))])
    events = served(manifest, row, with_wake(threshold=threshold))
    wakes = [event["at"] for event in events if event["type"] == "wake"]
    assert result["wakes"]["alexa"][f"{threshold:g}"] == wakes
    assert wakes


def test_noise_that_nobody_would_take_for_speech_wakes_only_without_the_gate(tmp_path):
    noise = np.random.default_rng(3).normal(0, 600, 20 * 16_000).astype(np.int16)
    soundfile.write(tmp_path / "noise.flac", noise, 16_000)
    manifest = Manifest(path=tmp_path / "m.csv", rows=(Row(line=2, path="noise.flac"),))
    counts = []
    for gate in (True, False):
        config = with_wake(gate=gate, threshold=1e-5)
        executor = Executor(config, Library(), manifest)
        (result,) = answers(executor, [task(manifest.rows[0], thresholds=(1e-5,))])
        assert result["events"] == served(manifest, manifest.rows[0], config)
        wakes = [event["at"] for event in result["events"] if event["type"] == "wake"]
        assert result["wakes"]["alexa"]["1e-05"] == wakes
        counts.append(len(wakes))
    assert counts[0] <= 1 < counts[1]  # the beginning of a stream is no quiet yet
