"""`analyze` and `stream`: the same events on every way, and clear words where there are none."""

import json
import os
import signal
import socket
import subprocess
import time
from urllib.parse import urlsplit

import numpy as np
import pytest
import soundfile
from conftest import NO_NETWORK, Cli
from daemons import (
    DATA,
    DEFAULT,
    NO_LOG,
    STREAMD,
    Daemon,
    as_samples,
    assert_same_log,
    environment,
    speech,
)
from opus_packets import encoded, ogg_opus
from waiting import HANG_S

SLT = DATA / "speech_slt.flac"


@pytest.fixture(scope="module")
def analyzed(tmp_path_factory):
    """What `analyze` says of one clip."""
    cli = Cli(tmp_path_factory.mktemp("analyzed"))
    done = cli.process("analyze", SLT, **DEFAULT)
    assert (done.code, done.err) == (0, "")
    return done.events


def test_analyze_prints_the_log_and_nothing_else(analyzed):
    types = [event["type"] for event in analyzed]
    assert not set(types) & (NO_LOG | {"bye"})
    assert [event["seq"] for event in analyzed] == list(range(1, len(analyzed) + 1))
    assert {"speech_start", "speech_end", "wake", "speaker"} <= set(types)
    assert all("final" in event for event in analyzed if event["type"] == "speaker")


def test_stream_fast_says_what_analyze_says(cli, daemon: Daemon, analyzed):
    done = cli.process("stream", SLT, "--fast", "--url", daemon.url)
    assert (done.code, done.err) == (0, "")
    types = [event["type"] for event in done.events]
    assert (types[0], types[-1]) == ("ready", "bye")
    assert_same_log(done.events, analyzed)


def test_stream_at_real_time_says_the_same_and_takes_its_time(cli, daemon: Daemon, tmp_path):
    clip = tmp_path / "clip.wav"
    soundfile.write(clip, np.frombuffer(speech("rms", 2.5), "<i2"), 16_000)
    began = time.monotonic()
    live = cli("stream", clip, "--url", daemon.url)
    assert time.monotonic() - began > 2.4
    fast = cli("stream", clip, "--fast", "--url", daemon.url)
    assert live.code == fast.code == 0
    assert_same_log(live.events, fast.events)
    assert_same_log(fast.events, cli("analyze", clip, **DEFAULT).events)


@pytest.mark.parametrize("rate", [8000, 44_100, 96_000])
def test_a_file_of_any_rate_gives_both_commands_the_same_events(
    cli, daemon: Daemon, tmp_path, rate
):
    import soxr

    samples = np.frombuffer(speech("slt", 4), "<i2").astype(np.float32) / 32768
    stereo = np.stack([soxr.resample(samples, 16_000, rate)] * 2, axis=1)
    clip = tmp_path / "clip.flac"
    soundfile.write(clip, stereo, rate)
    fast = cli("stream", clip, "--fast", "--url", daemon.url)
    assert_same_log(fast.events, cli("analyze", clip, **DEFAULT).events)
    assert any(event["type"] == "wake" for event in fast.events)


def test_stdin_is_raw_samples(cli, daemon: Daemon, analyzed):
    done = cli.process("stream", "-", "--url", daemon.url, stdin=speech("slt"))
    assert (done.code, done.err) == (0, "")
    assert_same_log(done.events, analyzed)


def test_stdin_in_another_format(cli, daemon: Daemon):
    floats = np.repeat(np.frombuffer(speech("slt"), "<i2").astype("<f4") / 32768, 2).tobytes()
    args = ("--codec", "pcm_f32le", "--rate", 16_000, "--channels", 2)
    done = cli.process("stream", "-", *args, "--url", daemon.url, stdin=floats)
    ready = done.events[0]
    assert ready["audio"]["codec"] == "pcm_f32le"
    assert done.events[-1]["samples"] == len(floats) // 8
    assert any(event["type"] == "wake" for event in done.events)


def test_the_packets_of_an_opus_file_are_sent_as_they_are(cli, daemon: Daemon, tmp_path):
    packets = encoded(as_samples(speech("slt")), application="audio")
    clip = ogg_opus(tmp_path / "clip.opus", packets)
    done = cli("stream", clip, "--codec", "opus", "--fast", "--url", daemon.url)
    assert (done.code, done.err) == (0, "")
    audio = done.events[0]["audio"]
    assert (audio["codec"], audio["rate"], audio["channels"]) == ("opus", 16_000, 1)
    assert done.events[-1]["samples"] == 320 * len(packets)
    assert [event["word"] for event in done.events if event["type"] == "wake"] == [
        "alexa",
    ]


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (["-", "--codec", "opus"], 2, "a pipe does not say where a packet ends"),
        ([SLT, "--codec", "opus"], 6, "its audio is flac, not Opus"),
        ([DATA / "none.opus", "--codec", "opus"], 8, "cannot be read"),
        ([DATA / "containers" / "pages_8s.opus", "--codec", "opus", "--track", 2], 6, "has 1"),
    ],
)
def test_what_has_no_packets_of_opus_is_refused(cli, daemon: Daemon, args, code, says):
    done = cli("stream", *args, "--url", daemon.url)
    assert (done.code, done.out) == (code, "")
    assert says in done.err


def test_stdin_may_be_empty(cli, daemon: Daemon):
    done = cli.process("stream", "-", "--url", daemon.url)
    assert [event["type"] for event in done.events] == ["ready", "bye"]


def test_stdin_of_a_format_that_is_not_taken_is_refused(cli, daemon: Daemon):
    done = cli.process("stream", "-", "--rate", 5, "--url", daemon.url, stdin=b"\0" * 99)
    assert done.code == 5
    assert "from 8000 to 48000" in done.err


def test_stdin_comes_out_as_it_goes_in(cli, daemon: Daemon):
    process = cli.start("stream", "-", "--url", daemon.url)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(speech("slt", 3))
    process.stdin.flush()
    kinds = []
    while "wake" not in kinds:
        kinds.append(json.loads(process.stdout.readline())["type"])
    process.communicate(timeout=HANG_S)
    assert process.returncode == 0


def test_only_the_chosen_words_are_recognised(cli, daemon: Daemon):
    for command in (["analyze"], ["stream", "--fast", "--url", daemon.url]):
        done = cli(*command, SLT, "-w", "hey_jarvis", "--word", "timer")
        words = {event["word"] for event in done.events if event["type"] == "wake"}
        assert words == {"hey_jarvis", "timer"}


@pytest.mark.parametrize("known", [True, False])
def test_an_unknown_word_warns_or_refuses(cli, daemon: Daemon, known):
    words = ["-w", "abracadabra", *(["-w", "alexa"] if known else [])]
    done = cli("stream", SLT, "--fast", "--url", daemon.url, *words)
    if known:
        assert done.code == 0
        warning = next(e for e in done.events if e["type"] == "warning")
        assert warning["code"] == "unknown_word"
    else:
        assert done.code == 5
        assert "abracadabra" in done.err


def test_an_unknown_word_is_no_internal_error_of_analyze(cli):
    done = cli("analyze", SLT, "-w", "abracadabra")
    assert (done.code, done.out) == (2, "")
    assert "abracadabra" in done.err


@pytest.mark.parametrize("command", [["stream"], ["analyze"], ["enroll", "anna"]])
@pytest.mark.parametrize("kind", ["text", "empty", "missing", "directory", "cut"])
def test_what_is_not_audio_is_said_with_6(cli, daemon: Daemon, tmp_path, command, kind):
    path = tmp_path / "thing.wav"
    match kind:
        case "text":
            path.write_text("Dear diary, " * 100)
        case "empty":
            path.touch()
        case "directory":
            path.mkdir()
        case "cut":
            path.write_bytes(SLT.read_bytes()[:50])
    url = ["--url", daemon.url] if command == ["stream"] else []
    done = cli(*command, path, *url)
    assert (done.code, done.out) == (6, "")
    assert str(path) in done.err


def test_no_server_is_said_with_how_to_start_one(cli):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    done = cli("stream", SLT, "--url", f"ws://127.0.0.1:{port}/v1/stream")
    assert (done.code, done.out) == (4, "")
    assert "streamd serve" in done.err


@pytest.mark.parametrize("path", ["/nothing", "/health"])
def test_a_wrong_path_is_refused_with_the_right_one(cli, daemon: Daemon, path):
    done = cli("stream", SLT, "--url", daemon.url.replace("/v1/stream", path))
    assert (done.code, done.out) == (5 if path == "/nothing" else done.code, "")
    assert done.code in (4, 5)
    assert "/v1/stream" in done.err or "not streamd" in done.err


def test_a_full_server_is_a_refusal(cli, serve):
    running = serve(limits__max_streams=1)
    first = cli.start("stream", "-", "--url", running.url)
    assert first.stdout is not None
    assert b"ready" in first.stdout.readline()
    done = cli("stream", SLT, "--url", running.url)
    assert done.code == 5
    assert "overloaded" in done.err
    first.communicate(timeout=HANG_S)


def test_a_server_that_restarts_is_waited_for_and_its_new_session_is_said(cli, serve):
    running = serve()
    process = cli.start("stream", SLT, "--url", running.url)
    assert process.stdout is not None
    while json.loads(process.stdout.readline())["type"] != "speech_start":
        pass
    running.stop()
    serve("--port", str(urlsplit(running.http_url).port))
    out, err = process.communicate(timeout=HANG_S)
    kinds = [json.loads(line)["type"] for line in out.splitlines()]
    assert kinds.index("draining") < kinds.index("speech_end") < kinds.index("ready")
    assert kinds[-1] == "bye"
    assert process.returncode == 0
    assert b"Disconnected: restarting" in err
    assert b"new session" in err
    assert b"Traceback" not in err


@pytest.mark.parametrize("settings", [{"STREAMD_MODELS": "empty"}, {"STREAMD_MODELS": "none"}])
@pytest.mark.parametrize(
    "command", [["analyze", SLT], ["serve", "--port", "0"], ["enroll", "a", SLT]]
)
def test_models_that_cannot_be_had_are_7_and_it_says_what_to_do(cli, tmp_path, command, settings):
    models = tmp_path / settings["STREAMD_MODELS"]
    if models.name == "empty":
        models.mkdir()
    run = cli.process if command[0] == "serve" else cli
    done = run(*command, STREAMD_MODELS=models, **NO_NETWORK)
    assert (done.code, done.out) == (7, "")
    assert "streamd models pull --to DIR" in done.err
    assert "STREAMD_MODELS" in done.err


@pytest.mark.parametrize(
    "command", [["analyze", SLT], ["stream", SLT, "--fast"], ["stream", "-"], ["serve"]]
)
def test_ctrl_c_ends_without_a_traceback(cli, daemon: Daemon, command, tmp_path):
    if command[0] == "analyze":
        long = tmp_path / "long.wav"
        soundfile.write(long, np.tile(np.frombuffer(speech(), "<i2"), 60), 16_000)
        command = ["analyze", long]
    elif command == ["stream", SLT, "--fast"]:
        command = ["stream", SLT, "--url", daemon.url]
    elif command[0] == "stream":
        command = [*command, "--url", daemon.url]
    else:
        command = ["serve", "--port", "0"]
    process = cli.start(*command)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=HANG_S)
    assert process.returncode == (0 if command[0] == "serve" else 130)
    assert b"Traceback" not in err
    assert b"never" not in err


@pytest.mark.parametrize("command", ["analyze", "stream --fast"])
def test_a_reader_who_has_seen_enough_is_no_error(tmp_path, daemon: Daemon, command):
    url = f"--url {daemon.url}" if command.startswith("stream") else ""
    line = f"{' '.join(STREAMD)} {command} {SLT} {url} | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", line],
        env=environment(tmp_path),
        capture_output=True,
        check=False,
        text=True,
        timeout=HANG_S,
    )
    first, code = done.stdout.splitlines()
    assert json.loads(first)["type"] in ("ready", "speech_start")
    assert (code, done.stderr) == ("0", "")


@pytest.mark.parametrize("command", [["analyze", SLT], ["models", "list"], ["config", "check"]])
def test_an_output_that_is_full_is_said(cli, command):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full here")
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [*STREAMD, *map(str, command)],
            env=environment(cli.home),
            stdout=full,
            stderr=subprocess.PIPE,
            check=False,
            timeout=HANG_S,
        )
    assert done.returncode == 8
    assert b"No space left" in done.stderr
    assert b"Traceback" not in done.stderr
