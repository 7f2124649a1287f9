"""The network: the port, its certificate, the cache, and what would leave the machine."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import stat
import urllib.request
from datetime import UTC, datetime
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import HTTPSHandler, ProxyHandler, build_opener

from streamd.access.gate import check_exposure
from streamd.cli.checks.check import Check
from streamd.cli.exposure import check_exposed
from streamd.config import Config, ServerConfig
from streamd.display import without_password
from streamd.errors import Unavailable
from streamd.files.voice_caches import in_redis
from streamd.places import microsoft_dir
from streamd.store import opening
from streamd.tracing import check as check_tracing
from streamd.transport.http.server import bind
from streamd.transport.tls.certificate import check as check_certificate
from streamd.transport.tls.certificate import doubt, load
from streamd.wall_clock import now_ms

PROBE_S = 2.0
"""Seconds in which the program on the port must answer that it is streamd."""
_MOST_INFO_BYTES = 1 << 20


def port(config: Config) -> str:
    """Check that the server may listen, or that it does already.

    Raises:
        ConfigError: Whoever reaches the port would need a key, and there is none.
        Unavailable: Another program has the port, or this user may not have it.
    """
    server = config.server
    if opening.exists(config.store, os.environ):
        check_exposed(config)
    else:
        check_exposure(server.host, config.access, has_key=False)
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


def certificate(config: Config) -> Check:
    """Check what clients would refuse of the certificate, and who may read its key.

    Raises:
        ConfigError: They would refuse it, or it cannot be used.
    """
    what, server = "tls", config.server
    now = datetime.fromtimestamp(now_ms() / 1000, UTC)
    found = check_certificate(server.tls_cert, server.tls_key, now)
    result = f"{', '.join(found.names)}; expires in {int(found.days_left(now))} days"
    if found.is_about_to_expire(now):
        return Check(what, f"{result}: renew it", False)
    key = Path(server.tls_key or server.tls_cert)
    if key.stat().st_mode & stat.S_IROTH:
        return Check(what, f"{result}; every user may read the key: `chmod o= {key}`", False)
    why = doubt(load(server.tls_cert, server.tls_key)[0])
    if why is not None and found.outside_issuer is not None:
        return Check(
            what,
            f"{result}; clients like this machine do not trust it ({why}): append the certificate "
            f"of its issuer, {found.outside_issuer}, or have them trust that authority",
            False,
        )
    return Check(what, result)


def cache(config: Config) -> Check:
    """Ask Redis for an answer.

    Raises:
        ConfigError: Its URL or its package cannot be used.
    """
    url = config.cache.redis_url
    try:
        asyncio.run(in_redis().probe(url))
    except Unavailable as error:
        return Check("cache", f"{error}; until it does, no voice of a file is remembered", False)
    return Check("cache", f"{without_password(url)} answers")


def traces(config: Config) -> Check:
    """Send the collector no span, to see whether it takes spans.

    Raises:
        ConfigError: OpenTelemetry is not installed, or the endpoint or the headers cannot be used.
    """
    endpoint, headers = check_tracing(config.tracing)
    shown = without_password(endpoint)
    kind = {"Content-Type": "application/x-protobuf"}
    empty = urllib.request.Request(endpoint, b"", {**(headers or {}), **kind}, method="POST")
    try:
        with urllib.request.urlopen(empty, timeout=PROBE_S):
            return Check("traces", f"{shown} takes them")
    except (HTTPException, OSError) as error:
        why = getattr(error, "reason", None) or error
        return Check(
            "traces",
            f"{shown} does not take them ({why}), so they are dropped: does a collector listen "
            "there for OTLP over HTTP, and does it take tracing.headers_path?",
            False,
        )


def leaving() -> Check:
    """Say what would leave the machine; to be asked when the models have run in this process.

    Raises:
        Unavailable: A framework reports to its vendor.
    """
    reporting = _vendor_files()
    if reporting:
        raise Unavailable(
            f"onnxruntime reports to its vendor from this process ({', '.join(reporting)} is "
            "open): start streamd by its own command, which switches that off before it loads "
            "onnxruntime, and not from a program that loads it first"
        )
    remains = microsoft_dir(os.environ)
    if remains is not None and remains.exists():
        return Check(
            "telemetry",
            f"off in streamd, but {remains} is that of onnxruntime in another program, or of an "
            f"older streamd: set ORT_DISABLE_TELEMETRY=1 for that one, then delete {remains}",
            False,
        )
    proxies = urllib.request.getproxies()
    through = [without_password(proxies[kind]) for kind in ("https", "all") if kind in proxies][:1]
    way = f"; `streamd models pull` goes through {through[0]}" if through else ""
    return Check("telemetry", f"off in the frameworks that ran here{way}")


def _vendor_files() -> list[str]:
    """Return the files of onnxruntime's telemetry that this process has open."""
    opened = []
    for descriptor in Path("/proc/self/fd").glob("*"):
        try:
            opened.append(os.readlink(descriptor))
        except OSError:  # closed in between
            continue
    return [path for path in opened if "/.cache/Microsoft/" in path]


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
            info: Any = json.loads(answer.read(_MOST_INFO_BYTES))
    except (URLError, HTTPException, OSError, ValueError):
        return None
    is_streamd = isinstance(info, dict) and info.get("name") == "streamd"
    return str(info.get("version")) if is_streamd else None
