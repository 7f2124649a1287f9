"""`/openapi.json` describes every path, from the structs that the server uses, and is true."""

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import msgspec
import pytest
from daemons import Daemon
from uploading import SPEECH, Answered, ask, post

from streamd.transport.http.rest import replies, voice_replies

FILES = (
    "/v1/detect", "/detect", "/v1/emotion", "/analyze", "/upload", "/analyze-emotion",
    "/v1/analyze", "/v1/transcribe", "/transcribe", "/v1/asr", "/v1/identify",
)  # fmt: skip
FORMS = ("/v1/verify-speaker", "/v1/batch-verify", "/v1/words/{name}")
OTHERS = (
    "/v1/speakers", "/v1/speakers/{name}", *FORMS,
    "/v1/words", "/v1/words/{name}", "/v1/calibration", "/v1/tickets", "/v1/info", "/info",
    "/health", "/health/live", "/health/ready", "/metrics",
)  # fmt: skip


@pytest.fixture(scope="module")
def spec(daemon: Daemon) -> dict[str, Any]:
    status, headers, body = daemon.get("/openapi.json")
    assert (status, headers["Content-Type"]) == (200, "application/json")
    found: dict[str, Any] = json.loads(body)
    assert found["openapi"] == "3.1.0"
    return found


def operations(spec: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in spec["paths"].items():
        for method, operation in methods.items():
            yield method, path, operation


def inner(value: Any) -> Iterator[dict[str, Any]]:
    """Every object inside a value."""
    if isinstance(value, dict):
        yield value
        for item in value.values():
            yield from inner(item)
    elif isinstance(value, list):
        for item in value:
            yield from inner(item)


def test_every_path_is_described_and_no_socket(spec: dict[str, Any]) -> None:
    assert set(spec["paths"]) >= {*FILES, *OTHERS}
    assert not {"/v1/stream", "/v1/asr/stream", "/ws/stream-verify"} & set(spec["paths"])


def test_every_reference_has_a_target_and_every_id_is_unique(spec: dict[str, Any]) -> None:
    references = {one["$ref"] for one in inner(spec) if "$ref" in one}
    known = {f"#/components/schemas/{name}" for name in spec["components"]["schemas"]}
    assert references <= known
    ids = [operation["operationId"] for _, _, operation in operations(spec)]
    assert len(set(ids)) == len(ids)


def test_every_part_of_a_path_is_a_parameter(spec: dict[str, Any]) -> None:
    for _, path, operation in operations(spec):
        named = [p["name"] for p in operation.get("parameters", ()) if p["in"] == "path"]
        assert named == (["name"] if "{name}" in path else []), path


@cache
def struct(reference: str) -> type[msgspec.Struct] | None:
    name = reference.rpartition("/")[2]
    kind = getattr(replies, name, None) or getattr(voice_replies, name, None)
    return kind if isinstance(kind, type) and issubclass(kind, msgspec.Struct) else None


def test_every_example_is_a_reply_of_its_struct(spec: dict[str, Any]) -> None:
    checked = 0
    for _, path, operation in operations(spec):
        for status, reply in operation["responses"].items():
            content = reply["content"].get("application/json", {"schema": {}})
            if kind := struct(content["schema"].get("$ref", "")):
                assert "example" in content, (path, status)
                again = msgspec.json.encode(msgspec.convert(content["example"], kind))
                assert json.loads(again) == content["example"]
                checked += 1
    assert checked >= 15


@pytest.mark.parametrize("path", FILES)
def test_every_path_for_files_says_how_to_send_one(spec: dict[str, Any], path: str) -> None:
    operation = spec["paths"][path]["post"]
    bodies = operation["requestBody"]["content"]
    assert set(bodies) == {"multipart/form-data", "application/json", "application/octet-stream"}
    assert "Idempotency-Key" in [one["name"] for one in operation["parameters"]]


@pytest.mark.parametrize("path", FORMS)
def test_a_path_for_several_files_takes_a_form(spec: dict[str, Any], path: str) -> None:
    assert set(spec["paths"][path]["post"]["requestBody"]["content"]) == {"multipart/form-data"}


def fits(spec: dict[str, Any], path: str, method: str, answer: Answered) -> bool:
    """Whether a reply has the fields that the document names, and all that it requires."""
    content = spec["paths"][path][method]["responses"][str(answer.status)]["content"]
    name = content["application/json"]["schema"]["$ref"].rpartition("/")[2]
    schema = spec["components"]["schemas"][name]
    fields = set(answer.json)
    return set(schema["required"]) <= fields <= set(schema["properties"])


@pytest.mark.parametrize(
    "path", ["/v1/detect", "/detect", "/v1/emotion", "/analyze", "/upload", "/analyze-emotion"]
)
def test_a_real_reply_is_as_described(daemon: Daemon, spec: dict[str, Any], path: str) -> None:
    assert fits(spec, path, "post", post(daemon, path, ("audio", SPEECH)))


def test_the_metrics_are_text(daemon: Daemon, spec: dict[str, Any]) -> None:
    content = spec["paths"]["/metrics"]["get"]["responses"]["200"]["content"]
    assert daemon.get("/metrics")[1].get_content_type() in content


def test_the_list_of_words_is_as_described(daemon: Daemon, spec: dict[str, Any]) -> None:
    assert fits(spec, "/v1/words", "get", ask(daemon, "GET", "/v1/words"))


def test_an_error_is_as_described(daemon: Daemon, spec: dict[str, Any]) -> None:
    fault = spec["components"]["schemas"]["ErrorDetail"]
    found = post(daemon, "/v1/detect", ("threshold", "2"), ("audio", SPEECH)).error
    assert set(fault["required"]) <= set(found) <= set(fault["properties"])
