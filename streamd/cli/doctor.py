"""`streamd doctor`: check whether streamd can run on this machine."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from streamd import __version__
from streamd.cli.checks import audio, files, front_end, machine, network, voices
from streamd.cli.checks.check import Check, attempt, failed
from streamd.cli.common import ConfigOption, read_config, read_session_config
from streamd.cli.runtime import own_words
from streamd.compose import make_parts
from streamd.config import Config
from streamd.errors import StreamdError
from streamd.files.offline import OfflineAnalysis
from streamd.models.library import Library
from streamd.modules.gallery import Gallery
from streamd.types import RATE_HZ, AudioFormat
from streamd.view.console import print_json, stdout

_STYLES = {"ok": "green", "note": "yellow", "fail": "red"}


def doctor(
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
    audit: Annotated[
        bool, typer.Option("--audit", help="Check the audit log alone: that nobody changed it.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Check all that the server needs: files, keys, port, devices, speed; and say what to do."""
    console = stdout()
    done: list[Check] = []
    for check in _audit_alone(config) if audit else _checks(config):
        done.append(check)
        if not json:
            console.print(_row(check))
    if json:
        print_json([check.described() for check in done], indent=2)
    for check in done:
        if check.error is not None:
            raise check.error


def _row(check: Check) -> Table:
    row = Table.grid(padding=(0, 1, 0, 0))
    row.add_column(width=4, no_wrap=True)
    row.add_column(width=10, style="bold", no_wrap=True)
    row.add_column(overflow="fold")
    row.add_row(Text(check.status, _STYLES[check.status]), check.what, check.result)
    return row


def _checks(config_path: Path | None) -> Iterator[Check]:
    python = f"Python {platform.python_version()} on {platform.machine()} {platform.system()}"
    yield Check("streamd", f"{__version__}, {python}")
    try:
        config = read_session_config(config_path)
    except StreamdError as error:
        yield failed("config", error)
        return
    yield Check("config", config.source)
    yield machine.processor()
    yield attempt("clock", lambda: machine.clock(config))
    yield machine.open_files(config)
    yield attempt("models", lambda: files.models(config))
    yield from voices.look(config)
    yield attempt("audit", lambda: files.audit(config))
    if config.cache.redis_url:
        yield attempt("cache", lambda: network.cache(config))
    if config.tracing.exporter != "off":
        yield attempt("traces", lambda: network.traces(config))
    if config.server.tls_cert:
        yield attempt("tls", lambda: network.certificate(config))
    yield attempt("port", lambda: network.port(config))
    yield attempt("disk", files.disk)
    yield audio.decoder()
    yield audio.microphone()
    yield Check("front end", *front_end.checked(config.session.enhance))
    yield attempt("speed", lambda: _speed(config))
    yield attempt("telemetry", network.leaving)


def _audit_alone(config_path: Path | None) -> Iterator[Check]:
    yield attempt("audit", lambda: files.audit(read_config(config_path)))


def _speed(config: Config) -> str:
    parts = make_parts(config, Library())
    modules, _ = parts.registry.resolve(None, words=own_words(config))
    analysis = OfflineAnalysis(
        parts.engine, parts.registry, modules, AudioFormat(), Gallery.empty(), config.session.ring_s
    )
    # Loud noise keeps the level gate open: the wake word and the VAD process every sample.
    noise = os.urandom(2 * RATE_HZ)
    list(analysis.feed(noise))
    began = time.process_time()
    seconds = 5
    for _ in range(seconds):
        list(analysis.feed(noise))
    cost_ms = (time.process_time() - began) / seconds * 1000
    return f"{cost_ms:.1f} ms of CPU per second of audio for one stream alone"
