"""`streamd keys create` is killed at any moment: what it printed is good, and nothing is half."""

import os
import re
import sqlite3
import subprocess
import time
from contextlib import closing

from daemons import STREAMD, environment
from fakes.keys import store_of
from waiting import wait_until

from streamd.access.keys import Keyring
from streamd.store.access import KeyRecord

KILLS = 10
STEP_S = 0.002
"""Seconds by which each kill is later than the one before, from the opening of the store on."""
WHOLE_LINE = re.compile(rb"sk_[A-Za-z0-9]{12}_[A-Za-z0-9]{43}\n")
PIPE_BYTES = 65_536


def kept(cli) -> dict[str, KeyRecord]:
    """The keys in the store by name, each of which can be read."""
    with closing(store_of(cli.home)) as store:
        keys = store.access.keys()
    with closing(sqlite3.connect(cli.home / "streamd.db")) as rows:
        assert rows.execute("SELECT count(*) FROM keys").fetchall() == [(len(keys),)]
    return {key.name: key for key in keys}


def is_good(printed: bytes, key: KeyRecord) -> bool:
    keyring = Keyring()
    keyring.replace([key])
    principal = keyring.principal(printed.decode().strip())
    return (principal.key_name, principal.tenant, principal.scopes) == (
        key.name,
        "default",
        {"stream"},
    )


def test_a_key_that_was_printed_works_whenever_the_command_is_killed(cli):
    assert cli.process("keys", "create", "first").code == 0
    log = cli.home / "streamd.db-wal"  # is there as long as the command has the store open
    printed = {}
    for number in range(KILLS):
        name = f"key {number}"
        command = cli.start("keys", "create", name)
        while not log.exists() and command.poll() is None:
            time.sleep(0.0005)
        time.sleep(number * STEP_S)
        command.kill()
        printed[name] = command.communicate()[0]
        with closing(store_of(cli.home)):
            pass  # whoever opens the store next clears away what the command left
        assert not log.exists()
    for name, out in printed.items():
        key = kept(cli).get(name)
        assert out == b"" or WHOLE_LINE.fullmatch(out), out
        if out:
            assert key is not None, f"{name} was printed and is lost"
            assert is_good(out, key)
    whole = cli("doctor", "--audit")
    assert whole.code == 0, whole.out


def test_a_key_that_was_stored_and_not_printed_can_be_replaced(cli):
    reader, writer = os.pipe()
    try:
        os.set_blocking(writer, False)
        try:
            while True:
                os.write(writer, bytes(PIPE_BYTES))
        except BlockingIOError:
            pass
        os.set_blocking(writer, True)
        command = subprocess.Popen(
            [*STREAMD, "keys", "create", "home"],
            env=environment(cli.home),
            stdout=writer,
            stderr=subprocess.DEVNULL,
        )
        try:
            log = cli.home / "audit.jsonl"  # written after the store, and before the key is shown
            wait_until(lambda: log.exists() and log.read_bytes().endswith(b"\n"))
            assert "home" in kept(cli)
        finally:
            command.kill()
            command.wait()
        os.close(writer)
        writer = -1
        with os.fdopen(reader, "rb") as out:
            reader = -1
            assert out.read().strip(b"\0") == b""
    finally:
        for descriptor in (reader, writer):
            if descriptor >= 0:
                os.close(descriptor)
    assert cli("keys", "create", "home").code == 2
    assert cli("keys", "revoke", "home").code == 0
    again = cli("keys", "create", "home")
    assert again.code == 0
    assert WHOLE_LINE.fullmatch(again.out.encode())
    assert cli("doctor", "--audit").code == 0
