"""AsyncAPI's own parser accepts `/asyncapi.json`. `make test-schemas` installs it through npm."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from daemons import Daemon
from needs import lacking, needs
from waiting import HANG_S

pytestmark = [pytest.mark.schemas, pytest.mark.models]

INFORMATION = 2
"""Severity of a remark that is neither an error (0) nor a warning (1)."""
PROGRAM = """
const { Parser } = require('@asyncapi/parser');
let text = '';
process.stdin.on('data', (data) => { text += data; }).on('end', async () => {
  const { document, diagnostics } = await new Parser().parse(text);
  const channels = document ? document.channels().all().map((one) => one.address()) : null;
  console.log(JSON.stringify({ channels, diagnostics }));
});
"""


def parsed(document: bytes) -> dict:
    needs("node")
    folder = Path(os.environ.get("STREAMD_TESTS_NPM", "nowhere")).resolve()
    if not (folder / "node_modules" / "@asyncapi" / "parser").is_dir():
        lacking("@asyncapi/parser not installed: `make test-schemas` installs it")
    done = subprocess.run(
        ["node", "-e", PROGRAM],
        input=document, cwd=folder, capture_output=True, check=True, timeout=HANG_S,
    )  # fmt: skip
    return json.loads(done.stdout)


def test_the_parser_accepts_the_document(daemon: Daemon) -> None:
    found = parsed(daemon.get("/asyncapi.json")[2])
    assert [one for one in found["diagnostics"] if one["severity"] < INFORMATION] == []
    assert set(found["channels"]) == {"/v1/stream", "/v1/asr/stream", "/ws/stream-verify"}


def test_the_parser_finds_what_is_wrong(daemon: Daemon) -> None:
    document = json.loads(daemon.get("/asyncapi.json")[2])
    document["operations"]["sendEvents"]["action"] = "shout"
    found = parsed(json.dumps(document).encode())
    assert [one for one in found["diagnostics"] if one["severity"] < INFORMATION]
