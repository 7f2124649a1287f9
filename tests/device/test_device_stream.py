"""The C client against a real daemon: its events are those of the Python client."""

from pathlib import Path

import pytest
from daemons import Daemon, assert_same_log, converse, cut, speech
from fakes.c_client import send

pytestmark = pytest.mark.device

AUDIO = speech("slt", 3.0) + bytes(24_000)
MODULES = '{"vad":{},"wake":{"words":["alexa"]},"speaker":{},"emotion":false}'


async def test_the_events_of_a_clip_are_those_of_the_python_client(daemon: Daemon, programs: Path):
    ran = await send(programs, daemon.url, AUDIO, "--device", 'the "kitchen"')
    python = await converse(daemon.url, cut(AUDIO), {"type": "end"})
    assert (ran.code, ran.errors) == (0, "")
    assert_same_log(ran.log, [e for e in python.log if e.get("final", True)])
    assert [event["type"] for event in (ran.events[0], ran.events[-1])] == ["ready", "bye"]
    assert {"speech_start", "speech_end", "wake", "ack"} <= {e["type"] for e in ran.events}


async def test_audio_of_which_the_ring_holds_less_than_half_a_second_arrives_whole(
    daemon: Daemon, programs: Path
):
    eight = ("--audio", '{"channels":8}', "--frame-bytes", 16)
    ran = await send(programs, daemon.url, AUDIO, *eight, "--modules", '{"vad":{}}')
    assert (ran.code, ran.errors) == (0, "")
    assert ran.of("bye")[0]["samples"] == len(AUDIO) // 16
    assert not ran.of("gap")
