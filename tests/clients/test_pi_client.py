"""The Raspberry Pi's client against a real daemon: as a program, over connections that break."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import wave
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any

import pytest
from daemons import DATA, Daemon, assert_same_log, cut, keys, silence, speech
from fakes.certificates import certificate
from fakes.proxy import Fate, proxied
from needs import needs
from waiting import HANG_S, until

pytestmark = [pytest.mark.device, pytest.mark.models]

CLIENT = Path(__file__).parents[2] / "clients" / "pi" / "streamd_pi.py"
FAKE_DRIVER = Path(__file__).parents[1] / "fakes" / "portaudio"
WORDS = ("--words", "alexa,hey_jarvis")
TALK = speech("slt") + silence(1) + speech("rms")


class Pi:
    """The program, from its start to its end."""

    def __init__(self, url: str, *options: str, **variables: str) -> None:
        self._command = [sys.executable, str(CLIENT), "--url", url, *options]
        self._env = {k: v for k, v in os.environ.items() if k != "STREAMD_KEY"} | variables
        self.events: list[dict[str, Any]] = []
        self.said = ""
        self.code: int | None = None

    async def start(self) -> None:
        pipe = asyncio.subprocess.PIPE
        self.process = await asyncio.create_subprocess_exec(
            *self._command, env=self._env, stdin=pipe, stdout=pipe, stderr=pipe, limit=1 << 20
        )
        self._readers = [asyncio.create_task(self._hear()), asyncio.create_task(self._listen())]

    async def _hear(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.events.append(json.loads(line))

    async def _listen(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.said += line.decode()

    async def speak(self, pcm: bytes) -> None:
        """Give it audio on its standard input."""
        assert self.process.stdin is not None
        with suppress(ConnectionError):  # it may have ended
            for part in cut(pcm):
                self.process.stdin.write(part)
                await self.process.stdin.drain()

    async def end(self) -> int:
        """Close its input, and return its exit code."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        return await self.exit()

    async def exit(self) -> int:
        await asyncio.gather(*self._readers)
        self.code = await self.process.wait()
        assert "Traceback" not in self.said, self.said
        return self.code

    async def until(self, holds: Callable[[], object]) -> None:
        """Wait until it holds, or the program has ended."""
        await until(lambda: holds() or all(reader.done() for reader in self._readers))

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["type"] == kind]


@asynccontextmanager
async def running(url: str, *options: str, **variables: str) -> AsyncIterator[Pi]:
    pi = Pi(url, *options, **variables)
    async with asyncio.timeout(HANG_S):
        await pi.start()
        try:
            yield pi
        finally:
            if pi.process.returncode is None:
                pi.process.kill()
            await pi.exit()


async def streamed(url: str, *options: str, **variables: str) -> Pi:
    """Stream the talk from standard input to its end."""
    async with running(url, "--file", "-", *options, **variables) as pi:
        await pi.speak(TALK)
        await pi.end()
    return pi


def kept(pi: Pi) -> list[dict[str, Any]]:
    """What is promised over a drop."""
    return [event for event in pi.events if "seq" in event and event.get("final", True)]


def broken(number: int) -> Fate:
    """In mid-sentence, in both halves of a handshake, in a `ready`, in an event, and so on.

    From the seventh on a connection breaks only if enough is left to send.
    """
    fates = [
        Fate(up=60_000), Fate(up=100), Fate(down=50), Fate(down=900), Fate(down=3000),
        Fate(kind="refuse"), Fate(up=150_000), Fate(down=2500), Fate(up=30_000),
    ]  # fmt: skip
    return fates[number] if number < len(fates) else Fate()


async def test_drops_in_mid_sentence_leave_the_log_of_an_unbroken_stream(daemon):
    alone = await streamed(daemon.url)
    assert {"wake", "speaker", "emotion", "speech_end", "bye"} <= {e["type"] for e in alone.events}
    async with proxied(daemon.url, broken) as proxy:
        pi = await streamed(proxy.url)
    assert (alone.code, pi.code) == (0, 0)
    assert proxy.connections >= 7
    assert_same_log(kept(pi), kept(alone))
    numbers = [event["seq"] for event in pi.events if "seq" in event]
    assert numbers == sorted(set(numbers))
    assert "connecting again" in pi.said


async def test_a_restarted_server_gets_a_new_stream_with_what_is_kept(tmp_path):
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = str(free.getsockname()[1])
    with Daemon(tmp_path, "--port", port) as first:
        async with running(first.url, "--file", "-", *WORDS) as pi:
            await pi.speak(speech("slt"))
            await pi.until(lambda: pi.of("wake"))
            assert await asyncio.to_thread(first.stop) == 0
            with Daemon(tmp_path, "--port", port):
                await pi.until(lambda: len(pi.of("ready")) == 2)
                await pi.speak(speech("rms"))
                assert await pi.end() == 0
    sessions = {event["session"] for event in pi.of("ready")}
    assert len(sessions) == 2
    assert [event["type"] for event in pi.events][-1] == "bye"


async def test_a_key_from_the_environment_opens_a_guarded_server(tmp_path):
    key = keys(tmp_path, "create", "kitchen")
    with Daemon(tmp_path, access__keys="always") as guarded:
        pi = await streamed(guarded.url, *WORDS, STREAMD_KEY=key)
        assert (pi.code, pi.events[-1]["type"]) == (0, "bye")
        pi = await streamed(guarded.url, *WORDS)
    assert (pi.code, pi.events) == (5, [])
    assert "HTTP 401" in pi.said


async def test_over_tls_the_given_authority_is_trusted_and_no_other(tmp_path):
    files = certificate(tmp_path / "tls")
    tls = {"server__tls_cert": files.cert, "server__tls_key": files.key}
    with Daemon(tmp_path, **tls) as server:
        pi = await streamed(server.url, *WORDS, "--ca", files.authority)
        assert (pi.code, pi.events[-1]["type"]) == (0, "bye")
        other = certificate(tmp_path / "other").authority
        pi = await streamed(server.url, *WORDS, "--ca", other)
    assert (pi.code, pi.events) == (5, [])
    assert "the certificate is not trusted" in pi.said


async def test_a_command_runs_at_an_event_without_a_shell_and_without_the_key(daemon, tmp_path):
    out = tmp_path / "out.json"
    script = tmp_path / "hook.py"
    script.write_text(
        "import json, os, pathlib, sys\n"
        "said = json.dumps([dict(os.environ), sys.argv[2:]])\n"
        "pathlib.Path(sys.argv[1]).write_text(said)\n"
    )
    command = f"{sys.executable} {script} {out} '$HOME; ls'"
    async with running(
        daemon.url, "--file", "-", *WORDS, "--on", "wake", command, STREAMD_SECRET="kept"
    ) as pi:
        await pi.speak(speech("slt", 2))
        assert await pi.end() == 0
    environment, arguments = json.loads(out.read_text())
    (wake,) = pi.of("wake")
    assert arguments == ["$HOME; ls"]
    assert json.loads(environment["EVENT"]) == wake
    assert environment["EVENT_WORD"] == "alexa"
    assert environment["EVENT_T0"] == str(wake["t0"])
    assert "STREAMD_KEY" not in environment


async def test_a_command_that_cannot_run_is_named_and_the_stream_goes_on(daemon):
    hooks = ("--on", "wake", "/no/such/program", "--on", "speech_end", "false")
    pi = await streamed(daemon.url, *WORDS, *hooks)
    assert (pi.code, pi.events[-1]["type"]) == (0, "bye")
    assert "/no/such/program cannot run" in pi.said
    assert "false ended with exit code 1" in pi.said


async def test_a_wav_file_has_the_events_of_its_samples(daemon, tmp_path):
    path = tmp_path / "talk.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(TALK)
    async with running(daemon.url, "--file", str(path)) as pi:
        assert await pi.exit() == 0
    assert_same_log(kept(pi), kept(await streamed(daemon.url)))


@pytest.fixture
def microphone() -> dict[str, str]:
    """The variables with which the client finds a driver whose microphone plays a clip."""
    return {"PYTHONPATH": str(FAKE_DRIVER), "FAKE_MIC_FILE": str(DATA / "speech_slt.flac")}


async def test_a_microphone_streams_until_the_service_is_stopped(daemon, microphone):
    async with running(daemon.url, *WORDS, "--rate", "44100", **microphone) as pi:
        await pi.until(lambda: pi.of("wake"))
        pi.process.send_signal(signal.SIGTERM)
        assert await pi.exit() == 0
    assert pi.of("ready")[0]["audio"]["rate"] == 44_100
    assert pi.events[-1]["type"] == "bye"


async def test_a_microphone_that_is_gone_ends_the_stream_and_says_so(daemon, microphone):
    async with running(
        daemon.url, *WORDS, "--rate", "44100", **microphone, FAKE_MIC="unplugged"
    ) as pi:
        assert await pi.exit() == 6
    assert pi.events[-1]["type"] == "bye"
    assert "the microphone is gone" in pi.said


@pytest.mark.parametrize(
    ("options", "code", "named"),
    [
        (["--rate", "44100", "--device", "broken"], 6, "No input device matching 'broken'"),
        (["--file", "/no/such/file"], 6, "/no/such/file"),
        (["--file", str(CLIENT)[:-3] + ".wav"], 6, "No such file"),
        (["--hello", "[]"], 2, "not a JSON object"),
        (["--ca", "/no/such/file"], 2, "/no/such/file"),
        (["--on", "wake", "sh -c 'open"], 2, "No closing quotation"),
        (["--on", "wake", ""], 2, "no command"),
        (["--url", "http://127.0.0.1/", "--file", "-"], 5, "not a WebSocket URL"),
    ],
    ids=[
        "no microphone",
        "no file",
        "no wav",
        "no object",
        "no ca",
        "no end",
        "no command",
        "no url",
    ],
)
async def test_what_cannot_work_ends_at_once_with_a_reason(microphone, options, code, named):
    nobody = "ws://127.0.0.1:1/v1/stream"
    async with running(nobody, *options, **microphone) as pi:
        assert await pi.exit() == code
    assert named in pi.said


async def test_without_a_server_it_goes_on_trying_until_it_is_stopped(microphone):
    async with running("ws://127.0.0.1:1/v1/stream", "--rate", "44100", **microphone) as pi:
        await pi.until(lambda: pi.said.count("connecting again") >= 2)
        pi.process.send_signal(signal.SIGTERM)
        assert await pi.exit() == 4
    assert "no server at ws://127.0.0.1:1/v1/stream" in pi.said


def test_it_lists_the_microphones(microphone):
    done = subprocess.run(
        [sys.executable, CLIENT, "--list"],
        env=os.environ | microphone,
        capture_output=True,
        check=True,
        text=True,
        timeout=HANG_S,
    )
    assert "fake, 1 in" in done.stdout


def test_without_the_library_of_the_driver_the_list_says_what_to_install(tmp_path):
    (tmp_path / "sounddevice.py").write_text("raise OSError('PortAudio library not found')")
    done = subprocess.run(
        [sys.executable, CLIENT, "--list"],
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        check=False,
        text=True,
        timeout=HANG_S,
    )
    assert done.returncode == 6
    assert "apt install libportaudio2" in done.stderr
    assert "Traceback" not in done.stderr


async def test_a_reader_that_leaves_ends_it_without_a_complaint(daemon):
    command = f"{sys.executable} {CLIENT} --url {daemon.url} --file - | head -n 1"
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_shell(command, stdin=pipe, stdout=pipe, stderr=pipe)
    async with asyncio.timeout(HANG_S):
        out, complaint = await process.communicate(TALK)
    assert json.loads(out)["type"] == "ready"
    assert complaint == b""


def test_systemd_accepts_the_unit_of_the_readme(tmp_path):
    needs("systemd-analyze")
    page = CLIENT.with_name("README.md").read_text(encoding="utf-8")
    unit = page.split("```ini\n")[1].split("```")[0]
    path = tmp_path / "streamd-pi.service"
    path.write_text(unit.replace("%h/streamd/bin/python", "/usr/bin/env"))
    done = subprocess.run(
        ["systemd-analyze", "--no-pager", "--user", "verify", path],
        env=os.environ | {"XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        check=False,
        text=True,
        timeout=HANG_S,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
