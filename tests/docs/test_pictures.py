"""The pictures of the documentation show what a server does today."""

import asyncio
from pathlib import Path

import pytest
from daemons import Daemon, Event, assert_same_log
from pictures import SETTINGS, TIMELINE, draw, enrol_ada, events, events_of, samples, shown

pytestmark = pytest.mark.docs

PICTURE = TIMELINE.read_text(encoding="utf-8")
DRAWN = events_of(PICTURE)


def lasting(found: list[Event]) -> list[Event]:
    """Events that come at every speed of sending: interims may give way to newer ones.

    Without the texts, of which a word that is cut may differ with the processor.
    """
    kept = [shown(event) for event in found if event.get("final", True)]
    return [{name: value for name, value in e.items() if name != "text"} for e in kept]


def test_the_timeline_is_drawn_of_its_events() -> None:
    assert draw(DRAWN, samples(), 16_000) == PICTURE, "run: python tests/pictures.py timeline"


def test_the_timeline_shows_the_events_of_today(tmp_path: Path) -> None:
    pytest.importorskip("ctranslate2")
    enrol_ada(tmp_path)
    with Daemon(tmp_path, **SETTINGS) as daemon:
        found = asyncio.run(events(daemon.url, is_slow=False))
    assert_same_log(lasting(DRAWN), lasting(found))


def test_the_timeline_shows_every_kind_of_event_that_it_explains() -> None:
    kinds = {(event["type"], event.get("final", True)) for event in DRAWN}
    both = {(name, final) for name in ("speaker", "emotion", "transcript") for final in (0, 1)}
    assert both <= kinds
    assert {event["type"] for event in DRAWN} >= {
        "speech_start", "wake", "speech_end", "flushed", "ack"
    }  # fmt: skip
    assert {e["cause"] for e in DRAWN if e["type"] == "speech_end"} == {"silence", "flush"}
