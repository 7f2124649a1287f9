"""What waits for a client that reads slowly."""

import pytest

from streamd.errors import SlowConsumer
from streamd.events import Ack, Event, Flushed, Pong, Speaker, WarningEvent
from streamd.live.outbox import COALESCE_FROM, Outbox


def speaker(utterance: str, at: int, *, final: bool = False) -> Speaker:
    return Speaker(
        t0=0,
        t1=at,
        at=at,
        utterance=utterance,
        decision="accept",
        speaker="anna",
        score=1.0,
        margin=None,
        speech_ms=at,
        final=final,
    )


def drain(outbox: Outbox) -> list[Event]:
    return [outbox.take() for _ in range(len(outbox))]


def test_events_leave_in_their_order_and_log_events_are_numbered_without_a_hole() -> None:
    outbox = Outbox(10)
    events = [Flushed(id="1"), Ack(samples=1), WarningEvent(code="c", message="m"), Flushed(id="2")]
    for event in events:
        outbox.put(event)
    assert drain(outbox) == events
    assert [e.seq for e in events if not isinstance(e, Ack)] == [1, 2, 3]
    outbox.put(Flushed(id="3"))
    assert outbox.take().seq == 4


def test_a_client_that_reads_gets_every_interim_event() -> None:
    outbox = Outbox(1000)
    for at in range(COALESCE_FROM):
        outbox.put(speaker("u1", at))
    assert len(outbox) == COALESCE_FROM
    assert outbox.coalesced == 0


def test_a_client_that_lags_gets_the_latest_interim_event_of_each_utterance() -> None:
    outbox = Outbox(1000)
    for n in range(COALESCE_FROM):
        outbox.put(Flushed(id=str(n)))
    for at in range(100):
        outbox.put(speaker("u1", at))
        outbox.put(speaker("u2", at))
    waiting = drain(outbox)[COALESCE_FROM:]
    assert [(e.utterance, e.at) for e in waiting] == [("u1", 99), ("u2", 99)]
    assert outbox.coalesced == 198
    assert [e.seq for e in waiting] == [COALESCE_FROM + 1, COALESCE_FROM + 2]


def test_finals_and_everything_else_are_kept_up_to_the_bound() -> None:
    outbox = Outbox(100)
    kept: list[Event] = []
    for n in range(50):
        kept += [speaker("u1", n, final=True), Pong(t=n, server_ms=0)]
    for event in kept:
        outbox.put(event)
    with pytest.raises(SlowConsumer):
        outbox.put(Flushed(id="too much"))
    assert drain(outbox) == kept


def test_the_last_event_says_why_even_where_nothing_fits() -> None:
    outbox = Outbox(1)
    outbox.put(Flushed(id="1"))
    last = WarningEvent(code="why", message="m")
    outbox.put(last, always=True)
    assert drain(outbox)[-1] is last


def test_an_ack_replaces_the_one_that_waits_for_a_client_that_lags() -> None:
    outbox = Outbox(COALESCE_FROM + 2)
    for n in range(COALESCE_FROM):
        outbox.put(Flushed(id=str(n)))
    for n in range(1000):
        outbox.put(Ack(samples=n))
    assert len(outbox) == COALESCE_FROM + 1
    assert drain(outbox)[-1] == Ack(samples=999)


def test_an_interim_event_never_replaces_a_final_one_or_an_older_utterance() -> None:
    outbox = Outbox(1000)
    for n in range(COALESCE_FROM):
        outbox.put(Flushed(id=str(n)))
    final = speaker("u1", 5, final=True)
    for event in (speaker("u1", 1), final, speaker("u2", 2), speaker("u2", 3)):
        outbox.put(event)
    assert [(e.utterance, e.at) for e in drain(outbox)[COALESCE_FROM:]] == [
        ("u1", 1),
        ("u1", 5),
        ("u2", 3),
    ]
