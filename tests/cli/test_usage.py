"""The edges of the command line: options, pipes and bare commands."""

import contextlib
import json
import os
import subprocess
import tomllib
from pathlib import Path

import pytest
from conftest import Cli
from daemons import DATA, DEFAULT, STREAMD, Daemon, environment, speech

from streamd import __version__
from streamd.config import Config, load
from streamd.config.loading import leaves

SLT = DATA / "speech_slt.flac"


def log_of(done) -> list[dict]:
    return [{**event, "seq": 0} for event in done.events]


# Configuration.


def test_config_check_prints_toml_that_is_read_back_alike(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "streamd.toml"
    settings = {
        "STREAMD_SERVER__PORT": 9000,
        "STREAMD_STORE__PATH": '/tmp/a "b"  # c\\d\u00e9',
        "STREAMD_WAKE__THRESHOLDS": '{ alexa = 0.6, "timer" = 0.7 }',
    }
    first = cli("config", **settings, **DEFAULT)
    assert (first.code, first.err) == (0, "")
    tomllib.loads(first.out)
    assert "port = 9000  # STREAMD_SERVER__PORT; default 8765" in first.out
    file.write_text(first.out, encoding="utf-8")
    wanted = dict(leaves(load(None, {k: str(v) for k, v in settings.items()})))
    assert dict(leaves(load(file, {}))) == wanted
    assert cli("config", "check", "--config", file).out.replace("\n", "").count(str(file)) > 10


def test_config_init_writes_the_commented_file_and_overwrites_none(cli: Cli, tmp_path) -> None:
    file = tmp_path / "new.toml"
    done = cli("config", "init", file)
    assert (done.code, done.out) == (0, "")
    assert str(file) in done.err
    assert file.read_text(encoding="utf-8") == cli("config", "init").out
    assert load(file, {}).origins == {}
    assert dict(leaves(load(file, {}))) == dict(leaves(Config()))
    file.write_text("mine")
    again = cli("config", "init", file)
    assert again.code == 2
    assert file.read_text() == "mine"


# Doctor, enroll.


def test_doctor_knows_its_own_server_by_its_port(cli: Cli, daemon: Daemon) -> None:
    port = daemon.http_url.rpartition(":")[2]
    done = cli("doctor", "--json", STREAMD_SERVER__PORT=port)
    checks = {check["check"]: check for check in json.loads(done.out)}
    assert checks["port"]["status"] == "ok"
    assert f"streamd {__version__} is running here" in checks["port"]["message"]
    assert done.code == 0


def test_a_recording_that_is_given_twice_counts_once(cli: Cli, tmp_path: Path) -> None:
    copy, link = tmp_path / "copy.flac", tmp_path / "link.flac"
    copy.write_bytes(SLT.read_bytes())
    link.symlink_to(SLT)
    done = cli("enroll", "ann", SLT, SLT, copy, link)
    assert done.code == 0
    assert done.err.count("is the same recording as") == 3
    again = cli("enroll", "ann", copy, DATA / "speech_rms.flac")
    assert again.code == 0
    assert f"ann is already enrolled with {copy}; it counts once" in again.err
    assert (once := cli("enroll", "ann", SLT)).code == 0
    assert "counts once" in once.err
    (row,) = json.loads(cli("speakers", "--json").out)
    assert row["enrolments"] == 2


# Usage.


@pytest.mark.parametrize("option", [["--rate", 8000], ["--channels", 2], ["--codec", "mulaw"]])
@pytest.mark.parametrize("command", ["stream", "analyze"])
def test_options_of_raw_audio_are_refused_for_a_file(cli: Cli, command: str, option: list) -> None:
    done = cli(command, SLT, *option)
    assert (done.code, done.out) == (2, "")
    assert f"{option[0]} is for raw audio on stdin (-)" in done.err


@pytest.mark.parametrize(
    "url", ["nowhere", "http://127.0.0.1:8765", "ws://", "ws://[::1", "ws://h:99999/", "ws://h:x/"]
)
@pytest.mark.parametrize("command", [["stream", SLT], ["mic"], ["bench"]])
def test_what_is_no_url_is_wrong_usage(cli: Cli, command: list, url: str) -> None:
    done = cli(*command, "--url", url)
    assert (done.code, done.out) == (2, "")
    assert f"{url}: not a WebSocket URL" in done.err


def test_bare_commands_list(cli: Cli) -> None:
    assert cli("models").out == cli("models", "list").out
    assert cli("config").out == cli("config", "check").out
    assert json.loads(cli("models", "--json").out)
    assert json.loads(cli("words", "--json").out) == json.loads(cli("speakers", "--json").out) == []


def test_short_options_of_help_and_version(cli: Cli) -> None:
    assert cli("-V").out == cli("--version").out == f"streamd {__version__}\n"
    assert cli("-h").out == cli("--help").out
    for command in (["stream"], ["words", "add"], ["config", "check"]):
        assert cli(*command, "-h").out == cli(*command, "--help").out


def test_the_level_of_the_log_is_an_option_of_serve(cli: Cli) -> None:
    assert cli("serve", "--log-level", "loud").code == 2
    assert "debug" in cli("serve", "--help").out


# What is shown.


def test_only_chosen_events_are_shown(cli: Cli, daemon: Daemon) -> None:
    everything = cli("stream", SLT, "--fast", "--url", daemon.url).events
    chosen = cli("stream", SLT, "--fast", "--url", daemon.url, "--events", "wake, speaker").events
    assert {event["type"] for event in chosen} == {"wake", "speaker"}
    quiet = cli("stream", SLT, "--fast", "--url", daemon.url, "--no-acks").events
    assert {e["type"] for e in everything} - {e["type"] for e in quiet} == {"ack"}
    local = cli("analyze", SLT, "--events", "wake").events
    assert [event["type"] for event in local] == ["wake"]
    wrong = cli("analyze", SLT, "--events", "wakes")
    assert (wrong.code, wrong.out) == (2, "")
    assert "unknown event 'wakes'; known: ack" in wrong.err


# stdin and stdout.


@pytest.mark.parametrize("command", [["analyze"], ["stream", "--fast", "--url"]])
def test_lines_on_a_terminal_share_it_with_no_bar(cli: Cli, daemon: Daemon, command: list) -> None:
    ours, theirs = os.openpty()
    url = [daemon.url] if "--url" in command else []
    with subprocess.Popen(
        [*STREAMD, *command, *url, str(SLT), "--json"],
        env=environment(cli.home, COLUMNS=200, TERM="xterm"),
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    ):
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # how the end of a terminal reads
            while data := os.read(ours, 65_536):
                shown += data
    os.close(ours)
    events = [json.loads(line) for line in shown.decode().splitlines()]
    assert "speech_end" in [event["type"] for event in events]


def test_analyze_takes_a_file_or_raw_samples_on_stdin(cli: Cli) -> None:
    wanted = cli("analyze", SLT)
    for args, stdin in (
        ([], SLT.read_bytes()),
        ([], speech("slt")),
        (["--rate", 16_000], speech("slt")),
    ):
        done = cli.process("analyze", "-", *args, stdin=stdin)
        assert (done.code, done.err) == (0, "")
        assert log_of(done) == log_of(wanted)
    assert cli.process("analyze", "-").out == ""
    wrong = cli.process("analyze", "-", "--rate", 400, stdin=b"\0" * 100)
    assert wrong.code == 2
    assert "`audio.rate`: expected a whole number from 8000 to 48000, got 400" in wrong.err


def test_analyze_knows_a_transport_stream_on_stdin(cli: Cli) -> None:
    path = DATA / "containers" / "plain.ts"
    done = cli.process("analyze", "-", stdin=path.read_bytes())
    assert (done.code, done.err) == (0, "")
    assert log_of(done) == log_of(cli("analyze", path)) != []


@pytest.mark.parametrize(
    "command", ["models list", "models list --json", "config check", "doctor --json", "--help"]
)
def test_a_reader_that_leaves_is_no_error(tmp_path: Path, command: str) -> None:
    """`true` never reads, so that even a short output finds nobody."""
    line = f"{' '.join(STREAMD)} {command} | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", line],
        env=environment(tmp_path, server__port=0),
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )
    assert (done.stdout, done.stderr) == ("0\n", "")
