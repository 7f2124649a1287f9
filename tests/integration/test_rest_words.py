"""`/v1/words`: a wake word from recordings over REST, and what may be wrong with them."""

import json

import pytest
from daemons import DATA, VOICES, Daemon, converse
from uploading import SPEECH, ask, post

CLIPS = [(DATA / f"phrase_{voice}.flac").read_bytes() for voice in VOICES]


def clips(count: int) -> list[tuple[str, bytes]]:
    return [("clips", clip) for clip in CLIPS[:count]]


async def test_a_word_is_made_used_and_deleted(serve) -> None:
    daemon = serve()
    answer = post(daemon, "/v1/words/hey_lantern", ("threshold", "0.4"), *clips(4))
    assert answer.status == 201, answer.body
    made = answer.json
    assert (made["word"], made["source"], made["clips"]) == ("hey_lantern", "clips", 4)
    assert made["threshold"] == 0.4
    assert made["created_ms"] > 1_700_000_000_000
    for figure in made["estimate"].values():
        value, low, high = figure
        assert low <= value <= high
    assert all(set(warning) == {"code", "message"} for warning in made["warnings"])
    assert made["processing_time_ms"] > 0

    # At once, and for streams too.
    listed = {word["word"]: word for word in ask(daemon, "GET", "/v1/words").json["words"]}
    assert listed["hey_lantern"]["estimate"] == made["estimate"]
    found = post(daemon, "/v1/detect", ("words", "hey_lantern"), ("audio", CLIPS[0])).json
    assert [one["word"] for one in found["detections"]] == ["hey_lantern"]
    # A client that names no words, and cannot, gets it too.
    found = post(daemon, "/detect", ("audio_file", CLIPS[0])).json
    assert "hey_lantern" in {one["word"] for one in found["detections"]}
    assert "hey_lantern" in ask(daemon, "GET", "/info").json["keywords"]
    hello = {"type": "hello", "modules": {"wake": {"words": ["hey_lantern"]}}}
    received = await converse(daemon.url, hello, {"type": "end"})
    assert received.of("ready")[0]["modules"]["wake"]["words"] == ["hey_lantern"]

    again = post(daemon, "/v1/words/hey_lantern", *clips(3))
    assert (again.status, again.error["code"]) == (409, "conflict")

    gone = ask(daemon, "DELETE", "/v1/words/hey_lantern")
    assert gone.status == 200
    assert (gone.json["deleted"], gone.json["word"]) == (True, "hey_lantern")
    gone = ask(daemon, "DELETE", "/v1/words/hey_lantern")
    assert (gone.status, gone.error["code"]) == (404, "not_found")
    unknown = post(daemon, "/v1/detect", ("words", "hey_lantern"), ("audio", CLIPS[0]))
    assert unknown.error["code"] == "bad_input"
    actions = [
        json.loads(line)["action"]
        for log in daemon.home.rglob("audit*")
        if log.is_file()
        for line in log.read_text().splitlines()
    ]
    assert actions.count("word_added") == actions.count("word_removed") == 1
    assert daemon.complaints() == []


@pytest.mark.parametrize(
    ("name", "parts", "status", "code"),
    [
        ("hey_lantern", clips(2), 400, "bad_input"),
        ("hey_lantern", [], 400, "bad_input"),
        ("hey_lantern", [("text", "hey lantern")], 501, "not_loaded"),
        ("hey_lantern", [*clips(2), clips(1)[0]], 415, "not_audio"),
        ("hey_lantern", [*clips(2), ("clips", b"nonsense" * 9)], 415, "not_audio"),
        ("hey_lantern", [*clips(2), ("clips", SPEECH)], 415, "not_audio"),
        ("hey_lantern", clips(1) * 51, 400, "bad_input"),
        ("hey_lantern", [("threshold", "1"), *clips(3)], 422, "out_of_range"),
        ("alexa", clips(3), 409, "conflict"),
        ("Hey", clips(3), 400, "bad_name"),
        ("%2F", clips(3), 400, "bad_name"),
    ],
    ids=str,
)
def test_a_word_that_cannot_be_made_is_refused(
    daemon: Daemon, name: str, parts: list[tuple[str, str | bytes]], status: int, code: str
) -> None:
    answer = post(daemon, f"/v1/words/{name}", *parts)
    assert (answer.status, answer.error["code"]) == (status, code)
