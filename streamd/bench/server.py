"""A `streamd serve` that the bench starts, with the current configuration and a temporary store."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from streamd.bench.metrics import STREAM_PATH
from streamd.errors import StreamdError
from streamd.modules.words import CustomWords
from streamd.store.base import DEFAULT_TENANT
from streamd.store.sqlite import open_store

STOP_S = 5.0
_LISTENING = "listening on "
_NOT_FOR_IT = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "STREAMD_KEY")
"""Variables of the bench itself: systemd's, and the key for another server."""


class ServerFailed(StreamdError):
    """The server did not start, or has ended. The exit code is the server's own."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc]  # of this one, not of the class


class OwnServer:
    """A server that the bench starts. It never outlives this process.

    Args:
        config: configuration file; None for the default one.
        max_streams: the most streams.
        cores: to run on; empty for all.
        words: the user's own wake words, to put into its store.
    """

    def __init__(
        self,
        config: Path | None,
        max_streams: int,
        cores: Sequence[int] = (),
        words: CustomWords | None = None,
    ) -> None:
        self.url = ""
        """URL of the stream."""
        self._config = config
        self._max_streams = max_streams
        self._cores = cores
        self._words = words or {}

    def __enter__(self) -> Self:
        self._home = Path(tempfile.mkdtemp(prefix="streamd-bench-"))
        self._log = self._home / "stderr.log"
        try:
            environ = self._environ(os.environ)
            if self._words:
                path, key = self._home / "streamd.db", self._home / "key"
                with_words = open_store(path, key, DEFAULT_TENANT)
                for word in self._words.values():
                    with_words.add_word(word)
                with_words.close()
            self._start(environ)
        except BaseException:
            self._throw_away()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._throw_away()

    def check(self) -> None:
        """Check that it still runs.

        Raises:
            ServerFailed: it does not.
        """
        code = self._process.poll()
        if code is not None:
            raise ServerFailed(f"the server exited: {self._last_words()}", max(code, 1))

    def _environ(self, environ: Mapping[str, str]) -> dict[str, str]:
        chosen = {
            "STREAMD_DATA": str(self._home),
            "STREAMD_STORE__URL": "",
            "STREAMD_STORE__PATH": str(self._home / "streamd.db"),
            "STREAMD_STORE__KEY_PATH": str(self._home / "key"),
            "STREAMD_LIMITS__MAX_STREAMS": str(self._max_streams),
            "STREAMD_LIMITS__MAX_SESSION_S": "86400",
            # The bench itself looks for the most that it can carry: nothing is refused or shed.
            "STREAMD_LIMITS__MAX_LOAD": "0",
            "STREAMD_LIMITS__MAX_LAG_MS": "0",
            "STREAMD_LIMITS__MAX_LOOP_LAG_MS": "600000",
            "STREAMD_LOG__LEVEL": "warning",
            "STREAMD_LOG__FORMAT": "json",
            "STREAMD_SERVER__DRAIN_S": "1",
            "STREAMD_ACCESS__ALLOW_IPS": "[]",
            "STREAMD_ACCESS__KEYS": "auto",
            "STREAMD_ACCESS__AUDIT_PATH": "off",
            # A certificate is for other names than 127.0.0.1.
            "STREAMD_SERVER__TLS_CERT": "",
            "STREAMD_SERVER__TLS_KEY": "",
        }
        # Unless the configuration sets the threads: one for each core of the server, not of the
        # machine.
        if self._cores and "STREAMD_ENGINE__THREADS" not in environ:
            chosen["STREAMD_ENGINE__THREADS"] = str(len(self._cores))
        unwatched = {k: v for k, v in environ.items() if k not in _NOT_FOR_IT}
        return unwatched | chosen

    def _start(self, environ: dict[str, str]) -> None:
        named = [] if self._config is None else ["--config", str(self._config)]
        cores = ",".join(map(str, self._cores)) or "-"
        leash = [sys.executable, "-m", "streamd.bench.leash", str(os.getpid()), cores]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*leash, "serve", "--host", "127.0.0.1", "--port", "0", *named],
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the bench, which ends the server itself
            )
        assert self._process.stdout is not None
        for line in self._process.stdout:
            text = line.decode(errors="replace").strip()
            if text.startswith(_LISTENING):
                url = text.removeprefix(_LISTENING)
                self.url = url.replace("http", "ws", 1) + STREAM_PATH
                return
        code = self._process.wait()
        raise ServerFailed(f"the server did not start: {self._last_words()}", max(code, 1))

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()
        said = next((n for n, line in enumerate(lines) if line.startswith("error: ")), -1)
        return "\n".join(lines[said:]).removeprefix("error: ") or "without any output"

    def _throw_away(self) -> None:
        process = getattr(self, "_process", None)
        if process is not None:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()
        shutil.rmtree(self._home, ignore_errors=True)
