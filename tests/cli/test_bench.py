"""`streamd bench`: against a server that runs, and with one of its own. Nothing here is timed."""

import json
import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from conftest import Cli
from waiting import HANG_S, wait_until
from websockets.sync.client import connect

from streamd.models.library import default_directory

MODELS = {"STREAMD_MODELS": default_directory()}


@pytest.fixture
def bench(cli: Cli):
    """Runs `streamd bench` in this process."""

    def run(*args, **settings):
        return cli("bench", *args, **{**MODELS, **settings})

    return run


def servers_of(pid: int) -> list[int]:
    """Servers that a bench has started and that live."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            words = (place / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue  # it is gone
        if b"streamd.bench.leash" in words and str(pid).encode() in words:
            found.append(int(place.name))
    return found


def test_a_running_server_is_measured_and_reported_in_every_form(bench, daemon, tmp_path):
    pytest.importorskip("matplotlib")
    out, plot = tmp_path / "bench.json", tmp_path / "plots" / "bench.svg"
    done = bench(
        "--url", daemon.url, "--start", 2, "--max", 4, "--step-s", 1, "--duty", 0.8,
        "--p99-ms", 30_000, "--words", "alexa, hey_marvin", "--json", out, "--plot", plot,
    )  # fmt: skip
    assert done.code == 0, done.err
    assert "Carries at least 4 live streams; more were not tried" in done.out
    assert "4 streams: held" in done.err
    found = json.loads(out.read_text())
    assert (found["capacity"], found["ended"], found["broke"]) == (4, "max", None)
    assert [step["streams"] for step in found["steps"]] == [2, 4]
    assert found["server"]["modules"]["wake"]["words"] == ["alexa", "hey_marvin"]
    assert found["options"]["words"] == ["alexa", "hey_marvin"]
    assert found["versions"].keys() >= {"streamd", "python", "numpy", "onnxruntime"}
    step = found["at_capacity"]
    assert step == found["steps"][1]
    assert (step["refused"], step["lost"], step["shed"]) == ({}, {}, {})
    assert step["ready"] == 4
    assert step["latency_ms"]["all"]["n"] > 0
    assert 0.4 < step["voiced"] <= 1
    if sys.platform == "linux":
        assert step["server"]["cpu_ms"] > 0
        # A window is speculative where the load is light, else computed when it is due.
        voices = {"voice", "voice_speculative", "voiceprint"}
        others = step["server"]["stages_ms"].keys() - voices - {"emotion"}
        assert others == {"vad", "wake", "rest"}
        assert step["server"]["stages_ms"].keys() & voices
        assert found["memory"]["before_bytes"] > 1e6
    assert plot.read_text().lstrip().startswith("<?xml")
    assert daemon.streams == 0


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_interrupted_it_prints_the_results_so_far_and_leaves_no_server(cli: Cli, tmp_path):
    out = tmp_path / "bench.json"
    running = cli.start(
        "bench", "--start", 1, "--step-s", 1, "--cores", 1, "--json", out, "--p99-ms", 30_000,
        **MODELS, TMPDIR=tmp_path, STREAMD_LIMITS__MAX_STREAMS=1, PYTHONUNBUFFERED=1,
    )  # fmt: skip
    for line in running.stderr:
        if line.startswith(b"1 streams: held"):
            break
    assert len(servers_of(running.pid)) == 1
    running.send_signal(signal.SIGINT)
    said, complained = (text.decode() for text in running.communicate(timeout=HANG_S))
    assert running.returncode == 130
    assert "interrupted; more were not tried" in said
    assert complained == ""
    found = json.loads(out.read_text())
    assert (found["ended"], found["server"]["cores"]) == ("interrupted", 1)
    assert found["capacity"] >= 1
    assert servers_of(running.pid) == []
    assert not list(tmp_path.glob("streamd-bench-*"))
    assert list(cli.home.iterdir()) == []


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_killed_it_leaves_no_server_either(cli: Cli, tmp_path):
    running = cli.start("bench", **MODELS, TMPDIR=tmp_path)
    wait_until(lambda: servers_of(running.pid))
    running.kill()
    running.communicate()
    wait_until(lambda: not servers_of(running.pid))


def test_a_server_that_is_full_is_said_to_be(bench, serve, tmp_path):
    out = tmp_path / "bench.json"
    own = serve(limits__max_streams=3)
    args = ("--url", own.url, "--modules", "vad", "--step-s", 1, "--json", out, "--p99-ms", 30_000)
    done = bench(*args, "--start", 3)
    assert done.code == 0, done.err
    assert "at least 3 live streams; above that, the server refuses streams" in done.out
    found = json.loads(out.read_text())
    assert (found["capacity"], found["ended"]) == (3, "refused")
    assert found["broke"] == {"streams": 4, "why": "refused: 1 × HTTP 503"}
    assert list(found["at_capacity"]["server"]["stages_ms"]) == ["vad", "rest"]

    with ExitStack() as others:
        for _ in range(3):
            others.enter_context(connect(own.url, proxy=None))
        done = bench(*args)
    assert done.code == 5
    assert "it is full (its limits.max_streams)" in done.err


@pytest.mark.parametrize(
    ("args", "code", "fault"),
    [
        (
            ["--modules", "vad,ears"],
            2,
            "--modules: unknown name 'ears'; available: vad, wake, speaker, emotion",
        ),
        (["--words", ","], 2, "--words: expected names separated by commas"),
        (["--start", 9, "--max", 8], 2, "--start 9 is above --max 8"),
        (["--url", "ws://x/", "--cores", 1], 2, "leave out --url"),
        (["--cores", 9999], 2, "--cores 9999: this process may use"),
        (["--url", "ws://127.0.0.1:1/v1/stream"], 4, "start one with: streamd serve"),
        (["--url", "nowhere"], 2, "not a WebSocket URL"),
        (["--audio", "gone.wav"], 6, "gone.wav: no such file"),
        (["--audio", Path(__file__).parent], 6, "no audio files in it"),
        (["--json", "/nowhere/x.json"], 8, "/nowhere/x.json: cannot be written"),
        (["--plot", "x.xyz"], 1, "use .png, .svg or .pdf"),
        (["--config", "gone.toml"], 3, "gone.toml: cannot be read"),
    ],
)
def test_wrong_use_is_refused_in_a_line(bench, args, code, fault):
    if "--plot" in args:
        pytest.importorskip("matplotlib")
    done = bench(*args)
    assert (done.code, done.out) == (code, "")
    assert fault in done.err
    assert "Traceback" not in done.err


def test_an_unknown_word_is_refused_with_those_that_there_are(bench, daemon):
    for words in ("abracadabra", "alexa,abracadabra"):
        done = bench("--url", daemon.url, "--words", words)
        assert done.code == 2
        assert "abracadabra" in done.err
        assert "loaded: alexa" in done.err


def test_a_server_that_does_not_start_says_why(bench):
    done = bench(STREAMD_ENGINE__BACKEND="abacus")
    assert done.code == 3
    assert "the server did not start: engine.backend: unknown backend 'abacus'" in done.err


def test_without_matplotlib_it_says_what_to_install(bench, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    done = bench("--plot", "x.png")
    assert done.code == 1
    assert "pip install 'streamd-voice[plot]'" in done.err


def test_a_process_of_the_load_ends_with_its_pipe():
    done = subprocess.run(
        [sys.executable, "-m", "streamd.bench.worker"],
        input=b"",
        capture_output=True,
        env=os.environ | {"PYTHONWARNINGS": "error"},
        timeout=HANG_S,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
