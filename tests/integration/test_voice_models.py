"""Voices go on when `speaker.model` changes: over a socket, over REST, and back."""

import json
from pathlib import Path
from typing import Any

import pytest
from daemons import Daemon, converse, cut, silence, speech
from uploading import SPEECH, ask, post

END = {"type": "end"}
HELLO = {"type": "hello", "modules": {"vad": {}, "speaker": {}}}
GE2E, MAIN = "ge2e-resemblyzer-0.1.4", "campplus-zh-en-advanced"
TALK, OTHER = speech("slt", 5.0), speech("rms", 4.0)
PAUSE = silence(1.0)


def enrol(daemon: Daemon) -> dict[str, Any]:
    answer = post(daemon, "/v1/speakers/Ada", ("audio", SPEECH))
    assert answer.status == 201
    return answer.json


async def check_that_ada_is_known(daemon: Daemon) -> None:
    received = await converse(daemon.url, HELLO, cut(TALK + PAUSE + OTHER), END)
    mine, theirs = [event for event in received.of("speaker") if event["final"]]
    assert (mine["decision"], mine["speaker"]) == ("accept", "Ada")
    assert theirs["decision"] != "accept"
    found = post(daemon, "/v1/identify?limit=1", ("audio", SPEECH)).json
    assert (found["decision"], found["speaker"]) == ("accept", "Ada")
    assert [one["speaker"] for one in found["candidates"]] == ["Ada"]
    same = post(daemon, "/v1/verify-speaker", ("reference", SPEECH), ("test", SPEECH)).json
    assert same["decision"] == "accept"


def models_of_ada(daemon: Daemon) -> list[str]:
    (ada,) = ask(daemon, "GET", "/v1/speakers").json["speakers"]
    assert ada["speaker"] == "Ada"
    return ada["models"]


def warnings(daemon: Daemon) -> list[int]:
    lines = [json.loads(x) for x in daemon.log.read_text().splitlines() if x.startswith("{")]
    return [x["voices"] for x in lines if "another model" in str(x)]


@pytest.mark.parametrize(("model", "id_"), [("campplus", MAIN), ("campplus-int8", f"{MAIN}-int8")])
async def test_a_voice_of_ge2e_goes_on_under_campplus_and_back(
    tmp_path: Path, model: str, id_: str
) -> None:
    with Daemon(tmp_path, speaker__model="ge2e") as daemon:
        enrol(daemon)
        assert warnings(daemon) == []
    with Daemon(tmp_path, speaker__model=model) as daemon:
        assert models_of_ada(daemon) == [GE2E]
        assert warnings(daemon) == [1]
        await check_that_ada_is_known(daemon)
        # The same file makes the voice one of both.
        again = enrol(daemon)
        assert (again["enrolments"], again["enrolment"]["models"]) == (1, [id_, GE2E])
        assert models_of_ada(daemon) == [id_, GE2E]
        await check_that_ada_is_known(daemon)
    with Daemon(tmp_path, speaker__model="ge2e") as daemon:
        await check_that_ada_is_known(daemon)
        assert warnings(daemon) == []


async def test_what_a_stream_enrols_is_kept_for_both_models_and_known_in_fewer_bits(
    tmp_path: Path,
) -> None:
    with Daemon(tmp_path, speaker__model="campplus") as daemon:
        request = {"type": "enrol", "id": "e1", "speaker": "Ada", "utterances": ["u1"]}
        received = await converse(daemon.url, HELLO, [*cut(TALK + PAUSE)], request, END)
        (answer,) = received.of("enrolled")
        assert answer["quality"]["verdict"] in ("good", "usable")
        assert models_of_ada(daemon) == [MAIN, GE2E]
        await check_that_ada_is_known(daemon)
    for model in ("campplus-int8", "ge2e", "ge2e-int8"):
        with Daemon(tmp_path, speaker__model=model) as daemon:
            assert models_of_ada(daemon) == [MAIN, GE2E]
            await check_that_ada_is_known(daemon)
            assert warnings(daemon) == []
