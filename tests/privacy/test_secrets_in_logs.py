"""No key, ticket, token, audio, embedding or name of an upload is in anything that a run wrote."""

import asyncio
import base64
import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest
from daemons import DATA, STREAMD, Daemon, cut, dial, environment, next_event, say, speech
from fakes.keys import make_key, revoke, store_of
from fakes.wire import Wire
from websockets.exceptions import InvalidStatus

from streamd.wall_clock import now_ms

UPLOAD = "grandmas-secret-recording"
VOICE = "Zaphod"
NO_UPGRADE = {"Upgrade": "", "Connection": "close", "Sec_WebSocket_Key": ""}


class Run(NamedTuple):
    """What a busy run wrote, and what must not be in it."""

    written: dict[str, str]
    secrets: dict[str, str]


def request(daemon: Daemon, line: str, **headers: str) -> bytes:
    with Wire(daemon.url) as wire:
        wire.request(line, **headers)
        return wire.until_answered()[1]


async def stream(daemon: Daemon, key: str, query: str = "") -> str:
    """Stream speech and come back once; returns the resume tokens."""
    headers = {} if query else {"X-API-Key": key}
    tokens = []
    async with dial(daemon.url + query, additional_headers=headers) as socket:
        await say(socket, {"type": "hello", "client": "test"})
        tokens.append((await next_event(socket, "ready"))["resume"]["token"])
        for message in cut(speech()):
            await say(socket, message)
        await say(socket, {"type": "audio", "data": base64.b64encode(speech()[:640]).decode()})
        await say(socket, "no JSON " + key)
        await say(socket, {"type": "flush", "id": "f"})
        await next_event(socket, "flushed")
        socket.transport.abort()
    async with dial(daemon.url, additional_headers={"Authorization": f"Bearer {key}"}) as socket:
        resume = {"token": tokens[0], "last_seq": 0}
        await say(socket, {"type": "hello", "resume": resume})
        tokens.append((await next_event(socket, "ready"))["resume"]["token"])
        await say(socket, {"type": "end"})
        await next_event(socket, "bye")
    return " ".join(tokens)


async def be_busy(daemon: Daemon, home: Path, keys: dict[str, str]) -> dict[str, str]:
    """Do everything that handles a secret; returns those that came up."""
    secrets: dict[str, str] = {}
    key = keys["good"]
    for shown in (*keys.values(), "sk_mistyped", key[:-1]):
        for headers in ({"X_API_Key": shown}, {"Authorization": f"Bearer {shown}"}):
            request(daemon, "GET /v1/info HTTP/1.1", **NO_UPGRADE, **headers)
            request(daemon, "GET /nothing HTTP/1.1", **NO_UPGRADE, **headers)
    request(daemon, f"GET /v1/info?key={key} HTTP/1.1", **NO_UPGRADE)
    request(daemon, f"GET /v1/stream?ticket={key} HTTP/1.1")
    request(daemon, "GET /v1/info HTTP/1.1", **NO_UPGRADE, X_API_Key=f"{key}\x01")  # malformed
    request(daemon, "GET /v1/info HTTP/1.1", **NO_UPGRADE, **{f"X-API-Key {key}": "x"})
    request(daemon, f"HELLO {key}", **NO_UPGRADE)
    request(daemon, "GET /v1/info HTTP/1.1", **NO_UPGRADE, X_API_Key=key + "a" * 9000)
    for number in range(2):
        body = request(daemon, "POST /v1/tickets HTTP/1.1", **NO_UPGRADE, X_API_Key=key)
        ticket = json.loads(body)["ticket"]
        secrets[f"ticket {number}"] = ticket
        secrets[f"tokens {number}"] = await stream(daemon, key, f"?ticket={ticket}")
        with pytest.raises(InvalidStatus):
            async with dial(daemon.url + f"?ticket={ticket}"):
                pass
    secrets["tokens of a key"] = await stream(daemon, key)
    async with dial(daemon.url, additional_headers={"X-API-Key": keys["leaver"]}) as socket:
        await say(socket, {"type": "hello"})
        await next_event(socket, "ready")
        revoke(home, "leaver")
        assert (await next_event(socket, "error"))["code"] == "unauthenticated"
    return secrets


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    home = tmp_path_factory.mktemp("busy")
    recording = tmp_path_factory.mktemp("uploads") / f"{UPLOAD}.flac"
    recording.write_bytes((DATA / "speech_slt.flac").read_bytes())
    keys = {
        "good": make_key(home, "good", "stream", "enrol"),
        "admin": make_key(home, "admin", "admin"),
        "leaver": make_key(home, "leaver", "stream"),
        "expired": make_key(home, "expired", "stream", expires_ms=now_ms() - 1),
    }
    commands = (
        ["enroll", VOICE, str(recording)],
        ["keys", "create", "by command"],
        ["speakers", "rename", VOICE, "Trillian"],
        ["speakers", "delete", "Trillian"],
        ["enroll", VOICE, str(recording)],
        ["keys", "revoke", "by command"],
        ["doctor", "--audit"],
    )
    secrets = {}
    with Daemon(home, access__keys="always", log__level="debug") as daemon:
        for command in commands:
            done = subprocess.run(
                [*STREAMD, *command],
                check=False,
                env=environment(home),
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, done.stderr
            if command[:2] == ["keys", "create"]:
                secrets["key of a command"] = done.stdout.strip()
        secrets |= asyncio.run(be_busy(daemon, home, keys))
        assert daemon.stop() == 0
        assert daemon.complaints() == []
    with closing(store_of(home)) as store:
        model = store.speakers()[0].models[0]
        numbers = store.embeddings(VOICE, model)[0]
    secrets |= {f"key {name}": key for name, key in keys.items()}
    telling = [repr(float(number))[:9] for number in numbers if abs(number) > 0.01]
    secrets |= {f"number {place}": number for place, number in enumerate(telling)}
    secrets |= {
        "name of the upload": UPLOAD,
        "name of the voice": VOICE,
        "new name of the voice": "Trillian",
        "bytes of the embedding": base64.b64encode(numbers.tobytes()).decode()[200:240],
        "audio": base64.b64encode(speech()[:640]).decode()[100:140],
    }
    written = {"log": daemon.log.read_text(), "audit log": (home / "audit.jsonl").read_text()}
    return Run(written, secrets)


def parts(secret: str) -> Iterator[str]:
    """What gives a secret away: each word of it, and of a key the secret part alone."""
    for word in secret.split():
        yield word
        if word.startswith("sk_"):
            yield word[-43:]


def test_the_run_wrote_what_it_should(run):
    records = [json.loads(line) for line in run.written["audit log"].splitlines()]
    actions = {record["action"] for record in records}
    assert actions >= {
        "request",
        "voice_enrolled",
        "voice_renamed",
        "voice_deleted",
        "key_created",
        "key_revoked",
    }
    outcomes = {record.get("outcome") for record in records if record["action"] == "request"}
    assert outcomes >= {"ok", "unauthenticated"}
    assert "malformed request" in run.written["log"]
    assert len(run.secrets) > 25


@pytest.mark.parametrize("what", ["log", "audit log"])
def test_no_secret_is_in_it(run, what):
    for name, secret in run.secrets.items():
        for part in parts(secret):
            assert part not in run.written[what], name
    assert not re.search(r"sk_\w{12}_|\bt_[\w-]{20}|\br_[\w-]{20}", run.written[what])
