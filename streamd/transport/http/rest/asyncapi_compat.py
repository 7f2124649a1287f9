"""The sockets of earlier callers as channels of `/asyncapi.json`."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from streamd.errors import BadMessage, NotAudio
from streamd.transport.http.rest import socket_messages as messages
from streamd.transport.http.rest.asr_socket import AsrSockets
from streamd.transport.http.rest.openapi import ErrorDetail
from streamd.transport.http.rest.verify_socket import REFERENCE_SET, VerifySockets


class Compat(NamedTuple):
    """A socket."""

    name: str
    """Its channel, and the beginning of the names of its messages."""
    address: str
    client: tuple[msgspec.Struct, ...]
    """An example of each message that a client sends."""
    server: tuple[msgspec.Struct, ...]
    """An example of each message that the server sends."""
    plain: dict[str, dict[str, Any]]
    """Messages that are no JSON, by name."""


COMPAT = (
    Compat(
        "asr",
        AsrSockets.path,
        (
            messages.AsrInit(config=messages.AsrConfig(language="en-US")),
            messages.AsrAudio(audio="AAAA"),
            messages.AsrEnd(),
        ),
        (
            messages.AsrPartial(transcript="Most of the letters"),
            messages.AsrFinal(transcript="Most of the letters were never sent."),
            messages.AsrError(code=BadMessage.code, message="`audio` is not base64"),
        ),
        {},
    ),
    Compat(
        "verify",
        VerifySockets.path,
        (),
        (
            messages.VerifyResult(similarity=0.91, verification_result=True),
            messages.VerifyError(
                error=ErrorDetail(
                    code=NotAudio.code,
                    message="the message: not audio that can be decoded",
                    ref=None,
                    retryable=False,
                ),
                similarity=0.0,
                verification_result=False,
            ),
        ),
        {
            "client_file": {
                "title": "A file of any container, or samples of 16 bits at 16 kHz",
                "summary": "The first one is the reference.",
                "contentType": "application/octet-stream",
                "payload": {"type": "string", "contentMediaType": "application/octet-stream"},
            },
            "server_reference_set": {
                "title": "The answer to the reference",
                "contentType": "text/plain",
                "payload": {"type": "string", "const": REFERENCE_SET},
            },
        },
    ),
)


def structs() -> list[type[msgspec.Struct]]:
    """Return the struct of every message that has one."""
    return [type(one) for socket in COMPAT for one in (*socket.client, *socket.server)]


def described(socket: Compat, ref: str) -> dict[str, dict[str, Any]]:
    """Return the messages of a socket by their names.

    Args:
        socket: The socket.
        ref: Reference to a schema, with `{name}` for the name of its struct.
    """
    found = {
        f"{socket.name}_{side}_{type(one).__name__}": {
            "name": type(one).__struct_config__.tag or type(one).__name__,
            "payload": {"$ref": ref.format(name=type(one).__name__)},
            "examples": [{"payload": msgspec.to_builtins(one)}],
        }
        for side, examples in (("client", socket.client), ("server", socket.server))
        for one in examples
    }
    return found | {
        f"{socket.name}_{name}": {"name": name.partition("_")[2], **plain}
        for name, plain in socket.plain.items()
    }
