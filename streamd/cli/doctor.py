"""`streamd doctor`: check whether streamd can run on this machine."""

from __future__ import annotations

import asyncio
import json as json_format
import os
import platform
import shutil
import ssl
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from http.client import HTTPException
from pathlib import Path
from typing import Annotated, Any, NamedTuple
from urllib.error import URLError
from urllib.request import HTTPSHandler, ProxyHandler, build_opener

import typer
from rich.table import Table
from rich.text import Text

from streamd import __version__
from streamd.access.audit.check import check as audit_check
from streamd.cli.common import ConfigOption, read_config, read_session_config
from streamd.cli.exposure import check_exposed
from streamd.cli.front_end_check import checked
from streamd.cli.microphone import find_device, load_driver
from streamd.cli.runtime import ENROL_AGAIN, about_other_models, is_fault, open_voices
from streamd.compose import make_parts
from streamd.config import Config, ServerConfig, audit_path, data_dir
from streamd.display import without_password
from streamd.errors import ModelMissing, StreamdError, Unavailable
from streamd.files.decoding import landlock
from streamd.files.offline import OfflineAnalysis
from streamd.files.voice_caches import in_redis
from streamd.models.library import Library
from streamd.modules.gallery import Gallery
from streamd.naming import DEFAULT_TENANT
from streamd.store.base import ToEnrolAgain, to_enrol_again
from streamd.transport.http.server import bind
from streamd.transport.tls.certificate import check as check_certificate
from streamd.transport.tls.certificate import doubt
from streamd.transport.tls.certificate import load as load_certificate
from streamd.types import RATE_HZ, AudioFormat
from streamd.view.console import print_json, stdout
from streamd.voices import voice_models

NEEDED_MB = 500
PROBE_S = 2.0
"""Seconds in which the program on the port must answer that it is streamd."""
_MOST_INFO_BYTES = 1 << 20
_STYLES = {"ok": "green", "note": "yellow", "fail": "red"}


class Check(NamedTuple):
    """One line of the report."""

    what: str
    result: str
    is_fine: bool = True
    error: StreamdError | None = None

    @property
    def status(self) -> str:
        """`ok`, `note` if streamd works without it, or `fail`."""
        if self.error is not None:
            return "fail"
        return "ok" if self.is_fine else "note"

    def described(self) -> dict[str, str]:
        """The check for `--json`."""
        return {"check": self.what, "status": self.status, "message": self.result}


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
    yield Check("streamd", f"{__version__}, {python}, {os.cpu_count()} cores")
    try:
        config = read_session_config(config_path)
    except StreamdError as error:
        yield Check("config", str(error), error=error)
        return
    yield Check("config", config.source)
    yield _attempt("models", lambda: _models(config))
    yield _store(config)
    yield from _thresholds(config)
    yield from _scale(config)
    yield _attempt("audit", lambda: _audit(config))
    if config.cache.redis_url:
        yield _cache(config)
    if config.server.tls_cert:
        yield _certificate(config)
    yield _attempt("port", lambda: _port(config))
    yield _disk()
    yield _decoder()
    yield _microphone()
    yield Check("front end", *checked(config.session.enhance))
    yield _attempt("speed", lambda: _speed(config))


def _audit_alone(config_path: Path | None) -> Iterator[Check]:
    yield _attempt("audit", lambda: _audit(read_config(config_path)))


def _audit(config: Config) -> str:
    path = audit_path(config.access.audit_path, os.environ)
    if path is None:
        return 'there is none: access.audit_path is "off"'
    found = audit_check(path)
    if not found.entries:
        return f"{path} has no entry yet"
    removed = found.first_seq - 1
    older = f", {removed} older ones are no longer kept" if removed else ""
    return (
        f"{path}: all {found.entries} entries are as they were written{older}; the last one is "
        f"{found.last.seq}, SHA-256 {found.last.hash}"
    )


def _attempt(what: str, check: Callable[[], str]) -> Check:
    try:
        return Check(what, check())
    except StreamdError as error:
        return Check(what, str(error), error=error)


def _models(config: Config) -> str:
    library = Library()
    bad = [found.file for found in library.verify() if is_fault(found, config)]
    if bad:
        raise ModelMissing(f"{', '.join(bad)} in {library.directory}: run `streamd models pull`")
    return f"all intact, in {library.directory}"


def _store(config: Config) -> Check:
    models = voice_models(config)
    count, unknown, by_windows = 0, list[str](), list[str]()
    try:
        with closing(open_voices(config)) as store:
            for tenant in store.tenants():
                found = store.of(tenant).speakers()
                count += len(found)
                again = to_enrol_again(found, models)
                of = "" if tenant == DEFAULT_TENANT else f" (tenant {tenant})"
                unknown += [name + of for name in again.unknown]
                by_windows += [name + of for name in again.by_windows]
    except StreamdError as error:
        return Check("store", str(error), error=error)
    result = f"{count} enrolled {'voice' if count == 1 else 'voices'}"
    said = about_other_models(ToEnrolAgain(unknown, by_windows), models)
    return Check("store", ". ".join([result, *said, ENROL_AGAIN] if said else [result]), not said)


def _thresholds(config: Config) -> Iterator[Check]:
    """Say where calibrated thresholds are not in force, because the voice model is another one."""
    what, model = "thresholds", voice_models(config).deciding
    try:
        with closing(open_voices(config)) as store:
            stored = [(t, one) for t in store.tenants() for one in store.of(t).calibrations()]
    except StreamdError as error:
        yield Check(what, str(error), error=error)
        return
    tenants = sorted({tenant for tenant, one in stored if one.model == model})
    unused = sorted({tenant for tenant, one in stored if one.model != model} - set(tenants))
    if unused:
        yield Check(
            what,
            f"those of {', '.join(unused)} were calibrated for another voice model than {model} "
            "and are not in force: `streamd speakers calibrate --apply --tenant NAME` calibrates "
            "them anew",
            False,
        )
    elif tenants:
        yield Check(what, f"calibrated for {', '.join(tenants)}")


def _scale(config: Config) -> Iterator[Check]:
    """Say where nobody measured what the scores of the voice model mean."""
    models = voice_models(config)
    if models.scale.is_provisional:
        yield Check(
            "scores",
            f"those of {models.deciding} are on a provisional scale, so speaker.thresholds are "
            "guesses: `streamd speakers fit FOLDER` fits it to recordings of many speakers",
            False,
        )


def _cache(config: Config) -> Check:
    what, url = "cache", config.cache.redis_url
    try:
        asyncio.run(in_redis().probe(url))
    except Unavailable as error:
        return Check(what, f"{error}; until it does, no voice of a file is remembered", False)
    except StreamdError as error:
        return Check(what, str(error), error=error)
    return Check(what, f"{without_password(url)} answers")


def _certificate(config: Config) -> Check:
    what, server = "tls", config.server
    try:
        found = check_certificate(server.tls_cert, server.tls_key)
    except StreamdError as error:
        return Check(what, str(error), error=error)
    now = datetime.now(UTC)
    result = f"{', '.join(found.names)}; expires in {int(found.days_left(now))} days"
    if found.is_about_to_expire(now):
        return Check(what, f"{result}: renew it", False)
    if Path(server.tls_key or server.tls_cert).stat().st_mode & stat.S_IROTH:
        return Check(what, f"{result}; every user may read the key: `chmod o=` its file", False)
    why = doubt(load_certificate(server.tls_cert, server.tls_key)[0])
    if why is not None and found.outside_issuer is not None:
        return Check(
            what,
            f"{result}; clients like this machine do not trust it ({why}): append the certificate "
            f"of its issuer, {found.outside_issuer}, or have them trust that authority",
            False,
        )
    return Check(what, result)


def _port(config: Config) -> str:
    server = config.server
    check_exposed(config)
    try:
        for listener in bind(
            server.host, server.port, server.receive_buffer_bytes, server.send_buffer_bytes
        ):
            listener.close()
    except Unavailable:
        if version := _running(server):
            return f"streamd {version} is running here, at {server.host}:{server.port}"
        raise
    return f"{server.host}:{server.port} is free"


def _running(server: ServerConfig) -> str | None:
    """Return the version of the streamd that answers there; None if no streamd does."""
    host = f"[{server.host}]" if ":" in server.host else server.host
    scheme = "https" if server.tls_cert else "http"
    # The certificate may be for other names than this address, and only the version is read.
    unchecked = HTTPSHandler(context=ssl._create_unverified_context())
    try:
        with build_opener(ProxyHandler({}), unchecked).open(
            f"{scheme}://{host}:{server.port}/v1/info", timeout=PROBE_S
        ) as answer:
            info: Any = json_format.loads(answer.read(_MOST_INFO_BYTES))
    except (URLError, HTTPException, OSError, ValueError):
        return None
    is_streamd = isinstance(info, dict) and info.get("name") == "streamd"
    return str(info.get("version")) if is_streamd else None


def _disk() -> Check:
    directory = data_dir(os.environ)
    while not directory.exists():
        directory = directory.parent
    free_mb = shutil.disk_usage(directory).free // 1_000_000
    return Check("disk", f"{free_mb} MB free at {directory}", free_mb >= NEEDED_MB)


def _decoder() -> Check:
    if version := landlock.version():
        return Check("decoder", f"Landlock {version} keeps it from files and programs")
    return Check(
        "decoder",
        "no Landlock here: a file that exploits a fault of a decoder could read what streamd's "
        "user may read; use Linux 5.13 or newer, and a container that allows it",
        False,
    )


def _microphone() -> Check:
    """Check the default microphone. Only `streamd mic` needs one, so its lack is no failure."""
    try:
        driver = load_driver()
        found = find_device(driver, None)
    except StreamdError as error:
        return Check("microphone", f"{error} (only `streamd mic` needs one)", False)
    return Check("microphone", f"{found['name']}; `streamd mic --list` shows all devices")


def _speed(config: Config) -> str:
    parts = make_parts(config, Library())
    with closing(open_voices(config)) as store:
        modules, _ = parts.registry.resolve(None, words=store.load_words())
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
