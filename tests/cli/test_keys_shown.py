"""`--key` and `STREAMD_KEY`: whose voices a key opens, and what is said where it opens nothing."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from conftest import Cli
from daemons import DATA, Daemon, keys
from test_mic import DRIVER
from waiting import HANG_S, wait_until

from streamd.cli.credentials import shown_to
from streamd.client import RefusedByServer
from streamd.models.library import default_directory

SLT = DATA / "speech_slt.flac"
UNKNOWN = "sk_0123456789ab_" + "x" * 43
BENCH = ("--start", 1, "--max", 1, "--step-s", 1, "--p99-ms", 30_000)


@dataclass
class Locked:
    """A daemon that lets nobody in without a key, and keys for it."""

    daemon: Daemon
    cli: Cli
    stream: str
    """Of the tenant acme."""
    admin: str


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Locked]:
    home = tmp_path_factory.mktemp("locked")
    stream = keys(home, "create", "phone", "--tenant", "acme")
    admin = keys(home, "create", "operator", "--scope", "admin")
    with Daemon(home, access__keys="always", limits__max_lag_ms=0) as daemon:
        yield Locked(daemon, Cli(home), stream, admin)


def speakers(events: list[dict]) -> set[str]:
    return {event["speaker"] for event in events if event.get("decision") == "accept"}


def test_without_a_key_the_command_says_how_to_give_one(locked):
    for command in (("stream", SLT, "--fast"), ("bench", *BENCH)):
        done = locked.cli.process(*command, "--url", locked.daemon.url)
        assert (done.code, done.out) == (5, "")
        assert "--key" in done.err
        assert "STREAMD_KEY" in done.err
        assert "streamd keys create" in done.err


def test_a_key_that_the_server_does_not_know_is_refused_and_never_shown(locked):
    for command in (("stream", SLT, "--fast"), ("bench", *BENCH)):
        done = locked.cli.process(*command, "--url", locked.daemon.url, "--key", UNKNOWN)
        assert (done.code, done.out) == (5, "")
        assert "unknown, expired or revoked" in done.err
        assert UNKNOWN not in done.err


def test_a_key_that_no_header_can_carry_is_refused_before_it_is_sent(locked):
    done = locked.cli.process("stream", SLT, "--url", "ws://127.0.0.1:1/v1/stream", "--key", "a b")
    assert (done.code, done.out) == (2, "")
    assert "copy it again" in done.err


@pytest.mark.parametrize("how", ["option", "variable"])
def test_a_key_opens_the_voices_of_its_tenant(locked, how):
    assert locked.cli.process("enroll", "anna", SLT, "--tenant", "acme").code == 0
    option = ("--key", locked.stream) if how == "option" else ()
    settings = {} if option else {"STREAMD_KEY": locked.stream}
    url = ("--url", locked.daemon.url)

    def heard() -> set[str]:
        done = locked.cli.process("stream", SLT, "--fast", *url, *option, **settings)
        assert done.code == 0, done.err
        assert locked.stream not in done.err + done.out
        return speakers(done.events)

    wait_until(lambda: "anna" in heard())  # a running server knows it within two seconds
    other = locked.cli.process("stream", SLT, "--fast", *url, "--key", locked.admin)
    assert other.code == 0
    assert "anna" not in speakers(other.events)


def test_the_microphone_is_streamed_with_a_key(locked):
    process = locked.cli.start(
        "mic", "--url", locked.daemon.url, STREAMD_KEY=locked.stream, FAKE_MIC="unplugged", **DRIVER
    )
    out, err = process.communicate(timeout=HANG_S)
    kinds = [json.loads(line)["type"] for line in out.splitlines()]
    assert (kinds[0], kinds[-1]) == ("ready", "bye"), err


def test_the_bench_measures_a_server_with_a_key_and_keeps_it_to_itself(locked, tmp_path):
    out = tmp_path / "bench.json"
    settings = {"STREAMD_MODELS": default_directory()}
    for key, sees_metrics in ((locked.stream, False), (locked.admin, True)):
        done = locked.cli.process(
            "bench", *BENCH, "--url", locked.daemon.url, "--key", key, "--json", out, **settings
        )
        assert done.code == 0, done.err
        assert ("scope admin" in done.err) is not sees_metrics
        found = json.loads(out.read_text())
        assert found["capacity"] == 1
        assert key not in out.read_text() + done.err + done.out


@pytest.mark.parametrize(
    ("url", "key", "warned"),
    [
        ("ws://box:8765/v1/stream", "sk_1", True),
        ("ws://box:8765/v1/stream", None, False),
        ("wss://box:8765/v1/stream", "sk_1", False),
        ("ws://127.0.0.1:8765/v1/stream", "sk_1", False),
    ],
)
def test_a_key_that_the_network_can_read_is_warned_of(capsys, url, key, warned):
    with shown_to(url, key):
        pass
    assert ("wss://" in capsys.readouterr().err) is warned


def test_other_refusals_stay_as_they_are():
    refused = RefusedByServer("the machine is full", code="overloaded", status=503)
    with pytest.raises(RefusedByServer) as caught, shown_to("ws://127.0.0.1:1", "sk_1"):
        raise refused
    assert caught.value is refused
