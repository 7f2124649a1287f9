"""Voices over REST: verify, identify, enrol, list, delete, and what each refuses."""

import asyncio
import base64
import contextlib
import json
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import quote

import av
import numpy as np
import pytest
import soundfile
import soxr
from daemons import DATA, RATE_HZ, Daemon, dial, keys, speech
from uploading import SPEECH, Answered, ask, post, post_json
from waiting import HANG_S
from websockets.exceptions import ConnectionClosed

from streamd.access.audit.check import check
from streamd.transport.http.rest.forms import HELD_BYTES, KEPT_BYTES
from streamd.transport.http.rest.verify_socket import MAX_MESSAGE_BYTES

OTHER = (DATA / "speech_rms.flac").read_bytes()
SAMPLES = np.frombuffer(speech(), np.int16) / 32768
OTHERS = np.frombuffer(speech("rms"), np.int16) / 32768
RANDOM = np.random.default_rng(0)


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with Daemon(tmp_path_factory.mktemp("voices")) as daemon:
        yield daemon


def wav(samples: Any, rate: int = RATE_HZ) -> bytes:
    file = BytesIO()
    soundfile.write(file, np.clip(samples, -1, 1), rate, format="WAV", subtype="PCM_16")
    return file.getvalue()


def enrolled(daemon: Daemon, name: str, audio: bytes = SPEECH, **headers: str) -> Answered:
    return post(daemon, f"/v1/speakers/{quote(name, safe='')}", ("audio", audio), **headers)


def gone(daemon: Daemon, name: str) -> Answered:
    return ask(daemon, "DELETE", f"/v1/speakers/{quote(name, safe='')}")


def test_the_same_voice_is_verified_and_another_is_not(serving: Daemon) -> None:
    first, second = wav(SAMPLES[: 5 * RATE_HZ]), wav(SAMPLES[5 * RATE_HZ :])
    same = post(serving, "/v1/verify-speaker", ("reference", first), ("test", second)).json
    assert same["processing_time_ms"] > 0
    assert (same["verification_result"], same["decision"]) == (True, "accept")
    assert same["similarity"] >= same["threshold"] == 0.78
    swapped = post(serving, "/v1/verify-speaker", ("test", second), ("reference", first)).json
    assert swapped["similarity"] == same["similarity"]
    other = post(serving, "/v1/verify-speaker", ("reference", first), ("test", OTHER)).json
    assert other["verification_result"] is False
    assert other["decision"] == ("unsure" if other["similarity"] >= 0.65 else "reject")


def test_a_file_on_the_telephone_has_the_thresholds_of_the_telephone(serving: Daemon) -> None:
    narrow = wav(SAMPLES[::2], 8000)
    for parts in (
        (("reference", narrow), ("test", SPEECH)),
        (
            ("reference", SPEECH),
            ("test", narrow),
        ),
    ):
        assert post(serving, "/v1/verify-speaker", *parts).json["threshold"] == 0.8


def test_too_little_speech_is_refused(serving: Daemon) -> None:
    for quiet in (wav(np.zeros(RATE_HZ)), wav(SAMPLES[: RATE_HZ // 3])):
        for parts in (
            (("reference", quiet), ("test", SPEECH)),
            (
                ("reference", SPEECH),
                ("test", quiet),
            ),
        ):
            refused = post(serving, "/v1/verify-speaker", *parts)
            assert (refused.status, refused.error["code"]) == (422, "too_short")
        refused = ask(serving, "POST", "/v1/identify", quiet)
        assert (refused.status, refused.error["code"]) == (422, "too_short")


@pytest.mark.parametrize(
    ("path", "field", "missing"),
    [
        ("/v1/verify-speaker", "test", "reference"),
        ("/v1/verify-speaker", "reference", "test"),
        ("/v1/batch-verify", "tests", "reference"),
        ("/v1/batch-verify", "reference", "tests"),
    ],
)
def test_a_file_that_is_missing_is_named(
    serving: Daemon, path: str, field: str, missing: str
) -> None:
    refused = post(serving, path, (field, SPEECH))
    assert (refused.status, refused.error["code"]) == (400, "bad_input")
    assert refused.error["ref"] == missing


@pytest.mark.parametrize("path", ["/v1/identify", "/v1/speakers/Nobody"])
def test_a_request_without_audio_or_with_something_else_is_refused(
    serving: Daemon, path: str
) -> None:
    empty = post(serving, path, ("comment", "no file"))
    assert (empty.status, empty.error["code"]) == (400, "bad_input")
    text = post(serving, path, ("audio", b"this is text, not audio" * 100))
    assert (text.status, text.error["code"]) == (415, "not_audio")


def test_in_a_batch_a_bad_test_fails_alone(serving: Daemon) -> None:
    answer = post(
        serving,
        "/v1/batch-verify",
        ("tests", SPEECH),
        ("tests", b"nonsense" * 1000),
        ("reference", SPEECH),
        ("tests", OTHER),
        ("tests", wav(np.zeros(RATE_HZ))),
    ).json
    assert answer["total_count"] == 4
    same, broken, other, quiet = answer["batch_results"]
    assert same == {"filename": "tests.bin", "similarity": 1.0, "result": True}
    assert other["result"] is False
    assert (broken["error"]["code"], quiet["error"]["code"]) == ("not_audio", "too_short")
    assert {"code", "message", "ref", "retryable"} == set(broken["error"])
    refused = post(serving, "/v1/batch-verify", ("reference", b"x" * 999), ("tests", SPEECH))
    assert (refused.status, refused.error["code"]) == (415, "not_audio")


def test_a_batch_beyond_what_is_kept_in_memory_keeps_its_order(serving: Daemon) -> None:
    """Short files are read several at once, long ones while they come."""
    short = [wav(np.roll(SAMPLES, n)[: 3 * RATE_HZ]) for n in range(0, 12 * RATE_HZ, RATE_HZ)]
    long = wav(np.concatenate([SAMPLES] * 12))
    assert len(long) > HELD_BYTES
    files = [*short[:3], *[long] * 3, *short[3:9], b"nonsense" * 999, long, *short[9:]]
    assert sum(map(len, files)) > KEPT_BYTES
    alone = {
        file: post(serving, "/v1/verify-speaker", ("reference", OTHER), ("test", file)).json
        for file in files
    }
    for place in (0, 4, len(files)):
        parts = [("tests", file) for file in files]
        parts.insert(place, ("reference", OTHER))
        results = post(serving, "/v1/batch-verify", *parts).json["batch_results"]
        assert [r.get("similarity") for r in results] == [alone[f].get("similarity") for f in files]
        assert results[files.index(b"nonsense" * 999)]["error"]["code"] == "not_audio"


def test_progress_of_several_files_is_that_of_all(serving: Daemon) -> None:
    files = [("reference", SPEECH), ("tests", wav(OTHERS)), ("tests", wav(SAMPLES[:99_999]))]
    for path in ("/v1/batch-verify", "/v1/verify-speaker"):
        said = post(serving, path, *files, Accept="text/event-stream").sent
        done = [data["done_ms"] for name, data in said if name == "progress"]
        assert done == sorted(done)
        assert {data["total_ms"] for name, data in said if name == "progress"} <= {None}
        assert said[-1][0] == "result"


def test_json_with_base64_is_as_good_as_a_form(serving: Daemon) -> None:
    def encoded(data: bytes) -> str:
        return base64.b64encode(data).decode()

    sent = {"reference": encoded(SPEECH), "tests": [encoded(OTHER), encoded(SPEECH), "bm8="]}
    results = post_json(serving, "/v1/batch-verify", sent).json["batch_results"]
    assert [result["filename"] for result in results] == ["tests[0]", "tests[1]", "tests[2]"]
    assert [result.get("result") for result in results] == [False, True, None]
    assert results[2]["error"]["code"] == "not_audio"
    sent = {"reference": encoded(SPEECH), "test": encoded(SPEECH)}
    assert post_json(serving, "/v1/verify-speaker", sent).json["verification_result"] is True
    for field, value in (("reference", 7), ("tests", [SPEECH.hex(), None])):
        refused = post_json(serving, "/v1/batch-verify", {field: value})
        assert (refused.status, refused.error["code"]) == (400, "bad_input")
        assert refused.error["ref"] == field


def test_a_voice_is_enrolled_found_listed_and_deleted(serving: Daemon) -> None:
    name = "Ada/Lovelace Ø"
    first = enrolled(serving, name, wav(SAMPLES[: 6 * RATE_HZ]))
    assert first.status == 201
    made = first.json
    assert (made["speaker"], made["enrolments"]) == (name, 1)
    one = made["enrolment"]
    assert one["id"].startswith("e_")
    assert (one["channel"], len(one["models"])) == ("wide", 1)
    assert 5000 < one["speech_ms"] <= 6000
    assert one["quality"] == {"verdict": "good", "issues": []}
    second = enrolled(serving, name, wav(SAMPLES[6 * RATE_HZ :])).json
    assert second["enrolments"] == 2

    # At once, not only within two seconds.
    found = ask(serving, "POST", "/v1/identify", SPEECH).json
    assert (found["decision"], found["speaker"], found["channel"]) == ("accept", name, "wide")
    assert found["candidates"] == [{"speaker": name, "score": found["score"]}]
    assert found["margin"] is None
    stranger = ask(serving, "POST", "/v1/identify", OTHER).json
    assert (stranger["decision"], stranger["speaker"]) == ("reject", None)
    assert [c["speaker"] for c in stranger["candidates"]] == [name]

    (listed,) = ask(serving, "GET", "/v1/speakers").json["speakers"]
    assert set(listed) == {
        *("speaker", "enrolments", "channels", "models", "speech_ms", "created_ms"),
    }
    shown = ask(serving, "GET", f"/v1/speakers/{quote(name, safe='')}").json
    ids = [e["id"] for e in shown.pop("enrolment_list")]
    assert ids == [one["id"], second["enrolment"]["id"]]
    shown.pop("processing_time_ms")
    assert shown == listed

    deleted = gone(serving, name)
    assert (deleted.status, deleted.json["deleted"]) == (200, True)
    assert deleted.json["audit"].startswith("a_")
    assert ask(serving, "POST", "/v1/identify", SPEECH).json["candidates"] == []
    for method in ("GET", "DELETE"):
        missing = ask(serving, method, f"/v1/speakers/{quote(name, safe='')}")
        assert (missing.status, missing.error["code"]) == (404, "not_found")


def test_a_deletion_is_proved_by_the_audit_log(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        enrolled(daemon, "Ada")
        id_ = gone(daemon, "Ada").json["audit"]
    lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    (entry,) = [line for line in lines if line["id"] == id_]
    assert (entry["action"], entry["tenant"]) == ("voice_deleted", "default")
    assert "Ada" not in (tmp_path / "audit.jsonl").read_text()
    assert check(tmp_path / "audit.jsonl").entries == len(lines)


def test_the_same_recording_counts_once(serving: Daemon) -> None:
    first, again = enrolled(serving, "Once").json, enrolled(serving, "Once").json
    assert again["enrolments"] == 1
    assert again["enrolment"] == first["enrolment"]
    gone(serving, "Once")


def test_less_speech_than_a_window_is_no_enrolment(serving: Daemon) -> None:
    refused = enrolled(serving, "Short", wav(SAMPLES[:RATE_HZ]))
    assert (refused.status, refused.error["code"]) == (422, "too_short")
    assert ask(serving, "GET", "/v1/speakers/Short").status == 404


WORSE = {
    "short": SAMPLES[: int(3.5 * RATE_HZ)],
    "clipped": 20 * SAMPLES,
    "noisy": SAMPLES + RANDOM.normal(0, SAMPLES.std(), len(SAMPLES)),
    "quiet": SAMPLES / 100,
    "two_voices": np.concatenate([SAMPLES[: 5 * RATE_HZ], OTHERS[: 5 * RATE_HZ]]),
}


@pytest.mark.parametrize("code", WORSE)
def test_a_bad_enrolment_is_kept_and_said(serving: Daemon, code: str) -> None:
    made = enrolled(serving, f"Bad {code}", wav(WORSE[code]))
    assert made.status == 201
    quality = made.json["enrolment"]["quality"]
    assert code in [issue["code"] for issue in quality["issues"]]
    assert quality["verdict"] in ("usable", "poor")
    shown = ask(serving, "GET", f"/v1/speakers/Bad%20{code}").json
    assert shown["enrolment_list"][0]["quality"] == quality
    gone(serving, f"Bad {code}")


def test_an_enrolment_unlike_the_one_before_is_said(serving: Daemon) -> None:
    assert enrolled(serving, "Who").json["enrolment"]["quality"]["verdict"] == "good"
    quality = enrolled(serving, "Who", OTHER).json["enrolment"]["quality"]
    assert quality["verdict"] == "poor"
    assert [issue["code"] for issue in quality["issues"]] == ["unlike_before"]
    gone(serving, "Who")


@pytest.mark.parametrize("name", ["%2E", "%2E%2E", "S1", "%20", "a" * 65, "%00"])
def test_what_is_no_name_is_refused(serving: Daemon, name: str) -> None:
    refused = post(serving, f"/v1/speakers/{name}", ("audio", SPEECH))
    assert (refused.status, refused.error["code"]) == (400, "bad_name")
    assert refused.error["ref"] == "name"
    assert ask(serving, "GET", f"/v1/speakers/{name}").status == 404


@pytest.mark.parametrize("name", ["%FF", "%C3", "%ZZ", "100%"])
@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
def test_a_name_that_is_not_percent_encoded_utf_8_is_refused(
    serving: Daemon, method: str, name: str
) -> None:
    """Else `%FF` and `%25FF` would be one voice."""
    refused = ask(serving, method, f"/v1/speakers/{name}", SPEECH if method == "POST" else None)
    assert (refused.status, refused.error["code"], refused.error["ref"]) == (
        (400, "bad_name", "name")
    )


def test_the_number_of_candidates_has_bounds(serving: Daemon) -> None:
    enrolled(serving, "One")
    enrolled(serving, "Two", OTHER)
    found = ask(serving, "POST", "/v1/identify?limit=1", SPEECH).json
    assert [c["speaker"] for c in found["candidates"]] == ["One"]
    assert found["margin"] == pytest.approx(
        found["score"]
        - ask(serving, "POST", "/v1/identify", SPEECH).json["candidates"][1]["score"],
        abs=2e-4,
    )
    for limit in ("0", "1001"):
        refused = post(serving, "/v1/identify", ("audio", SPEECH), ("limit", limit))
        assert (refused.status, refused.error["code"]) == (422, "out_of_range")
    for name in ("One", "Two"):
        gone(serving, name)


def cached(daemon: Daemon) -> tuple[int, int]:
    """Hits of the cache, and voices in it."""
    lines = dict(
        line.rsplit(" ", 1)
        for line in ask(daemon, "GET", "/metrics").body.decode().splitlines()
        if line.startswith("streamd_voice_cache")
    )
    return (
        int(float(lines['streamd_voice_cache_lookups_total{result="hit"}'])),
        int(float(lines["streamd_voice_cache_entries"])),
    )


def test_a_file_that_comes_again_costs_nothing_until_a_voice_is_deleted(serving: Daemon) -> None:
    before, _ = cached(serving)
    enrolled(serving, "Kept")
    first = ask(serving, "POST", "/v1/identify", SPEECH).json
    again = ask(serving, "POST", "/v1/identify", SPEECH).json
    hits, voices = cached(serving)
    assert hits > before
    assert voices > 0
    assert first.pop("processing_time_ms") > 0
    assert again.pop("processing_time_ms") > 0
    assert first == again
    gone(serving, "Kept")
    assert cached(serving)[1] == 0


def test_progress_and_repeated_requests_are_as_on_every_path(serving: Daemon) -> None:
    said = enrolled(serving, "Slow", Accept="text/event-stream").sent
    assert {name for name, _ in said[:-1]} == {"progress"}
    assert said[-1][0] == "result"
    assert said[-1][1]["speaker"] == "Slow"
    first = enrolled(serving, "Slow", OTHER, Idempotency_Key="k1")
    again = enrolled(serving, "Slow", OTHER, Idempotency_Key="k1")
    assert (again.status, again.body) == (201, first.body)
    assert first.json["enrolments"] == 2
    gone(serving, "Slow")


def test_tenants_and_scopes_are_kept_apart(tmp_path: Path) -> None:
    listening = keys(tmp_path, "create", "listener", "--tenant", "acme")
    ours = keys(tmp_path, "create", "ours", "--scope", "stream,enrol", "--tenant", "acme")
    theirs = keys(tmp_path, "create", "theirs", "--scope", "stream,enrol")
    with Daemon(tmp_path, access__keys="always", limits__enrolments_per_h_per_key=1) as daemon:
        assert enrolled(daemon, "Ada", X_API_Key=listening).status == 403
        assert enrolled(daemon, "Ada", X_API_Key=ours).status == 201
        found = ask(daemon, "POST", "/v1/identify", SPEECH, X_API_Key=listening).json
        assert found["speaker"] == "Ada"
        found = ask(daemon, "POST", "/v1/identify", SPEECH, X_API_Key=theirs).json
        assert found["candidates"] == []
        assert ask(daemon, "GET", "/v1/speakers/Ada", X_API_Key=theirs).status == 404
        limited = enrolled(daemon, "Bob", OTHER, X_API_Key=ours)
        assert (limited.status, limited.error["code"]) == (429, "rate_exceeded")
        assert limited.error["retry_after_ms"] > 0


async def test_the_socket_verifies_files_and_raw_samples(serving: Daemon) -> None:
    url = serving.url.replace("/v1/stream", "/ws/stream-verify")
    async with dial(url) as socket, asyncio.timeout(HANG_S):

        async def answered(message: bytes) -> str:
            await socket.send(message)
            answer = await socket.recv()
            assert isinstance(answer, str)
            return answer

        assert json.loads(await answered(b""))["error"]["code"] == "bad_input"
        assert json.loads(await answered(bytes(32_000)))["error"]["code"] == "too_short"
        assert await answered(SPEECH) == "reference_set"
        for same in (SPEECH, wav(SAMPLES), speech(), b"\xff\xff" + speech() + b"\x00"):
            told = json.loads(await answered(same))
            assert set(told) == {"similarity", "verification_result"}
            assert told["similarity"] > 0.95
            assert told["verification_result"] is True
        # Clients read the result of every answer; a piece of a stream may have no speech in it.
        for nothing, code in ((b"RIFF" + bytes(99), "not_audio"), (bytes(32_000), "too_short")):
            told = json.loads(await answered(nothing))
            assert told.pop("error")["code"] == code
            assert told == {"similarity": 0.0, "verification_result": False}
        assert json.loads(await answered(OTHER))["verification_result"] is False
        await socket.send("text")
        assert json.loads(await socket.recv())["error"]["code"] == "bad_message"
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4000, "bad_message")


def contained(form: str, codec: str) -> bytes:
    """SPEECH in a container of FFmpeg."""
    file = BytesIO()
    with av.open(file, "w", format=form) as out:
        stream = out.add_stream(codec, rate=48_000)
        stream.layout = "mono"
        high = soxr.resample(SAMPLES, RATE_HZ, 48_000).astype(np.float32)
        frame = av.AudioFrame.from_ndarray(high[None], format="fltp", layout="mono")
        frame.sample_rate = 48_000
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            out.mux(packet)
    return file.getvalue()


async def test_the_socket_takes_containers_that_begin_like_samples(serving: Daemon) -> None:
    w64 = BytesIO()
    soundfile.write(w64, SAMPLES, RATE_HZ, format="W64", subtype="PCM_24")
    files = [w64.getvalue(), contained("mpegts", "aac"), contained("adts", "aac")]
    files += [contained("ac3", "ac3"), contained("mp3", "libmp3lame")]
    url = serving.url.replace("/v1/stream", "/ws/stream-verify")
    async with dial(url) as socket, asyncio.timeout(HANG_S):
        await socket.send(SPEECH)
        assert await socket.recv() == "reference_set"
        # A piece of samples that begins as one of them is samples.
        for message in (*files, b"\x0bw" + speech(), b"G" * 2 + bytes(186) + b"G" * 2 + speech()):
            await socket.send(message)
            told = json.loads(await socket.recv())
            assert told.get("similarity", 0) > 0.9, told


async def test_a_message_that_is_too_long_ends_the_socket_with_a_reason(serving: Daemon) -> None:
    url = serving.url.replace("/v1/stream", "/ws/stream-verify")
    async with dial(url) as socket, asyncio.timeout(HANG_S):
        with contextlib.suppress(ConnectionClosed):  # the server need not read all of it
            await socket.send(bytes(MAX_MESSAGE_BYTES + 1))
        with contextlib.suppress(ConnectionClosed):
            assert json.loads(await socket.recv())["error"]["code"] == "too_large"
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1009, "too_large")
