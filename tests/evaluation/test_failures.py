"""The rows that failed, as a manifest that can be evaluated again."""

import csv

import numpy as np
import pytest
import soundfile

from streamd.errors import Unavailable
from streamd.evaluation import emotion, speaker, vad, wake
from streamd.evaluation.failures import Failure, write
from streamd.evaluation.manifest import Row, read
from streamd.evaluation.vad import Compared
from streamd.evaluation.wake import Take


def take(label, *wakes):
    return Take(Row(line=2, path="a.wav", label=label), 1000, 3000, list(wakes), [], {})


def kinds(failures):
    return [(failure.kind, failure.detail) for failure in failures]


def test_wake_words_missed_doubled_and_made_up():
    words = ("alexa", "timer")
    assert kinds(wake.failures([take("alexa", ("alexa", 1500))], words)) == []
    assert kinds(wake.failures([take("alexa")], words)) == [("missed", {"word": "alexa"})]
    assert kinds(wake.failures([take("alexa", ("alexa", 1500), ("alexa", 2900))], words)) == [
        ("fired_twice", {"word": "alexa", "at_ms": [500, 1900]})
    ]
    assert kinds(wake.failures([take("noise", ("timer", 1100))], words)) == [
        ("false_accept", {"word": "timer", "at_ms": [100]})
    ]


def test_speech_that_was_not_reported_and_noise_that_was():
    rows = [Row(line=n, path="a.wav", label=label) for n, label in ((2, "speech"), (3, "noise"))]
    truth, detected = np.repeat([True, False], 50), np.repeat([False, True], [70, 30])
    failures = vad.failures(rows, [(0, 500), (500, 1000)], Compared("a", truth, detected, [], []))
    assert kinds(failures) == [("missed", {}), ("false_alarm", {"speech_ms": 300})]


def test_voices_taken_for_others_or_for_nobody():
    row = Row(line=2, path="a.wav", speaker="ada")

    def failed(is_enrolled, *decisions):
        events = [
            {"t0": 0, "t1": 900, "score": 0.7, "decision": decision, "speaker": name}
            for decision, name in decisions
        ]
        return [f.kind for f in speaker.failures(row, is_enrolled, {"events": events})]

    assert failed(True, ("accept", "ada")) == []
    assert failed(True, ("accept", "bob"), ("unsure", None)) == ["wrong_voice", "unsure"]
    assert failed(True) == ["no_decision"]
    assert failed(False, ("accept", "bob"), ("reject", "S1")) == ["stranger_accepted"]
    assert failed(False) == []


def test_emotions_that_were_taken_for_others():
    labels = ("sad", "angry", "angry", "sad")
    rows = [Row(line=n, path="a.wav", label=label) for n, label in enumerate(labels, 2)]
    scores = np.full(7, 0.05)
    scores[emotion.CLASSES.index("angry")] = 0.7
    said = [emotion.Said(row, scores, 0.5, False) for row in rows[:3]]
    said.append(emotion.Said(rows[3], None, None, True))
    failures = emotion.report(said, False, 1).failures
    assert [(f.row.line, f.kind) for f in failures] == [(2, "wrong_label"), (5, "silent")]
    assert failures[0].detail == {"said": "angry", "score": 0.933, "abstain": False}


@pytest.fixture
def manifest(tmp_path):
    (tmp_path / "sounds").mkdir()
    for name in "abc":
        soundfile.write(tmp_path / "sounds" / f"{name}.wav", np.zeros(999, np.int16), 16_000)
    path = tmp_path / "m.csv"
    path.write_text(
        "speaker;path;label;room;failure\n"
        "ada;sounds/a.wav;alexa;kitchen;old\n"
        "bob;sounds/b.wav;alexa;;old\n"
        'eve;sounds/c.wav;noise;"hall; upstairs";old\n'
    )
    return read(path, lambda rows, faults: None)


def test_the_file_holds_the_manifest_s_columns_and_is_a_manifest(manifest, tmp_path):
    first, _, third = manifest.rows
    failures = [
        Failure(third, "false_accept", {"word": "alexa", "at_ms": [120, 2400]}),
        Failure(third, "false_accept", {"word": "timer", "at_ms": [130]}),
        Failure(first, "missed"),
    ]
    file = tmp_path / "elsewhere" / "failed.csv"
    file.parent.mkdir()
    write(file, manifest, failures)
    with file.open(newline="") as opened:
        header, *lines = csv.reader(opened)
    assert header == ["speaker", "path", "label", "room", "failure", "detail"]
    assert lines == [
        ["ada", "../sounds/a.wav", "alexa", "kitchen", "missed", ""],
        ["eve", "../sounds/c.wav", "noise", "hall; upstairs", "false_accept",
         "word alexa, at_ms 120 2400; word timer, at_ms 130"],
    ]  # fmt: skip
    again = read(file, lambda rows, faults: None)
    assert [again.file(row).resolve() for row in again.rows] == [
        manifest.file(row).resolve() for row in (first, third)
    ]


def test_a_file_that_cannot_be_written_is_named(manifest, tmp_path):
    with pytest.raises(Unavailable, match=r"gone/failed.csv: cannot be written"):
        write(tmp_path / "gone" / "failed.csv", manifest, [])
