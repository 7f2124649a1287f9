"""A client that writes bytes, so that it can do what no library would."""

import json
import re
import socket
import struct
from typing import Any, Self
from urllib.parse import urlsplit

from daemons import trusts
from waiting import HANG_S
from websockets.frames import Frame, Opcode

KEY = "AAAAAAAAAAAAAAAAAAAAAA=="
UPGRADE = {
    "Host": "x",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": KEY,
}


class Wire:
    """A TCP connection to a daemon, with TLS if the URL says so."""

    def __init__(self, url: str, receive_buffer: int | None = None) -> None:
        parts = urlsplit(url)
        self.socket: socket.socket = socket.socket()
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(HANG_S)
        self.socket.connect((parts.hostname, parts.port))
        if (context := trusts(url)) is not None:
            self.socket = context.wrap_socket(self.socket, server_hostname=parts.hostname)
        self._line = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def request(self, line: str = "GET /v1/stream HTTP/1.1", **headers: str) -> None:
        """Send a request: by default for a stream; underscores in names are hyphens."""
        self._line = line
        chosen = UPGRADE | {name.replace("_", "-"): value for name, value in headers.items()}
        lines = [line, *(f"{name}: {value}" for name, value in chosen.items()), "", ""]
        self.socket.sendall("\r\n".join(lines).encode("latin-1"))

    def upgrade(self) -> None:
        """Open a stream."""
        self.request()
        head, rest = self.until_answered()
        assert head.startswith(b"HTTP/1.1 101 "), head
        assert not rest

    def until_answered(self) -> tuple[bytes, bytes]:
        """The next answer as (head, body); the body is as long as the head says."""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = self.socket.recv(1)
            assert byte, head
            head += byte
        length = re.search(rb"\r\nContent-Length: (\d+)", head)
        has_body = length is not None and not self._line.startswith("HEAD ")
        missing = int(length[1]) if has_body and length else 0
        body = b""
        while len(body) < missing and (data := self.socket.recv(missing - len(body))):
            body += data
        return head[:-4], body

    def say(self, message: bytes | dict[str, Any], opcode: Opcode | None = None) -> None:
        """Send a frame."""
        data = json.dumps(message).encode() if isinstance(message, dict) else message
        kind = Opcode.TEXT if isinstance(message, dict) else Opcode.BINARY
        self.socket.sendall(frame(opcode or kind, data))

    def rest(self) -> bytes:
        """All that comes up to the end of the connection."""
        received = b""
        try:
            while data := self.socket.recv(65_536):
                received += data
        except ConnectionError:
            pass
        return received

    def reset(self) -> None:
        """Vanish: the server's next write fails."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def frame(opcode: Opcode, data: bytes = b"") -> bytes:
    """A frame as a client sends it."""
    return Frame(opcode, data).serialize(mask=True)
