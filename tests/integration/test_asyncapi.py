"""`/asyncapi.json` describes every message and event of the stream, and is true."""

import json
from collections.abc import Iterator
from typing import Any, get_args

import msgspec
import pytest
from daemons import Daemon, converse, cut, speech

from streamd.protocol.messages import Message, parse
from streamd.transport.http.rest.asyncapi import event_kinds


@pytest.fixture(scope="module")
def spec(daemon: Daemon) -> dict[str, Any]:
    status, headers, body = daemon.get("/asyncapi.json")
    assert (status, headers["Content-Type"]) == (200, "application/json")
    found: dict[str, Any] = json.loads(body)
    assert found["asyncapi"] == "3.0.0"
    return found


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        for item in value.values():
            yield from references(item)
    elif isinstance(value, list):
        for item in value:
            yield from references(item)


def test_every_reference_has_a_target(spec: dict[str, Any]) -> None:
    for reference in set(references(spec)):
        place = spec
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]


def test_every_message_and_every_event_is_described(spec: dict[str, Any]) -> None:
    described = set(spec["components"]["messages"])
    assert described >= {f"client_{kind.__name__.lower()}" for kind in get_args(Message)}
    assert described >= {f"server_{name}" for name in event_kinds()}
    assert {"ready", "wake", "speaker", "emotion", "error", "bye"} <= set(event_kinds())


def test_every_example_is_a_message_that_the_server_takes_or_sends(spec: dict[str, Any]) -> None:
    checked = 0
    for name, message in spec["components"]["messages"].items():
        for example in message.get("examples", ()):
            payload = example["payload"]
            assert payload["type"] == message["name"]
            if name.startswith("client_"):
                parse(payload)
            else:
                msgspec.convert(payload, event_kinds()[message["name"]])
            checked += 1
    assert checked >= 13


async def test_what_a_server_sends_is_as_described(daemon: Daemon, spec: dict[str, Any]) -> None:
    received = await converse(daemon.url, cut(speech()), {"type": "end"})
    assert len(received.events) > 10
    for event in received.events:
        reference = spec["components"]["messages"][f"server_{event['type']}"]["payload"]["$ref"]
        schema = spec["components"]["schemas"][reference.rpartition("/")[2]]
        assert set(schema["required"]) <= set(event) <= set(schema["properties"]), event["type"]
