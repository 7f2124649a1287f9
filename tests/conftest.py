"""What every suite may use that talks to a real daemon."""

import ctypes
import gc
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from daemons import DEFAULT, IS_TLS, Daemon
from databases import PostgresServer
from fakes.certificates import certificate
from hypothesis import settings
from redis_server import RedisServer

# Who starts the tests in the background has Ctrl-C ignored, and so would every process of theirs.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A shared machine pauses when it likes: the time of one example says nothing.
settings.register_profile("streamd", deadline=None)
settings.load_profile("streamd")


@pytest.fixture(scope="module", autouse=True)
def memory() -> Iterator[None]:
    """What the tests of a file took goes back to the system: glibc would keep gigabytes."""
    yield
    gc.collect()
    if sys.platform == "linux" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)


@pytest.fixture(scope="session", autouse=True)
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Every daemon of a run with `STREAMD_TESTS_TLS` has a certificate, which all clients trust."""
    if not IS_TLS:
        yield
        return
    files = certificate(tmp_path_factory.mktemp("tls"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STREAMD_SERVER__TLS_CERT", files.cert)
        patch.setenv("STREAMD_SERVER__TLS_KEY", files.key)
        patch.setenv("SSL_CERT_FILE", files.authority)
        yield


@pytest.fixture(scope="session")
def daemon(tmp_path_factory: pytest.TempPathFactory, tls: None) -> Iterator[Daemon]:
    """One `streamd serve` with its defaults for the whole run. Nobody may leave it worse.

    Tests compare events, so it sheds none, however busy the machine is with other tests.
    """
    with Daemon(tmp_path_factory.mktemp("daemon"), **DEFAULT, limits__max_lag_ms=0) as running:
        yield running
    assert running.complaints() == []


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """One PostgreSQL server for the whole run; each test has a database of its own."""
    server = PostgresServer()
    yield server
    server.close()


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """One Redis server for the whole run."""
    server = RedisServer()
    yield server
    server.close()


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[type[Daemon]]:
    """Starts daemons of one's own: `serve(limits__idle_s=1)`. They end with the test."""
    started: list[Daemon] = []

    def start(*args: str, **settings: object) -> Daemon:
        home = tmp_path / f"daemon-{len(started)}"
        home.mkdir()
        started.append(Daemon(home, *args, **settings).__enter__())
        return started[-1]

    yield start
    for running in started:
        running.__exit__()
