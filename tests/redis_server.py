"""A real Redis server for the tests of what may be kept there."""

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import redis
from needs import needs
from waiting import HANG_S, wait_until


class RedisServer:
    """A server of Debian's package, as a user of its own, on a socket in a temporary directory.

    Args:
        options: Of the server, as `"--maxmemory", "1mb"`.
    """

    def __init__(self, *options: str) -> None:
        needs("redis-server")
        self._options = options
        # Not below pytest's folder, which only its owner may enter.
        self._home = Path(tempfile.mkdtemp(prefix="streamd-redis-", dir="/tmp"))
        self._identity: dict[str, Any] = {}
        if os.geteuid() == 0:
            user = pwd.getpwnam("redis")
            os.chown(self._home, user.pw_uid, user.pw_gid)
            self._identity = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        self._socket = self._home / "s"
        self.url = f"unix://{self._socket}"
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        """Start the server, empty, and wait until it answers."""
        with (self._home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["redis-server", "--port", "0", "--unixsocket", self._socket, "--save", "",
                 "--dir", self._home, *self._options],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, **self._identity,
            )  # fmt: skip
        wait_until(self._is_ready)

    def stop(self, number: int = signal.SIGKILL) -> None:
        """Stop the server."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)
        self._process.send_signal(number)
        self._process.wait()

    def pause(self, *, is_paused: bool = True) -> None:
        """Have the server take connections and answer nothing; or go on."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP if is_paused else signal.SIGCONT)

    def client(self) -> redis.Redis:
        """A client that waits as long as it takes."""
        return redis.Redis(unix_socket_path=str(self._socket), socket_timeout=HANG_S)

    def content(self) -> bytes:
        """All names and values that the server has."""
        with contextlib.closing(self.client()) as client:
            found = b""
            for key in sorted(client.scan_iter()):
                found += key
                if client.type(key) == b"hash":
                    found += b"".join(name + value for name, value in client.hgetall(key).items())
                else:
                    found += b"".join(client.zrange(key, 0, -1))
            return found

    def close(self) -> None:
        """End the server and delete its files."""
        self.stop()
        shutil.rmtree(self._home)

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._home / "log").read_text()
        try:
            with contextlib.closing(self.client()) as client:
                return bool(client.ping())
        except redis.ConnectionError:
            return False
