"""`stream` and `mic` over connections that break: the same events, and a note on stderr."""

import asyncio
import signal
from pathlib import Path

from conftest import Cli, Done
from daemons import DATA, assert_same_log
from fakes.proxy import Fate, proxied
from waiting import HANG_S

SLT = DATA / "speech_slt.flac"
MIC = {
    "PYTHONPATH": Path(__file__).parents[1] / "fakes" / "portaudio",
    "FAKE_MIC_FILE": SLT,
}


def broken_twice(number: int) -> Fate:
    """The first two connections break in the middle."""
    return [Fate(up=100_000), Fate(down=3000), Fate()][min(number, 2)]


def kept(events: list[dict]) -> list[dict]:
    return [event for event in events if event.get("final", True)]


async def test_stream_shows_the_events_of_an_unbroken_stream_and_notes_the_drops(cli: Cli, daemon):
    whole = await asyncio.to_thread(cli.process, "stream", SLT, "--fast", "--url", daemon.url)
    async with proxied(daemon.url, broken_twice) as proxy:
        done = await asyncio.to_thread(cli.process, "stream", SLT, "--fast", "--url", proxy.url)
    assert done.code == 0
    assert_same_log(kept(done.events), kept(whole.events))
    types = [event["type"] for event in done.events]
    assert (types[0], types[-1], types.count("ready")) == ("ready", "bye", 1)
    assert not {"disconnected", "reconnected"} & set(types)
    assert done.err.count("Disconnected: ") == 2
    assert done.err.count("Connected again; nothing is lost.") == 2


async def test_stream_leaves_with_4_when_the_server_refuses_the_first_connection(cli: Cli, daemon):
    async with proxied(daemon.url, lambda number: Fate(kind="refuse")) as proxy:
        done = await asyncio.to_thread(cli.process, "stream", SLT, "--url", proxy.url)
    assert (done.code, done.out) == (4, "")
    assert "Disconnected" not in done.err


async def test_mic_keeps_what_is_said_while_there_is_no_connection(cli: Cli, daemon):
    """The two hear the same: the microphone goes on for as long as the file does."""

    def listen(url: str) -> Done:
        return cli.process("mic", "--url", url, FAKE_MIC="unplugged", **MIC)

    async with proxied(daemon.url, broken_twice) as proxy:
        whole, done = await asyncio.gather(
            asyncio.to_thread(listen, daemon.url), asyncio.to_thread(listen, proxy.url)
        )
    assert (whole.code, done.code) == (8, 8)  # it is unplugged at the end
    assert_same_log(kept(done.events), kept(whole.events))
    assert done.events[-1]["samples"] == whole.events[-1]["samples"]
    assert done.err.count("Connected again; nothing is lost.") == 2


async def test_two_ctrl_cs_leave_while_there_is_no_connection(cli: Cli, daemon):
    async with proxied(daemon.url, lambda number: Fate()) as proxy:
        process = await asyncio.to_thread(cli.start, "stream", SLT, "--url", proxy.url)
        assert process.stdout is not None
        assert process.stderr is not None
        await asyncio.to_thread(process.stdout.readline)
        proxy.is_refusing = True
        proxy.reset()
        assert b"Disconnected" in await asyncio.to_thread(process.stderr.readline)
        process.send_signal(signal.SIGINT)
        assert b"Ctrl-C again" in await asyncio.to_thread(process.stderr.readline)
        process.send_signal(signal.SIGINT)
        _, err = await asyncio.to_thread(process.communicate, timeout=HANG_S)
    assert process.returncode == 130
    assert b"Traceback" not in err
