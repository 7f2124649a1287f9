"""Requests with files, as a plain HTTP client sends them."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from email.message import Message
from typing import Any

from daemons import DATA, Daemon, trusts
from waiting import HANG_S

BOUNDARY = "b0undary"
SPEECH = (DATA / "speech_slt.flac").read_bytes()
PHRASE = (DATA / "phrase_slt.flac").read_bytes()


@dataclass(frozen=True)
class Answered:
    """The answer to a request."""

    status: int
    headers: Message
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        found: dict[str, Any] = self.json["error"]
        assert set(found) >= {"code", "message", "ref", "retryable"}
        assert found["message"]
        return found

    @property
    def sent(self) -> list[tuple[str, Any]]:
        """The server-sent events, as name and data."""
        blocks = self.body.decode().strip().split("\n\n")
        return [_event(block) for block in blocks]


def _event(block: str) -> tuple[str, Any]:
    lines = [line.partition(": ")[::2] for line in block.split("\n")]
    assert lines[0][0] == "event"
    assert {name for name, _ in lines[1:]} == {"data"}
    return lines[0][1], json.loads("\n".join(text for _, text in lines[1:]))


def multipart(*parts: tuple[str, str | bytes], boundary: str = BOUNDARY) -> bytes:
    """A multipart body: fields as text, files as bytes, in this order."""
    body = b""
    for name, value in parts:
        named = f'Content-Disposition: form-data; name="{name}"'
        if isinstance(value, bytes):
            head, data = f'{named}; filename="{name}.bin"\r\n\r\n', value
        else:
            head, data = f"{named}\r\n\r\n", value.encode()
        body += f"--{boundary}\r\n{head}".encode() + data + b"\r\n"
    return body + f"--{boundary}--\r\n".encode()


def ask(
    daemon: Daemon,
    method: str,
    path: str,
    body: bytes | Iterable[bytes] | None = None,
    content_type: str = "application/octet-stream",
    **headers: str,
) -> Answered:
    """Send a request; underscores in header names are hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    if body is not None:
        named["Content-Type"] = content_type
    request = urllib.request.Request(daemon.http_url + path, body, headers=named, method=method)
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}),
        urllib.request.HTTPSHandler(context=trusts(daemon.http_url)),
    )
    try:
        with opener.open(request, timeout=HANG_S) as answer:
            return Answered(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as refusal:
        with refusal:
            return Answered(refusal.code, refusal.headers, refusal.read())


def post(daemon: Daemon, path: str, *parts: tuple[str, str | bytes], **headers: str) -> Answered:
    """Post a form."""
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    return ask(daemon, "POST", path, multipart(*parts), kind, **headers)


def post_json(daemon: Daemon, path: str, body: Any, **headers: str) -> Answered:
    """Post JSON."""
    return ask(daemon, "POST", path, json.dumps(body).encode(), "application/json", **headers)
