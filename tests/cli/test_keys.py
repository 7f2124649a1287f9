"""`streamd keys` and `streamd doctor --audit`, as a person uses them."""

import json
import re
import sqlite3
from contextlib import closing

import pytest

FORM = re.compile(r"sk_[A-Za-z0-9]{12}_[A-Za-z0-9]{43}")


def listed(cli) -> list[dict]:
    return json.loads(cli("keys", "list", "--json").out)


def test_a_new_key_is_alone_on_stdout_and_kept_nowhere(cli):
    done = cli("keys", "create", "home")
    assert done.code == 0
    key = done.out.removesuffix("\n")
    assert FORM.fullmatch(key)
    assert key not in done.err
    for file in cli.home.iterdir():
        content = file.read_bytes()
        assert key.encode() not in content, file
        assert key[-43:].encode() not in content, file
    assert key not in cli("keys").out


def test_a_key_is_shown_though_the_audit_log_cannot_be_written(cli, tmp_path):
    done = cli("keys", "create", "home", STREAMD_ACCESS__AUDIT_PATH=tmp_path)
    assert done.code == 8
    assert "the audit log does not have it" in done.err
    assert FORM.fullmatch(done.out.removesuffix("\n"))


def test_what_is_logged_does_not_go_where_the_list_goes(cli):
    for name in ("home", "mallory"):
        cli("keys", "create", name)
    with closing(sqlite3.connect(cli.home / "streamd.db")) as db, db:
        db.execute("UPDATE keys SET scopes = 'admin' WHERE name = 'mallory'")
    done = cli.process("keys", "list", "--json")
    assert [key["name"] for key in json.loads(done.out)] == ["home"]
    assert "was tampered with" in done.err


def test_the_list_says_what_each_key_is_good_for(cli):
    cli("keys", "create", "home")
    cli("keys", "create", "boss", "--scope", "admin", "--tenant", "acme", "--expires", "30d")
    cli("keys", "create", "both", "--scope", "enrol,stream")
    cli("keys", "create", "twice", "--scope", "enrol", "--scope", "stream")
    boss, both, home, twice = listed(cli)
    assert (boss["tenant"], boss["scopes"], boss["state"]) == ("acme", ["admin"], "valid")
    assert boss["expires_ms"] - boss["created_ms"] == 30 * 86_400_000
    assert both["scopes"] == twice["scopes"] == ["stream", "enrol"]
    assert (home["tenant"], home["scopes"], home["expires_ms"]) == ("default", ["stream"], None)
    assert all(set(key) >= {"name", "id", "created_ms", "revoked_ms"} for key in listed(cli))
    table = cli("keys").out
    for word in ("boss", "acme", "stream, enrol", "valid"):
        assert word in table


def test_a_revoked_key_stays_in_the_list_and_frees_its_name(cli):
    cli("keys", "create", "home")
    assert cli("keys", "create", "home").code == 2
    assert cli("keys", "revoke", "home").code == 0
    assert [key["state"] for key in listed(cli)] == ["revoked"]
    again = cli("keys", "revoke", "home")
    assert again.code == 2
    assert "streamd keys list" in again.err
    assert cli("keys", "create", "home").code == 0
    assert sorted(key["state"] for key in listed(cli)) == ["revoked", "valid"]


@pytest.mark.parametrize(
    "wrong",
    [
        ["home", "--scope", "root"],
        ["home", "--scope", ""],
        ["home", "--scope", "stream,"],
        ["home", "--expires", "30"],
        ["home", "--expires", "0d"],
        ["home", "--expires", "-1d"],
        ["home", "--expires", "1y"],
        ["home", "--expires", "999999w"],
        ["home", "--tenant", "../x"],
        ["home", "--tenant", ""],
        [""],
        [" home"],
        ["a\x1b[31m"],
        ["x" * 65],
    ],
)
def test_what_makes_no_key_is_2_and_says_why(cli, wrong):
    done = cli("keys", "create", *wrong)
    assert (done.code, done.out) == (2, "")
    assert done.err
    assert "\x1b" not in done.err
    assert listed(cli) == []


def test_without_a_key_it_says_how_to_make_one(cli):
    done = cli("keys")
    assert (done.code, done.out) == (0, "")
    assert "streamd keys create NAME" in done.err


def test_beyond_loopback_serve_wants_a_key_and_takes_no_other_for_one(cli):
    cli("keys", "create", "home")
    cli("keys", "revoke", "home")
    done = cli("serve", "--host", "0.0.0.0", "--port", "0")
    assert done.code == 3
    assert "streamd keys create NAME" in done.err
    assert "--host 127.0.0.1" in done.err
    assert cli("config", "check", STREAMD_SERVER__HOST="0.0.0.0").code == 3
    cli("keys", "create", "home")
    assert cli("config", "check", STREAMD_SERVER__HOST="0.0.0.0").code == 0


def test_the_audit_log_has_the_keys_and_doctor_finds_what_was_changed(cli):
    assert "no entry yet" in cli("doctor", "--audit").out
    for name in ("home", "attic"):
        cli("keys", "create", name)
    cli("keys", "revoke", "home")
    whole = cli("doctor", "--audit")
    assert whole.code == 0
    assert "all 3 entries" in whole.out
    log = cli.home / "audit.jsonl"
    actions = [json.loads(line)["action"] for line in log.read_text().splitlines()]
    assert actions == ["key_created", "key_created", "key_revoked"]
    log.write_text(log.read_text().replace("home", "hone", 1))
    broken = cli("doctor", "--audit", "--json")
    assert broken.code == 1
    (check,) = json.loads(broken.out)
    assert check["status"] == "fail"
    assert f"{log}:2" in check["message"]


def test_the_audit_log_can_be_elsewhere_or_nowhere(cli, tmp_path):
    cli("keys", "create", "one", STREAMD_ACCESS__AUDIT_PATH=tmp_path / "log" / "a.jsonl")
    assert len((tmp_path / "log" / "a.jsonl").read_text().splitlines()) == 1
    cli("keys", "create", "two", STREAMD_ACCESS__AUDIT_PATH="off")
    assert not (cli.home / "audit.jsonl").exists()
    assert "there is none" in cli("doctor", "--audit", STREAMD_ACCESS__AUDIT_PATH="off").out
    (tmp_path / "file").write_text("")
    done = cli("keys", "create", "three", STREAMD_ACCESS__AUDIT_PATH=tmp_path / "file" / "a.jsonl")
    assert done.code == 8
    assert "access.audit_path" in done.err


def test_the_wait_for_a_key_is_over_when_there_is_one(cli):
    cli("keys", "create", "home")
    done = cli("keys", "wait")
    assert (done.code, done.out, done.err) == (0, "", "")
