"""The conformance vectors are what a server answers, and tell a client that departs from one."""

import json
import subprocess
import sys
from copy import deepcopy

import pytest
from conformance import AUDIO, FOLDER, Seen, differences, vectors
from vector_drafts import drafts, sounds
from vector_player import Player, staged
from vectors_made import expected, written
from waiting import HANG_S

ALL = vectors()
COMPUTED = {"slt_8k.mulaw", "slt_8k.s16le", "slt.opus-packets", "damaged.opus-packets"}
"""Files that another version of the resampler or the encoder may round otherwise."""


@pytest.mark.models
@pytest.mark.parametrize("vector", ALL, ids=[vector.name for vector in ALL])
async def test_a_server_answers_as_the_vector_says(vector, daemon):
    async with staged(daemon, vector) as stage:
        seen = await Player(stage, vector).play()
    assert differences(vector, seen) == [], "run: python tests/vectors_made.py"
    assert expected(vector, seen).keys() == vector.expect.keys()


def test_the_committed_vectors_are_those_that_the_script_writes():
    made = {draft.name: draft for draft in drafts()}
    assert {path.stem for path in FOLDER.glob("*.json")} == made.keys()
    for vector in ALL:
        made[vector.name].expect.update(vector.expect)
        text = (FOLDER / f"{vector.name}.json").read_text(encoding="utf-8")
        assert written(made[vector.name]) == text, vector.name


def test_the_committed_audio_is_that_of_the_clips():
    made = sounds()
    assert {path.name for path in AUDIO.iterdir()} == made.keys()
    for name in made.keys() - COMPUTED:
        assert (AUDIO / name).read_bytes() == made[name], name


def test_the_example_of_the_readme_is_a_vector():
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    example = page.split("```json\n")[1].split("```")[0]
    assert example == (FOLDER / "drop_in_a_sentence.json").read_text(encoding="utf-8")


def perfect() -> Seen:
    """What a client receives that passes `drop_in_a_sentence`."""
    (vector,) = [one for one in ALL if one.name == "drop_in_a_sentence"]
    expect = deepcopy(vector.expect)
    log = [{"type": kind, **event} for kind, events in expect["log"].items() for event in events]
    numbered = [{**event, "seq": seq} for seq, event in enumerate(log, 1)]
    readies = [{"type": "ready", **expect[name]} for name in ("ready", "resumed")]
    ack = {"type": "ack", "samples": expect["acked"]}
    return Seen([*readies, *numbered, ack], close=1000)


def changed(kind: str, **fields: object) -> Seen:
    seen = perfect()
    seen.of(kind)[0].update(fields)
    return seen


def without(kind: str) -> Seen:
    seen = perfect()
    return Seen([event for event in seen.events if event["type"] != kind], close=1000)


@pytest.mark.parametrize(
    ("seen", "named"),
    [
        (changed("speech_end", t1=2049), "speech_end"),
        (changed("wake", score=0.95), "wake"),
        (changed("wake", word=None), "wake"),
        (changed("ready", protocol=2), "ready"),
        (changed("ack", samples=1), "acked"),
        (changed("wake", seq=1), "seq"),
        (without("wake"), "wake"),
        (without("ack"), "acked"),
        (Seen([*perfect().events, {"type": "wake", "seq": 99}], close=1000), "wake"),
        (Seen([*perfect().events, {"type": "a_later_one", "seq": 99}], close=1000), "a_later_one"),
        (Seen(perfect().events, close=None), "close"),
        (Seen([], http=401), "close"),
    ],
    ids=[
        "a time",
        "a score",
        "a text",
        "ready",
        "ack",
        "a number twice",
        "no event",
        "no ack",
        "one more",
        "an unknown one more",
        "no close",
        "refused",
    ],
)
def test_a_client_that_departs_from_a_vector_is_told_where(seen, named):
    (vector,) = [one for one in ALL if one.name == "drop_in_a_sentence"]
    assert differences(vector, perfect()) == []
    assert any(line.startswith(f"{named}:") for line in differences(vector, seen))


@pytest.mark.parametrize(
    ("close", "said", "code"),
    [("1000", "no difference\n", 0), ("4000", "close: expected 1000, got 4000\n", 1)],
)
def test_the_script_compares_what_any_client_printed(close, said, code):
    script = FOLDER.parent / "conformance.py"
    command = [sys.executable, "-I", script, "drop_in_a_sentence", "--close", close]
    lines = "\n".join(json.dumps(event) for event in perfect().events)
    done = subprocess.run(
        command, input=lines, capture_output=True, text=True, timeout=HANG_S, check=False
    )
    assert (done.stdout, done.stderr, done.returncode) == (said, "", code)


def test_what_a_client_may_receive_besides_is_no_difference():
    (vector,) = [one for one in ALL if one.name == "drop_in_a_sentence"]
    seen = changed("wake", score=0.9990, a_later_field=1)
    seen.events.insert(3, {"type": "a_later_interim", "final": False})
    seen.events.insert(3, {"type": "pong", "t": 1})
    assert differences(vector, seen) == []
