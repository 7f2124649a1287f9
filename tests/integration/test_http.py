"""The one port besides the stream: health, metrics, info, the page, and who may ask."""

import asyncio
import json
import re
import socket
import subprocess

import pytest
from daemons import STREAMD, Daemon, converse, dial, environment, next_event, say, silence, speech
from fakes.wire import Wire
from prometheus_client.parser import text_string_to_metric_families
from waiting import HANG_S
from websockets.exceptions import InvalidStatus

END = {"type": "end"}


def test_health_says_live_and_ready(daemon: Daemon):
    status, headers, body = daemon.get("/health/live")
    assert (status, json.loads(body)) == (200, {"status": "live"})
    assert headers["Content-Type"].startswith("application/json")
    for path in ("/health/ready", "/health"):
        status, _, body = daemon.get(path)
        assert status == 200
        assert json.loads(body)["status"] == "ready"
        assert json.loads(body)["max_streams"] == 256


def test_info_says_what_there_is(daemon: Daemon):
    for path in ("/v1/info", "/info"):
        status, _, body = daemon.get(path)
        info = json.loads(body)
        assert (status, info["name"], info["protocol"]) == (200, "streamd", 1)
        assert set(info["modules"]) == {"vad", "wake", "speaker", "emotion"}
        words = {"alexa", "hey_jarvis", "hey_mycroft", "hey_marvin", "weather", "timer"}
        assert set(info["modules"]["wake"]["words"]) == words
        assert info["modules"]["wake"]["default_words"] == ["alexa"]
        assert all(m["license"] for m in info["modules"].values())


def test_info_has_what_earlier_callers_read(daemon: Daemon):
    info = json.loads(daemon.get("/info")[2])
    assert info["model_id"]
    assert info["description"]
    assert "WAV" in info["input_format"]
    assert set(info["keywords"]) == set(info["modules"]["wake"]["words"])
    assert info["threshold_range"] == [0.0, 1.0]
    assert info["latency_typical_ms"] == 80
    assert "model_id" not in json.loads(daemon.get("/v1/info")[2])


async def test_metrics_parse_and_count(daemon: Daemon):
    def counted() -> list[float]:
        return [
            daemon.metric("streamd_audio_seconds_total"),
            daemon.metric("streamd_streams_total", code="1000"),
            daemon.metric("streamd_events_total", type="wake"),
            daemon.metric("streamd_received_bytes_total"),
        ]

    before = counted()
    answers = await converse(daemon.url, speech(), END)
    await daemon.eventually(lambda: daemon.streams == 0)
    seconds, sessions, wakes, received = (b - a for a, b in zip(before, counted(), strict=True))
    assert seconds == pytest.approx(len(speech()) / 32_000, abs=1e-3)
    assert (sessions, wakes) == (1, len(answers.of("wake")))
    assert received >= len(speech())
    status, headers, body = daemon.get("/metrics")
    assert status == 200
    assert headers["Content-Type"].startswith("text/plain")
    names = {family.name for family in text_string_to_metric_families(body.decode())}
    assert daemon.metric("streamd_ready") == 1
    assert daemon.metric("streamd_streams_limit") == 256
    assert {"streamd_streams_open", "streamd_jobs_waiting", "streamd_batch_size"} <= names
    assert b"s_" not in re.findall(rb'session="', body)


def test_the_page_and_all_it_needs_come_from_here(daemon: Daemon):
    status, headers, body = daemon.get("/", Accept="text/html")
    assert status == 200
    assert headers["Content-Type"].startswith("text/html")
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    page = body.decode()
    assert "http://" not in re.sub(r"http://www\.w3\.org/\S+", "", page)
    assert not re.search(r"<script>|\son\w+=|style=\"", page), "the policy would forbid it"
    wanted = set(re.findall(r'(?:src|href)="([^"#]+)"', page))
    seen = set()
    while wanted - seen:
        name = (wanted - seen).pop()
        seen.add(name)
        if name.startswith("data:"):
            continue
        status, headers, body = daemon.get("/" + name.removeprefix("./").lstrip("/"))
        assert status == 200, name
        assert headers["Content-Security-Policy"] == policy
        if name.endswith(".js"):
            assert "javascript" in headers["Content-Type"]
            wanted |= set(re.findall(r'from "\./([^"]+)"', body.decode()))
    assert any(name.endswith(".js") for name in seen)
    assert any(name.endswith(".css") for name in seen)


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/../pyproject.toml",
        "/%2e%2e/pyproject.toml",
        "/page.js/..%2f..%2fpyproject.toml",
        "/index.html/",
        "/README.md",
        "/v1/stream/",
    ],
)
def test_nothing_else_can_be_asked_for(daemon: Daemon, path):
    status, _, body = daemon.get(path)
    assert status == 404
    assert b"[build-system]" not in body


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Upgrade": "websocket"},
        {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13"},
        {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "99"},
        {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "?",
        },
    ],
)
def test_the_stream_without_a_handshake_is_refused_and_takes_no_slot(daemon: Daemon, headers):
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    with Wire(daemon.url) as wire:
        wire.socket.sendall(f"GET /v1/stream HTTP/1.1\r\nHost: x\r\n{lines}\r\n".encode())
        assert wire.socket.recv(100).split()[1] in (b"400", b"426")
    assert daemon.streams == 0


class TestOrigin:
    async def refused(self, daemon: Daemon, origin: str) -> bool:
        try:
            async with dial(daemon.url, origin=origin) as stream:
                await say(stream, END)
                await next_event(stream, "ready")
                return False
        except InvalidStatus as refusal:
            answer = refusal.response
        assert answer.status_code == 403
        assert json.loads(answer.body)["error"]["code"] == "forbidden"
        return True

    async def test_a_page_elsewhere_is_refused(self, daemon: Daemon):
        port = daemon.http_url.rsplit(":", 1)[1]
        for origin in (
            "https://evil.example",
            "http://127.0.0.1:1",
            "http://127.0.0.1",
            f"http://127.0.0.1.evil.example:{port}",
            "null",
            "",
            "file://",
            f"http://localhost:{port}",
        ):
            assert await self.refused(daemon, origin), origin

    async def test_our_own_page_may(self, daemon: Daemon):
        assert not await self.refused(daemon, daemon.http_url)
        assert not await self.refused(daemon, daemon.http_url.replace("http", "HTTP"))

    async def test_who_sends_none_may(self, daemon: Daemon):
        assert (await converse(daemon.url, silence(0.1), END)).code == 1000

    async def test_the_operator_may_allow_others(self, serve):
        running = serve(server__origins='["https://wall.example:8443"]')
        assert not await self.refused(running, "https://wall.example:8443")
        assert await self.refused(running, "https://wall.example")
        assert await self.refused(running, "http://wall.example:8443")
        assert not await self.refused(running, running.http_url)
        assert "sandboxed" not in running.log.read_text()

    async def test_apps_and_extensions_too_and_null_by_name_with_a_warning(self, serve):
        allowed = ["tauri://localhost", "capacitor://localhost", "chrome-extension://abcd", "null"]
        running = serve(server__origins=json.dumps(allowed))
        for origin in allowed:
            assert not await self.refused(running, origin), origin
        for origin in ("ionic://localhost", "chrome-extension://dcba", "file://", ""):
            assert await self.refused(running, origin), origin
        (warning,) = [one for one in running.records() if "sandboxed" in one["message"]]
        assert warning["level"] == "warning"


def start(home, *args: str, **settings: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*STREAMD, "serve", *args],
        env=environment(home, **settings),
        capture_output=True,
        check=False,
        text=True,
        timeout=HANG_S,
    )


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", ""])
def test_a_host_beyond_loopback_is_refused_and_it_says_why(tmp_path, host):
    done = start(tmp_path, "--host", host, "--port", "0")
    assert (done.returncode, done.stdout) == (3, "")
    assert "not loopback" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_port_in_use_is_said(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = start(tmp_path, "--port", str(taken.getsockname()[1]))
    assert (done.returncode, done.stdout) == (8, "")
    assert "in use" in done.stderr
    assert "--port" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("host", ["localhost", "::1"])
async def test_every_loopback_address_works(serve, host):
    if host == "::1":
        try:
            socket.create_server(("::1", 0), family=socket.AF_INET6).close()
        except OSError:
            pytest.skip("this machine has no IPv6")
    running = serve("--host", host)
    assert (await converse(running.url, silence(0.1), END)).code == 1000
    assert await asyncio.to_thread(lambda: running.get("/")[0]) == 200
