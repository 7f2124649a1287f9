"""What is no text is shown escaped, wherever it is written."""

import io
import json
import os
from pathlib import Path

import pytest

from streamd.display import (
    display_name,
    encodable,
    escape_undecodable,
    to_json,
    without_password,
)
from streamd.observability import logging

CAFE = os.fsdecode(b"caf\xe9.flac")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("talk.flac", "talk.flac"),
        ("Gespräch 王.flac", "Gespräch 王.flac"),
        ("علی\u200cرضا.flac", "علی\u200cرضا.flac"),
        (CAFE, r"caf\xe9.flac"),
        ("a\nb\x1b[31m.flac", r"a\x0ab\x1b[31m.flac"),
        ("ann\u202eeve\ud800", r"ann\u202eeve\ud800"),
        ("\U000e0001", r"\U000e0001"),
    ],
    ids=ascii,
)
def test_a_name_is_shown_with_what_cannot_be_shown_escaped(name: str, shown: str) -> None:
    assert display_name(name) == display_name(Path(name)) == shown


def test_a_stream_writes_what_it_cannot_encode_escaped() -> None:
    for encoding, text in (("utf-8", "Café "), ("ascii", r"Caf\xe9 ")):
        file = io.BytesIO()
        stream = io.TextIOWrapper(file, encoding=encoding)
        escape_undecodable(stream, io.StringIO())
        stream.write(f"Café {CAFE} \ud800")
        stream.flush()
        assert file.getvalue().decode(encoding) == text + r"caf\xe9.flac \ud800"


def test_json_holds_the_escaped_name() -> None:
    assert json.loads(to_json({"a": [CAFE, 1, None], CAFE: ("é",)})) == {
        "a": [r"caf\xe9.flac", 1, None],
        r"caf\xe9.flac": ["é"],
    }
    assert encodable("é") == "é"


def test_a_log_line_is_json_that_holds_the_escaped_name() -> None:
    kept = logging.withhold(None, "info", {"event": "x", "file": CAFE, "more": [CAFE]})
    assert kept == {"event": "x", "file": r"caf\xe9.flac", "more": [r"caf\xe9.flac"]}


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:secret@h:5432/db", "postgresql://u@h:5432/db"),
        ("postgresql://u:se:cret%40@h1,h2/db?a=b&password=secret", "postgresql://u@h1,h2/db?a=b"),
        ("postgresql:///db?password=secret", "postgresql:///db"),
        ("postgresql://u@h/db", "postgresql://u@h/db"),
        ("", ""),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert without_password(url) == shown
