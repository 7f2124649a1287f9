"""Standard output whose reader may leave early, as in `streamd models | head`."""

from __future__ import annotations

import os
import sys
from typing import Any, TextIO


class Output:
    """A standard stream that remembers that its reader left, and then discards what follows."""

    def __init__(self, stream: TextIO) -> None:
        self.is_broken = False
        self._stream = stream

    def write(self, text: str) -> int:
        """Write as the stream does.

        Raises:
            BrokenPipeError: The reader left; only once.
        """
        if self.is_broken:
            return len(text)
        try:
            return self._stream.write(text)
        except BrokenPipeError:
            self._discard()
            raise

    def flush(self) -> None:
        """Flush as the stream does.

        Raises:
            BrokenPipeError: The reader left; only once.
        """
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._discard()
            raise

    def _discard(self) -> None:
        """Redirect the stream to nowhere: Python flushes it at exit, and would report an error."""
        self.is_broken = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def guard() -> tuple[Output, Output]:
    """Replace `sys.stdout` and `sys.stderr`."""
    streams = Output(sys.stdout), Output(sys.stderr)
    sys.stdout, sys.stderr = streams
    return streams
