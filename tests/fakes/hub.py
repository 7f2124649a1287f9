"""A hub that speaks ModelScope's API: the list of a repository's files, and a file or its rest."""

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit


class Hub:
    """One repository at one revision.

    Args:
        repository: Its name, as `iic/tiny`.
        revision: Its only revision.
        files: Their contents by name.
    """

    def __init__(self, repository: str, revision: str, files: Mapping[str, bytes]) -> None:
        self.repository, self.revision, self.files = repository, revision, dict(files)
        self.cut: dict[str, int] = {}
        """After how many bytes the next answer with a file breaks off, by name."""
        self.ranges: list[tuple[str, str]] = []
        """Name and range of each request for a file."""
        self.agents: set[str] = set()

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Serve, and yield the endpoint."""
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                hub._answer(self)

            def log_message(self, *_: Any) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            try:
                yield f"http://127.0.0.1:{server.server_address[1]}"
            finally:
                server.shutdown()
                thread.join()

    def _answer(self, request: BaseHTTPRequestHandler) -> None:
        address = urlsplit(request.path)
        query = {name: values[0] for name, values in parse_qs(address.query).items()}
        base = f"/api/v1/models/{self.repository}/repo"
        self.agents.add(request.headers.get("User-Agent", ""))
        if query.get("Revision") != self.revision or not address.path.startswith(base):
            return self._json(request, 404, {"Code": 10010205001, "Message": "not found"})
        if address.path == f"{base}/files":
            root = query.get("Root", "")
            files = [
                {
                    "Path": name,
                    "Name": Path(name).name,
                    "Type": "blob",
                    "Size": len(content),
                    "Sha256": hashlib.sha256(content).hexdigest(),
                }
                for name, content in self.files.items()
                if name.startswith(f"{root}/" if root else "")
            ]
            return self._json(
                request, 200, {"Code": 200, "Success": True, "Data": {"Files": files}}
            )
        return self._file(request, query.get("FilePath", ""))

    def _file(self, request: BaseHTTPRequestHandler, name: str) -> None:
        if name not in self.files:
            return self._json(request, 404, {"Code": 10010205001, "Message": "no such file"})
        whole = asked = self.files[name]
        wanted = request.headers.get("Range", "")
        self.ranges.append((name, wanted))
        start = int(wanted.removeprefix("bytes=").partition("-")[0]) if wanted else 0
        asked = whole[start:]
        request.send_response(206 if wanted else 200)
        request.send_header("Content-Length", str(len(asked)))
        if wanted:
            end = len(whole) - 1
            request.send_header("Content-Range", f"bytes {start}-{end}/{len(whole)}")
        request.end_headers()
        if name in self.cut:
            asked = asked[: self.cut.pop(name)]
            request.close_connection = True
        request.wfile.write(asked)
        return None

    @staticmethod
    def _json(request: BaseHTTPRequestHandler, status: int, body: Mapping[str, Any]) -> None:
        content = json.dumps(body).encode()
        request.send_response(status)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)
