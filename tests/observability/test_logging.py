"""What the logs look like, and what never gets into them."""

import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog

from streamd.observability.logging import configure, leads_to_journal


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("streamd")
    handlers, levels = list(root.handlers), (root.level, ours.level)
    yield
    root.handlers = handlers
    root.setLevel(levels[0])
    ours.setLevel(levels[1])
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def logged(**fields: Any) -> dict[str, Any]:
    stream = io.StringIO()
    configure("info", "auto", stream)
    structlog.get_logger("streamd.test").info("hello", **fields)
    record: dict[str, Any] = json.loads(stream.getvalue())
    return record


def test_a_service_logs_one_json_object_per_line() -> None:
    structlog.contextvars.bind_contextvars(session="s_1")
    record = logged(streams=3, score=np.float32(0.5), name="Zoë")
    assert record.pop("timestamp").endswith("Z")
    assert record == {
        "message": "hello",
        "level": "info",
        "logger": "streamd.test",
        "session": "s_1",
        "streams": 3,
        "score": 0.5,
        "name": "Zoë",
    }


@pytest.mark.parametrize("format", ["json", "console"])
def test_the_journal_takes_the_severity_from_each_line(
    format: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "journal").open("w+") as stream:
        found = os.fstat(stream.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{found.st_dev}:{found.st_ino}")
        configure("debug", format, stream)
        ours, other = structlog.get_logger("streamd.test"), logging.getLogger("aiohttp")
        ours.debug("one")
        ours.info("two")
        other.warning("three")
        try:
            raise ValueError("four")
        except ValueError:
            ours.exception("it failed")
    lines = (tmp_path / "journal").read_text().splitlines()
    priorities = [line[:3] for line in lines]
    assert priorities[:3] == ["<7>", "<6>", "<4>"]
    assert set(priorities[3:]) == {"<3>"}
    assert "\x1b" not in "".join(lines)
    if format == "json":
        records = [json.loads(line[3:]) for line in lines]
        assert [r["level"] for r in records] == ["debug", "info", "warning", "error"]
        assert not any("timestamp" in record for record in records)  # the journal has one


def test_output_that_goes_elsewhere_is_not_the_journals(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w") as log, (tmp_path / "other").open("w") as other:
        found = os.fstat(other.fileno())
        environ = {"JOURNAL_STREAM": f"{found.st_dev}:{found.st_ino}"}
        assert leads_to_journal(other, environ)
        assert not leads_to_journal(log, environ)
        assert not leads_to_journal(other, {})
    assert not leads_to_journal(io.StringIO(), environ)


def test_a_terminal_gets_lines_to_read() -> None:
    stream = Terminal()
    configure("info", "auto", stream)
    structlog.get_logger("streamd.test").warning("hello", streams=3)
    assert "hello" in stream.getvalue()
    assert not stream.getvalue().startswith("{")


@pytest.mark.parametrize("format", ["json", "console"])
def test_a_field_without_a_value_is_not_written(format: Any) -> None:
    stream = io.StringIO()
    configure("info", format, stream)
    structlog.get_logger("streamd.test").info("hello", device=None, client="x", streams=0)
    written = stream.getvalue()
    assert "device" not in written
    assert "None" not in written
    assert "client" in written
    assert "streams" in written


WITHHELD: dict[str, tuple[dict[str, Any], Any]] = {
    "audio": ({"v": b"\1\2\3"}, "<3 bytes>"),
    "samples": ({"v": np.zeros(320, np.int16)}, "<array 320>"),
    "embeddings": ({"v": np.zeros((4, 256), np.float32)}, "<array 4×256>"),
    "embedding as a list": ({"v": [0.1] * 256}, "<256 numbers>"),
    "inside": (
        {"v": {"a": [np.zeros(2)], "token": "t"}},
        {"a": ["<array 2>"], "token": "<withheld>"},
    ),
    "credential": ({"Authorization": "Bearer x"}, "<withheld>"),
    "credential of a section": ({"v": {"server.token": "t"}}, {"server.token": "<withheld>"}),
    "a short list stays": ({"v": [1, 2.5, "x"]}, [1, 2.5, "x"]),
}


@pytest.mark.parametrize(("fields", "shown"), WITHHELD.values(), ids=WITHHELD)
def test_audio_embeddings_and_credentials_are_withheld(fields: dict[str, Any], shown: Any) -> None:
    (key,) = fields
    assert logged(**fields)[key] == shown


@pytest.mark.parametrize("format", ["json", "console"])
def test_tracebacks_show_no_variables(format: Any) -> None:
    stream = Terminal()
    configure("info", format, stream)
    samples = list(range(40, 43))
    try:
        samples[5]
    except IndexError:
        structlog.get_logger("streamd.test").exception("failed")
    assert "IndexError" in stream.getvalue()
    assert "40, 41, 42" not in stream.getvalue()


def test_other_libraries_are_logged_from_warning_on() -> None:
    stream = io.StringIO()
    configure("debug", "json", stream)
    structlog.get_logger("streamd.a").debug("ours")
    logging.getLogger("streamd.b").debug("ours too, %d", 2)
    logging.getLogger("websockets").info("not logged")
    logging.getLogger("aiohttp").warning("logged")
    configure("warning", "json", stream)
    structlog.get_logger("streamd.a").info("too low")
    structlog.get_logger("streamd.a").error("high")
    messages = [json.loads(line)["message"] for line in stream.getvalue().splitlines()]
    assert messages == ["ours", "ours too, 2", "logged", "high"]


def test_before_it_is_set_up_warnings_alone_are_written_and_to_stderr():
    code = (
        "import structlog, streamd.observability\n"
        "log = structlog.get_logger('streamd.test')\n"
        "log.info('loaded'); log.warning('broken', model='x')\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert run.stdout == ""
    assert "broken" in run.stderr
    assert "loaded" not in run.stderr
