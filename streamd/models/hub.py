"""Brings published models from ModelScope through its own package, if that is installed."""

from __future__ import annotations

import errno
import importlib.util
import os
import subprocess
import sys
from collections import deque
from pathlib import Path

import msgspec

from streamd.display import display_name
from streamd.errors import ModelMissing
from streamd.models.catalogue import Model, Published
from streamd.models.fetch import Progress, Report, quiet
from streamd.models.hub_worker import Line, Request
from streamd.models.publication import by_hand

PACKAGE = "modelscope"
EXTRA = "pip install 'streamd-voice[modelscope]'"
_TAIL_LINES = 8
_NO_SPACE = os.strerror(errno.ENOSPC)


def place(published: Published) -> str:
    """Return the name of the directory that keeps a model's files while they are downloaded."""
    name = f"{published.repository}@{published.revision}"
    return "".join(char if char.isalnum() or char in "-_.@" else "--" for char in name)


def download(model: Model, directory: Path, report: Report = quiet) -> None:
    """Download the files of a published model, or what an earlier attempt left to do.

    The package runs in a process of its own. Its home and cache are in `directory`, so it writes
    nothing into the user's home and sends no id that it made there before; a token comes from
    `MODELSCOPE_API_TOKEN`, another hub from `MODELSCOPE_ENDPOINT`.

    Args:
        model: a model that ModelScope has.
        directory: where to; it keeps what has come if the download fails.
        report: told the bytes of each file as they come.

    Raises:
        ModelMissing: the package is not installed, or the files cannot be had.
        OSError: the directory cannot be written, or the disk is full.
    """
    published = model.published
    assert published is not None
    if importlib.util.find_spec(PACKAGE) is None:
        raise ModelMissing(
            f"{model.id} comes from ModelScope, by a package that is not installed: {EXTRA}. "
            f"Or {by_hand(model)}."
        )
    directory.mkdir(parents=True, exist_ok=True)
    files = tuple(file.name for file in published.files)
    request = Request(published.repository, published.revision, files, str(directory))
    status, error, output = _run(request, directory, published.repository, report)
    if status == 0:
        return
    if _NO_SPACE in error or _NO_SPACE in output:
        raise OSError(errno.ENOSPC, _NO_SPACE)
    raise ModelMissing(
        f"cannot download {model.id} from {published.repository} {published.revision} of "
        f"ModelScope: {error or output or f'the package ended with status {status}'}. What has "
        f"come is kept in {display_name(directory)}; pull again to go on. Without a network, "
        f"{by_hand(model)}."
    )


def _run(request: Request, directory: Path, name: str, report: Report) -> tuple[int, str, str]:
    """Return exit status, error and the last of the other output; kill the process with us."""
    own = directory / ".modelscope"
    environment = {
        # Bounded, as the user waits; whatever the user sets comes behind and holds.
        "MODELSCOPE_API_MAX_RETRIES": "2",
        "MODELSCOPE_INTRA_CLOUD_ACCELERATION": "false",
        **os.environ,
        "MODELSCOPE_HOME": str(own),
        "MODELSCOPE_CACHE": str(own),
        "TQDM_DISABLE": "1",
        "PYTHONWARNINGS": "ignore",
    }
    error, tail = "", deque[str](maxlen=_TAIL_LINES)
    with subprocess.Popen(
        # -P: a file `modelscope.py` where the user happens to be is not run.
        [sys.executable, "-P", "-m", "streamd.models.hub_worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        text=True,
        errors="replace",
    ) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(msgspec.json.encode(request).decode())
            process.stdin.close()
            for text in process.stdout:
                try:
                    line = msgspec.json.decode(text, type=Line)
                except msgspec.DecodeError:  # the package's own
                    tail.append(text.strip())
                    continue
                error = line.error or error
                if line.file:
                    report(Progress("fetch", f"{name}/{line.file}", line.done, line.total))
            return process.wait(), error, "\n".join(filter(None, tail))
        except BaseException:  # the user's Ctrl-C, too
            process.kill()
            raise
