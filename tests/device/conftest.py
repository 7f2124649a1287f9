"""The programs of the C client, built once for all tests."""

import fcntl
from pathlib import Path

import pytest
from fakes.c_client import make


@pytest.fixture(scope="session")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the programs, with TLS, Opus and the sanitizers; shared by the workers."""
    shared = tmp_path_factory.getbasetemp().parent
    with (shared / "device.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        make(shared / "device", "programs", TLS=1, OPUS=1, SANITIZE=1)
    return shared / "device"
