"""`streamd mic`: what a driver gives, loses and refuses. A real device cannot run here."""

import json
import signal
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import Cli
from daemons import DATA, Daemon

from streamd.audio.files import Gap
from streamd.cli.blocks import BOUND, Feed
from streamd.cli.microphone import BLOCK_MS, Microphone
from streamd.errors import Unavailable

DRIVER = {
    "PYTHONPATH": Path(__file__).parents[1] / "fakes" / "portaudio",
    "FAKE_MIC_FILE": DATA / "speech_slt.flac",
}
NO_SERVER = "ws://127.0.0.1:1/v1/stream"


def started(cli: Cli, daemon: Daemon, **fault: str) -> tuple[subprocess.Popen[bytes], list[dict]]:
    """The command on a terminal's side of a pipe, and its first event."""
    process = cli.start("mic", "--url", daemon.url, **DRIVER, **fault)
    assert process.stdout is not None
    return process, [json.loads(process.stdout.readline())]


def read_until(process: subprocess.Popen[bytes], events: list[dict], kind: str) -> None:
    assert process.stdout is not None
    while events[-1]["type"] != kind:
        events.append(json.loads(process.stdout.readline()))


def ended(process: subprocess.Popen[bytes], events: list[dict]) -> tuple[int, str]:
    out, err = process.communicate(timeout=60)
    events += [json.loads(line) for line in out.splitlines()]
    assert b"Traceback" not in err
    return process.returncode, err.decode()


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("raise ImportError('none')", 3, "streamd-voice[mic]"),
        ("raise OSError('PortAudio library not found')", 8, "apt install libportaudio2"),
    ],
)
def test_what_is_not_installed_is_named_with_the_command(cli, tmp_path, text, code, said):
    (tmp_path / "sounddevice.py").write_text(text)
    done = cli.process("mic", PYTHONPATH=tmp_path)
    assert done.code == code
    assert said in done.err


def test_devices_are_listed_and_an_unknown_one_is_refused(cli):
    assert "fake" in cli.process("mic", "--list", **DRIVER).out
    done = cli.process("mic", "--device", "broken", "--url", NO_SERVER, **DRIVER)
    assert done.code == 8
    assert "'broken'" in done.err
    assert "streamd mic --list" in done.err


def test_a_machine_without_a_microphone_is_said(cli):
    done = cli.process("mic", "--url", NO_SERVER, FAKE_MIC="none", **DRIVER)
    assert done.code == 8
    assert "no microphone" in done.err
    listed = cli.process("mic", "--list", FAKE_MIC="none", **DRIVER)
    assert (listed.code, listed.out) == (0, "")
    assert "connect a microphone" in listed.err


def test_without_a_server_it_says_so(cli):
    done = cli.process("mic", "--url", NO_SERVER, **DRIVER)
    assert done.code == 4
    assert "streamd serve" in done.err


def test_a_microphone_that_does_not_start_is_a_message(cli, daemon: Daemon):
    done = cli.process("mic", "--url", daemon.url, FAKE_MIC="refuses", **DRIVER)
    assert done.code == 8
    assert "does not start: Device unavailable" in done.err
    assert "--device" in done.err


def test_ctrl_c_ends_the_stream_with_its_last_events(cli, daemon: Daemon):
    process, events = started(cli, daemon)
    assert events[0]["audio"]["rate"] == 44_100
    read_until(process, events, "wake")
    process.send_signal(signal.SIGINT)
    code, err = ended(process, events)
    assert code == 130
    assert [event["type"] for event in events][-2:] == ["speech_end", "bye"]
    assert "Ctrl-C again" in err


def test_an_unplugged_microphone_ends_the_stream_and_is_said(cli, daemon: Daemon):
    process, events = started(cli, daemon, FAKE_MIC="unplugged")
    code, err = ended(process, events)
    assert code == 8
    assert "the default microphone stopped: it was unplugged" in err
    assert events[-1]["type"] == "bye"
    assert any(event["type"] == "wake" for event in events)


def test_audio_that_the_driver_lost_is_a_gap_of_its_length(cli, daemon: Daemon):
    process, events = started(cli, daemon, FAKE_MIC="overflow")
    read_until(process, events, "gap")
    process.send_signal(signal.SIGINT)
    ended(process, events)
    (gap,) = [event for event in events if event["type"] == "gap"]
    assert gap["cause"] == "client"
    assert (gap["t0"], gap["t1"] - gap["t0"]) == (50 * BLOCK_MS, 500)


# The parts, without a process.


class Driver:
    """Gives what the test says, in the test's thread."""

    class PortAudioError(Exception):
        pass

    def __init__(self, taken_hz: int = 48_000) -> None:
        self.taken_hz = taken_hz

    def query_devices(self, device=None, kind=None):
        return {"default_samplerate": 96_000.0}

    def RawInputStream(self, **options):  # noqa: N802
        if options["samplerate"] != self.taken_hz:
            raise self.PortAudioError("Invalid sample rate")
        self.callback, self.frames = options["callback"], options["blocksize"]
        return self

    active = True

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def play(self, block: bytes, *, overflow: bool = False, at_s: float = 0.0) -> None:
        time = SimpleNamespace(inputBufferAdcTime=at_s)
        self.callback(block, self.frames, time, SimpleNamespace(input_overflow=overflow))


async def test_a_rate_that_the_device_does_not_take_is_replaced_by_one_that_it_does():
    assert Microphone(Driver(44_100), None).rate_hz == 44_100
    with pytest.raises(Unavailable, match="cannot be opened: Invalid sample rate"):
        Microphone(Driver(1), None)


async def test_a_loss_without_a_clock_counts_as_one_block():
    driver = Driver()
    source = Microphone(driver, None)
    block = bytes(2 * driver.frames)
    parts = aiter(source)
    driver.play(block)
    driver.play(block, overflow=True)
    assert [await anext(parts) for _ in range(3)] == [block, Gap(BLOCK_MS), block]
    await parts.aclose()


async def test_a_device_that_falls_silent_counts_as_gone():
    driver = Driver()
    source = Microphone(driver, "usb", silent_s=0.01)
    driver.play(b"12")
    assert [part async for part in source] == [b"12"]
    assert "microphone 'usb' stopped" in str(source.failure)


async def test_a_full_feed_loses_audio_by_a_gap_and_never_in_silence():
    feed = Feed(bytes_per_s=2000)
    for _ in range(BOUND + 9):
        feed._offer(bytes(20), 0)
    kept = []
    parts = aiter(feed)
    while len(kept) < 5:
        kept.append(await anext(parts))
    feed._offer(bytes(20), 0)
    feed.end()
    feed._offer(bytes(20), 0)  # too late
    kept += [part async for part in parts]
    blocks = [part for part in kept if isinstance(part, bytes)]
    gaps = [part.ms for part in kept if isinstance(part, Gap)]
    assert sum(gaps) + 10 * len(blocks) == 10 * (BOUND + 10)
    assert isinstance(kept[-2], Gap)


async def test_less_than_a_millisecond_of_loss_waits_for_more():
    feed = Feed(bytes_per_s=32_000)
    for _ in range(4):
        feed._offer(b"..", 20)
    feed.end()
    assert [part.ms async for part in feed if isinstance(part, Gap)] == [1, 1]
