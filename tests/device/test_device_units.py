"""The C client's own tests, its fuzzer and its builds."""

import re
import subprocess
from pathlib import Path

import pytest
from fakes.c_client import ROOT, make
from waiting import HANG_S

pytestmark = pytest.mark.device

UNITS = sorted(path.stem for path in (ROOT / "tests").glob("test_*.c"))
ROUNDS = 200_000
"""Mutated inputs: some ten seconds on a slow core."""


def run(program: Path, *args: object, code: int = 0) -> None:
    done = subprocess.run(
        [program, *map(str, args)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=HANG_S,
        check=False,
    )
    assert done.returncode == code, done.stdout


@pytest.mark.parametrize("name", UNITS)
def test_a_part_of_the_client_under_the_sanitizers(programs: Path, name: str):
    run(programs / name, *[ROUNDS] * (name == "test_fuzz"))


def test_it_builds_without_tls_opus_and_sanitizers_and_passes_its_tests(tmp_path: Path):
    make(tmp_path / "build", "all", "check", CFLAGS="-Os")
    run(tmp_path / "build" / "streamd-send", "--url", "ws://127.0.0.1:1/", code=3)


def test_the_library_calls_no_operating_system(tmp_path: Path):
    """All that the core needs of others is in every C library, and none of it allocates."""
    make(tmp_path, str(tmp_path / "libstreamd.a"))
    needed: set[str] = set()
    for source in (ROOT / "src").glob("*.c"):
        listed = subprocess.check_output(
            ["nm", "--undefined-only", "--format=just-symbols", tmp_path / f"{source.stem}.o"],
            text=True,
        )
        needed |= set(listed.split())
    own = re.compile(
        r"(client|config|event|flush|gap|hello|json|recovery|replay|ring|settled|slice|streamd)_"
    )
    assert {name for name in needed if not own.match(name)} <= {
        "_GLOBAL_OFFSET_TABLE_",
        "__stack_chk_fail",
        "memcmp",
        "memcpy",
        "memmove",
        "memset",
        "strcmp",
        "strcpy",
        "strlen",
        "strncmp",
    }
