"""`--tenant`: voices and words of one tenant are nobody else's."""

import json

import pytest
from conftest import Cli
from daemons import DATA
from fakes.lantern import CLIP_VOICES, PHRASES

SLT = DATA / "speech_slt.flac"
WORD = [PHRASES[voice] for voice in CLIP_VOICES]


def listed(cli: Cli, what: str, *tenant: str) -> list[str]:
    return [one["name"] for one in json.loads(cli(what, "list", "--json", *tenant).out)]


def test_a_voice_belongs_to_its_tenant(cli):
    assert cli("enroll", "anna", SLT, "--tenant", "acme").code == 0
    assert listed(cli, "speakers") == []
    assert listed(cli, "speakers", "--tenant", "acme") == ["anna"]
    assert "anna" in cli("speakers", "--tenant", "acme").out
    assert json.loads(cli("speakers", "--tenant", "acme", "list", "--json").out) != []

    for command in (["delete", "anna"], ["rename", "anna", "bert"]):
        for tenant in ([], ["--tenant", "other"]):
            missed = cli("speakers", *command, *tenant)
            assert missed.code == 2
            assert f"`streamd speakers{' ' if tenant else ''}{' '.join(tenant)}`" in missed.err
    assert (
        cli("speakers", "--tenant", "other", "rename", "anna", "bert", "--tenant", "acme").code == 0
    )
    assert cli("speakers", "--tenant", "acme", "delete", "bert").code == 0
    assert listed(cli, "speakers", "--tenant", "acme") == []


def test_analyze_knows_the_voices_of_the_tenant_alone(cli):
    cli("enroll", "anna", SLT, "--tenant", "acme")

    def named(*tenant: str) -> set[str]:
        events = cli("analyze", SLT, "--json", *tenant).events
        return {event["speaker"] for event in events if event.get("decision") == "accept"}

    assert "anna" in named("--tenant", "acme")
    assert "anna" not in named()
    assert "anna" not in named("--tenant", "default")
    assert "1 enrolled voice" in cli("doctor").out


def test_a_word_belongs_to_its_tenant(cli):
    assert cli("words", "add", "hey_lantern", *WORD, "--tenant", "acme").code == 0
    assert listed(cli, "words") == []
    assert listed(cli, "words", "--tenant", "acme") == ["hey_lantern"]

    def woken(*tenant: str) -> tuple[list[str], list[str]]:
        events = cli("analyze", PHRASES["awb"], "-w", "hey_lantern", "-w", "alexa", *tenant).events
        words = [event["word"] for event in events if event["type"] == "wake"]
        return words, [event["code"] for event in events if event["type"] == "warning"]

    assert woken("--tenant", "acme") == (["hey_lantern"], [])
    assert woken() == ([], ["unknown_word"])
    missed = cli("words", "remove", "hey_lantern")
    assert (missed.code, "`streamd words`" in missed.err) == (2, True)
    assert cli("words", "remove", "hey_lantern", "--tenant", "acme").code == 0
    assert listed(cli, "words", "--tenant", "acme") == []


@pytest.mark.parametrize(
    "command",
    [
        ["enroll", "anna", SLT],
        ["speakers"],
        ["speakers", "delete", "anna"],
        ["words"],
        ["words", "add", "hey_lantern", *WORD],
        ["words", "remove", "hey_lantern"],
        ["analyze", SLT],
    ],
    ids=lambda command: " ".join(map(str, command[:2])),
)
@pytest.mark.parametrize("name", ["", "Acme", "../acme", "a" * 65])
def test_a_name_that_no_tenant_may_have_is_refused(cli, command, name):
    done = cli(*command, "--tenant", name)
    assert (done.code, done.out) == (2, "")
    assert "lower-case letters and digits" in done.err
    assert not list(cli.home.iterdir())


def test_a_tenant_is_for_the_own_server_of_the_bench(cli):
    done = cli("bench", "--url", "ws://127.0.0.1:1/v1/stream", "--tenant", "acme")
    assert done.code == 2
    assert "the key decides" in done.err
