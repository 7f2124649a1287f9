"""`/asyncapi.json` describes every message and event of the stream, and is true."""

import asyncio
import contextlib
import json
from collections.abc import Iterator
from typing import Any, get_args

import msgspec
import pytest
from daemons import Daemon, converse, cut, dial, speech
from uploading import PHRASE
from waiting import HANG_S
from websockets.exceptions import ConnectionClosed

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
        if name.startswith(("asr_", "verify_")):
            continue
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


def payloads(spec: dict[str, Any], channel: str, action: str) -> dict[str, dict[str, Any]]:
    """Schemas of what goes one way on a channel, by the names of the messages."""
    found = {}
    for operation in spec["operations"].values():
        if operation["action"] == action and operation["channel"]["$ref"].endswith("/" + channel):
            for reference in references(operation["messages"]):
                message = spec["components"]["messages"][reference.rpartition("/")[2]]
                schema = message["payload"]
                if "$ref" in schema:
                    schema = spec["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
                found[message["name"]] = schema
    return found


def check(said: dict[str, Any], schema: dict[str, Any]) -> None:
    assert set(schema["required"]) <= set(said) <= set(schema["properties"])
    for name, value in said.items():
        if "enum" in schema["properties"][name]:
            assert value in schema["properties"][name]["enum"]


def test_each_socket_is_a_channel(spec: dict[str, Any]) -> None:
    addresses = {channel["address"] for channel in spec["channels"].values()}
    assert addresses == {"/v1/stream", "/v1/asr/stream", "/ws/stream-verify"}
    for name, channel in spec["channels"].items():
        sent, received = payloads(spec, name, "send"), payloads(spec, name, "receive")
        assert len(sent) + len(received) == len(channel["messages"]), "each goes one way"


async def test_the_asr_socket_takes_the_examples_and_answers_as_described(
    daemon: Daemon, spec: dict[str, Any]
) -> None:
    examples = [
        spec["components"]["messages"][f"asr_client_{name}"]["examples"][0]["payload"]
        for name in ("AsrInit", "AsrAudio", "AsrEnd")
    ]
    answers = payloads(spec, "asr", "send")
    assert answers.keys() == {"PARTIAL", "FINAL", "ERROR"}
    assert payloads(spec, "asr", "receive").keys() == {one["type"] for one in examples}
    url = daemon.url.replace("/v1/stream", "/v1/asr/stream")
    for sent, expected in ((examples, ["PARTIAL", "FINAL"]), ([{"type": "?"}], ["ERROR"])):
        async with asyncio.timeout(HANG_S), dial(url) as socket:
            for message in sent:
                await socket.send(json.dumps(message))
            said = []
            with contextlib.suppress(ConnectionClosed):
                while True:
                    said.append(json.loads(await socket.recv()))
        assert [one["type"] for one in said] == expected
        for one in said:
            check(one, answers[one["type"]])


async def test_the_verification_socket_answers_as_described(
    daemon: Daemon, spec: dict[str, Any]
) -> None:
    answers = payloads(spec, "verify", "send")
    assert answers.keys() == {"VerifyResult", "VerifyError", "reference_set"}
    assert payloads(spec, "verify", "receive").keys() == {"file"}
    url = daemon.url.replace("/v1/stream", "/ws/stream-verify")
    async with asyncio.timeout(HANG_S), dial(url) as socket:
        await socket.send(PHRASE)
        assert await socket.recv() == answers["reference_set"]["const"]
        await socket.send(PHRASE)
        check(json.loads(await socket.recv()), answers["VerifyResult"])
        await socket.send(b"RIFF nonsense")
        error = json.loads(await socket.recv())
        check(error, answers["VerifyError"])
        check(error["error"], spec["components"]["schemas"]["ErrorDetail"])
