"""The audit log: whole, chained, bounded, and silent about what it must not tell."""

import json
import multiprocessing
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamd.access.audit.check import check
from streamd.access.audit.entry import Actor, Entry, alias, entry
from streamd.access.audit.journal import ORIGIN, Journal, hash_of, rotated
from streamd.errors import AuditBroken, Unavailable

ACTOR = Actor("server", "k1", "home", "192.0.2.1")


def request(number: int = 0, outcome: str = "ok") -> Entry:
    return entry("request", ACTOR, method="GET", path=f"/v1/{number}", outcome=outcome)


def journal(folder: Path, max_bytes: int = 1_000_000, keep: int = 3) -> Journal:
    return Journal(folder / "audit.jsonl", max_bytes, keep)


def lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines()


def test_every_line_names_the_hash_of_the_line_before(tmp_path):
    log = journal(tmp_path)
    log.append([request(1), request(2)])
    log.append([request(3)])
    written = lines(log.path)
    first, second, third = map(json.loads, written)
    assert [line["seq"] for line in (first, second, third)] == [1, 2, 3]
    assert first["prev"] == ORIGIN
    assert (second["prev"], third["prev"]) == (hash_of(written[0]), hash_of(written[1]))
    assert first["key"] == "k1"
    intact = check(log.path)
    assert (intact.files, intact.entries, intact.first_seq) == (1, 3, 1)
    assert intact.last == (3, hash_of(written[2]))


def test_only_its_owner_may_read_it(tmp_path):
    log = journal(tmp_path / "new" / "folder")
    log.append([request()])
    for path in (log.path, log.path.with_name("audit.jsonl.lock")):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(log.path.parent.stat().st_mode) == 0o700


def test_an_empty_log_is_whole(tmp_path):
    intact = check(tmp_path / "audit.jsonl")
    assert (intact.files, intact.entries, intact.last.seq) == (0, 0, 0)


@settings(max_examples=60)
@given(data=st.data())
def test_no_change_in_the_middle_goes_unnoticed(tmp_path_factory, data):
    log = journal(tmp_path_factory.mktemp("log"), max_bytes=1500, keep=100)
    for number in range(12):
        log.append([request(number)])
    files = [*rotated(log.path), log.path]
    assert len(files) > 1
    assert check(log.path).entries == 12
    whole = [line for file in files for line in lines(file)]
    file = data.draw(st.sampled_from(files))
    kept = lines(file)
    place = data.draw(st.integers(0, len(kept) - 1))
    if kept[place] == whole[-1]:
        return  # nothing stands behind the last line
    match data.draw(st.sampled_from(["edit", "remove", "double", "swap", "garbage", "torn"])):
        case "edit":
            kept[place] = kept[place].replace(b'"ok"', b'"no"')
        case "remove":
            del kept[place]
        case "torn":
            if file == log.path:
                return  # as a crash leaves it
            kept.append(b'{"action":')
        case "double":
            kept.insert(place, kept[place])
        case "swap" if place + 1 < len(kept):
            kept[place], kept[place + 1] = kept[place + 1], kept[place]
        case _:
            kept[place] = b"{}"
    file.write_bytes(b"".join(line + b"\n" for line in kept).removesuffix(b":\n"))
    with pytest.raises(AuditBroken, match=r"audit\.jsonl"):
        check(log.path)


def test_the_chain_goes_on_over_files_and_old_ones_go(tmp_path):
    log = journal(tmp_path, max_bytes=1000, keep=2)
    for number in range(40):
        log.append([request(number)])
    files = rotated(log.path)
    assert len(files) == 2
    intact = check(log.path)
    assert intact.files == 3
    kept = [json.loads(line) for file in [*files, log.path] for line in lines(file)]
    dropped = [one["count"] for one in kept if one["action"] == "dropped"]
    assert intact.first_seq == max(dropped) + 1
    assert sum(one["action"] == "request" for one in kept) < 40
    assert intact.entries == len(kept) == intact.last.seq + 1 - intact.first_seq
    assert all(stat.S_IMODE(file.stat().st_mode) == 0o600 for file in files)


def test_a_beginning_that_was_cut_off_is_told_from_one_that_rotation_dropped(tmp_path):
    log = journal(tmp_path, max_bytes=1000, keep=2)
    for number in range(40):
        log.append([request(number)])
    assert check(log.path).first_seq > 1
    rotated(log.path)[0].unlink()
    with pytest.raises(AuditBroken, match="no rotation dropped those before it"):
        check(log.path)


def test_a_log_that_never_rotated_begins_at_its_first_entry(tmp_path):
    log = journal(tmp_path)
    log.append([request(number) for number in range(3)])
    log.path.write_bytes(b"".join(line + b"\n" for line in lines(log.path)[1:]))
    with pytest.raises(AuditBroken, match="begins with entry 2"):
        check(log.path)


def test_files_that_a_crash_kept_from_being_dropped_go_later(tmp_path, monkeypatch):
    log = journal(tmp_path, max_bytes=1000, keep=1)
    monkeypatch.setattr(Path, "unlink", lambda *_: (_ for _ in ()).throw(OSError(1, "no")))
    for number in range(30):
        log.append([request(number)])
    monkeypatch.undo()
    assert check(log.path).first_seq == 1
    for number in range(10):
        log.append([request(number)])
    assert len(rotated(log.path)) == 1
    assert check(log.path).first_seq > 1


def test_another_start_goes_on_where_the_last_one_ended(tmp_path):
    for _ in range(3):
        log = journal(tmp_path, max_bytes=300)
        log.append([request(), request()])
    log.path.unlink()  # rotated away at the very end
    journal(tmp_path).append([request()])
    assert check(log.path).last.seq >= 5


def append_many(folder: str, count: int) -> None:
    log = Journal(Path(folder) / "audit.jsonl", 4000, 100)
    for number in range(count):
        log.append([request(number)])


def test_several_processes_write_one_chain(tmp_path):
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=append_many, args=(str(tmp_path), 50)) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert check(tmp_path / "audit.jsonl").entries == 150


@pytest.mark.parametrize("cut", [1, 20, 10_000])
def test_a_line_that_a_crash_cut_is_mended_and_named(tmp_path, cut):
    log = journal(tmp_path)
    log.append([request(1), request(2)])
    whole = log.path.read_bytes()
    first = whole.index(b"\n") + 1
    torn = whole[: max(first, len(whole) - cut)]
    torn = torn if not torn.endswith(b"\n") else whole[: first + 5]
    log.path.write_bytes(torn)
    assert check(log.path).entries == 1
    journal(tmp_path).append([request(3)])
    records = [json.loads(line) for line in lines(log.path)]
    assert [one["action"] for one in records] == ["request", "repaired", "request"]
    assert records[1]["count"] == len(torn) - first
    assert check(log.path).entries == 3


def test_a_log_whose_end_was_tampered_with_takes_no_more(tmp_path):
    log = journal(tmp_path)
    log.append([request()])
    log.path.write_bytes(b"nonsense\n")
    with pytest.raises(Unavailable, match="doctor --audit"):
        journal(tmp_path).append([request()])
    with pytest.raises(Unavailable, match="doctor --audit"):
        journal(tmp_path).probe()
    assert log.path.read_bytes() == b"nonsense\n"


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable, match=r"access\.audit_path"):
        Journal(tmp_path / "file" / "audit.jsonl", 1000, 1).append([request()])


def test_a_full_disk_leaves_no_half_line(tmp_path, monkeypatch):
    log = journal(tmp_path)
    log.append([request(1)])
    whole = log.path.read_bytes()
    real = os.write

    def write_some(file: int, data: memoryview) -> int:
        if len(data) > 100:
            return real(file, data[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", write_some)
    with pytest.raises(Unavailable, match="No space left"):
        log.append([request(2)])
    monkeypatch.undo()
    assert log.path.read_bytes() == whole
    log.append([request(2)])
    assert check(log.path).entries == 2


def test_a_pseudonym_needs_the_secret_and_tells_tenants_apart():
    secret = b"s" * 32
    assert alias(secret, "acme", "Ada") == alias(secret, "acme", "Ada")
    others = {
        alias(b"t" * 32, "acme", "Ada"),
        alias(secret, "acm", "eAda"),
        alias(secret, "other", "Ada"),
        alias(secret, "acme", "Bob"),
        alias(secret, "acme", "Ada"),
    }
    assert len(others) == 5
    assert not any("Ada" in one for one in others)
