"""schemathesis finds no reply that `/openapi.json` does not describe, and no fault in any."""

import subprocess
import sys
from pathlib import Path

import pytest
from needs import lacking
from waiting import HANG_S

pytestmark = [pytest.mark.services, pytest.mark.models]

EXAMPLES = 20
"""Random requests for each operation, besides those that the schema itself suggests."""
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "unsupported_method",
    "allow_header_conformance",
)
SETTINGS = """
# 501 is what paths answer whose part is not installed.
[checks.not_a_server_error]
expected-statuses = ["2xx", "4xx", 501]
"""


@pytest.fixture
def schemathesis() -> Path:
    """The program, of the extra `services`. Its pytest plugin is turned off."""
    program = Path(sys.executable).with_name("schemathesis")
    if not program.exists():
        lacking("schemathesis not installed: `make test-services` installs it")
    return program


def test_every_reply_is_as_the_document_says(serve, schemathesis: Path, tmp_path: Path) -> None:
    settings = tmp_path / "schemathesis.toml"
    settings.write_text(SETTINGS)
    daemon = serve()
    done = subprocess.run(
        [
            schemathesis, "--config-file", settings, "--no-color",
            "run", f"{daemon.http_url}/openapi.json",
            # The same requests in each run.
            "--generation-deterministic",
            "--max-examples", str(EXAMPLES), "--workers", "1",
            "--phases", "examples,coverage,fuzzing", "--checks", ",".join(CHECKS),
            "--request-timeout", str(HANG_S), "--suppress-health-check", "all",
            "--warnings", "off",
        ],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=2 * HANG_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-10_000:] + done.stderr
    assert " passed" in done.stdout.rpartition("Test cases:")[2], done.stdout[-10_000:]
    assert daemon.complaints() == []
