"""Speech edges against labels that can be counted by hand."""

import pytest

from streamd.evaluation.manifest import Row
from streamd.evaluation.vad import Edge, compare, compared, onset_delays, report


def file(labelled, detected, duration_ms=10_000, name="a.wav"):
    edges = [Edge(start, end, start + 100) for start, end in detected]
    return compared(name, labelled, edges, duration_ms)


def test_steps_are_counted():
    # 2 s labelled, 2 s detected, 1.5 s of it together.
    found = file([(1000, 3000)], [(1500, 3500)])
    assert found.counts == (200, 150, 800, 50)
    figures = report([found], 1).figures
    assert figures["f1"]["value"] == 0.75
    assert figures["precision"]["value"] == 0.75
    assert figures["miss"]["value"] == 0.25
    assert figures["miss"]["speech_ms"] == 2000
    assert figures["false_alarm"]["value"] == pytest.approx(50 / 800)
    assert figures["segments_missed"]["value"] == 0


def test_overlapping_labels_are_one_span():
    found = file([(1000, 2000), (1500, 3000)], [(1000, 3000)])
    assert found.counts == (200, 200, 800, 0)
    assert found.segments == [True]


def test_without_speech_there_is_a_false_alarm_rate_and_nothing_else():
    figures = report([file([], [(0, 1000)])], 1).figures
    assert figures["false_alarm"]["value"] == 0.1
    assert figures["miss"]["value"] is None
    assert figures["miss"]["reason"] == "no labelled speech"
    assert figures["onset_ms"]["value"] is None


def test_a_span_without_detection_is_missed():
    found = file([(1000, 1500), (5000, 6000)], [(5200, 6000)])
    assert found.segments == [False, True]
    assert report([found], 1).figures["segments_missed"]["value"] == 0.5


def test_onsets_are_measured_after_a_pause_where_speech_was_detected():
    regions = [(1000, 2000), (2300, 3000), (4000, 5000), (7000, 8000)]
    edges = [Edge(800, 3100, 1100), Edge(4100, 5000, 4350)]
    assert onset_delays(regions, edges) == [100, 350]
    assert onset_delays([(1000, 2000)], [Edge(500, 2000, 700)]) == [0]


def test_files_are_drawn_and_not_steps():
    files = [file([(0, 5000)], [(0, 5000 * (n % 2))], name=f"{n}.wav") for n in range(8)]
    found = report(files, 1)
    assert found.figures["bootstrap"]["unit"] == "file"
    low, high = found.figures["miss"]["ci95"]
    assert low < 0.3
    assert high > 0.7


def test_rows_and_events_meet_by_the_label():
    rows = [
        Row(line=2, path="a.wav", label="speech", start_ms=1000, end_ms=2000),
        Row(line=3, path="a.wav", label="noise", start_ms=3000, end_ms=4000),
    ]
    detected = {
        "duration_ms": 5000,
        "spans": [(1000, 2000), (3000, 4000)],
        "events": [
            {"type": "speech_start", "utterance": "u1", "t0": 900, "t1": 1200, "at": 1200},
            {"type": "speech_end", "utterance": "u1", "t0": 900, "t1": 2000, "at": 2400},
        ],
    }
    found = compare(rows, detected)
    assert found.counts == (100, 100, 400, 10)
    assert found.onsets == [200]
