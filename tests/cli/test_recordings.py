"""Recordings with holes, late starts, damage and several tracks, as the commands show them."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import Cli
from daemons import DATA, DEFAULT, Daemon, assert_same_log

from streamd.audio.files import load

FILES = DATA / "containers"


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """An AAC file with 60 bytes of one packet damaged."""
    data = bytearray((FILES / "whole_8s.m4a").read_bytes())
    data[9000:9060] = np.random.default_rng(3).bytes(60)
    path = tmp_path / "damaged.m4a"
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("name", ["hole_at_4s.webm", "late_3s.mp4", "damaged", "piped_2s.flac"])
def test_a_file_gives_the_same_events_on_both_ways(cli: Cli, daemon: Daemon, damaged: Path, name):
    path = damaged if name == "damaged" else FILES / name
    local = cli("analyze", path, **DEFAULT)
    remote = cli("stream", path, "--fast", "--url", daemon.url)
    assert (local.code, local.err, remote.code, remote.err) == (0, "", 0, "")
    assert_same_log(remote.events, local.events)
    gaps = [event for event in local.events if event["type"] == "gap"]
    match name:
        case "hole_at_4s.webm":
            assert [gap["t1"] - gap["t0"] for gap in gaps] == [1026]
            assert gaps[0]["t0"] == pytest.approx(4100, abs=100)
        case "damaged":
            assert [gap["t1"] - gap["t0"] for gap in gaps] in ([64], [128])  # one or two packets
        case _:
            assert gaps == []


def test_times_are_those_of_the_file_where_its_audio_starts_late(cli: Cli):
    late = [e for e in cli("analyze", FILES / "late_3s.mp4").events if e["type"] == "wake"]
    plain = [e for e in cli("analyze", FILES / "whole_8s.m4a").events if e["type"] == "wake"]
    assert [e["word"] for e in late] == [e["word"] for e in plain] != []
    for one, other in zip(late, plain, strict=True):
        for time in ("t0", "t1", "at"):
            assert one[time] - other[time] == pytest.approx(3000, abs=100)


def test_speech_behind_a_hole_is_at_its_time(cli: Cli):
    ends = [
        [e["t1"] for e in cli("analyze", FILES / name).events if e["type"] == "speech_end"][-1]
        for name in ("hole_at_4s.mkv", "whole_8s.aac")
    ]
    assert ends[0] == pytest.approx(ends[1], abs=20)


def test_a_track_can_be_chosen_and_others_are_named(cli: Cli, daemon: Daemon):
    first = cli("analyze", FILES / "two_tracks.mp4")
    assert first.code == 0
    assert "2 audio tracks: 1 (eng, aac), 2 (deu, aac)" in first.err
    second = cli("analyze", FILES / "two_tracks.mp4", "--track", 2, **DEFAULT)
    assert (second.code, second.err) == (0, "")
    remote = cli("stream", FILES / "two_tracks.mp4", "--track", 2, "--fast", "--url", daemon.url)
    assert_same_log(remote.events, second.events)
    words = [[e["word"] for e in done.events if e["type"] == "wake"] for done in (first, second)]
    assert words[0] != words[1]
    for command in (["analyze"], ["enroll", "Ada"]):
        missing = cli(*command, FILES / "two_tracks.mp4", "--track", 3)
        assert (missing.code, missing.out) == (6, "")
        assert "no audio track 3; it has 2" in missing.err
    enrolled = cli("enroll", "Ada", FILES / "two_tracks.mp4", "--track", 2)
    assert enrolled.code == 0
    assert "--track" not in enrolled.err


def test_a_voice_with_one_channel_reversed_is_still_recognised(cli: Cli, tmp_path: Path):
    voice = load(FILES / "whole_8s.m4a")
    reversed_ = tmp_path / "reversed.wav"
    soundfile.write(reversed_, np.stack([voice, -voice], axis=1), 16_000)
    done = cli("analyze", reversed_)
    assert done.code == 0
    assert "channels cancel each other" in done.err
    assert any(event["type"] == "wake" for event in done.events)
