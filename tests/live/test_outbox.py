"""What waits for a client that reads slowly."""

import itertools
import json
from collections.abc import Iterable
from typing import Any

import pytest

from streamd.errors import SlowConsumer
from streamd.events import Ack, Error, Event, Flushed, Pong, Speaker, WarningEvent, encode
from streamd.live.event_log import EventLog
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


def outbox_of(bound: int) -> Outbox:
    return Outbox(EventLog(1000), bound)


def drain(outbox: Outbox) -> list[dict[str, Any]]:
    return [json.loads(text) for text in outbox.take_all()]


def on_the_wire(events: Iterable[Event], first: int = 1) -> list[dict[str, Any]]:
    """Events as they are sent, numbered from `first` on."""
    numbers = itertools.count(first)
    sent = [json.loads(encode(event)) for event in events]
    return [event | {"seq": next(numbers)} if "seq" in event else event for event in sent]


def test_events_leave_in_their_order_and_log_events_are_numbered_without_a_hole() -> None:
    outbox = outbox_of(10)
    events = [Flushed(id="1"), Ack(samples=1), WarningEvent(code="c", message="m"), Flushed(id="2")]
    for event in events:
        outbox.put(event)
    assert drain(outbox) == on_the_wire(events)
    outbox.put(Flushed(id="3"))
    assert drain(outbox) == [{"type": "flushed", "seq": 4, "id": "3"}]


def test_a_client_that_reads_gets_every_interim_event() -> None:
    outbox = outbox_of(1000)
    for at in range(COALESCE_FROM):
        outbox.put(speaker("u1", at))
    assert len(outbox) == COALESCE_FROM
    assert outbox.coalesced == 0


def test_a_client_that_lags_gets_the_latest_interim_event_of_each_utterance() -> None:
    outbox = outbox_of(1000)
    for n in range(COALESCE_FROM):
        outbox.put(Flushed(id=str(n)))
    for at in range(100):
        outbox.put(speaker("u1", at))
        outbox.put(speaker("u2", at))
    waiting = drain(outbox)[COALESCE_FROM:]
    assert [(e["utterance"], e["at"]) for e in waiting] == [("u1", 99), ("u2", 99)]
    assert outbox.coalesced == 198
    assert [e["seq"] for e in waiting] == [COALESCE_FROM + 1, COALESCE_FROM + 2]


def test_finals_and_everything_else_are_kept_up_to_the_bound() -> None:
    outbox = outbox_of(100)
    kept: list[Event] = []
    for n in range(50):
        kept += [speaker("u1", n, final=True), Pong(t=n, server_ms=0)]
    for event in kept:
        outbox.put(event)
    with pytest.raises(SlowConsumer):
        outbox.put(Flushed(id="too much"))
    assert drain(outbox) == on_the_wire([*kept, Flushed(id="too much")])


def test_the_last_event_says_why_even_where_nothing_fits() -> None:
    outbox = outbox_of(1)
    outbox.put(Flushed(id="1"))
    last = WarningEvent(code="why", message="m")
    outbox.put(last, always=True)
    assert drain(outbox)[-1]["code"] == "why"


def test_an_ack_replaces_the_one_that_waits_for_a_client_that_lags() -> None:
    outbox = outbox_of(COALESCE_FROM + 2)
    for n in range(COALESCE_FROM):
        outbox.put(Flushed(id=str(n)))
    for n in range(1000):
        outbox.put(Ack(samples=n))
    assert len(outbox) == COALESCE_FROM + 1
    assert drain(outbox)[-1] == {"type": "ack", "samples": 999}


def test_an_interim_event_never_replaces_a_final_one_or_an_older_utterance() -> None:
    outbox = outbox_of(1000)
    for n in range(COALESCE_FROM):
        outbox.put(Flushed(id=str(n)))
    final = speaker("u1", 5, final=True)
    for event in (speaker("u1", 1), final, speaker("u2", 2), speaker("u2", 3)):
        outbox.put(event)
    assert [(e["utterance"], e["at"]) for e in drain(outbox)[COALESCE_FROM:]] == [
        ("u1", 5),
        ("u2", 3),
    ]


def test_what_was_not_sent_is_for_the_next_connection_but_not_acks_pongs_and_the_farewell() -> None:
    outbox = outbox_of(10)
    outbox.put(Flushed(id="1"))
    outbox.take()
    farewell = Error(code="idle", message="m", fatal=True, retryable=True)
    events = [Flushed(id="2"), Ack(samples=1), Pong(t=1, server_ms=0), Flushed(id="3"), farewell]
    for event in events:
        outbox.put(event)
    assert outbox.release() == [events[0], events[3]]
    assert len(outbox) == 0


def test_events_that_are_sent_again_keep_their_number() -> None:
    outbox = outbox_of(10)
    outbox.put(Flushed(id="1"))
    first = outbox.take_all()
    outbox.put_again(first)
    outbox.put(Flushed(id="2"))
    assert [event["seq"] for event in drain(outbox)] == [1, 2]
