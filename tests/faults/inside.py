"""A daemon inside the test's process, with a backend that can be made to fail."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from daemons import environment
from structlog.testing import capture_logs
from unshed import UNSHED
from waiting import HANG_S

from streamd.app import Daemon
from streamd.compose import Parts, make_parts
from streamd.config import key_path, load
from streamd.engine.backends.onnxruntime import OnnxRuntime
from streamd.models.library import Library
from streamd.store.sqlite import open_store

LOUDEST = 32_767
"""A sample that only audio with a fault holds: of the clips none reaches it."""


@dataclass
class Inside:
    daemon: Daemon
    parts: Parts
    url: str
    running: asyncio.Task[None]


@asynccontextmanager
async def inside(home: Path, monkeypatch: Any, **settings: object) -> AsyncIterator[Inside]:
    """A daemon that runs in this process and is drained at the end."""
    settings = {**UNSHED, **settings}
    for name, value in environment(home, **settings).items():
        monkeypatch.setenv(name, value)
    config = load(None, {"STREAMD_SERVER__PORT": "0", **environment(home, **settings)})
    parts = make_parts(config, Library())
    with (
        capture_logs(),  # structlog's own tracebacks, with all variables, take seconds
        closing(open_store(home / "streamd.db", key_path(os.environ))) as store,
    ):
        daemon = Daemon(config, parts, store)
        url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        running = asyncio.create_task(daemon.run(url.set_result))
        http_url = await asyncio.wait_for(url, HANG_S)
        yield Inside(daemon, parts, http_url.replace("http", "ws", 1) + "/v1/stream", running)
        daemon.stop()
        await asyncio.wait_for(running, HANG_S)


class Fault:
    """What a graph does to batches that hold a fault; the graph itself is the real one.

    Args:
        file: the graph that fails.
        kind: `raises`, `hangs` (until `released`), `nan`, `infinite`, `short` (an item less than
            it was given) or `narrow` (a number less for each item).
    """

    def __init__(self, file: str, kind: str = "raises") -> None:
        self.file = file
        self.kind = kind
        self.met = 0
        """Batches that held a fault."""
        self.mates = 0
        """Items without a fault in such batches."""
        self.released = threading.Event()

    def install(self, monkeypatch: Any) -> None:
        """Have every backend that is made from now on load the graph with the fault."""
        load = OnnxRuntime.load

        def faulty(backend: OnnxRuntime, path: Path) -> Any:
            graph = load(backend, path)
            return self._around(graph) if path.name == self.file else graph

        monkeypatch.setattr(OnnxRuntime, "load", faulty)

    def _around(self, graph: Any) -> Any:
        def run(inputs: Mapping[str, Any]) -> Sequence[Any]:
            audio = inputs["audio"]
            bad = ((audio == LOUDEST) | (audio == np.float32(LOUDEST / 32768))).any(axis=1)
            if not bad.any():
                return graph(inputs)
            self.met += 1
            self.mates += int((~bad).sum())
            if self.kind == "raises":
                raise RuntimeError("a fault of the model")
            if self.kind == "hangs":
                self.released.wait(HANG_S)
                return graph(inputs)
            first, *others = [np.array(output) for output in graph(inputs)]
            if self.kind == "short":
                return [first[:-1], *others]
            if self.kind == "narrow":
                return [first[..., :-1] if first.ndim > 1 else first[:, None], *others]
            first[bad] = {"nan": np.nan, "infinite": np.inf}[self.kind]
            return [first, *others]

        return run
