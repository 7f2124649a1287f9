"""The databases that a store may be in, as the tests have them: an SQLite file, a real server."""

import asyncio
import contextlib
import os
import pwd
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

import asyncpg
from needs import lacking
from waiting import HANG_S, wait_until

from streamd.store import DEFAULT_TENANT, SqlStore, open_store, postgres
from streamd.store.postgres.dialect import translated

USER, PASSWORD = "voices", "a password, with %/@: in it"
LOCAL = "127.0.0.1"


class Place(Protocol):
    """A database that a test has for itself."""

    folder: Path
    """Its key is in the file `key` here."""
    opening: str
    """An expression that opens the store in another process, after `from streamd.store import *`
    and `folder = …`."""

    def open(self, tenant: str = DEFAULT_TENANT) -> SqlStore: ...

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement in the SQL of SQLite, as whoever has the database but not the key."""
        ...

    def files(self) -> Iterator[Path]:
        """Yield all files that the database consists of, and those of its log."""
        ...

    def tables(self) -> Iterator[Path]:
        """Yield the files from which a deletion erases what it deleted."""
        ...


class SqlitePlace:
    opening = "open_store(folder / 'v.db', folder / 'key')"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def open(self, tenant: str = DEFAULT_TENANT) -> SqlStore:
        return open_store(self.folder / "v.db", self.folder / "key", tenant)

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        with contextlib.closing(sqlite3.connect(self.folder / "v.db")) as db, db:
            return db.execute(statement).fetchall()

    def files(self) -> Iterator[Path]:
        return (file for file in self.folder.iterdir() if file.name.startswith("v.db"))

    tables = files


class PostgresPlace:
    def __init__(self, folder: Path, server: "PostgresServer") -> None:
        self.folder = folder
        self.server = server
        self.url = server.create()
        self.opening = f"postgres.open_store({self.url!r}, folder / 'key')"

    def open(self, tenant: str = DEFAULT_TENANT) -> SqlStore:
        return postgres.open_store(self.url, self.folder / "key", tenant)

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        return run_sql(self.url, translated(statement))

    def files(self) -> Iterator[Path]:
        return self.server.files()

    def tables(self) -> Iterator[Path]:
        ((number,),) = self.sql("SELECT oid FROM pg_database WHERE datname = current_database()")
        return (file for file in self.files() if file.parent.name == str(number))


class PostgresServer:
    """A server of Debian's package, as a user of its own, in a temporary directory.

    It is left as it is after a test: each test has a database of its own.
    """

    def __init__(self) -> None:
        self._programs = programs()
        # Not below pytest's folder, which only its owner may enter.
        self._home = Path(tempfile.mkdtemp(prefix="streamd-postgres-", dir="/tmp"))
        self._data = self._home / "data"
        self._user = None
        if os.geteuid() == 0:  # the server refuses to run as root
            self._user = pwd.getpwnam("postgres")
            os.chown(self._home, self._user.pw_uid, self._user.pw_gid)
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._count = 0
        secret = self._home / "password"
        secret.write_text(PASSWORD)
        self._run(
            "initdb", "--no-sync", "--auth=scram-sha-256", f"--pwfile={secret}", "-U", USER,
            "--encoding=UTF8", "--locale=C.UTF-8", "-D", str(self._data),
        )  # fmt: skip
        secret.unlink()
        self.start()

    def start(self) -> None:
        """Start the server, and wait until it takes connections."""
        with (self._home / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    self._programs / "postgres", "-D", self._data, "-h", LOCAL,
                    "-p", str(self.port), "-k", self._home,
                    # What a power cut would lose is not tested; what a kill would lose is.
                    "-c", "fsync=off", "-c", "autovacuum=off", "-c", "log_min_messages=warning",
                ],
                stdout=log, stderr=log, stdin=subprocess.DEVNULL, **self._identity(),
            )  # fmt: skip
        wait_until(self._is_ready)

    def stop(self, number: int = signal.SIGINT) -> None:
        """Stop the server, by default without waiting for its clients."""
        assert self._process is not None
        pid = self._process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        self._process.send_signal(number)
        self._process.wait()
        # Those of a server that was killed end by themselves, and answer until then.
        wait_until(lambda: not any(map(is_alive, children)))

    def create(self) -> str:
        """Create a database; return its URL."""
        self._count += 1
        name = f"voices_{self._count}"
        run_sql(self.url("postgres"), f"CREATE DATABASE {name}")
        return self.url(name)

    def url(self, database: str) -> str:
        """Return the URL of a database of that name."""
        return f"postgresql://{USER}:{quote(PASSWORD, safe='')}@{LOCAL}:{self.port}/{database}"

    def files(self) -> Iterator[Path]:
        """Yield all files of the server, after all that is in memory only was written to them."""
        run_sql(self.url("postgres"), "CHECKPOINT")
        return (file for file in self._data.rglob("*") if file.is_file())

    def close(self) -> None:
        """End the server and delete its files."""
        if self._process is not None and self._process.poll() is None:
            self.stop()
        shutil.rmtree(self._home)

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self._home / "log").read_text()
        try:
            run_sql(self.url("postgres"), "SELECT 1")
        except (OSError, asyncpg.PostgresError):
            return False
        return True

    def _run(self, program: str, *args: str) -> None:
        done = subprocess.run(
            [self._programs / program, *args],
            capture_output=True, text=True, check=False, cwd="/", **self._identity(),
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    def _identity(self) -> dict[str, Any]:
        if self._user is None:
            return {}
        return {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}


def free_port() -> int:
    """Return a port that nobody listens at, and that stays free while its server is stopped.

    The kernel gives ports above 32767 to whoever asks for any, so also to other tests' clients.
    """
    while True:
        port = random.randrange(10_000, 32_000)
        with contextlib.suppress(OSError), socket.create_server((LOCAL, port)):
            return port


def is_alive(pid: str) -> bool:
    """Return whether a process is there that has not ended."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"  # one that nobody has waited for


def programs() -> Path:
    """Return the folder of the newest server's programs; skip where there is none."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: float(p.parts[-3])
    )
    if not found:
        lacking("postgresql not installed")
    return found[-1].parent


def run_sql(url: str, statement: str) -> list[tuple[Any, ...]]:
    """Run one statement in a PostgreSQL database, in the store's schema."""

    async def run() -> list[tuple[Any, ...]]:
        db = await asyncpg.connect(url, server_settings={"search_path": "streamd"}, timeout=HANG_S)
        try:
            return [tuple(row) for row in await db.fetch(statement)]
        finally:
            await db.close()

    with ThreadPoolExecutor(1) as thread:  # the test may have an event loop of its own
        return thread.submit(lambda: asyncio.run(run())).result()
