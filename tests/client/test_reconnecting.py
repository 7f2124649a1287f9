"""The SDK against a real daemon whose connections break: the log is that of an unbroken stream."""

import asyncio
import contextlib
import random
import socket
from collections.abc import Callable
from typing import Any

import pytest
from daemons import Daemon, as_samples, assert_same_log, cut, speech
from fakes.proxy import Fate, proxied
from opus_packets import encoded
from waiting import HANG_S, until

from streamd.client import ConnectionLost, Stream, connect
from streamd.client.pacing import converse, stream_packets

pytestmark = pytest.mark.faults

MODULES = {"vad": {}, "wake": {"words": ["alexa", "hey_jarvis"]}, "speaker": {}, "emotion": False}
AUDIO = speech("slt") + bytes(16_000) + speech("rms")
Event = dict[str, Any]


async def talk(stream: Stream, events: list[Event], *, pause_s: float = 0.0) -> None:
    """Say the clips with a flush, a gap and a change of modules in between, and listen."""
    third = len(AUDIO) // 6 * 2

    async def say() -> None:
        for number, start in enumerate(range(0, len(AUDIO), third)):
            for part in cut(AUDIO[start : start + third], 3201):
                await stream.send(part)
                await asyncio.sleep(pause_s)
            if number == 0:
                await stream.flush("f1")
            if number == 1:
                await stream.gap(120)
                await stream.control({"type": "config", "modules": {"wake": {"words": ["alexa"]}}})
        await stream.end()

    async with asyncio.timeout(HANG_S):
        await converse(stream, say(), events.append)


async def heard(url: str, *, pause_s: float = 0.0, **options: Any) -> list[Event]:
    events: list[Event] = []
    async with connect(url, modules=MODULES, **options) as stream:
        await talk(stream, events, pause_s=pause_s)
    return events


def kept(events: list[Event]) -> list[Event]:
    """What is promised over a drop: all log events but interim ones."""
    return [event for event in events if "seq" in event and event.get("final", True)]


def assert_unbroken(events: list[Event], alone: list[Event]) -> None:
    assert_same_log(kept(events), kept(alone))
    numbers = [event["seq"] for event in events if "seq" in event]
    assert numbers == sorted(set(numbers))
    missing = set(range(1, numbers[-1] + 1)) - set(numbers)
    interims = sum(event.get("final") is False for event in alone)
    assert len(missing) <= interims  # only they may be lost on their way
    assert [event["type"] for event in events].count("ready") == 1
    assert events[0]["type"] == "ready"
    assert events[-1]["type"] == "bye"
    acks = [event["samples"] for event in events if event["type"] == "ack"]
    assert acks == sorted(acks)
    assert not [event for event in events if event["type"] == "gap" and event["cause"] != "client"]


@pytest.fixture
async def alone(daemon: Daemon) -> list[Event]:
    """The events of an unbroken stream."""
    events = await heard(daemon.url)
    assert {"wake", "speaker", "flushed", "gap", "bye"} <= {event["type"] for event in events}
    return events


def cuts(seed: int, count: int, kind: str = "cut") -> Callable[[int], Fate]:
    """The first connections break after a random number of bytes on one of the ways."""
    chance = random.Random(seed)
    # The first one lasts until the stream is open.
    fates = [Fate(up=chance.randrange(3000, 300_000), kind=kind)]
    while len(fates) < count:
        way = chance.choice(["up", "down"])
        size = chance.randrange(1, chance.choice([400, 4000, 200_000] if way == "up" else [4000]))
        fates.append(Fate(**{way: size}, kind=chance.choice([kind, "cut", "refuse"])))
    return lambda number: fates[number] if number < count else Fate()


def fates(*first: Fate) -> Callable[[int], Fate]:
    """The first connections end like this, and later ones do not break."""
    return lambda number: first[number] if number < len(first) else Fate()


@pytest.mark.models
@pytest.mark.parametrize("seed", range(6))
async def test_cuts_at_any_byte_leave_the_log_of_an_unbroken_stream(daemon, alone, seed):
    async with proxied(daemon.url, cuts(seed, 6)) as proxy:
        events = await heard(proxy.url)
    assert proxy.connections > 6
    assert_unbroken(events, alone)
    assert [e["resumed"] for e in events if e["type"] == "reconnected"] == [True] * sum(
        event["type"] == "disconnected" for event in events
    )


@pytest.mark.models
async def test_a_connection_that_goes_silent_is_noticed_and_replaced(daemon, alone):
    stalls = fates(Fate(up=100_000, kind="stall"), Fate(down=3000, kind="stall"))
    async with proxied(daemon.url, stalls) as proxy:
        events = await heard(proxy.url, silence_s=1.0)
    assert proxy.cuts == 2
    assert_unbroken(events, alone)


@pytest.mark.models
async def test_a_drop_behind_the_end_still_brings_the_last_events(daemon, alone):
    # All that the client says arrives on the first connection, and on no one else a byte of its own
    # but `hello`: the server's answers break off behind the first events.
    down = [2600, 3200, 3800]
    async with proxied(daemon.url, fates(*[Fate(down=size) for size in down])) as proxy:
        events = await heard(proxy.url)
    assert proxy.cuts == len(down)
    assert_unbroken(events, alone)


async def test_a_gap_of_ones_own_that_comes_first_after_a_resume_stays_ones_own(daemon):
    """Its place is right behind all that the server has."""
    gap = {"type": "gap", "samples": 4800}

    logs: list[list[Event]] = []
    for is_cut in (False, True):
        log: list[Event] = []
        async with (
            asyncio.timeout(HANG_S),
            proxied(daemon.url, fates()) as proxy,
            connect(proxy.url, modules=MODULES) as stream,
        ):
            events = aiter(stream)
            await stream.send(AUDIO[:64_000])
            await stream.flush("f1")
            while not log or log[-1]["type"] != "flushed":
                log.append(await anext(events))
            if is_cut:
                proxy.is_refusing = True
                proxy.reset()
                while log[-1]["type"] != "disconnected":
                    log.append(await anext(events))
            await stream.control(gap)
            proxy.is_refusing = False
            await stream.send(AUDIO[64_000:])
            await stream.end()
            log += [event async for event in events]
        logs.append(log)
    unbroken, resumed = logs
    assert_unbroken(resumed, unbroken)
    assert [event["cause"] for event in resumed if event["type"] == "gap"] == ["client"]
    assert [event["resumed"] for event in resumed if event["type"] == "reconnected"] == [True]
    assert "pong" not in [event["type"] for event in resumed]


async def test_a_server_that_is_gone_for_good_is_said_so(serve):
    running = serve()
    async with connect(running.url, reconnect_s=0.2) as stream:
        await stream.send(bytes(32_000))
        await until(lambda: stream.samples_acked)
        running.process.kill()
        events: list[Event] = []
        with pytest.raises(ConnectionLost, match=r"0\.2 s of attempts failed"):
            await converse(stream, asyncio.sleep(0), events.append)
        with pytest.raises(ConnectionLost):
            await stream.send(bytes(2))
    assert events[-1]["type"] == "disconnected"


async def test_a_killed_server_is_followed_by_a_new_session_that_is_told(tmp_path):
    """What was not acknowledged goes to the new session, whose clock begins there."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = str(free.getsockname()[1])
    events: list[Event] = []
    pieces = list(cut(AUDIO, 3200))
    with Daemon(tmp_path, "--port", port) as first:
        async with connect(first.url, modules=MODULES, reconnect_s=HANG_S) as stream:
            for piece in pieces[:50]:
                await stream.send(piece)
            await until(lambda: stream.samples_acked >= 16_000)
            first.process.kill()
            first.wait()
            for piece in pieces[50:]:
                await stream.send(piece)
            await stream.end()
            with Daemon(tmp_path, "--port", port):
                async with asyncio.timeout(HANG_S):
                    events += [event async for event in stream]
    assert [e["type"] for e in events if e["type"] == "ready"] == ["ready"] * 2
    assert [e for e in events if e["type"] == "disconnected"]
    (again,) = [event for event in events if event["type"] == "reconnected"]
    assert again["resumed"] is False
    assert events[events.index(again) + 1]["type"] == "ready"
    assert events[-1]["type"] == "bye"
    assert events[-1]["samples"] == len(AUDIO) // 2 - again["first_sample"]
    assert events[-1]["seq"] == len([e for e in events[events.index(again) :] if "seq" in e])


async def test_a_restart_is_waited_for_and_begins_a_new_session(tmp_path):
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = str(free.getsockname()[1])
    with Daemon(tmp_path, "--port", port) as first:
        async with connect(first.url, modules=MODULES, reconnect_s=HANG_S) as stream:
            await stream.send(AUDIO[:64_000])
            await until(lambda: stream.samples_acked >= 16_000)
            assert await asyncio.to_thread(first.stop) == 0
            with Daemon(tmp_path, "--port", port):
                await stream.send(AUDIO[64_000:])
                await stream.end()
                async with asyncio.timeout(HANG_S):
                    kinds = [event["type"] async for event in stream]
    assert kinds.count("ready") == 2
    assert [kind for kind in kinds if kind in ("draining", "disconnected", "reconnected")] == [
        "draining",
        "disconnected",
        "reconnected",
    ]
    assert kinds[-1] == "bye"


async def test_audio_that_is_no_longer_kept_is_a_named_gap_and_the_clock_goes_on(daemon):
    async with proxied(daemon.url, fates()) as proxy:
        events: list[Event] = []
        async with connect(proxy.url, modules=MODULES, replay_s=2.0) as stream:
            await stream.send(AUDIO[:32_000])
            await until(lambda: stream.samples_acked >= 8000)
            proxy.is_refusing = True
            proxy.reset()
            await until(lambda: not stream.is_connected)
            for piece in cut(AUDIO[32_000:], 3200):
                await stream.send(piece)
                assert stream.kept_bytes <= 64_000
            await stream.end()
            assert stream.kept_bytes == 64_000
            proxy.is_refusing = False
            async with asyncio.timeout(HANG_S):
                events += [event async for event in stream]
    (again,) = [event for event in events if event["type"] == "reconnected"]
    assert again["resumed"] is True
    (gap,) = [event for event in events if event["type"] == "gap"]
    assert gap["cause"] == "resume"
    assert gap["t1"] - gap["t0"] == pytest.approx(again["lost_samples"] / 16, abs=1)
    assert events[-1]["duration_ms"] == len(AUDIO) // 32


@pytest.mark.parametrize(("replay_s", "piece"), [(0.2, 1280), (1.0, 96_000)])
async def test_a_short_replay_buffer_does_not_wait_for_an_ack_that_is_not_due(
    daemon, replay_s, piece
):
    async with (
        asyncio.timeout(HANG_S),
        connect(daemon.url, modules={"vad": {}}, replay_s=replay_s) as stream,
    ):
        for data in cut(AUDIO[:96_000], piece):
            await stream.send(data)
        await stream.end()
        events = [event async for event in stream]
    assert events[-1]["samples"] == 48_000


async def heard_in_packets(url: str, packets: list[bytes]) -> list[Event]:
    events: list[Event] = []
    async with connect(url, audio={"codec": "opus"}, modules=MODULES) as stream:

        async def say() -> None:
            await stream_packets(stream, packets[:300], realtime=False)
            await stream.flush("f1")
            await stream_packets(stream, packets[300:], realtime=False)
            await stream.end()

        async with asyncio.timeout(HANG_S):
            await converse(stream, say(), events.append)
        assert stream.samples_sent == 320 * len(packets)
    return events


@pytest.mark.models
async def test_packets_that_are_cut_anywhere_leave_the_log_of_an_unbroken_stream(daemon):
    packets = encoded(as_samples(AUDIO))
    alone = await heard_in_packets(daemon.url, packets)
    assert {"wake", "speaker", "flushed", "bye"} <= {event["type"] for event in alone}
    # Opus has a tenth of the bytes of samples.
    chance = random.Random(5)
    ups = [chance.randrange(3000, 20_000) for _ in range(4)]
    async with proxied(daemon.url, fates(*(Fate(up=up) for up in ups))) as proxy:
        events = await heard_in_packets(proxy.url, packets)
    assert proxy.connections == 5
    assert_unbroken(events, alone)
