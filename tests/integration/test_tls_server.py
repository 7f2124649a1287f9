"""A daemon with a certificate: TLS on its one port, renewed without a dropped stream."""

import asyncio
import contextlib
import json
import signal
import socket
import ssl
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from cryptography import x509
from daemons import (
    STREAMD,
    Daemon,
    Received,
    cut,
    dial,
    environment,
    next_event,
    read_to_close,
    say,
    speech,
)
from fakes.certificates import NAMES, Files, certificate
from fakes.wire import Wire
from waiting import HANG_S, wait_until

from streamd.transport.tls.certificate import Certificate
from streamd.transport.tls.home_made import DAYS

END = {"type": "end"}
STREAMS = 6
"""So many that ticks read their sockets."""
ALONE = (sys.executable, "-c", "import os, sys; os.setsid(); os.execv(sys.argv[1], sys.argv[1:])")
"""Starts a program without a controlling terminal."""


@pytest.fixture(autouse=True)
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    files = certificate(tmp_path / "tls")
    monkeypatch.setenv("SSL_CERT_FILE", files.authority)
    return files


@pytest.fixture
def running(tmp_path: Path, trusted: Files):
    with with_tls(tmp_path, trusted) as daemon:
        yield daemon
    assert daemon.complaints() == []


def with_tls(home: Path, files: Files, **settings: object) -> Daemon:
    """A daemon without a terminal, so that SIGHUP reloads."""
    daemon = Daemon(home, server__tls_cert=files.cert, server__tls_key=files.key, **settings)
    daemon.launcher = ALONE
    return daemon


def names(url: str) -> list[str]:
    """The names of the certificate that a new connection gets."""
    parts = urlsplit(url)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection((parts.hostname, parts.port), timeout=HANG_S) as plain,
        context.wrap_socket(plain) as tls,
    ):
        found = tls.getpeercert(binary_form=True)
    assert found is not None
    return Certificate((x509.load_der_x509_certificate(found),)).names


async def opened(stack: contextlib.AsyncExitStack, url: str, count: int):
    """So many streams after their `ready`."""
    sockets = [await stack.enter_async_context(dial(url)) for _ in range(count)]
    received = []
    for one in sockets:
        await say(one, {"type": "hello"})
        received.append(Received([await next_event(one, "ready")]))
    return list(zip(sockets, received, strict=True))


def test_it_listens_on_https_and_serves_page_and_health(running: Daemon):
    assert running.http_url.startswith("https://127.0.0.1:")
    assert running.url.startswith("wss://")
    assert running.get("/health")[0] == 200
    status, _, page = running.get("/", Accept="text/html")
    assert status == 200
    assert b"<html" in page.lower() or b"<!doctype" in page.lower()
    expiry_s = running.metric("streamd_certificate_expiry_timestamp_seconds")
    assert DAYS - 3 < (expiry_s - time.time()) / 86_400 < DAYS
    assert running.metric("streamd_tls_handshakes_total", result="done") >= 3
    assert running.metric("streamd_fast_path_active") in (0, 1)


def test_whoever_asks_over_tls_may_use_any_name_and_no_page_over_http_may(running: Daemon):
    assert running.get("/v1/info", Host="voice.example")[0] == 200
    assert running.get("/v1/info", Host="voice.example", Origin="https://voice.example")[0] == 200
    assert running.get("/v1/info", Host="voice.example", Origin="http://voice.example")[0] == 403


async def test_the_certificate_changes_under_streams_that_go_on(running: Daemon, trusted: Files):
    """By the files alone, and again by SIGHUP; no stream notices."""
    pcm = speech(seconds=4)
    async with contextlib.AsyncExitStack() as stack:
        streams = await opened(stack, running.url, STREAMS)
        reading = [asyncio.create_task(read_to_close(*one)) for one in streams]
        for number, message in enumerate(cut(pcm, 640)):
            for stream, _ in streams:
                await say(stream, message)
            if number == 50:
                certificate(Path(trusted.cert).parent, names=(*NAMES, "second"))
                await running.eventually(lambda: "second" in names(running.url))
            if number == 100:
                certificate(Path(trusted.cert).parent, names=(*NAMES, "third"))
                running.process.send_signal(signal.SIGHUP)
                await running.eventually(lambda: "third" in names(running.url))
        for stream, _ in streams:
            await say(stream, END)
        for received in await asyncio.wait_for(asyncio.gather(*reading), HANG_S):
            assert received.code == 1000
            assert {"speech_start", "speech_end", "bye"} <= {*received.types}
            assert not received.codes
    assert running.metric("streamd_certificate_reloads_total", result="taken") >= 2


def test_a_certificate_that_does_not_fit_leaves_the_old_one(tmp_path: Path, trusted: Files):
    other = certificate(tmp_path / "other", names=("other",))
    message = "the new certificate cannot be used; the old one stays"
    with with_tls(tmp_path, trusted) as running:
        Path(trusted.key).write_bytes(Path(other.key).read_bytes())
        running.process.send_signal(signal.SIGHUP)
        wait_until(lambda: running.records(message))
        (said,) = running.records(message)
        assert "is not the key of the certificate" in said["why"]
        assert names(running.url) == [*NAMES]
        assert running.metric("streamd_certificate_reloads_total", result="refused") == 1


def test_http_without_tls_is_told_to_use_https(running: Daemon):
    with Wire(running.http_url.replace("https", "http")) as wire:
        wire.request("GET / HTTP/1.1", Upgrade="", Connection="")
        head, body = wire.until_answered()
        assert wire.rest() == b""
    assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    error = json.loads(body)["error"]
    assert error["code"] == "bad_input"
    assert "https://" in error["message"]
    assert running.metric("streamd_tls_handshakes_total", result="plain_http") == 1


def hello(context: ssl.SSLContext) -> bytes:
    """The first message of a handshake."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


@pytest.mark.parametrize("sent", ["nothing", "half", "whole"])
def test_an_unfinished_handshake_is_closed(tmp_path: Path, trusted: Files, sent: str):
    first = hello(trusted.client)
    sends = {"nothing": b"", "half": first[: len(first) // 2], "whole": first}[sent]
    with with_tls(tmp_path, trusted, server__request_timeout_s=0.5) as running:
        before = running.metric("streamd_connections_closed_total", reason="timeout")
        with contextlib.ExitStack() as stack:
            plain = running.http_url.replace("https", "http")
            wires = [stack.enter_context(Wire(plain)) for _ in range(20)]
            for wire in wires:
                wire.socket.sendall(sends)
            for wire in wires:
                wire.rest()  # returns when the server closes
        closed = running.metric("streamd_connections_closed_total", reason="timeout")
        assert closed == before + 20
        assert running.metric("streamd_tls_handshakes_total", result="lost") == 20
        assert running.complaints() == []


def test_unfinished_handshakes_leave_room_for_others(tmp_path: Path, trusted: Files):
    with with_tls(tmp_path, trusted, server__max_waiting=5) as running:
        with contextlib.ExitStack() as stack:
            plain = running.http_url.replace("https", "http")
            wires = [stack.enter_context(Wire(plain)) for _ in range(20)]
            for wire in wires:
                wire.socket.sendall(hello(trusted.client)[:50])
            for wire in wires[:14]:
                wire.rest()
            assert running.get("/health")[0] == 200
        assert running.metric("streamd_connections_closed_total", reason="crowded") >= 15
        assert running.complaints() == []


def test_older_versions_are_refused(running: Daemon):
    parts = urlsplit(running.http_url)
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
    with pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"):
        old.minimum_version = ssl.TLSVersion.TLSv1_1
    with pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    old.set_ciphers("ALL:@SECLEVEL=0")
    with (
        socket.create_connection((parts.hostname, parts.port), timeout=HANG_S) as plain,
        pytest.raises(ssl.SSLError),
    ):
        old.wrap_socket(plain)


def test_a_page_of_its_own_origin_may_stream_and_another_may_not(running: Daemon):
    for origin, status in (
        (running.http_url, b"101"),
        (running.http_url.replace("https", "http"), b"403"),
        ("https://evil.example", b"403"),
    ):
        with Wire(running.url) as wire:
            wire.request(Host=urlsplit(running.http_url).netloc, Origin=origin)
            assert wire.until_answered()[0].split()[1] == status, origin


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"tls_cert": "missing.pem"}, "server.tls_cert: "),
        ({"tls_key": "missing.pem"}, "there is no server.tls_cert"),
    ],
)
@pytest.mark.parametrize("command", [("serve", "--port", "0"), ("config", "check")])
def test_a_certificate_that_cannot_be_used_is_an_error_of_the_configuration(
    tmp_path: Path, command, settings, says
):
    chosen = {f"server__{key}": tmp_path / path for key, path in settings.items()}
    ended = subprocess.run(
        [*STREAMD, *command],
        env=environment(tmp_path, **{"server__tls_cert": "", "server__tls_key": ""} | chosen),
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
    )
    assert ended.returncode == 3, ended.stderr
    assert says in ended.stderr
    assert ended.stdout == ""


def test_an_expired_one_is_served_and_config_check_and_doctor_say_so(tmp_path: Path):
    files = certificate(tmp_path / "old", age_days=DAYS)
    settings = {"server__tls_cert": files.cert, "server__tls_key": files.key}
    with Daemon(tmp_path, **settings) as running:
        assert running.records("clients will refuse the certificate")
    for command in (["config", "check"], ["doctor", "--json"]):
        ended = subprocess.run(
            [*STREAMD, *command],
            env=environment(tmp_path, server__port=0, **settings),
            capture_output=True,
            text=True,
            timeout=HANG_S,
            check=False,
        )
        assert ended.returncode == 3, ended.stderr
        assert "expired on" in ended.stdout + ended.stderr
