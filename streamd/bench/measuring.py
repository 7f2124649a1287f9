"""One measurement from request to figures: starts and ends the server, the load and the search."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console

from streamd.bench import machine
from streamd.bench.live import Screen
from streamd.bench.load import Loaders
from streamd.bench.messages import Setup
from streamd.bench.metrics import Snapshot, look, metrics_url
from streamd.bench.mixing import Mixer
from streamd.bench.probe import modules_of, probe
from streamd.bench.report import Setting, figures
from streamd.bench.running import Options, ramp
from streamd.bench.search import Search
from streamd.bench.server import OwnServer
from streamd.bench.speech import read_clips
from streamd.bench.step import Bounds
from streamd.errors import BadConfig
from streamd.modules.words import CustomWords
from streamd.observability.cores import usable_cores


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A measurement to make."""

    url: str | None
    """URL of a running server; None starts one."""
    key: str | None
    """API key for it, checked."""
    cores: int | None
    """Cores of a server that the bench starts; None is all."""
    audio: Path | None
    """Audio to play; None for the clips of the package."""
    modules: tuple[str, ...]
    words: tuple[str, ...]
    duty: float
    message_ms: int
    start: int
    most: int
    """Streams of the first step, and the most streams."""
    step_s: float
    p99_ms: float
    seed: int


def measure(
    request: Request,
    config: Path | None,
    own_words: CustomWords,
    console: Console,
) -> dict[str, Any]:
    """Measure.

    Args:
        request: what to measure.
        config: configuration file of a server that the bench starts.
        own_words: the user's own wake words, for that server.
        console: where to show progress.

    Returns:
        The figures of the JSON. Ctrl-C ends the measurement early, with the figures so far.

    Raises:
        StreamdError: it cannot be measured.
        KeyboardInterrupt: there are no figures yet.
    """
    server_cores, load_cores = share_cores(request.cores)
    clips = read_clips(request.audio, request.seed)
    mixer = Mixer(clips, request.message_ms, request.duty, request.seed)
    asked = modules_of(request.modules, request.words)
    search = Search(request.start, request.most)
    is_own = request.url is None
    with ExitStack() as stack:
        if request.url is None:
            with console.status("starting a server"):
                own = OwnServer(config, request.most, server_cores, own_words)
                stack.enter_context(own)
            url, check = own.url, own.check
        else:
            url, check = request.url, _nothing
        with console.status(f"opening a first stream to {url}"):
            ready = probe(url, request.key, asked, mixer)
        at = metrics_url(url)
        idle = look(at, request.key)
        if idle is None:
            _note(
                console,
                f"{at} cannot be read: no figures of CPU, batches and memory. A server that asks "
                "for keys shows them to a key with the scope admin.",
            )
        elif idle.sessions:
            _note(
                console, f"{idle.sessions} other streams are open there; the figures include them"
            )
        setup = Setup(
            url=url,
            key=request.key,
            modules=asked,
            clips=[clip.tobytes() for clip in clips],
            message_ms=request.message_ms,
            duty=request.duty,
            seed=request.seed,
            cores=load_cores,
        )
        loaders = stack.enter_context(Loaders(setup, len(load_cores or usable_cores())))
        options = Options(
            step_s=request.step_s, message_ms=request.message_ms, bounds=Bounds(request.p99_ms)
        )
        bound = f"p99 over {request.p99_ms:g} ms"
        with Screen(console, bound) as screen:
            try:
                ramp(
                    options, search, loaders, lambda: _look(at, request.key, is_own), check, screen
                )
                is_interrupted = False
            except KeyboardInterrupt:
                if not screen.steps:
                    raise
                is_interrupted = True
    setting = Setting(
        url=request.url,
        cores=len(server_cores or usable_cores()) if is_own else None,
        version=idle.version if idle else "",
        options=_told(request),
        modules=ready["modules"],
        idle=idle,
    )
    return figures(setting, search, screen.steps, is_interrupted=is_interrupted)


def share_cores(count: int | None) -> tuple[list[int], list[int]]:
    """Return the cores of the server and of the load; empty for all.

    Raises:
        BadConfig: there are not so many, or cores cannot be chosen here.
    """
    if count is None:
        return [], []
    usable = usable_cores()
    if not hasattr(os, "sched_setaffinity"):
        raise BadConfig("--cores needs Linux; leave it out to measure the whole machine")
    if count > len(usable):
        raise BadConfig(f"--cores {count}: this process may use {len(usable)}")
    return usable[:count], usable[count:]


def _look(url: str, key: str | None, is_own: bool) -> Snapshot | None:
    found = look(url, key)
    if found is None or not is_own:
        return found
    return msgspec.structs.replace(found, busy_s=machine.busy_s())


def _told(request: Request) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(msgspec.structs.asdict(request), enc_hook=str)
    del told["url"], told["key"], told["cores"]
    told["max"] = told.pop("most")
    return told


def _note(console: Console, text: str) -> None:
    console.print(text, soft_wrap=True, markup=False)


def _nothing() -> None:
    """Do nothing: the bench cannot check whether a server that it did not start still runs."""
