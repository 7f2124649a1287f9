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


def symbols(objects: list[Path], which: str) -> set[str]:
    listed = subprocess.check_output(["nm", "-P", which, *map(str, objects)], text=True)
    return {line.split()[0] for line in listed.splitlines() if line and not line.endswith(":")}


def test_the_library_calls_no_operating_system_and_allocates_nothing(tmp_path: Path):
    make(tmp_path, str(tmp_path / "libstreamd.a"))
    core = [tmp_path / f"{source.stem}.o" for source in (ROOT / "src").glob("*.c")]
    strings = {"memcmp", "memcpy", "memmove", "memset", "strcmp", "strcpy", "strlen", "strncmp"}
    compilers_own = {"_GLOBAL_OFFSET_TABLE_", "__stack_chk_fail"}
    needed = symbols(core, "--undefined-only") - symbols(core, "--defined-only")
    assert "memcpy" in needed
    assert needed <= strings | compilers_own


def test_the_library_stays_within_the_flash_that_its_page_names(tmp_path: Path):
    make(tmp_path, "size")
    core = [tmp_path / "size" / f"{source.stem}.o" for source in (ROOT / "src").glob("*.c")]
    rows = subprocess.check_output(["size", *map(str, core)], text=True).splitlines()[1:]
    sizes = {Path(row.split()[-1]).stem: int(row.split()[0]) for row in rows}
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    named = [
        int(found.replace(",", "")) for found in re.findall(r"\| flash: .* \| ([\d,]+) \|", page)
    ]
    measured = [sum(size for name, size in sizes.items() if name != "feed"), sizes["feed"]]
    # Another gcc is not far off.
    assert all(abs(a - b) <= 0.25 * b for a, b in zip(measured, named, strict=True)), measured
