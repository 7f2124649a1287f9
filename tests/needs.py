"""What a test needs from the machine beside Python packages."""

import os
import shutil
from typing import NoReturn

import pytest


def needs(*programs: str) -> None:
    """Skip, and name what is missing, unless all programs are on the PATH; under CI=true fail.

    Call it first in a test or a fixture. The Debian packages that bring the programs are listed in
    `.ci/packages`.
    """
    missing = [name for name in programs if shutil.which(name) is None]
    if missing:
        lacking(f"{', '.join(missing)} not installed")


def lacking(reason: str) -> NoReturn:
    """Skip for a reason; under CI=true fail with it."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{reason}, and CI must not skip a test", pytrace=False)
    pytest.skip(reason)
