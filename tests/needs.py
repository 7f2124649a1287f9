"""What a test needs from the machine beside Python packages."""

import importlib
import os
import shutil
import subprocess
import warnings
from functools import cache
from types import ModuleType
from typing import NoReturn

import pytest

from streamd.front_ends import Part, installed


def needs(*programs: str) -> None:
    """Skip, and name what is missing, unless all programs are on the PATH; under CI=true fail.

    Call it first in a test or a fixture. The Debian packages that bring the programs are listed in
    `.ci/packages`.
    """
    missing = [name for name in programs if shutil.which(name) is None]
    if missing:
        lacking(f"{', '.join(missing)} not installed")


def toolkit(name: str) -> ModuleType:
    """Import a package that `make test-models` installs; skip the file or the test without it.

    Under CI=true its absence is a failure. Warnings of the import are the toolkit's own.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return importlib.import_module(name)
    except ImportError as error:
        lacking(f"the package {error.name or name} is not installed (`make test-models` does)")


def front_end(*parts: Part) -> None:
    """Skip the file or the test unless these parts of the audio front end are installed."""
    if missing := sorted(set(parts) - installed()):
        lacking(f"the packages of {', '.join(missing)} are not installed (streamd-voice[enhance])")


@cache
def name_spaces(*options: str) -> None:
    """Skip the file or the test where bwrap cannot make these name spaces, as in many containers.

    No package brings what a kernel forbids, so a test is skipped in CI too.
    """
    needs("bwrap")
    command = ["bwrap", *options, "--ro-bind", "/", "/", "--dev", "/dev", "--proc", "/proc", "true"]
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    if done.returncode != 0:
        pytest.skip(f"no name spaces here: {done.stderr.strip()}", allow_module_level=True)


def lacking(reason: str) -> NoReturn:
    """Skip for a reason; under CI=true fail with it."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}, and CI must not skip a test", pytrace=False)
    pytest.skip(reason, allow_module_level=True)
