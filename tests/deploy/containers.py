"""A container without an engine: `bwrap` isolates its first process, `nsenter` is `docker exec`."""

import os
import signal
import subprocess
from pathlib import Path
from typing import Self

from images import Image, sandbox
from waiting import HANG_S


class Container:
    """A container of an image, from its start to its end.

    Its root is read-only but for /data and /tmp. It has processes and a network of its own, in
    which there is nothing but loopback, and a user with no capability.

    Args:
        image: What it runs.
        data: The folder that becomes the volume /data.
        words: The command for the entry point; without any, that of the image.
        environment: Variables besides those of the image.
    """

    def __init__(self, image: Image, data: Path, *words: str, **environment: str) -> None:
        self._image = image
        self._data = data
        self._words = words or tuple(image.words("CMD"))
        self._environment = image.environment | environment
        uid, gid = image.user
        os.chown(data, uid, gid)
        data.chmod(0o700)

    def __enter__(self) -> Self:
        command = [
            *sandbox(self._image, "--ro-bind"),
            *("--bind", str(self._data), self._image.settings["VOLUME"]),
            *("--unshare-pid", "--as-pid-1", "--unshare-net", "--unshare-ipc", "--unshare-uts"),
            *("--new-session", "--chdir", self._image.folder),
            *self._as_user,
            *self._image.words("ENTRYPOINT"),
            *self._words,
        ]
        self.process = subprocess.Popen(
            command,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            os.kill(self.first, signal.SIGKILL)  # all others inside end with it
        self.process.communicate()

    @property
    def _as_user(self) -> list[str]:
        uid, gid = self._image.user
        return [
            "setpriv", f"--reuid={uid}", f"--regid={gid}", "--clear-groups", "--no-new-privs",
            "--inh-caps=-all", "--bounding-set=-all",
        ]  # fmt: skip

    @property
    def first(self) -> int:
        """Id outside of the container of the process that is the first inside."""
        bwrap = self.process.pid
        return int(Path(f"/proc/{bwrap}/task/{bwrap}/children").read_text().split()[0])

    def listening(self) -> str:
        """Wait for the line that says so, and return it."""
        assert self.process.stdout is not None
        line: str = self.process.stdout.readline()
        assert line.startswith("listening on "), self.process.communicate()[1]
        return line.strip()

    def stop(self) -> tuple[int, str]:
        """Send the signal by which an engine stops it; return its exit code and what it logged."""
        os.kill(self.first, signal.Signals[self._image.settings["STOPSIGNAL"]])
        return self.ended()

    def ended(self) -> tuple[int, str]:
        """Wait for its end; return its exit code and what it logged."""
        logged = self.process.communicate(timeout=HANG_S)[1]
        return self.process.returncode, logged

    def exec(self, *command: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command inside, as the same user."""
        return subprocess.run(
            [*("nsenter", f"--target={self.first}", "--all"), *self._as_user, *command],
            env=self._environment | environment,
            cwd="/",
            check=False,
            capture_output=True,
            text=True,
            timeout=HANG_S,
        )

    def processes(self) -> list[str]:
        """Id, name and state of each process inside, as in `1 (streamd) S`."""
        script = "for p in /proc/[0-9]*; do cut -d' ' -f1-3 $p/stat; done 2>/dev/null"
        return self.exec("sh", "-c", script).stdout.splitlines()


def run(image: Image, data: Path, *words: str, **environment: str) -> tuple[int, str, str]:
    """Run a container to its end; return its exit code, standard output and standard error."""
    with Container(image, data, *words, **environment) as container:
        out, err = container.process.communicate(timeout=HANG_S)
        return container.process.returncode, out, err
