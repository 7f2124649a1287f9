"""What `streamd service status` makes of the server's answer."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest

from streamd.service.status import health

FORBIDDEN = {"error": {"code": "forbidden", "message": "not from this address"}}


@contextmanager
def answering(status: int, body: object) -> Iterator[str]:
    """A server with one answer; its address."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("status", "body", "shown"),
    [
        (200, {"status": "ready"}, "ready"),
        (503, {"status": "draining"}, "draining"),
        (403, FORBIDDEN, "forbidden"),
        (200, ["of", "another", "server"], None),
        (404, {"detail": "of another server"}, None),
    ],
)
def test_health_is_what_the_server_answers(status: int, body: object, shown: str | None) -> None:
    with answering(status, body) as place:
        assert health(place) == shown
