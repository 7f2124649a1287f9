"""What a person and a pipe get to see."""

import io
import json
import os
import struct

import pytest
from rich.console import Console

from streamd.view import JsonLines, LiveView, clock, dbfs, make_view

WAKE = {"type": "wake", "t0": 61_100, "t1": 62_345, "at": 62_400, "word": "alexa", "score": 0.934}
SPEAKER = {
    "type": "speaker", "utterance": "u1", "t0": 0, "t1": 2000, "at": 2000, "decision": "accept",
    "speaker": "maria", "score": 0.83, "margin": 0.2, "speech_ms": 1500, "final": True,
}  # fmt: skip
MOOD = {
    "type": "emotion", "utterance": "u1", "t0": 0, "t1": 2000, "at": 2000, "label": "happy",
    "score": 0.412, "scores": {"angry": 0.1, "happy": 0.412, "neutral": 0.3}, "arousal": 0.62,
    "abstain": False, "final": True,
}  # fmt: skip
READY = {"type": "ready", "session": "s_1", "modules": {"vad": {}, "emotion": {}}}
BYE = {"type": "bye", "samples": 48_000, "duration_ms": 3000, "utterances": 1, "speech_ms": 1500}


def shown(*events: dict, width: int = 80, now_s: float = 0.0) -> tuple[str, str]:
    """What scrolled by, and the strip below it, as plain text."""
    console = Console(record=True, width=width, file=io.StringIO())
    view = LiveView(console, clock_s=lambda: now_s)
    for event in events:
        view.event(event)
    view.level(-30.0)
    scrolled = console.export_text()
    console.print(view._strip())
    return scrolled, console.export_text()


def test_final_events_are_lines_with_stream_time():
    scrolled, _ = shown(WAKE, SPEAKER)
    lines = scrolled.splitlines()
    assert lines[0].split() == ["01:02.345", "wake", "alexa", "0.93"]
    assert lines[1].split() == ["00:02.000", "speaker", "maria", "accepted", "0.83"]


def test_an_enrolment_says_who_from_what_and_how_good_it_is():
    enrolled = {
        "type": "enrolled", "seq": 7, "id": "e1", "speaker": "ada", "label": "S1",
        "utterances": ["u3", "u5"], "enrolments": 1,
        "quality": {"verdict": "usable", "issues": [{"code": "short", "message": "2.1 s: …"}]},
    }  # fmt: skip
    good = {**enrolled, "label": None, "quality": {"verdict": "good", "issues": []}}
    first, second = shown(enrolled, good, width=100)[0].splitlines()
    assert first.split(maxsplit=2)[2].strip() == "from u3, u5, S1 until now  usable: short"
    assert second.split(maxsplit=2)[2].strip() == "from u3, u5  good"


def test_interim_events_change_the_strip_and_not_the_log():
    scrolled, strip = shown({**SPEAKER, "final": False})
    assert scrolled == ""
    assert "maria" in strip


@pytest.mark.parametrize("width", [80, 120])
@pytest.mark.parametrize("label", ["", "surprised"])
def test_the_strip_is_two_lines_at_any_width(width, label):
    start = {"type": "speech_start", "utterance": "u1", "t0": 0, "t1": 100, "at": 100}
    moods = [{**MOOD, "label": label, "final": False}] if label else []
    _, strip = shown(start, SPEAKER, WAKE, *moods, width=width)
    rule, line = strip.splitlines()
    assert rule == "─" * width
    assert len(line) <= width
    for word in ("speaking", "-30", "maria  accepted  0.83", "alexa  0.93", label):
        assert word in line


@pytest.mark.parametrize("width", [60, 80, 120, 200])
@pytest.mark.parametrize("name", ["Voice of Ada", "Maximilian Hohenstaufen", "李小龍"])
def test_a_name_is_whole_where_a_bar_can_shrink(width, name):
    start = {"type": "speech_start", "utterance": "u1", "t0": 0, "t1": 100, "at": 100}
    _, strip = shown(start, {**SPEAKER, "speaker": name}, WAKE, MOOD, width=width)
    _, line = strip.splitlines()
    assert f"{name} " in line
    assert "…" not in line
    assert all(word in line for word in ("speaking", "-30", "happy", "alexa"))


def test_the_position_in_a_file_stands_in_the_rule():
    console = Console(record=True, width=60, file=io.StringIO())
    view = LiveView(console)
    for done_s, total_s, label in ((12, 90, "0:12 of 1:30"), (12, None, "0:12"), (92, 90, "1:32")):
        view.position(done_s, total_s)
        console.print(view._strip())
        rule = console.export_text().splitlines()[0]
        assert rule.startswith(f"── {label} ──")
        assert len(rule) == 60


def test_the_mood_now_is_a_label_and_a_bar_of_arousal():
    _, strip = shown({**MOOD, "final": False}, width=120)
    assert "happy     ━━━━──" in strip
    _, strip = shown(MOOD, {**MOOD, "arousal": 1.7, "final": False}, width=80)
    assert "happy     ━━━━ " in strip


def test_a_label_that_nobody_should_act_on_is_not_named_in_the_strip():
    _, strip = shown(MOOD, {**MOOD, "abstain": True, "final": False}, width=120)
    assert "unsure    ━━━━──" in strip
    assert "happy" not in strip


def test_the_strip_has_room_for_a_mood_only_where_emotion_is_on():
    assert "no mood yet" in shown(READY)[1]
    assert "mood" not in shown({**READY, "modules": {"vad": {}}})[1]


def test_final_moods_are_lines_and_say_when_they_are_not_sure():
    unsure = {**MOOD, "score": 0.31, "abstain": True}
    lines = shown(MOOD, unsure, {**MOOD, "final": False})[0].splitlines()
    assert [line[27:].rstrip() for line in lines] == [
        "happy 0.41  arousal 0.62",
        "unsure (most like happy 0.31)",
    ]


def test_speech_that_ended_is_quiet():
    start = {"type": "speech_start", "utterance": "u1", "t0": 0, "t1": 100, "at": 100}
    end = {"type": "speech_end", "utterance": "u1", "t0": 0, "t1": 900, "at": 900, "cause": "end"}
    assert "quiet" in shown(start, end)[1]


def test_totals_count_words_and_voices():
    scrolled, _ = shown(WAKE, WAKE, SPEAKER, BYE)
    for text in ("audio", "00:03.000", "1 utterance", "alexa (2)", "maria (1)"):
        assert text in scrolled


def test_totals_count_final_moods_that_are_sure():
    sad, unsure, interim = (
        {**MOOD, **x} for x in ({"label": "sad"}, {"abstain": True}, {"final": False})
    )
    scrolled, _ = shown(MOOD, sad, sad, unsure, interim, BYE)
    assert ["moods", "sad", "(2),", "happy", "(1)"] in [x.split() for x in scrolled.splitlines()]
    assert "moods" not in shown(unsure, BYE)[0]


@pytest.mark.parametrize(
    "event",
    [
        {"type": "a_later_type", "seq": 1, "x": [1]},
        {"type": "speaker", "decision": "too_short", "speaker": None},
        {"type": "speaker_change", "from": None, "to": "S1", "t0": 0, "t1": 1, "at": 1},
        {"type": "wake"},
        {"type": "emotion"},
        {"type": "emotion", "label": "calm"},
        {"type": "emotion", "label": "calm", "abstain": True, "arousal": None},
        {"type": "bye"},
        {"type": "error", "code": "bad_message", "message": "[not] markup [/]", "fatal": False},
    ],
)
def test_any_event_can_be_shown(event):
    assert shown(event)[0]


def test_json_lines_are_the_events_themselves():
    out = io.StringIO()
    with JsonLines(out) as view:
        view.event(WAKE)
        view.level(-20.0)
        view.event({"type": "transcript", "text": "你好"})
    first, second = out.getvalue().splitlines()
    assert json.loads(first) == WAKE
    assert "你好" in second


def test_a_reader_that_goes_away_ends_the_output_quietly():
    reading, writing = os.pipe()
    with open(writing, "w") as out:
        view = JsonLines(out)
        view.event(WAKE)
        os.close(reading)
        view.event(WAKE)
        assert not view.alive
        view.event(WAKE)


def test_the_live_view_is_for_terminals_only():
    assert isinstance(make_view(stdout_is_tty=True, json=False), LiveView)
    assert isinstance(make_view(stdout_is_tty=True, json=True), JsonLines)
    assert isinstance(make_view(stdout_is_tty=False, json=False), JsonLines)


def test_levels_and_times():
    assert dbfs(b"") == dbfs(b"\0" * 640) == -60.0
    assert dbfs(struct.pack("<2h", 32767, -32768)) == pytest.approx(0.0, abs=0.01)
    assert dbfs(struct.pack("<h", 16384) + b"\0") == pytest.approx(-6.02, abs=0.01)
    assert clock(3_723_004) == "62:03.004"
