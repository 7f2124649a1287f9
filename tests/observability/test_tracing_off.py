"""Tracing is off unless the configuration turns it on."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from streamd.config.sections import TracingConfig
from streamd.errors import ConfigError
from streamd.observability.metrics import Metrics
from streamd.observability.spans import NO_SPAN, OFF, Caller, caller_of, file_span, within
from streamd.tracing import endpoint_of, headers_of, open_tracing

ON = TracingConfig(exporter="otlp")


def test_opentelemetry_is_not_even_imported() -> None:
    script = """
import sys
import streamd.app, streamd.cli.serve
from streamd.config import Config
from streamd.observability.metrics import Metrics
from streamd.tracing import open_tracing
assert not open_tracing(Config().tracing, Metrics()).is_on
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://192.0.2.1:4318"}
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("missing", ["opentelemetry", "opentelemetry.exporter"])
def test_the_extra_is_named_where_its_packages_are_missing(
    monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    for name in [name for name in sys.modules if name.startswith(f"{missing}.")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(ConfigError, match=r"pip install 'streamd-voice\[otel\]'"):
        open_tracing(ON, Metrics())


@pytest.mark.parametrize(
    ("configured", "variables", "expected"),
    [
        ("", {}, "http://localhost:4318/v1/traces"),
        ("http://box:4318", {}, "http://box:4318/v1/traces"),
        ("https://box/otlp/", {}, "https://box/otlp/v1/traces"),
        ("http://box:4318/v1/traces", {}, "http://box:4318/v1/traces"),
        ("", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://env:1"}, "http://env:1/v1/traces"),
        ("", {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://env:1/x"}, "http://env:1/x"),
        (
            "http://box",
            {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://env"},
            "http://box/v1/traces",
        ),
    ],
)
def test_the_endpoint_is_the_configurations_then_that_of_the_variables(
    configured: str, variables: dict[str, str], expected: str
) -> None:
    assert endpoint_of(TracingConfig(endpoint=configured), variables) == expected


@pytest.mark.parametrize("endpoint", ["localhost:4318", "grpc://box", "http://", "http://box:x"])
def test_an_endpoint_that_is_none_is_refused(endpoint: str) -> None:
    with pytest.raises(ConfigError, match=r"tracing\.endpoint"):
        endpoint_of(TracingConfig(endpoint=endpoint), {})


def test_headers_come_from_a_file_that_others_may_not_read(tmp_path: Path) -> None:
    path = tmp_path / "headers"
    named = TracingConfig(headers_path=str(path))
    with pytest.raises(ConfigError, match="cannot be read"):
        headers_of(named)
    path.write_text("Authorization: Bearer a:b\n\nX-Scope:home\n")
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod o="):
        headers_of(named)
    path.chmod(0o640)
    assert headers_of(named) == {"Authorization": "Bearer a:b", "X-Scope": "home"}
    path.write_text("a line\n")
    with pytest.raises(ConfigError, match=r"headers:1 is no header"):
        headers_of(named)
    assert headers_of(TracingConfig()) is None


def test_a_caller_is_what_the_headers_say() -> None:
    assert caller_of({}) is None
    assert caller_of({"traceparent": "00-a-b-01"}) == Caller("00-a-b-01")
    assert caller_of({"traceparent": "x", "tracestate": "y=z"}) == Caller("x", "y=z")


def test_spans_that_nobody_sees_cost_nothing() -> None:
    with within("POST /v1/analyze", {}), file_span(OFF) as span:
        assert span is NO_SPAN
        assert span.child("decode") is span
        span.note("bytes", 1)
    OFF.close()
