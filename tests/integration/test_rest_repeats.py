"""`Idempotency-Key`, long uploads, and what a server does about too many of them."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import soundfile
from daemons import Daemon, keys, speech
from fakes.wire import Wire
from uploading import BOUNDARY, PHRASE, SPEECH, ask, multipart, post

from streamd.errors import (
    BadInput,
    Draining,
    Internal,
    ModelMissing,
    NotAudio,
    NotFound,
    Overloaded,
    RateExceeded,
    Refusal,
    Stalled,
    Unavailable,
)
from streamd.transport.http.rest.idempotency import is_final

MINUTE = speech() * 6
THRICE = speech() * 3


def wide(pcm: bytes) -> bytes:
    """The same as a file of 48 kHz, two channels and four bytes a number: 24 times as long."""
    samples = np.frombuffer(pcm, "<i2").astype(np.float32) / 32_768
    file = BytesIO()
    both = np.stack([np.repeat(samples, 3)] * 2, axis=1)
    soundfile.write(file, both, 48_000, format="WAV", subtype="FLOAT")
    return file.getvalue()


def wav(pcm: bytes) -> bytes:
    file = BytesIO()
    soundfile.write(file, np.frombuffer(pcm, "<i2"), 16_000, format="WAV", subtype="PCM_16")
    return file.getvalue()


def test_a_repeated_request_gets_its_first_reply(daemon: Daemon) -> None:
    first = post(daemon, "/v1/detect", ("audio", SPEECH), Idempotency_Key="one")
    # Another boundary makes no other request.
    body = multipart(("audio", SPEECH), boundary="other")
    kind = "multipart/form-data; boundary=other"
    again = ask(daemon, "POST", "/v1/detect", body, kind, Idempotency_Key="one")
    assert (again.status, again.body) == (200, first.body)
    assert post(daemon, "/v1/detect", ("audio", SPEECH)).body != first.body


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("/v1/detect", [("audio", PHRASE)]),
        ("/v1/detect", [("audio", SPEECH), ("words", "alexa")]),
        ("/v1/detect?threshold=0.4", [("audio", SPEECH)]),
        ("/v1/emotion", [("audio", SPEECH)]),
    ],
)
def test_a_key_of_another_request_is_a_conflict(daemon: Daemon, path, parts) -> None:
    post(daemon, "/v1/detect", ("audio", SPEECH), Idempotency_Key="two")
    answer = post(daemon, path, *parts, Idempotency_Key="two")
    assert (answer.status, answer.error["code"]) == (409, "conflict")


def test_a_repeated_analysis_gets_the_same_events_in_both_forms(daemon: Daemon) -> None:
    first = post(daemon, "/v1/analyze", ("audio", SPEECH), Idempotency_Key="three")
    again = post(daemon, "/v1/analyze", ("audio", SPEECH), Idempotency_Key="three")
    assert again.json == first.json
    streamed = post(
        daemon,
        "/v1/analyze",
        ("audio", SPEECH),
        Idempotency_Key="three",
        Accept="text/event-stream",
    )
    assert streamed.sent == [("result", first.json)]


@pytest.mark.parametrize(
    ("path", "parts", "status"),
    [
        ("/v1/detect", [("audio", b"nonsense" * 99)], 415),
        ("/v1/detect", [("audio", b"nonsense" * 2_000_000)], 415),
        ("/v1/emotion", [("audio", PHRASE), ("threshold", "x"), ("return_all_emotions", "?")], 400),
        ("/v1/detect", [("audio", PHRASE), ("threshold", "2")], 422),
        ("/v1/verify-speaker", [("reference", PHRASE), ("test", b"nonsense" * 99)], 415),
        # The long file is read no further than to the fault in it.
        ("/v1/verify-speaker", [("reference", b"x" * 9_000_000), ("test", SPEECH)], 415),
        # Files are read at once: the long one is given up in its middle, and still counts.
        (
            "/v1/batch-verify",
            [
                ("tests", PHRASE),
                ("reference", b"nonsense" * 99),
                ("tests", wide(THRICE)),
                ("tests", PHRASE),
            ],
            415,
        ),
        ("/v1/analyze", [("audio", b"nonsense" * 99)], 415),
    ],
)
def test_an_error_that_the_request_deserves_is_kept(
    daemon: Daemon, path: str, parts: list[tuple[str, str | bytes]], status: int
) -> None:
    key = str((path, status, len(parts[0][1])))
    first = post(daemon, path, *parts, Idempotency_Key=key)
    assert first.status == status
    again = post(daemon, path, *parts, Idempotency_Key=key)
    assert (again.status, again.json) == (status, first.json)
    streamed = post(daemon, path, *parts, Idempotency_Key=key, Accept="text/event-stream")
    assert streamed.sent == [("error", first.json)]
    changed = [*parts[:-1], (parts[-1][0], PHRASE[:-1])]
    assert post(daemon, path, *changed, Idempotency_Key=key).status == 409


def test_a_kept_error_outlives_what_it_spoke_of(serve) -> None:
    daemon = serve()
    path = "/v1/speakers/Ada"

    def delete() -> int:
        return ask(daemon, "DELETE", path, Idempotency_Key="gone").status

    assert delete() == 404
    assert ask(daemon, "POST", path, SPEECH).status == 201
    assert delete() == 404
    assert ask(daemon, "DELETE", path, Idempotency_Key="other").status == 200


def test_an_analysis_that_breaks_in_the_middle_is_kept_with_its_error(serve) -> None:
    daemon = serve(files__max_seconds=15)
    first = ask(daemon, "POST", "/v1/analyze", wav(MINUTE), Idempotency_Key="broken")
    assert (first.status, first.json[-1]["code"]) == (200, "too_large")
    again = ask(daemon, "POST", "/v1/analyze", wav(MINUTE), Idempotency_Key="broken")
    assert (again.status, again.json) == (200, first.json)
    other = ask(daemon, "POST", "/v1/analyze", wav(MINUTE)[:-2], Idempotency_Key="broken")
    assert other.status == 409


def test_a_request_that_was_refused_for_the_moment_is_carried_out_anew(tmp_path: Path) -> None:
    one, other = (keys(tmp_path, "create", name, "--scope", "enrol") for name in ("one", "other"))
    with Daemon(tmp_path, access__keys="always", limits__enrolments_per_h_per_key=1) as daemon:

        def enrol(name: str, key: str) -> int:
            headers = {"X_API_Key": key, "Idempotency_Key": name}
            return ask(daemon, "POST", f"/v1/speakers/{name}", SPEECH, **headers).status

        assert enrol("ada", one) == 201
        assert enrol("bob", one) == 429
        assert enrol("bob", other) == 201
        assert enrol("bob", one) == 201, "the reply that was kept counts for no limit"


@pytest.mark.parametrize(
    ("error", "is_kept"),
    [
        (BadInput("no"), True),
        (Stalled("no"), False),
        (NotAudio("no"), True),
        (NotFound("no"), True),
        (RateExceeded("no"), False),
        (Overloaded("no"), False),
        (Draining("no"), False),
        (Unavailable("no"), False),
        (Internal("no"), False),
        (ModelMissing("no"), False),
    ],
)
def test_errors_of_the_moment_and_of_the_server_are_not_final(error: Refusal, is_kept) -> None:
    assert is_final(error) is is_kept


def test_equal_requests_at_once_are_one(daemon: Daemon) -> None:
    with ThreadPoolExecutor(4) as pool:
        sent = [
            pool.submit(post, daemon, "/v1/emotion", ("audio", SPEECH), Idempotency_Key="five")
            for _ in range(4)
        ]
        assert len({one.result().body for one in sent}) == 1


@pytest.mark.parametrize("key", ["", "x" * 256, "\xe9"])
def test_a_key_that_is_none_is_refused(daemon: Daemon, key: str) -> None:
    answer = post(daemon, "/v1/detect", ("audio", SPEECH), Idempotency_Key=key)
    assert (answer.status, answer.error["code"]) == (400, "bad_input")


def test_a_long_file_streams_and_what_comes_behind_it_is_refused(daemon: Daemon) -> None:
    # These 11 MB do not fit into the memory of one request.
    long = wide(THRICE)
    fields = ("threshold", "0.4"), ("words", "alexa")
    answer = post(daemon, "/v1/detect", *fields, ("audio", long))
    assert answer.status == 200
    assert len(answer.json["detections"]) == 3
    for path in ("/v1/detect", "/v1/emotion"):
        late = post(daemon, path, ("audio", long), ("threshold", "1.5"))
        assert (late.status, late.error["code"], late.error["ref"]) == (
            400,
            "bad_input",
            "threshold",
        )
    late = post(daemon, "/v1/analyze", ("audio", long), ("words", "timer"))
    assert [event["code"] for event in late.json if event["type"] == "error"] == ["bad_input"]
    # Of short files, the order does not matter.
    short = post(daemon, "/v1/detect", ("audio", SPEECH), ("words", "hey_marvin"))
    assert short.json["detected"] is False


def test_a_key_works_for_long_files_too(daemon: Daemon) -> None:
    long = wide(THRICE)
    first = post(daemon, "/v1/detect", ("audio", long), Idempotency_Key="six")
    assert post(daemon, "/v1/detect", ("audio", long), Idempotency_Key="six").body == first.body
    other = post(daemon, "/v1/detect", ("audio", long[:-8]), Idempotency_Key="six")
    assert (other.status, other.error["code"]) == (409, "conflict")
    assert daemon.metric("streamd_request_memory_bytes") == 0


def test_a_file_over_the_limit_is_refused_before_and_while_it_comes(serve) -> None:
    daemon = serve(files__max_bytes=100_000, files__max_seconds=20)
    answer = post(daemon, "/v1/detect", ("audio", wav(speech())))
    assert (answer.status, answer.error["code"]) == (413, "too_large")
    # A header that tells more than any request may have is enough.
    with Wire(daemon.url) as wire:
        wire.request(
            "POST /v1/detect HTTP/1.1", Upgrade="", Connection="close", Content_Length=str(10**9)
        )
        head, body = wire.until_answered()
    assert head.startswith(b"HTTP/1.1 413 ")
    assert json.loads(body)["error"]["code"] == "too_large"
    assert ask(daemon, "POST", "/v1/detect", PHRASE).status == 200


def test_a_file_with_too_many_seconds_is_refused_in_the_middle(serve) -> None:
    daemon = serve(files__max_seconds=15)
    answer = ask(daemon, "POST", "/v1/detect", wav(MINUTE))
    assert (answer.status, answer.error["code"]) == (413, "too_large")
    events = ask(daemon, "POST", "/v1/analyze", wav(MINUTE))
    assert events.status == 200
    assert events.json[-1]["type"] == "error"
    assert events.json[-1]["code"] == "too_large"
    assert events.json[0]["type"] == "speech_start"


async def test_a_client_that_leaves_costs_nothing(serve) -> None:
    daemon = serve()
    for _ in range(4):
        with Wire(daemon.url) as wire:
            kind = f"multipart/form-data; boundary={BOUNDARY}"
            wire.request(
                "POST /v1/detect HTTP/1.1",
                Upgrade="",
                Connection="close",
                Content_Type=kind,
                Content_Length="500000",
            )
            wire.socket.sendall(multipart(("audio", wav(MINUTE)))[:300_000])
    await daemon.eventually(lambda: daemon.metric("streamd_files_in_work") == 0)
    await daemon.eventually(lambda: daemon.metric("streamd_request_memory_bytes") == 0)
    answer = await asyncio.to_thread(ask, daemon, "POST", "/v1/detect", SPEECH)
    assert answer.status == 200
    assert daemon.complaints() == []


def long_silence(hours: float) -> bytes:
    file = BytesIO()
    soundfile.write(file, np.zeros(int(hours * 3600 * 16_000), np.int16), 16_000, format="FLAC")
    return file.getvalue()


@pytest.mark.parametrize("path", ["/v1/detect", "/v1/analyze", "/v1/emotion"])
async def test_a_client_that_leaves_before_its_reply_stops_the_work(serve, path: str) -> None:
    """Clients that lose patience and ask again would fill the lane of the files."""
    daemon, file = serve(), long_silence(3.5)
    with Wire(daemon.url) as wire:
        wire.request(f"POST {path} HTTP/1.1", Upgrade="", Content_Length=str(len(file)))
        wire.socket.sendall(file)
        await daemon.eventually(lambda: daemon.metric("streamd_files_in_work") == 1)
    await daemon.eventually(lambda: daemon.metric("streamd_files_in_work") == 0)
    assert daemon.metric("streamd_files_decoded_total", result="abandoned") == 1
    assert daemon.complaints() == []


async def test_with_a_key_the_work_goes_on_for_a_client_that_left(serve) -> None:
    daemon, file = serve(), long_silence(0.5)
    with Wire(daemon.url) as wire:
        wire.request(
            "POST /v1/detect HTTP/1.1",
            Upgrade="",
            Content_Length=str(len(file)),
            Content_Type="application/octet-stream",
            Idempotency_Key="left",
        )
        wire.socket.sendall(file)
        await daemon.eventually(lambda: daemon.metric("streamd_files_in_work") == 1)
    await daemon.eventually(lambda: daemon.metric("streamd_files_decoded_total", result="ok") == 1)
    answer = await asyncio.to_thread(
        ask, daemon, "POST", "/v1/detect", file, Idempotency_Key="left"
    )
    assert answer.json["detected"] is False
    assert daemon.metric("streamd_files_decoded_total", result="ok") == 1
