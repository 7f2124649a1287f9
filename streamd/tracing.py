"""Tracing as a configuration asks for it; OpenTelemetry is imported only where it is on."""

from __future__ import annotations

import importlib.util
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from streamd.config.sections import TracingConfig
from streamd.errors import ConfigError
from streamd.observability.metrics import Metrics
from streamd.observability.spans import OFF, Tracing

TRACES_PATH = "/v1/traces"
"""Path of traces at a collector, in OTLP over HTTP."""
_PACKAGES = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")
DEFAULT_ENDPOINT = "http://localhost:4318"
"""Where OpenTelemetry expects a collector."""


def open_tracing(settings: TracingConfig, metrics: Metrics) -> Tracing:
    """Return what makes spans.

    Raises:
        ConfigError: As `check` does.
    """
    if settings.exporter == "off":
        return OFF
    endpoint, headers = check(settings)
    from streamd.observability.otel import Otel  # its package is an extra

    return Otel(endpoint, headers, settings.sample_ratio, metrics)


def check(settings: TracingConfig) -> tuple[str, dict[str, str] | None]:
    """Return endpoint and headers of tracing that is on, without importing OpenTelemetry.

    Raises:
        ConfigError: OpenTelemetry is not installed, or the endpoint or the headers cannot be used.
    """
    if not all(map(_is_installed, _PACKAGES)):
        raise ConfigError(
            "tracing.exporter: traces need more packages: pip install 'streamd-voice[otel]', or "
            "pip install '.[otel]' in a checkout"
        )
    return endpoint_of(settings, os.environ), headers_of(settings)


def endpoint_of(settings: TracingConfig, environ: Mapping[str, str]) -> str:
    """Return the URL that traces go to: the configuration's, else OpenTelemetry's variables'.

    Raises:
        ConfigError: It is no URL of a server.
    """
    whole = "" if settings.endpoint else environ.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "")
    base = settings.endpoint or environ.get("OTEL_EXPORTER_OTLP_ENDPOINT") or DEFAULT_ENDPOINT
    try:
        parts = urlsplit(whole or base)
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, or brackets that do not match
        is_usable = False
    if not is_usable:
        raise ConfigError(
            "tracing.endpoint: expected the URL of a collector, as http://127.0.0.1:4318"
        )
    if whole or parts.path.endswith(TRACES_PATH):
        return whole or base
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") + TRACES_PATH))


def headers_of(settings: TracingConfig) -> dict[str, str] | None:
    """Return the headers in the file that the configuration names; None if it names none.

    Raises:
        ConfigError: It cannot be read, others may read it, or a line is no header.
    """
    if not settings.headers_path:
        return None
    path = Path(settings.headers_path)
    try:
        is_open = path.stat().st_mode & stat.S_IROTH
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or "it is not ASCII"
        raise ConfigError(f"tracing.headers_path: {path} cannot be read: {why}") from None
    if is_open:
        raise ConfigError(f"tracing.headers_path: every user may read it: chmod o= {path}")
    headers = {}
    for number, line in enumerate(lines, 1):
        name, colon, value = line.partition(":")
        if line.strip() and not (colon and name.strip()):
            raise ConfigError(
                f"tracing.headers_path: {path}:{number} is no header, as `Authorization: Bearer …`"
            )
        if line.strip():
            headers[name.strip()] = value.strip()
    return headers


def _is_installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # what it is in
        return False
