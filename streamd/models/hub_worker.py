"""Downloads files from ModelScope. Only this file imports modelscope.

`hub.py` runs it as a program of its own, so that what the package writes, keeps and prints stays
apart from streamd. It reads one request from stdin and prints one `Line` of JSON after the other;
all else that is printed is the package's.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import msgspec

_EVERY_S = 0.1


class Request(msgspec.Struct, frozen=True):
    """What to download."""

    repository: str
    revision: str
    files: tuple[str, ...]
    directory: str
    """Directory to fill, which may have parts of an earlier attempt."""


class Line(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the program prints: how far a file is, or why the download failed."""

    file: str = ""
    done: int = 0
    total: int = 0
    error: str = ""


def main() -> None:
    """Download what stdin asks for."""
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=Request)
    from modelscope.hub.callback import ProgressCallback
    from modelscope.hub.snapshot_download import snapshot_download

    # modelscope has no types.
    base: Any = ProgressCallback

    class Reporting(base):  # type: ignore[misc]
        """Prints the progress of one file."""

        def __init__(self, filename: str, file_size: int) -> None:
            super().__init__(filename, file_size)
            self._done, self._printed_s = 0, 0.0

        def update(self, size: int) -> None:
            self._done += size
            if time.monotonic() - self._printed_s > _EVERY_S:
                self._print()

        def end(self) -> None:
            self._print()

        def _print(self) -> None:
            self._printed_s = time.monotonic()
            _put(Line(file=self.filename, done=self._done, total=self.file_size))

    try:
        snapshot_download(
            request.repository,
            revision=request.revision,
            local_dir=request.directory,
            allow_patterns=list(request.files),
            progress_callbacks=[Reporting],
        )
    except Exception as error:
        _put(Line(error=_described(error)))
        sys.exit(1)


def _described(error: BaseException) -> str:
    """Return why a download failed, with the reason of each file."""
    failed: dict[str, BaseException] = getattr(error, "failed_files", None) or {}
    reasons = [f"{name}: {reason}" for name, reason in failed.items()]
    return "; ".join([f"{type(error).__name__}: {error}", *reasons])


def _put(line: Line) -> None:
    sys.stdout.write(msgspec.json.encode(line).decode() + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
