"""Who may ask at all: by address, by page and by the name of the server."""

import http.client
import itertools
import json
from email.message import Message
from urllib.parse import urlsplit

import pytest
from daemons import IS_TLS, Daemon, converse, dial, next_event, say
from waiting import HANG_S
from websockets.exceptions import InvalidStatus

PAGE = "https://wall.example"
PATHS = ("/", "/app.js", "/v1/info", "/info", "/metrics", "/health", "/health/live", "/nothing")
TELLING = ("/v1/info", "/info", "/metrics")
HELLO = {"type": "hello", "modules": {"vad": {}}}
END = {"type": "end"}


def ask(
    daemon: Daemon, method: str, path: str, headers: dict[str, str]
) -> tuple[int, Message, bytes]:
    """Any request, with these headers and no others but `Host`, which they may replace."""
    parts = urlsplit(daemon.http_url)
    kinds = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
    connection = kinds[parts.scheme](parts.hostname, parts.port, timeout=HANG_S)
    try:
        connection.putrequest(method, path, skip_host="Host" in headers, skip_accept_encoding=True)
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def code(answer: tuple[int, Message, bytes]) -> tuple[int, str]:
    return answer[0], json.loads(answer[2])["error"]["code"]


async def stream_status(daemon: Daemon, **headers: str) -> int:
    """101, or the status with which the stream is refused."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        async with dial(daemon.url, additional_headers=named) as stream:
            await say(stream, END)
            await next_event(stream, "ready")
            return 101
    except InvalidStatus as refusal:
        return refusal.response.status_code


class TestAddresses:
    async def test_a_forbidden_address_gets_403_everywhere(self, serve):
        running = serve(access__allow_ips='["192.0.2.0/24", "::1"]')
        for path in PATHS:
            assert code(ask(running, "GET", path, {})) == (403, "forbidden"), path
        assert code(ask(running, "OPTIONS", "/v1/info", {})) == (403, "forbidden")
        assert await stream_status(running) == 403
        # Nobody vouches for this header.
        assert await stream_status(running, X_Forwarded_For="192.0.2.1") == 403
        (refused, *_) = running.records("address refused")
        assert refused["peer"] == "127.0.0.1"

    def test_the_log_names_no_voice_of_a_request_that_is_refused(self, serve):
        running = serve(access__allow_ips='["192.0.2.0/24"]')
        assert ask(running, "GET", "/v1/speakers/Zaphod", {})[0] == 403
        (refused,) = running.records("address refused")
        assert refused["path"] == "/v1/speakers/{name}"

    async def test_behind_a_trusted_proxy_the_client_counts(self, serve):
        running = serve(
            access__allow_ips='["192.0.2.0/24"]', server__trusted_proxies='["127.0.0.1"]'
        )
        assert await stream_status(running) == 403
        assert await stream_status(running, X_Forwarded_For="198.51.100.1") == 403
        assert await stream_status(running, X_Forwarded_For="192.0.2.7, 198.51.100.1") == 403
        assert await stream_status(running, X_Forwarded_For="192.0.2.7") == 101
        assert await stream_status(running, X_Forwarded_For="::ffff:192.0.2.7") == 101
        assert running.get("/metrics", **{"X-Forwarded-For": "192.0.2.7"})[0] == 200

    async def test_a_listed_address_may(self, serve):
        running = serve(access__allow_ips='["127.0.0.0/8"]')
        assert (await converse(running.url, HELLO, END)).code == 1000
        assert running.metric("streamd_requests_refused_total", reason="address") == 0


@pytest.mark.skipif(IS_TLS, reason="nobody rebinds a name to a server with a certificate")
class TestNames:
    def test_the_log_names_no_voice_of_a_request_that_is_refused(self, serve):
        running = serve()
        assert ask(running, "GET", "/v1/speakers/Zaphod", {"Host": "evil.example"})[0] == 403
        (refused,) = running.records("unknown host name refused")
        assert refused["path"] == "/v1/speakers/{name}"

    @pytest.mark.parametrize("path", TELLING)
    def test_a_page_that_rebound_its_name_learns_nothing(self, daemon: Daemon, path):
        for host, origin in itertools.product(("evil.example:8765", "evil.example"), (True, False)):
            headers = {"Host": host} | ({"Origin": f"http://{host}"} if origin else {})
            assert code(ask(daemon, "GET", path, headers)) == (403, "forbidden")

    async def test_nor_does_it_get_a_stream(self, daemon: Daemon):
        headers = {"Origin": "http://evil.example:8765", "Host": "evil.example:8765"}
        upgrade = {
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        }
        assert code(ask(daemon, "GET", "/v1/stream", headers | upgrade)) == (403, "forbidden")

    @pytest.mark.parametrize("path", ["/", "/app.js", "/health", "/health/live"])
    def test_what_tells_nothing_answers_under_any_name(self, daemon: Daemon, path):
        assert ask(daemon, "GET", path, {"Host": "voice.example"})[0] == 200

    def test_a_listed_name_a_page_over_tls_and_no_name_at_all_may(self, serve):
        running = serve(server__origins='["https://voice.example"]')
        assert ask(running, "GET", "/v1/info", {"Host": "voice.example"})[0] == 200
        assert ask(running, "GET", "/v1/info", {"Host": "other.example"})[0] == 403
        secure = {"Host": "other.example", "Sec-Fetch-Site": "same-origin"}
        assert ask(running, "GET", "/v1/info", secure)[0] == 200
        own = {"Host": "other.example", "Origin": "https://other.example"}
        assert ask(running, "GET", "/v1/info", own)[0] == 200


class TestCors:
    @pytest.fixture
    def running(self, serve) -> Daemon:
        return serve(server__origins=json.dumps([PAGE, "null"]))

    @pytest.mark.parametrize("origin", [PAGE, "null"])
    def test_a_listed_page_may_read_answers_and_refusals(self, running, origin):
        for path, status in (("/v1/info", 200), ("/nothing", 404), ("/v1/stream", 426)):
            answer = ask(running, "GET", path, {"Origin": origin})
            assert answer[0] == status
            assert answer[1]["Access-Control-Allow-Origin"] == origin
            assert answer[1]["Vary"] == "Origin"
            assert answer[1]["Access-Control-Expose-Headers"] == "Retry-After"
            assert answer[1]["Access-Control-Allow-Credentials"] is None

    def test_its_preflight_allows_a_key(self, running):
        headers = {
            "Origin": PAGE,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization,idempotency-key",
        }
        status, found, body = ask(running, "OPTIONS", "/v1/tickets", headers)
        assert (status, body) == (204, b"")
        assert found["Access-Control-Allow-Origin"] == PAGE
        assert "POST" in found["Access-Control-Allow-Methods"]
        allowed = found["Access-Control-Allow-Headers"].lower().split(", ")
        assert {"authorization", "x-api-key", "content-type", "idempotency-key"} <= set(allowed)
        assert int(found["Access-Control-Max-Age"]) > 0

    def test_another_page_gets_403_and_no_permission(self, running):
        for origin in ("https://evil.example", f"{PAGE}.evil.example", "http://wall.example"):
            for method in ("GET", "OPTIONS", "POST", "DELETE"):
                headers = {"Origin": origin, "Access-Control-Request-Method": "POST"}
                answer = ask(running, method, "/v1/info", headers)
                assert code(answer) == (403, "forbidden")
                assert answer[1]["Access-Control-Allow-Origin"] is None
                assert answer[1]["Access-Control-Allow-Methods"] is None

    def test_who_is_no_page_gets_no_permission(self, running):
        status, headers, _ = ask(running, "GET", "/v1/info", {})
        assert (status, headers["Access-Control-Allow-Origin"]) == (200, None)
        assert headers["Vary"] == "Origin"
        assert ask(running, "OPTIONS", "/v1/info", {})[0] == 405

    def test_without_listed_origins_no_answer_speaks_of_them(self, daemon: Daemon):
        for origin in (None, daemon.http_url):
            headers = {} if origin is None else {"Origin": origin}
            status, found, _ = ask(daemon, "GET", "/v1/info", headers)
            assert (status, found["Vary"], found["Access-Control-Allow-Origin"]) == (
                200,
                None,
                None,
            )
