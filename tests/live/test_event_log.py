"""The log of one stream: numbers without a hole, and what is kept for a client that comes back."""

import json

import pytest

from streamd.errors import ResumeUnknown
from streamd.events import Error, Flushed, Speaker
from streamd.live.event_log import MAX_BYTES, EventLog


def interim(at: int) -> Speaker:
    return Speaker(
        t0=0,
        t1=at,
        at=at,
        utterance="u1",
        decision="unsure",
        speaker=None,
        score=0.0,
        margin=None,
        speech_ms=at,
        final=False,
    )


def seqs(texts: list[str]) -> list[int]:
    return [json.loads(text)["seq"] for text in texts]


def test_everything_after_the_last_number_is_given_again() -> None:
    log = EventLog(10)
    sent = [log.record(Flushed(id=str(n))) for n in range(5)]
    assert seqs(sent) == [1, 2, 3, 4, 5]
    assert log.after(0) == sent
    assert log.after(3) == sent[3:]
    assert log.after(5) == []


def test_interim_events_and_the_reason_of_a_close_take_a_number_and_are_not_kept() -> None:
    log = EventLog(10)
    log.record(Flushed(id="1"))
    log.record(interim(5))
    log.record(Error(code="idle", message="m", fatal=True, retryable=True))
    log.record(Error(code="bad_message", message="m", fatal=False, retryable=False))
    assert seqs(log.after(0)) == [1, 4]


def test_a_client_that_lacks_an_event_that_is_gone_is_unknown_and_so_is_a_number_to_come() -> None:
    log = EventLog(3)
    for n in range(5):
        log.record(Flushed(id=str(n)))
    assert seqs(log.after(2)) == [3, 4, 5]
    with pytest.raises(ResumeUnknown):
        log.after(1)
    with pytest.raises(ResumeUnknown):
        log.after(6)


def test_interim_events_alone_make_no_client_unknown() -> None:
    log = EventLog(1)
    for n in range(5):
        log.record(interim(n))
    log.record(Flushed(id="1"))
    assert seqs(log.after(0)) == [6]


def test_a_log_is_bounded_in_memory_too() -> None:
    log = EventLog(1000)
    for n in range(40):
        log.record(Flushed(id=str(n) + "x" * 60_000))
    assert 0 < log.size_bytes <= MAX_BYTES
    assert seqs(log.after(30)) == list(range(31, 41))
    with pytest.raises(ResumeUnknown):
        log.after(0)
