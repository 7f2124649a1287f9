"""`streamd store`: what a person does who makes a backup, restores it, or moves a store."""

import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from streamd.store import Enrolment, open_store


@pytest.fixture
def filled(cli):
    with closing(open_store(cli.home / "streamd.db", cli.home / "key")) as store:
        for number, name in enumerate(("ada", "bob")):
            store.enrol(name, [Enrolment(np.eye(4)[number], "m", "wide", 1000, "a.wav")])
        store.of("acme").enrol("eve", [Enrolment(np.ones(4), "m", "wide", 1000, "e.wav")])
    return cli


def names(path: Path, key: Path) -> dict[str, list[str]]:
    with closing(open_store(path, key)) as store:
        return {t: [s.name for s in store.of(t).speakers()] for t in store.tenants()}


def test_an_export_is_imported_where_there_is_nothing(filled, tmp_path):
    file = tmp_path / "backup.jsonl"
    done = filled("store", "export", file)
    assert (done.code, done.out) == (0, "")
    assert "Exported 3 voices, words and keys" in done.err
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    new = {"STREAMD_STORE__PATH": tmp_path / "new.db"}
    done = filled("store", "import", file, **new)
    assert done.code == 0, done.err
    assert names(tmp_path / "new.db", filled.home / "key") == {
        "acme": ["eve"],
        "default": ["ada", "bob"],
    }
    again = filled("store", "import", file, **new)
    assert again.code == 2
    assert "is not empty (3 voices, words and keys)" in again.err


def test_an_export_to_a_device_does_not_replace_it(filled, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor() as threads:
        read = threads.submit(pipe.read_bytes)
        assert filled("store", "export", pipe).code == 0
        assert read.result().startswith(b'{"type":"streamd_store"')
    assert pipe.is_fifo()


def test_an_export_goes_where_a_link_points(filled, tmp_path):
    file, link = tmp_path / "today.jsonl", tmp_path / "latest.jsonl"
    link.symlink_to(file)
    assert filled("store", "export", link).code == 0
    assert link.is_symlink()
    assert file.read_bytes().startswith(b'{"type":"streamd_store"')
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_an_export_goes_through_a_pipe(filled, tmp_path):
    out = filled.process("store", "export", "-")
    assert out.code == 0
    done = filled.process(
        "store", "import", "-", stdin=out.out.encode(), STREAMD_STORE__PATH=tmp_path / "new.db"
    )
    assert done.code == 0, done.err
    assert names(tmp_path / "new.db", filled.home / "key")["default"] == ["ada", "bob"]


def test_a_move_says_what_to_set(filled, tmp_path):
    done = filled("store", "move", tmp_path / "new.db")
    assert done.code == 0
    assert "Set store.path to it" in done.err
    assert names(tmp_path / "new.db", filled.home / "key")["acme"] == ["eve"]
    assert names(filled.home / "streamd.db", filled.home / "key")["acme"] == ["eve"]


def test_the_audit_log_has_each_copy_that_was_made_and_no_other(filled, tmp_path):
    file = tmp_path / "backup.jsonl"
    assert filled("store", "export", file).code == 0
    new = {"STREAMD_STORE__PATH": tmp_path / "new.db"}
    assert filled("store", "import", file, **new).code == 0
    assert filled("store", "import", file, **new).code == 2
    assert filled("store", "move", tmp_path / "other.db").code == 0
    assert filled("store", "export", tmp_path / "no" / "backup.jsonl").code == 8
    assert filled("store", "rekey").code == 0
    assert filled("store", "rekey").code == 3
    lines = (filled.home / "audit.jsonl").read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    assert [(one["action"], one["count"], one["uid"]) for one in entries] == [
        (action, 3, os.getuid())
        for action in ("store_exported", "store_imported", "store_moved", "store_rekeyed")
    ]
    assert filled("doctor", "--audit").code == 0


def test_a_new_key_opens_the_store_and_the_old_one_the_exports_from_before(filled, tmp_path):
    assert filled("store", "export", tmp_path / "before.jsonl").code == 0
    done = filled("store", "rekey")
    assert done.code == 0, done.err
    assert "Encrypted 3 records with a new key" in done.err
    key, old = filled.home / "key", filled.home / "key.old"
    assert str(old) in done.err
    expected = {"acme": ["eve"], "default": ["ada", "bob"]}
    assert names(filled.home / "streamd.db", key) == expected
    new = {"STREAMD_STORE__PATH": tmp_path / "new.db", "STREAMD_STORE__KEY_PATH": old}
    assert filled("store", "import", tmp_path / "before.jsonl", **new).code == 0
    assert names(tmp_path / "new.db", old) == expected


def test_the_key_of_no_store_is_not_changed(cli):
    done = cli("store", "rekey")
    assert done.code == 3
    assert "no store yet" in done.err
    assert not (cli.home / "key").exists()


def test_a_file_that_cannot_be_written_or_read_is_8_and_one_that_is_no_export_2(filled, tmp_path):
    assert filled("store", "export", tmp_path / "no" / "backup.jsonl").code == 8
    assert filled("store", "import", tmp_path / "no").code == 8
    (tmp_path / "text").write_text("hello\n")
    done = filled("store", "import", tmp_path / "text")
    assert done.code == 2
    assert "text:1: not an export of streamd's store" in done.err


def test_another_key_is_3_and_creates_nothing(filled, tmp_path):
    file = tmp_path / "backup.jsonl"
    filled("store", "export", file)
    done = filled("store", "import", file, STREAMD_DATA=tmp_path / "elsewhere")
    assert done.code == 3
    assert "copy that key file there" in done.err
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("command", [("export", "-"), ("move", "new.db")])
def test_without_a_store_there_is_nothing_to_export(cli, command):
    done = cli("store", *command)
    assert done.code == 3
    assert "there is no store yet" in done.err
    assert list(cli.home.iterdir()) == []


def test_a_target_of_another_kind_is_refused(filled):
    done = filled("store", "move", "mysql://user:secretword@h/db")
    assert done.code == 3
    assert "begins with postgresql://" in done.err
    assert "secretword" not in done.err


def test_voices_go_to_another_tenant_and_the_audit_log_says_so(filled, tmp_path):
    file = tmp_path / "voices.jsonl"
    done = filled("speakers", "export", file, "ada")
    assert (done.code, done.out) == (0, "")
    assert "Exported 1 voice." in done.err
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    entry = json.loads((filled.home / "audit.jsonl").read_text())
    assert (entry["action"], entry["tenant"], entry["count"]) == ("voices_exported", "default", 1)
    done = filled("speakers", "import", file, "--tenant", "acme")
    assert done.code == 0, done.err
    assert "Imported ada: 1 enrolment." in done.err
    assert names(filled.home / "streamd.db", filled.home / "key") == {
        "acme": ["ada", "eve"],
        "default": ["ada", "bob"],
    }
    entry = json.loads((filled.home / "audit.jsonl").read_text().splitlines()[-1])
    assert (entry["action"], entry["tenant"], entry["count"]) == ("voice_enrolled", "acme", 1)
    again = filled("speakers", "import", file, "--tenant", "acme")
    assert again.code == 2
    assert "already exists" in again.err
    missing = filled.process("speakers", "export", "-", "zoe")
    assert (missing.code, missing.out) == (2, "")
    assert "zoe" in missing.err
    assert filled.process("speakers", "export", "-").out.count('"type":"voice"') == 2
