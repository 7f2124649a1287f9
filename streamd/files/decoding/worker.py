"""The process that decodes: it takes one file after the other over a socket, its standard input.

It imports the decoders and nothing of the server, and is started by `process`.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import socket
import sys
import traceback
from contextlib import suppress
from typing import BinaryIO, cast

import av
import msgspec

from streamd.audio.files import Gap, TooLong, as_pcm16, read
from streamd.errors import NotAudio
from streamd.files.decoding.confinement import allow_cpu, confine, die_with
from streamd.files.decoding.frames import HEADER, Fail, Head, Kind, Missing, Open, frame

_FLUSH_BYTES = 1 << 16
_DESCRIPTORS = 3
_MAX_TRACE_CHARS = 4000


class Line:
    """The socket to the server. Frames that are sent wait until they fill a packet."""

    def __init__(self, peer: socket.socket) -> None:
        self._peer = peer
        self._out = bytearray()

    def send(self, kind: Kind, payload: bytes | msgspec.Struct = b"") -> None:
        """Send a frame, soon."""
        self._out += frame(kind, payload)
        if len(self._out) >= _FLUSH_BYTES:
            self.flush()

    def flush(self) -> None:
        """Send what waits."""
        self._peer.sendall(self._out)
        self._out.clear()

    def receive(self) -> tuple[Kind, bytes]:
        """Return the next frame.

        Raises:
            EOFError: The server has closed the socket.
        """
        self.flush()
        kind, length = HEADER.unpack(self._exactly(HEADER.size))
        return Kind(kind), self._exactly(length)

    def _exactly(self, size: int) -> bytes:
        data = bytearray(size)
        view = memoryview(data)
        while view:
            if not (count := self._peer.recv_into(view)):
                raise EOFError
            view = view[count:]
        return bytes(data)


class Upload:
    """The bytes of a file, asked for piece by piece."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._piece = memoryview(b"")
        self._is_over = False

    def seekable(self) -> bool:
        """Return False."""
        return False

    def read(self, size: int) -> bytes:
        """Return at most `size` bytes, and none at the end alone."""
        if not self._piece and not self._is_over:
            self._line.send(Kind.NEED)
            _, piece = self._line.receive()
            self._piece = memoryview(piece)
            self._is_over = not piece
        data = bytes(self._piece[:size])
        self._piece = self._piece[size:]
        return data


def decode(line: Line, wanted: Open) -> None:
    """Decode one file and send what comes of it."""
    try:
        file = read(
            cast(BinaryIO, Upload(line)),
            name=wanted.name,
            max_s=wanted.max_seconds,
            note=lambda text: line.send(Kind.NOTE, text.encode()),
        )
        line.send(
            Kind.HEAD,
            Head(file.rate_hz, file.channels, file.offset_ms, file.total_ms, file.is_total_true),
        )
        for part in file.parts:
            if isinstance(part, Gap):
                line.send(Kind.GAP, Missing(part.ms))
            else:
                line.send(Kind.PCM, as_pcm16(part))
    except TooLong as error:
        line.send(Kind.FAIL, Fail("too_large", str(error)))
    except NotAudio as error:
        line.send(Kind.FAIL, Fail("not_audio", str(error)))
    except MemoryError:
        line.send(
            Kind.FAIL, Fail("too_large", f"{wanted.name}: takes more memory than decoding may use")
        )
    else:
        line.send(Kind.DONE)


def serve(line: Line) -> None:
    """Decode files until the server closes the socket."""
    line.send(Kind.READY)
    while True:
        _, payload = line.receive()
        wanted = msgspec.json.decode(payload, type=Open)
        allow_cpu(wanted.timeout_s)
        try:
            decode(line, wanted)
        except (EOFError, OSError):
            raise
        except Exception:
            line.send(Kind.FAIL, Fail("broken", traceback.format_exc()[-_MAX_TRACE_CHARS:]))
            line.flush()
            os._exit(1)


def load_all() -> None:
    """Import what PyAV would import when a file first needs it: no file can be opened then."""
    for module in pkgutil.walk_packages(av.__path__, "av."):
        if not module.name.endswith("__main__"):
            with suppress(ImportError):
                importlib.import_module(module.name)


def main() -> None:
    """Confine this process and serve."""
    die_with(parent=int(sys.argv[1]))
    load_all()
    confine(_DESCRIPTORS)
    try:
        serve(Line(socket.socket(fileno=0)))
    except (EOFError, OSError):
        os._exit(0)  # the server is gone


if __name__ == "__main__":
    main()
