"""`streamd serve`."""

from __future__ import annotations

import asyncio
import gc
import os
from contextlib import closing
from typing import Annotated, Literal

import structlog
import typer
from msgspec.structs import replace

from streamd.app import Daemon
from streamd.cli.common import ConfigOption, read_session_config
from streamd.cli.exposure import check_keys, warn_of_exposure
from streamd.cli.runtime import open_voices, ready_library
from streamd.compose import make_parts, make_transcriber
from streamd.config import Config
from streamd.observability import logging
from streamd.observability.systemd import Notifier
from streamd.start_report import announce
from streamd.transport.http.activation import exposed_address, passed

log = structlog.get_logger("streamd.serve")

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

    An address that other machines reach needs an API key (`streamd keys create NAME`). Sockets that
    systemd passes are used instead of an address.
    Missing models are fetched first. SIGTERM or Ctrl-C drains: every stream still gets its final
    events. A second signal exits at once.
    """
    listeners = passed(os.environ)
    if listeners:
        host, port = exposed_address(listeners)

    def read() -> Config:
        return _with(read_session_config(config), host, port, log_level)

    settings = read()
    logging.configure(settings.log.level, settings.log.format)
    if listeners and (settings.is_set("server.host") or settings.is_set("server.port")):
        log.warning(
            "systemd passes the sockets: server.host and server.port are not used",
            advice="`systemctl edit streamd.socket` changes the address",
        )
    notifier = Notifier(os.environ)
    with closing(open_voices(settings)) as store:
        if insecure:
            warn_of_exposure(settings)
        else:
            check_keys(settings, store)
        notifier.status("loading the models; missing ones are fetched first")
        library = ready_library(settings)
        parts = make_parts(settings, library)
        transcriber = make_transcriber(settings, parts)
        daemon = Daemon(
            settings,
            parts,
            store,
            transcriber,
            is_insecure=insecure,
            listeners=listeners,
            read=read,
        )
        _collect_less()
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(daemon.run(announce))


def _with(config: Config, host: str | None, port: int | None, level: LogLevel | None) -> Config:
    """Return the configuration with what the command line or systemd says instead."""
    server = {name: one for name, one in (("host", host), ("port", port)) if one is not None}
    return replace(
        config,
        server=replace(config.server, **server),
        log=replace(config.log, level=level or config.log.level),
    )


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
