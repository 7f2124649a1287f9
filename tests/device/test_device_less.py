"""What a device sends to send less: Opus packets, and nothing in silence."""

from pathlib import Path

import pytest
from daemons import Daemon, assert_same_log, silence, speech
from fakes.c_client import Ran, send
from fakes.proxy import Fate, proxied

pytestmark = pytest.mark.device

AUDIO = speech("slt", 3.0) + silence(1.5)
MODULES = ("--modules", '{"vad":{},"wake":{"words":["alexa"]},"speaker":false,"emotion":false}')


def spoken(ran: Ran) -> list[tuple[int, int]]:
    """The stretches of speech, ms."""
    return [(event["t0"], event["t1"]) for event in ran.of("speech_end")]


def assert_near(one: Ran, other: Ran, by_ms: int) -> None:
    """The same stretches of speech, up to a time, and the same words."""
    assert len(spoken(one)) == len(spoken(other))
    for a, b in zip(spoken(one), spoken(other), strict=True):
        assert all(abs(x - y) <= by_ms for x, y in zip(a, b, strict=True)), (a, b)
    assert [e["word"] for e in one.of("wake")] == [e["word"] for e in other.of("wake")]


async def test_opus_gives_the_events_of_pcm_and_survives_drops(daemon: Daemon, programs: Path):
    pcm = await send(programs, daemon.url, AUDIO, *MODULES)
    opus = await send(programs, daemon.url, AUDIO, *MODULES, "--opus")
    cuts = [Fate(up=4000), Fate(up=2500), Fate(down=2500)]

    def fate(number: int) -> Fate:
        return cuts[number] if number < len(cuts) else Fate()

    async with proxied(daemon.url, fate) as proxy:
        dropped = await send(programs, proxy.url, AUDIO, *MODULES, "--opus", "--patient")
    assert (pcm.code, opus.code, dropped.code) == (0, 0, 0), opus.errors + dropped.errors
    assert opus.events[0]["audio"]["codec"] == "opus"
    assert len(pcm.of("wake")) == 1
    assert_near(opus, pcm, by_ms=200)
    assert proxy.cuts > 0
    assert_same_log(dropped.log, opus.log)
    assert opus.of("bye")[0]["samples"] == pcm.of("bye")[0]["samples"]


async def test_the_gate_leaves_out_silence_and_keeps_the_clock(daemon: Daemon, programs: Path):
    audio = silence(4.0) + AUDIO + silence(4.0) + AUDIO
    ungated = await send(programs, daemon.url, audio, *MODULES)
    gated = await send(programs, daemon.url, audio, *MODULES, "--gate", "-45")
    assert (ungated.code, gated.code) == (0, 0), gated.errors
    assert_near(gated, ungated, by_ms=400)  # speech detection begins anew behind a gap
    (all_sent,), (sent,) = ungated.of("bye"), gated.of("bye")
    assert sent["duration_ms"] == all_sent["duration_ms"]
    assert sent["samples"] < 0.75 * all_sent["samples"]
    assert [event["cause"] for event in gated.of("gap")] == ["client", "client"]
