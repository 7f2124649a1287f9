"""`streamd serve`."""

from __future__ import annotations

import asyncio
import gc
from contextlib import closing
from typing import Annotated, Literal

import msgspec
import typer

from streamd.app import Daemon, announce
from streamd.cli.common import ConfigOption, read_session_config
from streamd.cli.exposure import check_keys, warn_of_exposure
from streamd.cli.runtime import open_voices, ready_library
from streamd.compose import make_parts, make_transcriber
from streamd.observability import logging

LogLevel = Literal["debug", "info", "warning", "error"]
YOUNG = 20_000
"""Objects created, less those deleted, between two collections of the youngest generation."""


def serve(
    config: ConfigOption = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[
        int | None, typer.Option(help="TCP port; 0 picks a free one.", min=0, max=65535)
    ] = None,
    log_level: Annotated[
        LogLevel | None, typer.Option(help="Lowest severity that is logged.", show_default="info")
    ] = None,
    insecure: Annotated[
        bool,
        typer.Option("--insecure", help="Let everybody in without a key, at any address."),
    ] = False,
) -> None:
    """Run the daemon: page, WebSocket and health on one port.

    An address that other machines reach needs an API key (`streamd keys create NAME`).
    Missing models are fetched first. SIGTERM or Ctrl-C drains: every stream still gets its final
    events. A second signal exits at once.
    """
    settings = read_session_config(config)
    server = settings.server
    if host is not None:
        server = msgspec.structs.replace(server, host=host)
    if port is not None:
        server = msgspec.structs.replace(server, port=port)
    settings = msgspec.structs.replace(settings, server=server)
    logging.configure(log_level or settings.log.level, settings.log.format)
    with closing(open_voices(settings)) as store:
        if insecure:
            warn_of_exposure(settings)
        else:
            check_keys(settings, store)
        library = ready_library(settings)
        parts = make_parts(settings, library)
        transcriber = make_transcriber(settings, parts)
        daemon = Daemon(settings, parts, store, transcriber, is_insecure=insecure)
        _collect_less()
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(daemon.run(announce))


def _collect_less() -> None:
    """Run the cyclic garbage collector less often: streams create next to no cycles.

    Objects that exist by now stay for good, and are never examined again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, 20, 20)


def _loop_factory() -> type[asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # there is none for this platform
        return None
    return uvloop.Loop
