"""Voices enrolled from a stream of a real daemon: who knows them, and what the store says."""

import asyncio
import contextlib
import json
import signal
from pathlib import Path
from typing import Any

from daemons import (
    Daemon,
    Event,
    Received,
    converse,
    cut,
    dial,
    keys,
    next_event,
    say,
    silence,
    speech,
)
from waiting import HANG_S, until
from websockets.exceptions import ConnectionClosed

from streamd.access.audit.check import check
from streamd.client import Stream, connect
from streamd.client.pacing import converse as talk

END = {"type": "end"}
HELLO = {"type": "hello", "modules": {"vad": {}, "speaker": {}, "emotion": {}}}
PAUSE = silence(1.0)
FIRST, SECOND = speech("slt", 5.0), speech("slt")[2 * 16_000 * 5 :]
OTHER = speech("rms", 4.0)


def enrol(*utterances: str, speaker: str = "Ada", id: str = "e1") -> Event:
    return {"type": "enrol", "id": id, "speaker": speaker, "utterances": list(utterances)}


def finals(received: Received) -> list[str | None]:
    return [event["speaker"] for event in received.of("speaker") if event["final"]]


def speakers(daemon: Daemon, **headers: str) -> dict[str, Any]:
    listed = json.loads(daemon.get("/v1/speakers", **headers)[2])["speakers"]
    return {one["speaker"]: one for one in listed}


async def test_a_voice_that_just_spoke_gets_a_name(serve) -> None:
    daemon = serve(limits__max_lag_ms=0)
    first, flush = [*cut(FIRST + PAUSE)], {"type": "flush", "id": "f1"}
    received = await converse(
        daemon.url, HELLO, first, enrol("u1"), flush, cut(OTHER + PAUSE + SECOND), END
    )
    assert finals(received) == ["S1", "S2", "Ada"]
    (answer,) = received.of("enrolled")
    assert set(answer) == {
        *("type", "seq", "id", "speaker", "label", "utterances", "enrolments", "quality"),
    }
    assert (answer["id"], answer["speaker"], answer["label"]) == ("e1", "Ada", "S1")
    assert (answer["utterances"], answer["enrolments"]) == (["u1"], 1)
    assert answer["quality"]["verdict"] in ("good", "usable")
    assert received.types.index("enrolled") < received.types.index("flushed")

    # Others know it at once, and REST has it as one of its own.
    other = await converse(daemon.url, HELLO, cut(SECOND), END)
    assert finals(other) == ["Ada"]
    ada = speakers(daemon)["Ada"]
    spoken = next(e["speech_ms"] for e in received.of("speaker") if e["final"])
    assert (ada["enrolments"], ada["speech_ms"], ada["channels"]) == (1, spoken, ["wide"])
    (one,) = json.loads(daemon.get("/v1/speakers/Ada")[2])["enrolment_list"]
    assert one["quality"] == answer["quality"]
    assert one["id"].startswith("e_")
    assert daemon.metric("streamd_stream_enrolments_total", result="enrolled") == 1
    assert daemon.complaints() == []


async def test_every_enrolment_is_in_the_audit_log(tmp_path: Path) -> None:
    with Daemon(tmp_path) as daemon:
        await converse(daemon.url, HELLO, cut(FIRST + PAUSE), enrol("u1"), END)
    lines = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    (entry,) = [line for line in lines if line["action"] == "voice_enrolled"]
    assert (entry["tenant"], entry["count"]) == ("default", 1)
    assert "Ada" not in (tmp_path / "audit.jsonl").read_text()
    assert check(tmp_path / "audit.jsonl").entries == len(lines)


async def test_a_key_enrols_into_its_tenant_as_often_as_it_may(tmp_path: Path) -> None:
    full = keys(tmp_path, "create", "full", "--scope", "stream,enrol", "--tenant", "acme")
    poor = keys(tmp_path, "create", "poor", "--scope", "stream", "--tenant", "acme")
    with Daemon(tmp_path, limits__enrolments_per_h_per_key=1) as daemon:
        sent = (HELLO, [*cut(FIRST + PAUSE)], enrol("u1"), enrol("u1", id="e2"), END)
        allowed = await converse(daemon.url, *sent, additional_headers={"X-API-Key": full})
        assert [event["id"] for event in allowed.of("enrolled")] == ["e1"]
        (error,) = allowed.of("error")
        assert (error["code"], error["ref"]) == ("rate_exceeded", "e2")
        assert error["retry_after_ms"] > 0
        refused = await converse(daemon.url, *sent, additional_headers={"X-API-Key": poor})
        assert [(e["code"], e["ref"]) for e in refused.of("error")] == [
            ("forbidden", "e1"),
            ("forbidden", "e2"),
        ]
        assert refused.code == allowed.code == 1000
        assert list(speakers(daemon, **{"X-API-Key": full})) == ["Ada"]
        assert speakers(daemon) == {}


async def test_without_a_store_the_voice_stays_unknown(tmp_path: Path) -> None:
    with Daemon(tmp_path, limits__max_lag_ms=0) as daemon:
        async with dial(daemon.url) as socket:
            for message in (HELLO, *cut(FIRST + PAUSE)):
                await say(socket, message)
            await next_event(socket, "speech_end")
            remove_store(tmp_path)
            for message in (enrol("u1"), *cut(SECOND + PAUSE)):
                await say(socket, message)
            error = await next_event(socket, "error")
            assert (error["code"], error["ref"], error["fatal"]) == ("unavailable", "e1", False)
            await say(socket, END)
            received = Received()
            await asyncio.wait_for(read_raw(socket, received), HANG_S)
    assert finals(received)[-1] == "S1"
    assert received.last["type"] == "bye"


def remove_store(home: Path) -> None:
    for file in home.glob("streamd.db*"):
        file.unlink()


async def test_the_client_enrols_over_drops_and_once(serve) -> None:
    daemon = serve(limits__max_lag_ms=0)
    events: list[Event] = []

    async def speak(stream: Stream) -> None:
        await stream.send(FIRST + PAUSE)
        await until(lambda: any(event["type"] == "speech_end" for event in events))
        await stream.enrol("Ada", ["u1"], "e1")
        stream._link._line.abort()  # before or after the server has it: nobody knows
        await stream.send(SECOND + PAUSE)
        await stream.end()

    async with connect(daemon.url, modules=HELLO["modules"]) as stream:
        async with asyncio.timeout(HANG_S):
            await talk(stream, speak(stream), events.append)
    assert [event["id"] for event in events if event["type"] == "enrolled"] == ["e1"]
    assert [e["speaker"] for e in events if e["type"] == "speaker" and e["final"]] == ["S1", "Ada"]
    assert any(event["type"] == "reconnected" for event in events)
    assert speakers(daemon)["Ada"]["enrolments"] == 1


async def test_a_drain_waits_for_an_enrolment(tmp_path: Path) -> None:
    with Daemon(tmp_path, limits__max_lag_ms=0) as daemon:
        async with dial(daemon.url) as socket:
            for message in (HELLO, *cut(FIRST + PAUSE), enrol("u1")):
                await say(socket, message)
            await next_event(socket, "speech_end")
            daemon.process.send_signal(signal.SIGTERM)
            received = Received()
            await asyncio.wait_for(read_raw(socket, received), HANG_S)
        assert daemon.wait() == 0
    assert "enrolled" in received.types
    with Daemon(tmp_path) as daemon:
        assert speakers(daemon)["Ada"]["enrolments"] == 1


async def read_raw(socket: Any, received: Received) -> None:
    with contextlib.suppress(ConnectionClosed):
        async for message in socket:
            received.events.append(json.loads(message))
