"""The C client over connections that break: its log is that of an unbroken stream."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from daemons import Daemon, assert_same_log, speech
from fakes.c_client import Ran, send
from fakes.proxy import Fate, proxied

pytestmark = pytest.mark.device

AUDIO = speech("slt") + bytes(16_000) + speech("rms")
MODULES = '{"vad":{},"wake":{"words":["alexa","hey_jarvis"]},"speaker":{},"emotion":false}'


def fates(*first: Fate) -> Callable[[int], Fate]:
    """The first connections end like this, and later ones do not break."""
    return lambda number: first[number] if number < len(first) else Fate()


def cuts(seed: int, count: int) -> list[Fate]:
    """Connections that break after a random number of bytes on one of the ways."""
    chance = random.Random(seed)
    # The first one lasts until the stream is open.
    found = [Fate(up=chance.randrange(3000, 300_000))]
    while len(found) < count:
        way = chance.choice(["up", "down"])
        size = chance.randrange(1, chance.choice([400, 4000, 200_000] if way == "up" else [4000]))
        found.append(Fate(**{way: size}, kind=chance.choice(["cut", "cut", "refuse"])))
    return found


async def heard(programs: Path, url: str, *args: object) -> Ran:
    ran = await send(programs, url, AUDIO, "--modules", MODULES, "--patient", *args)
    assert ran.code == 0, ran.errors
    return ran


def assert_unbroken(ran: Ran, alone: Ran) -> None:
    assert_same_log(ran.log, alone.log)
    numbers = [event["seq"] for event in ran.events if "seq" in event]
    assert numbers == sorted(set(numbers))
    kinds = [event["type"] for event in ran.events]
    assert kinds.count("ready") == 1
    assert kinds[0] == "ready"
    assert kinds[-1] == "bye"
    assert "gap" not in kinds


@pytest.fixture(scope="module")
def logs() -> dict[str, Ran]:
    """The unbroken run, once it was made."""
    return {}


@pytest.fixture
async def alone(daemon: Daemon, programs: Path, logs: dict[str, Ran]) -> Ran:
    """What the client prints over a connection that does not break."""
    if "alone" not in logs:
        logs["alone"] = await heard(programs, daemon.url)
    assert {"speech_end", "wake", "speaker"} <= {e["type"] for e in logs["alone"].events}
    return logs["alone"]


@pytest.mark.parametrize("seed", range(4))
async def test_cuts_at_any_byte_leave_the_log_of_an_unbroken_stream(daemon, programs, alone, seed):
    async with proxied(daemon.url, fates(*cuts(seed, 6))) as proxy:
        ran = await heard(programs, proxy.url)
    assert proxy.cuts > 0
    assert_unbroken(ran, alone)
    assert all(event["resumed"] for event in ran.of("reconnected"))
    assert len(ran.of("reconnected")) == len(ran.of("disconnected")) > 0


# The request has some 250 bytes, then come `hello` and the audio; the answer has some 200, then
# comes `ready`.
BEFORE = [Fate(kind="refuse"), Fate(up=1), Fate(up=120), Fate(up=260), Fate(down=1)]
AROUND = [Fate(down=150), Fate(down=230), Fate(down=1200), Fate(up=420), Fate(down=2600)]


@pytest.mark.parametrize("drops", [BEFORE, AROUND], ids=["handshake", "ready"])
async def test_a_drop_in_the_handshake_or_around_ready_loses_nothing(
    daemon, programs, alone, drops: list[Fate]
):
    async with proxied(daemon.url, fates(*drops)) as proxy:
        ran = await heard(programs, proxy.url)
    assert proxy.connections > len(drops)
    assert_unbroken(ran, alone)


async def test_a_connection_that_goes_silent_is_noticed_and_replaced(daemon, programs, alone):
    stalls = fates(Fate(up=100_000, kind="stall"), Fate(down=3000, kind="stall"))
    async with proxied(daemon.url, stalls) as proxy:
        ran = await heard(programs, proxy.url, "--silence-ms", 2000)
    assert proxy.cuts > 0
    assert_unbroken(ran, alone)


async def test_a_drop_behind_the_end_still_brings_the_last_events(daemon, programs, alone):
    down = [2600, 3200, 3800]
    async with proxied(daemon.url, fates(*[Fate(down=size) for size in down])) as proxy:
        ran = await heard(programs, proxy.url)
    assert proxy.cuts > 0
    assert_unbroken(ran, alone)
