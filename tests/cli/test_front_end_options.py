"""`--enhance` and `--far-end`: the same front end on every way."""

import numpy as np
import pytest
import soundfile
from conftest import Cli
from daemons import DEFAULT, Daemon, assert_same_log, speech
from needs import front_end


@pytest.fixture
def two_channels(tmp_path):
    """A microphone beside a loudspeaker that plays somebody else."""
    near = np.frombuffer(speech("slt", 3), "<i2")
    far = np.frombuffer(speech("rms", 3), "<i2")
    echo = np.concatenate([np.zeros(640, np.int16), far[:-640] // 2])
    clip = tmp_path / "two.wav"
    soundfile.write(clip, np.stack([near + echo, far], axis=1), 16_000)
    return clip


@pytest.mark.parametrize("options", [["--enhance", "webrtc"], ["--far-end", "1"]])
def test_stream_says_what_analyze_says(cli: Cli, daemon: Daemon, two_channels, options):
    front_end("webrtc", "echo")
    analyzed = cli("analyze", two_channels, *options, "--json", **DEFAULT)
    assert (analyzed.code, analyzed.err) == (0, "")
    streamed = cli("stream", two_channels, *options, "--fast", "--json", "--url", daemon.url)
    assert streamed.code == 0
    in_force = streamed.events[0]["audio"]
    assert in_force["delay_ms"] > 0
    assert in_force["enhance"] == ("webrtc" if options[0] == "--enhance" else "off")
    assert in_force["far_end"] == (None if options[0] == "--enhance" else 1)
    assert_same_log(streamed.events, analyzed.events)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--enhance", "loud"], "available: off, webrtc, deep"),
        (["--far-end", "2"], "from 0 to 1"),
    ],
)
def test_a_front_end_that_cannot_be_is_wrong_usage(cli: Cli, two_channels, options, said):
    done = cli("analyze", two_channels, *options, "--json", **DEFAULT)
    assert done.code == 2
    assert said in done.err


def test_the_loudspeaker_needs_a_channel_beside_it(cli: Cli, tmp_path):
    clip = tmp_path / "mono.wav"
    soundfile.write(clip, np.zeros(16_000, np.int16), 16_000)
    done = cli("analyze", clip, "--far-end", "0", **DEFAULT)
    assert done.code == 2
    assert "several channels" in done.err


def test_doctor_names_what_is_installed(cli: Cli):
    front_end("webrtc", "deep", "echo")
    done = cli("doctor", "--json", **DEFAULT)
    (line,) = [line for line in done.out.splitlines() if "echo cancellation" in line]
    assert "DeepFilterNet3" in line
