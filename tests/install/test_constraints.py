"""The package index has every pin of constraints.txt for every machine that it is good for.

These tests ask the index and take minutes, so `make test-install` runs them, not `make test`.
"""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from needs import lacking
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
CONSTRAINTS = ROOT / "constraints.txt"
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
SOURCE_ONLY = {"forbiddenfruit"}
"""Of blockbuster, so of the tests alone: pure Python, published as source."""
OTHER_PINS = {"mindspore", "torch"}
"""Extras whose packages constraints-models.txt pins."""
NOT_PINNED = {"pip", "setuptools"}
"""What comes with Python."""
GLIBC = ("2_28", "2_27", "2_26", "2_24", "2_17")

pytestmark = [pytest.mark.index, pytest.mark.timeout(1200)]


def dry_run(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Have pip say what it would install."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed"]
    command += ["--quiet", "--disable-pip-version-check", "--report", "-", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, check=False, text=True, cwd=ROOT)


def resolve(*arguments: object) -> list[dict[str, Any]]:
    """What pip would install: metadata of each distribution."""
    done = dry_run(*arguments)
    assert done.returncode == 0, done.stderr
    return [item["metadata"] for item in json.loads(done.stdout)["install"]]


def pins() -> dict[str, str]:
    """Versions by canonical name."""
    lines = re.findall(r"^([\w.-]+)==(\S+)$", CONSTRAINTS.read_text(), re.MULTILINE)
    return {canonicalize_name(name): version for name, version in lines}


def versions(found: Sequence[dict[str, Any]]) -> dict[str, str]:
    return {canonicalize_name(item["name"]): item["version"] for item in found}


@pytest.fixture(scope="module", autouse=True)
def index() -> None:
    if dry_run("--no-deps", "pip").returncode != 0:
        lacking("no package index can be reached")


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_every_pin_is_there_as_a_wheel(python: str, machine: str, tmp_path: Path) -> None:
    wanted = {name: version for name, version in pins().items() if name not in SOURCE_ONLY}
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("".join(f"{name}=={wanted[name]}\n" for name in wanted))
    tags = [f"manylinux_{glibc}_{machine}" for glibc in GLIBC] + [f"manylinux2014_{machine}"]
    platforms = [word for tag in tags for word in ("--platform", tag)]
    found = resolve(
        "--only-binary=:all:", "--no-deps", "--implementation", "cp", "--python-version", python,
        *platforms, "--target", tmp_path / "target", "--requirement", requirements,
    )  # fmt: skip
    assert versions(found) == wanted


@pytest.mark.parametrize("extra", ["", *(name for name in EXTRAS if name not in OTHER_PINS)])
def test_an_extra_brings_pinned_versions_alone_and_no_other_package(extra: str) -> None:
    found = versions(resolve("--constraint", CONSTRAINTS, f".[{extra}]" if extra else "."))
    del found["streamd-voice"]
    assert "streamd" not in found
    pinned = pins()
    assert {name: pinned.get(name) for name in found if name not in NOT_PINNED} == {
        name: version for name, version in found.items() if name not in NOT_PINNED
    }
