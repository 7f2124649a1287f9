"""Entries on their way to the disk: the event loop never waits, and nothing is lost unsaid."""

import json
from pathlib import Path

import pytest
from waiting import wait_until

from streamd.access.audit import writer
from streamd.access.audit.check import check
from streamd.access.audit.entry import Actor, Entry, entry
from streamd.access.audit.journal import Journal
from streamd.access.audit.writer import AtOnce, Behind
from streamd.errors import Unavailable
from streamd.observability.metrics import Metrics

ACTOR = Actor("server", "k1", "home", "192.0.2.1")


def request(outcome: str = "ok") -> Entry:
    return entry("request", ACTOR, method="GET", path="/v1/info", outcome=outcome)


def records(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


class Blocked(Journal):
    """A journal on a disk that is full until a test makes room."""

    is_full = True

    def append(self, entries):
        if self.is_full:
            raise Unavailable("the disk is full")
        super().append(entries)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.jsonl"


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "RETRY_S", 0.01)


def test_what_was_recorded_is_written_at_the_latest_when_it_closes(path, metrics):
    behind = Behind(Journal(path, 1_000_000, 1), metrics)
    ids = [behind.record(request()) for _ in range(500)]
    behind.close()
    assert [one["id"] for one in records(path)] == ids
    assert check(path).entries == 500
    assert metrics.registry.get_sample_value("streamd_queue_length", {"queue": "audit"}) == 0


def test_a_full_disk_delays_entries_and_a_bound_loses_and_counts_them(path, metrics, monkeypatch):
    monkeypatch.setattr(writer, "MAX_WAITING", 5)
    journal = Blocked(path, 1_000_000, 1)
    behind = Behind(journal, metrics)
    for _ in range(8):
        behind.record(request())
    assert metrics.registry.get_sample_value("streamd_queue_length", {"queue": "audit"}) == 5
    assert metrics.registry.get_sample_value("streamd_audit_lost_total") == 3
    journal.is_full = False
    wait_until(lambda: path.exists() and len(records(path)) >= 6)
    behind.record(request())
    behind.close()
    written = records(path)
    assert [one["action"] for one in written] == ["request"] * 5 + ["lost", "request"]
    assert written[5]["count"] == 3


def test_a_disk_that_stays_full_does_not_keep_the_daemon_from_stopping(path, metrics):
    behind = Behind(Blocked(path, 1_000_000, 1), metrics)
    behind.record(request())
    behind.close()
    assert metrics.registry.get_sample_value("streamd_audit_lost_total") == 1


def test_a_flood_of_refused_requests_is_counted_and_fills_no_disk(path, metrics):
    now_s = 100.0
    behind = Behind(Journal(path, 100_000_000, 1), metrics, lambda: now_s)
    for _ in range(10_000):
        behind.record(request("unauthenticated"))
        behind.record(request())
    now_s += 1
    behind.record(request("forbidden"))
    behind.close()
    written = records(path)
    refused = [one for one in written if one["outcome"] != "ok"]
    assert len(refused) == writer.REFUSALS_AT_ONCE + 1
    assert refused[-1]["left_out"] == 10_000 - writer.REFUSALS_AT_ONCE
    assert len(written) - len(refused) + metrics.registry.get_sample_value(
        "streamd_audit_lost_total"
    ) == pytest.approx(10_000, abs=1)


def test_refused_requests_that_were_left_out_last_are_counted_at_the_end(path, metrics):
    behind = Behind(Journal(path, 100_000_000, 1), metrics, lambda: 100.0)
    for _ in range(writer.REFUSALS_AT_ONCE + 50):
        behind.record(request("unauthenticated"))
    behind.close()
    written = records(path)
    assert len(written) == writer.REFUSALS_AT_ONCE + 1
    assert written[-1]["left_out"] == 49, "beside itself"


def test_a_command_says_that_the_log_does_not_have_it(path):
    with pytest.raises(Unavailable, match=r"done, but the audit log does not have it \(request\)"):
        AtOnce(Blocked(path, 1000, 1)).record(request())
