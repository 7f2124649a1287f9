"""Files over REST: each path and what it answers, however the file is sent."""

import base64
import gzip
import json
import struct
from contextlib import closing
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from daemons import DATA, Daemon, assert_same_log, converse, cut, speech
from fakes.keys import make_key, store_of
from fakes.own_words import word
from uploading import BOUNDARY, PHRASE, SPEECH, ask, multipart, post, post_json

LABELS = {"angry", "disgust", "fearful", "happy", "neutral", "sad", "surprised"}
BASE64 = base64.b64encode(SPEECH).decode()
FILE_PATHS = (
    "/v1/detect",
    "/detect",
    "/v1/emotion",
    "/analyze",
    "/upload",
    "/analyze-emotion",
    "/v1/analyze",
)


def wav(seconds: float, level: float = 0.0) -> bytes:
    file = BytesIO()
    noise = np.random.default_rng(0).normal(0, level, int(16_000 * seconds))
    soundfile.write(file, noise, 16_000, format="WAV", subtype="PCM_16")
    return file.getvalue()


def same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether two replies are equal but for the time that they took."""
    assert one.pop("processing_time_ms") > 0
    assert other.pop("processing_time_ms") > 0
    return one == other


@pytest.mark.parametrize("path", ["/v1/detect", "/detect"])
def test_detect_says_which_word_was_said_and_when(daemon: Daemon, path: str) -> None:
    answer = post(daemon, path, ("audio_file", SPEECH), ("words", "alexa,timer"))
    assert answer.status == 200
    found = answer.json
    assert (found["success"], found["detected"], found["keyword"]) == (True, True, "alexa")
    assert found["confidence"] > 0.9
    assert found["timestamp"] == found["detections"][0]["t0"] / 1000
    assert set(found["detections"][0]) == {"word", "score", "t0", "t1"}
    assert found["processing_time_ms"] > 0


def test_a_client_that_names_no_words_gets_each_that_the_server_lists(daemon: Daemon) -> None:
    """Earlier callers cannot name words, and look at the `keywords` of `/info`."""
    listed = {word["word"] for word in ask(daemon, "GET", "/v1/words").json["words"]}
    assert listed == set(ask(daemon, "GET", "/info").json["keywords"])
    every = post(daemon, "/detect", ("audio_file", SPEECH), ("words", ",".join(listed))).json
    found = post(daemon, "/detect", ("audio_file", SPEECH)).json
    assert same(found, every)
    assert {"alexa", "hey_jarvis"} < {one["word"] for one in found["detections"]}
    assert found["keyword"] == "alexa"


def test_a_server_without_words_says_what_to_do(tmp_path: Path) -> None:
    def refusal(daemon: Daemon) -> str:
        assert ask(daemon, "GET", "/v1/words").json["words"] == []
        answer = post(daemon, "/detect", ("audio_file", SPEECH))
        assert (answer.status, answer.error["code"]) == (501, "not_loaded")
        message: str = answer.error["message"]
        return message

    with Daemon(tmp_path, wake__load="[]", wake__words="[]") as daemon:
        assert "[wake]" in refusal(daemon)
    with closing(store_of(tmp_path)) as store:
        store.add_word(word("hey_lantern"))
    with Daemon(tmp_path, wake__load="[]", wake__words='["hey_lantern"]') as daemon:
        assert post(daemon, "/detect", ("audio_file", SPEECH)).json["success"] is True
        assert ask(daemon, "GET", "/info").json["keywords"] == ["hey_lantern"]
        assert ask(daemon, "DELETE", "/v1/words/hey_lantern").status == 200
        assert "POST /v1/words" in refusal(daemon)
        described = ask(daemon, "GET", "/info").json
        assert described["keywords"] == []
        assert "vad" in described["modules"]
        assert "wake" not in described["modules"]


def test_a_tenant_has_the_words_of_its_own_whatever_streams_listen_for(tmp_path: Path) -> None:
    key = make_key(tmp_path, "acme", "stream", tenant="acme")
    with closing(store_of(tmp_path)) as store:
        store.add_word(word("hey_lantern"))
        store.of("acme").add_word(word("xiao_yun"))
    with Daemon(
        tmp_path, access__keys="always", wake__load="[]", wake__words='["hey_lantern"]'
    ) as daemon:
        bearer = {"Authorization": f"Bearer {key}"}
        info = ask(daemon, "GET", "/info", **bearer).json
        assert info["keywords"] == info["modules"]["wake"]["words"] == ["xiao_yun"]
        assert info["modules"]["wake"]["default_words"] == []
        found = post(daemon, "/detect", ("audio_file", SPEECH), **bearer).json
        assert {one["word"] for one in found["detections"]} <= {"xiao_yun"}
        refused = post(daemon, "/detect", ("audio_file", SPEECH))
        assert (refused.status, refused.json["success"]) == (401, False)


@pytest.mark.parametrize(
    "path", ["/v1/detect", "/detect", "/v1/emotion", "/analyze", "/upload", "/analyze-emotion"]
)
def test_an_error_has_success_where_replies_have_it(daemon: Daemon, path: str) -> None:
    """Their clients look at `success` first."""
    assert post(daemon, path, ("audio", SPEECH)).json["success"] is True
    for refused in (post(daemon, path), post(daemon, path, ("file", b"text" * 99))):
        assert refused.status >= 400
        assert refused.json["success"] is False
        assert refused.error["message"]
    assert ask(daemon, "PUT", path).json["success"] is False
    assert "success" not in post(daemon, "/v1/identify").json


def test_detect_says_that_no_word_was_said(daemon: Daemon) -> None:
    found = post(daemon, "/v1/detect", ("audio", SPEECH), ("words", "hey_marvin")).json
    assert (found["detected"], found["keyword"], found["timestamp"]) == (False, None, None)
    assert (found["confidence"], found["detections"]) == (0.0, [])


def test_words_may_be_repeated_and_unknown_ones_are_named(daemon: Daemon) -> None:
    parts = [("words", "alexa"), ("words", "abracadabra"), ("audio", SPEECH)]
    found = post(daemon, "/v1/detect", *parts).json
    assert found["detected"]
    assert [warning["code"] for warning in found["warnings"]] == ["unknown_word"]


def test_a_threshold_may_come_in_the_query(daemon: Daemon) -> None:
    assert ask(daemon, "POST", "/v1/detect?threshold=1", SPEECH).json["detected"] is False
    assert ask(daemon, "POST", "/v1/detect?threshold=0.3", SPEECH).json["detected"] is True


def test_a_field_of_the_body_counts_more_than_one_of_the_query(daemon: Daemon) -> None:
    for query, sent in (("words=", []), ("words=timer", ["alexa"]), ("words=timer", "alexa")):
        answer = post_json(daemon, f"/v1/detect?{query}", {"audio": BASE64, "words": sent})
        if sent:
            assert answer.json["keyword"] == "alexa"
        else:  # no word at all is asked for
            assert (answer.status, answer.error["code"]) == (400, "bad_input")
    sent = {"audio": BASE64, "threshold": 0.4}
    assert post_json(daemon, "/v1/detect?threshold=1", sent).json["detected"]


def test_every_way_to_send_a_file_gives_one_reply(daemon: Daemon) -> None:
    whole = ask(daemon, "POST", "/v1/emotion", SPEECH).json
    forms = [
        post(daemon, "/v1/emotion", (name, SPEECH)) for name in ("audio", "file", "audio_file")
    ]
    forms.append(post_json(daemon, "/v1/emotion", {"audio": BASE64, "format": "flac"}))
    forms.append(post_json(daemon, "/v1/emotion", {"audio": f"data:audio/flac;base64,{BASE64}"}))
    for_urls = base64.urlsafe_b64encode(SPEECH).decode().rstrip("=")
    assert for_urls != BASE64.rstrip("=")
    forms.append(post_json(daemon, "/v1/emotion", {"audio": for_urls}))
    # curl's --data-binary says this of anything.
    kind = "application/x-www-form-urlencoded"
    forms.append(ask(daemon, "POST", "/v1/emotion", SPEECH, kind))
    # And `curl -d` says it of JSON.
    as_json = json.dumps({"audio": BASE64}).encode()
    forms.append(ask(daemon, "POST", "/v1/emotion", as_json, kind))
    forms.append(ask(daemon, "POST", "/v1/emotion", b"\n " + as_json, "text/plain"))
    forms.append(ask(daemon, "POST", "/v1/emotion", cut(SPEECH, 1000)))
    for answer in forms:
        assert answer.status == 200, answer.body
        assert same(dict(whole), answer.json)


def test_raw_samples_in_json_need_no_header(daemon: Daemon) -> None:
    raw = base64.b64encode(speech()).decode()
    sent = {"audio": raw, "format": "pcm", "sample_rate": 16_000}
    assert same(
        post_json(daemon, "/v1/detect", sent).json, ask(daemon, "POST", "/v1/detect", SPEECH).json
    )


def test_emotion_has_a_label_and_the_same_for_earlier_callers(daemon: Daemon) -> None:
    found = post(daemon, "/v1/emotion", ("audio", SPEECH), ("return_all_emotions", "true")).json
    assert found["emotion"] in LABELS
    assert found["confidence"] == max(found["all_emotions"].values())
    assert set(found["all_emotions"]) == LABELS
    assert sum(found["all_emotions"].values()) == pytest.approx(1, abs=1e-3)
    assert 0 <= found["arousal"] <= 1
    assert isinstance(found["abstain"], bool)
    assert (found["text"], found["language"]) == (None, None)
    assert found["duration_ms"] == len(speech()) // 32
    data = found["data"]
    assert found["success"] is True
    assert data["duration"] == found["duration_ms"] / 1000
    assert (data["emotion"], data["confidence"]) == (found["emotion"], found["confidence"])
    assert data["all_emotions"] == found["all_emotions"]
    assert "all_emotions" not in post(daemon, "/v1/emotion", ("audio", SPEECH)).json


@pytest.mark.parametrize("path", ["/analyze", "/upload", "/analyze-emotion"])
def test_earlier_callers_get_the_emotion_flat(daemon: Daemon, path: str) -> None:
    whole = post(daemon, "/v1/emotion", ("audio", SPEECH)).json
    for answer in (
        post(daemon, path, ("file", SPEECH)),
        post_json(daemon, path, {"audio": BASE64}),
    ):
        found = answer.json
        del found["processing_time_ms"]
        flat = {
            "emotion": whole["emotion"],
            "text": "",
            "confidence": whole["confidence"],
            "duration": whole["duration_ms"] / 1000,
        }
        assert found == {"success": True, **flat, "data": {**flat, "language": None}}
    asked = post_json(daemon, path, {"audio": BASE64, "return_all_emotions": True}).json
    assert set(asked["data"]["all_emotions"]) == LABELS


async def test_analyze_gives_the_events_of_a_stream(daemon: Daemon) -> None:
    answer = ask(daemon, "POST", "/v1/analyze", SPEECH)
    assert answer.headers["Content-Type"] == "application/json"
    events = answer.json
    streamed = await converse(daemon.url, cut(speech()), {"type": "end"})
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert_same_log(events, streamed.log[:-1])


def test_analyze_takes_the_modules_of_hello(daemon: Daemon) -> None:
    modules = json.dumps({"wake": {"words": ["alexa"]}})
    events = post(daemon, "/v1/analyze", ("modules", modules), ("audio", SPEECH)).json
    assert [event["type"] for event in events] == ["wake"]
    events = post(daemon, "/v1/analyze", ("words", "hey_marvin"), ("audio", SPEECH)).json
    assert "wake" not in {event["type"] for event in events}
    assert {"speech_start", "speech_end", "emotion", "speaker"} == {e["type"] for e in events}


def test_a_file_that_is_cut_off_ends_the_analysis_with_an_error(daemon: Daemon) -> None:
    whole = ask(daemon, "POST", "/v1/analyze", SPEECH).json
    found = ask(daemon, "POST", "/v1/analyze", SPEECH[: len(SPEECH) // 2])
    assert found.status == 200
    *events, error = found.json
    assert events[0] == whole[0]
    assert (error["type"], error["code"], error["fatal"]) == ("error", "not_audio", True)
    assert error["seq"] == len(found.json)
    assert "breaks off" in error["message"]
    # The other paths answer from what there is, and say so.
    told = ask(daemon, "POST", "/v1/detect?words=alexa", SPEECH[: len(SPEECH) // 2]).json
    assert told["detected"]
    (warning,) = told["warnings"]
    assert (warning["code"], "breaks off" in warning["message"]) == ("file", True)


@pytest.mark.parametrize(
    "file", sorted((DATA / "containers").iterdir()), ids=lambda path: path.name
)
def test_a_whole_file_is_not_cut_off(daemon: Daemon, file: Path) -> None:
    answer = ask(daemon, "POST", "/v1/analyze", file.read_bytes())
    assert "error" not in {event["type"] for event in answer.json}


def test_analyze_of_a_file_without_speech_is_an_empty_array(daemon: Daemon) -> None:
    answer = ask(daemon, "POST", "/v1/analyze", wav(1.0))
    assert (answer.status, answer.body) == (200, b"[]")


@pytest.mark.parametrize("path", FILE_PATHS)
def test_every_path_for_files_reports_progress_and_then_the_result(
    daemon: Daemon, path: str
) -> None:
    plain = post(daemon, path, ("audio", SPEECH)).json
    answer = post(daemon, path, ("audio", SPEECH), Accept="text/event-stream")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/event-stream"
    names = [name for name, _ in answer.sent]
    done = [data["done_ms"] for name, data in answer.sent if name == "progress"]
    assert done == sorted(done)
    assert done[-1] <= len(speech()) // 32
    totals = {data["total_ms"] for name, data in answer.sent if name == "progress"}
    assert totals == {len(speech()) // 32}
    name, result = answer.sent[-1]
    assert name == "result"
    assert names.count("result") == 1
    if isinstance(plain, list):
        assert_same_log(plain, result)  # between types the order may differ
        assert [data for name, data in answer.sent if name == "event"] == result
    else:
        assert same(result, plain)


def test_progress_has_no_total_where_the_file_states_none_or_too_little(daemon: Daemon) -> None:
    short = bytearray(wav(20.0))
    short[40:44] = struct.pack("<I", 3 * 32_000)
    chain = (DATA / "containers" / "chained_14s.opus").read_bytes()
    for file in (bytes(short), chain):
        answer = post(daemon, "/v1/analyze", ("audio", file), Accept="text/event-stream")
        said = [data for name, data in answer.sent if name == "progress"]
        assert said
        for one in said:
            assert one["total_ms"] is None or one["done_ms"] <= one["total_ms"] == 3000


@pytest.mark.parametrize("path", FILE_PATHS)
def test_a_bad_file_is_refused_in_both_forms(daemon: Daemon, path: str) -> None:
    answer = post(daemon, path, ("audio", b"this is no audio at all" * 10))
    assert (answer.status, answer.error["code"]) == (415, "not_audio")
    streamed = post(daemon, path, ("audio", b"no audio" * 10), Accept="text/event-stream").sent
    assert [(name, data["error"]["code"]) for name, data in streamed] == [("error", "not_audio")]


@pytest.mark.parametrize("path", FILE_PATHS)
def test_a_request_without_a_file_says_how_to_send_one(daemon: Daemon, path: str) -> None:
    for answer in (
        post(daemon, path, ("other", "text")),
        post_json(daemon, path, {}),
        ask(daemon, "POST", path, b""),
        ask(daemon, "POST", path),
    ):
        assert (answer.status, answer.error["code"]) == (400, "bad_input")
        assert "multipart field `audio`" in answer.error["message"]


@pytest.mark.parametrize(
    ("field", "value", "status", "code"),
    [
        ("threshold", "1.5", 422, "out_of_range"),
        ("threshold", "-0.1", 422, "out_of_range"),
        ("threshold", "high", 400, "bad_input"),
        ("threshold", "nan", 400, "bad_input"),
        ("words", "abracadabra", 400, "bad_input"),
    ],
)
def test_a_bad_field_is_named(
    daemon: Daemon, field: str, value: str, status: int, code: str
) -> None:
    answer = post(daemon, "/v1/detect", (field, value), ("audio", PHRASE))
    assert (answer.status, answer.error["code"]) == (status, code)
    assert answer.error["ref"] == field


@pytest.mark.parametrize("modules", ["[]", "{", '{"wake":3}', '{"wake":{"threshold":"x"}}'])
def test_bad_modules_are_refused(daemon: Daemon, modules: str) -> None:
    answer = post(daemon, "/v1/analyze", ("modules", modules), ("audio", PHRASE))
    assert (answer.status, answer.error["code"]) == (400, "bad_input")


@pytest.mark.parametrize(
    "sent", [b"", b"nonsense", b"[]", b"\xff", b'{"audio":3}', b'{"audio":"?"}']
)
def test_json_that_is_none_is_refused(daemon: Daemon, sent: bytes) -> None:
    answer = ask(daemon, "POST", "/v1/emotion", sent, "application/json")
    assert (answer.status, answer.error["code"]) == (400, "bad_input")


def test_base64_with_line_breaks_in_json_is_explained(daemon: Daemon) -> None:
    sent = b'{"audio":"' + base64.encodebytes(SPEECH) + b'"}'
    answer = ask(daemon, "POST", "/v1/emotion", sent, "application/json")
    assert answer.error["code"] == "bad_input"
    assert "base64 -w0" in answer.error["message"]


def test_a_url_encoded_form_has_fields_and_no_file(daemon: Daemon) -> None:
    kind = "application/x-www-form-urlencoded"
    refused = ask(daemon, "POST", "/v1/detect", b"threshold=0.4&audio=UklGRg%3D%3D", kind)
    assert (refused.status, refused.error["code"], refused.error["ref"]) == (
        (400, "bad_input", "audio")
    )
    assert "curl -F" in refused.error["message"]
    long = ask(daemon, "POST", "/v1/detect", b"a=" + bytes(100_000), kind)
    assert (long.status, long.error["code"]) == (400, "bad_input")
    told = ask(daemon, "POST", "/v1/words/hello_lamp", b"text=hello+lamp", kind)
    assert (told.status, told.error["code"]) == (501, "not_loaded")


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
@pytest.mark.parametrize("form", ["body", "multipart", "json"])
def test_a_body_that_is_not_coded_as_it_says_is_refused(
    daemon: Daemon, coding: str, form: str
) -> None:
    sent, kind = {
        "body": (SPEECH, "audio/flac"),
        "multipart": (
            multipart(("audio", SPEECH)),
            f"multipart/form-data; boundary={BOUNDARY}",
        ),
        "json": (json.dumps({"audio": BASE64}).encode(), "application/json"),
    }[form]
    answer = ask(daemon, "POST", "/v1/detect", sent, kind, Content_Encoding=coding)
    assert (answer.status, answer.error["code"]) == (400, "bad_input")
    assert "gzip" in answer.error["message"]


@pytest.mark.parametrize("form", ["body", "json"])
def test_a_compressed_body_is_read(daemon: Daemon, form: str) -> None:
    sent, kind = {
        "body": (SPEECH, "audio/flac"),
        "json": (json.dumps({"audio": BASE64}).encode(), "application/json"),
    }[form]
    packed = gzip.compress(sent)
    answer = ask(daemon, "POST", "/v1/detect", packed, kind, Content_Encoding="gzip")
    assert answer.json["detected"]


@pytest.mark.parametrize("rate", [0, 7999, 96_000, "16000", True])
def test_raw_samples_of_an_impossible_rate_are_refused(daemon: Daemon, rate: object) -> None:
    sent = {"audio": base64.b64encode(bytes(3200)).decode(), "format": "pcm", "sample_rate": rate}
    answer = post_json(daemon, "/v1/detect", sent)
    assert (answer.status, answer.error["code"]) == (400, "bad_input")


@pytest.mark.parametrize(
    "kind", ["multipart/form-data", "multipart/form-data; boundary=other", "multipart/form-data; x"]
)
def test_malformed_multipart_is_refused(daemon: Daemon, kind: str) -> None:
    answer = ask(daemon, "POST", "/v1/emotion", b"--b0undary\r\nnonsense", kind)
    assert (answer.status, answer.error["code"]) == (400, "bad_input")


def test_multipart_that_ends_early_is_refused(daemon: Daemon) -> None:
    body = multipart(("audio", PHRASE))[:-200]
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    answer = ask(daemon, "POST", "/v1/detect", body, kind)
    assert (answer.status, answer.error["code"]) == (400, "bad_input")


def test_a_field_that_is_a_file_by_its_length_is_refused(daemon: Daemon) -> None:
    answer = post(daemon, "/v1/detect", ("threshold", "1" * 100_000), ("audio", PHRASE))
    assert (answer.status, answer.error["code"]) == (413, "too_large")


@pytest.mark.parametrize("path", ["/v1/emotion", "/upload"])
def test_too_little_speech_has_no_emotion(daemon: Daemon, path: str) -> None:
    answer = ask(daemon, "POST", path, wav(2.0, 0.001))
    assert (answer.status, answer.error["code"]) == (422, "too_short")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/transcribe"),
        ("POST", "/transcribe"),
        ("POST", "/v1/asr"),
    ],
)
def test_what_this_version_lacks_is_said(daemon: Daemon, method: str, path: str) -> None:
    answer = ask(daemon, method, path, None if method == "GET" else b"{}", "application/json")
    assert (answer.status, answer.error["code"]) == (501, "not_loaded")


@pytest.mark.parametrize("path", FILE_PATHS)
def test_another_method_is_refused(daemon: Daemon, path: str) -> None:
    answer = ask(daemon, "GET", path)
    assert (answer.status, answer.error["code"]) == (405, "method_not_allowed")
    assert answer.headers["Allow"] == "POST"


@pytest.mark.parametrize("file", sorted((DATA / "containers").iterdir()), ids=lambda f: f.name)
def test_every_container_is_read(daemon: Daemon, file: Path) -> None:
    answer = ask(daemon, "POST", "/v1/emotion", file.read_bytes())
    if answer.status == 422:  # it has no speech
        assert answer.error["code"] == "too_short"
    else:
        assert answer.status == 200
        assert answer.json["duration_ms"] > 1500


def test_the_words_that_a_client_may_ask_for_are_listed(daemon: Daemon) -> None:
    found = {word["word"]: word for word in ask(daemon, "GET", "/v1/words").json["words"]}
    assert set(found) >= {"alexa", "hey_jarvis", "hey_mycroft", "hey_marvin", "weather", "timer"}
    assert found["alexa"] == {
        "word": "alexa",
        "source": "default",
        "clips": 0,
        "threshold": 0.5,
        "estimate": None,
        "warnings": [],
        "created_ms": None,
    }
    assert found["timer"]["threshold"] == 0.7


def test_the_root_is_a_page_for_browsers_alone(daemon: Daemon) -> None:
    page = ask(daemon, "GET", "/", Accept="text/html,application/xhtml+xml,*/*;q=0.8")
    assert page.headers["Content-Type"].startswith("text/html")
    for accept in ("*/*", "application/json", ""):
        answer = ask(daemon, "GET", "/", Accept=accept)
        assert answer.headers["Vary"] == "Accept"
        found = answer.json
        assert found.pop("timestamp").endswith("Z")
        assert found == {"status": "healthy", "service": "streamd", "model_loaded": True}
