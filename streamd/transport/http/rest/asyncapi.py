"""`/asyncapi.json`: the WebSockets, from the structs of their messages and events."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from aiohttp import web

from streamd import __version__, events
from streamd.protocol import messages
from streamd.transport.http.rest.asyncapi_compat import COMPAT, described, structs
from streamd.transport.http.routes import Route

_REF = "#/components/schemas/{name}"
_SENT: dict[str, tuple[type[msgspec.Struct] | None, dict[str, Any]]] = {
    "hello": (
        messages.Hello,
        {"client": "esp32-mic/1.2", "modules": {"vad": {}, "wake": {"words": ["alexa"]}}},
    ),
    "audio": (None, {"data": "AAAA"}),
    "gap": (None, {"ms": 120}),
    "flush": (messages.Flush, {"id": "f1"}),
    "config": (messages.Config, {"modules": {"wake": {"threshold": 0.6}}}),
    "enrol": (messages.Enrol, {"id": "e1", "speaker": "Ada", "utterances": ["u3", "u5"]}),
    "end": (messages.End, {}),
    "ping": (messages.Ping, {"t": 1}),
}
"""The messages of a client with the struct and an example of each. Those without a struct here have
other fields on the wire."""
_WIRE: dict[str, dict[str, Any]] = {
    "audio": {
        "properties": {"data": {"type": "string", "contentEncoding": "base64"}},
        "required": ["data"],
    },
    "gap": {
        "properties": {
            "ms": {"type": "integer", "minimum": 0},
            "samples": {"type": "integer", "minimum": 0},
        },
    },
}
_EXAMPLES: tuple[events.Event, ...] = (
    events.SpeechStart(seq=1, t0=88, t1=352, at=352, utterance="u1"),
    events.SpeechEnd(
        seq=3, t0=88, t1=10_208, at=10_290, utterance="u1", speech_ms=9600, cause="silence"
    ),
    events.Wake(seq=2, t0=256, t1=704, at=720, word="alexa", score=0.9997, utterance="u1"),
    events.Flushed(seq=7, id="f1"),
    events.Enrolled(
        seq=8,
        id="e1",
        speaker="Ada",
        label="S1",
        utterances=["u3", "u5"],
        enrolments=1,
        quality=events.Quality("good"),
    ),
    events.Ack(samples=16_000),
    events.Bye(seq=9, samples=160_000, duration_ms=10_000, utterances=1, speech_ms=9600, events=8),
    events.Error(seq=3, code="bad_message", message="not valid JSON", fatal=False, retryable=False),
)


def route() -> Route:
    """Return the route of the document."""
    body = msgspec.json.encode(document())

    async def handler(request: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    return Route("GET", "/asyncapi.json", handler, scope=None)


def event_kinds() -> dict[str, type[events.Event]]:
    """Return the struct of every event that the server sends, by its type."""
    found: dict[str, type[events.Event]] = {}
    waiting = [events.Event]
    while waiting:
        kind = waiting.pop()
        waiting += kind.__subclasses__()
        tag = kind.__struct_config__.tag
        if isinstance(tag, str) and kind.__module__ == events.__name__:
            found[tag] = kind
    return dict(sorted(found.items()))


def document() -> dict[str, Any]:
    """Return the AsyncAPI 3.0 document of the sockets."""
    kinds = event_kinds()
    sent: list[type[msgspec.Struct]] = [kind for kind, _ in _SENT.values() if kind is not None]
    _, schemas = msgspec.json.schema_components(
        [*kinds.values(), *sent, *structs()], ref_template=_REF
    )
    examples = {msgspec.to_builtins(one)["type"]: msgspec.to_builtins(one) for one in _EXAMPLES}
    stream = {f"client_{name}": _sent(name) for name in _SENT}
    stream |= {
        f"server_{name}": _message(
            name, {"$ref": _REF.format(name=kind.__name__)}, examples.get(name)
        )
        for name, kind in kinds.items()
    }
    stream["client_pcm"] = {
        "name": "pcm",
        "title": "Audio: samples only, divided at any place",
        "contentType": "application/octet-stream",
        "payload": {"type": "string", "contentMediaType": "application/octet-stream"},
    }
    channels = {"stream": _channel("/v1/stream", stream)}
    operations = _operations("stream", "sendEvents", "receiveAudio", stream, "")
    every = dict(stream)
    for socket in COMPAT:
        theirs = described(socket, _REF)
        channels[socket.name] = _channel(socket.address, theirs)
        name = socket.name.capitalize()
        operations |= _operations(
            socket.name, f"send{name}", f"receive{name}", theirs, f"{socket.name}_"
        )
        every |= theirs
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "streamd",
            "version": __version__,
            "description": "Audio in, events out. A client may send audio without any hello. "
            "`asr` and `verify` are for clients of earlier services.",
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"messages": every, "schemas": schemas},
    }


def _sent(name: str) -> dict[str, Any]:
    kind, example = _SENT[name]
    typed = {"properties": {"type": {"const": name}}, "required": ["type"], "type": "object"}
    fields = _WIRE[name] if kind is None else {"$ref": _REF.format(name=kind.__name__)}
    return _message(name, {"allOf": [typed, fields]}, {"type": name, **example})


def _message(name: str, payload: dict[str, Any], example: dict[str, Any] | None) -> dict[str, Any]:
    found: dict[str, Any] = {"name": name, "payload": payload}
    if example is not None:
        found["examples"] = [{"payload": example}]
    return found


def _channel(address: str, described: Iterable[str]) -> dict[str, Any]:
    return {
        "address": address,
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in described},
        "bindings": {"ws": {"method": "GET"}},
    }


def _operations(
    channel: str, send: str, receive: str, described: Iterable[str], prefix: str
) -> dict[str, dict[str, Any]]:
    """Return what the server sends and receives on a channel."""
    return {
        name: {
            "action": action,
            "channel": {"$ref": f"#/channels/{channel}"},
            "messages": [
                {"$ref": f"#/channels/{channel}/messages/{message}"}
                for message in described
                if message.startswith(f"{prefix}{side}_")
            ],
        }
        for name, action, side in ((send, "send", "server"), (receive, "receive", "client"))
    }
