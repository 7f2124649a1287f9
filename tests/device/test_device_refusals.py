"""Servers that refuse, restart, ask for a key or a certificate, and networks that are too slow."""

import asyncio
import contextlib
import json
import stat
from pathlib import Path

import pytest
from daemons import RATE_HZ, Daemon, assert_same_log, converse, cut, keys, silence, speech
from fakes.c_client import lines, running, send
from fakes.certificates import certificate
from fakes.proxy import Fate, proxied

pytestmark = pytest.mark.device

END = {"type": "end"}
AUDIO = speech("slt", 3.0)
VAD = ("--modules", '{"vad":{},"wake":false,"speaker":false,"emotion":false,"transcript":false}')


async def test_over_tls_the_log_is_the_same_and_a_stranger_is_refused(
    tmp_path: Path, programs: Path, monkeypatch: pytest.MonkeyPatch
):
    files = certificate(tmp_path / "tls")
    strange = certificate(tmp_path / "strange")
    unnamed = certificate(tmp_path / "unnamed", names=("other.example",))
    with Daemon(tmp_path, server__tls_cert=files.cert, server__tls_key=files.key) as daemon:
        ran = await send(programs, daemon.url, AUDIO, *VAD, "--ca", files.authority)
        by_variable = await send(programs, daemon.url, AUDIO, *VAD, SSL_CERT_FILE=files.authority)
        by_name = daemon.url.replace("127.0.0.1", "localhost")
        named = await send(programs, by_name, AUDIO, *VAD, "--ca", files.authority)
        distrusted = await send(programs, daemon.url, AUDIO, "--ca", strange.authority)
    assert (ran.code, by_variable.code, named.code) == (0, 0, 0), ran.errors
    assert_same_log(ran.log, by_variable.log)
    assert_same_log(ran.log, named.log)
    assert distrusted.code == 3
    assert "not trusted" in distrusted.errors
    with Daemon(tmp_path, server__tls_cert=unnamed.cert, server__tls_key=unnamed.key) as daemon:
        other = await send(programs, daemon.url, AUDIO, "--ca", unnamed.authority)
    assert other.code == 3
    assert "IP address mismatch" in other.errors


async def test_a_refused_key_gives_its_reason_and_a_good_one_is_taken(
    tmp_path: Path, programs: Path
):
    key_file = tmp_path / "api-key"
    key_file.write_text(keys(tmp_path, "create", "kitchen") + "\n")
    key_file.chmod(stat.S_IRUSR)
    with Daemon(tmp_path, access__keys="always") as daemon:
        none = await send(programs, daemon.url, AUDIO)
        wrong = await send(programs, daemon.url, AUDIO, STREAMD_KEY="sk_wrong")
        good = await send(programs, daemon.url, AUDIO, *VAD, "--key-file", key_file)
    assert (none.code, wrong.code) == (1, 1)
    assert "unauthenticated" in none.errors
    assert "HTTP 401" in wrong.errors
    assert (good.code, good.errors) == (0, "")


async def test_a_wrong_option_gives_the_error_of_the_server(daemon: Daemon, programs: Path):
    ran = await send(programs, daemon.url, AUDIO, "--modules", '{"wake":{"threshold":7}}')
    assert ran.code == 1
    assert [event["code"] for event in ran.of("error")] == ["bad_config"]
    assert "closed with 4002" in ran.errors


async def test_a_restart_of_the_server_begins_a_new_session_with_what_is_kept(
    tmp_path: Path, programs: Path
):
    async with (
        contextlib.AsyncExitStack() as stack,
        proxied("ws://127.0.0.1:1/v1/stream", lambda number: Fate()) as proxy,
    ):
        with Daemon(tmp_path) as first:
            proxy.leads_to(first.url)
            started = running(programs / "streamd-send", "--url", proxy.url, *VAD)
            program = await stack.enter_async_context(started)
            await program.feed(AUDIO)
            await program.has("speech_start")
        with Daemon(tmp_path) as second:
            proxy.leads_to(second.url)
            ran = await program.over()
    assert ran.code == 0, ran.errors
    again = ran.of("reconnected")
    assert [event["resumed"] for event in again] == [False]
    assert ran.of("bye")[-1]["samples"] == len(AUDIO) // 2 - again[0]["first_sample"]


async def test_a_ring_that_overflows_names_the_lost_audio(daemon: Daemon, programs: Path):
    """Eight seconds are spoken while there is no connection; the ring keeps two."""
    first, rest = speech("slt", 1.5), speech("rms", 4.0) + silence(4.0)
    async with proxied(daemon.url, lambda number: Fate()) as proxy:
        args = ("--url", proxy.url, "--live", "--patient", *VAD)
        async with running(programs / "streamd-send", *args) as program:
            await program.feed(first)
            await program.has("ack")
            proxy.is_refusing = True
            proxy.reset()
            await program.has("disconnected")
            await program.feed(rest)  # all but what a pipe and the buffer before it hold is read
            proxy.is_refusing = False
            await program.has("reconnected")
            ran = await program.over()
    assert ran.code == 0, ran.errors
    assert ran.of("reconnected")[0]["lost_samples"] > 0
    gaps, (bye,) = ran.of("gap"), ran.of("bye")
    assert gaps[0]["cause"] == "resume"
    duration_ms = 1000 * (len(first + rest) // 2) // RATE_HZ
    assert bye["duration_ms"] == duration_ms
    lost_ms = sum(event["t1"] - event["t0"] for event in gaps)
    assert abs(1000 * bye["samples"] / RATE_HZ + lost_ms - duration_ms) <= len(gaps) + 1


async def test_a_reader_that_stops_slows_the_client_and_loses_nothing(
    daemon: Daemon, programs: Path, tmp_path: Path
):
    """The answers to sixty flushes are more than the pipe holds that nobody reads at first."""
    clip = tmp_path / "clip"
    clip.write_bytes(AUDIO)
    hello = {"modules": json.loads(VAD[1])}
    flushes = [{"type": "flush", "id": f"f{number}"} for number in range(60)]
    steps = [step for flush in flushes for step in ({"audio": 1600}, {"send": flush})]
    args = (daemon.url, json.dumps(hello), clip, 2)
    async with (
        running(programs / "play", *args, pipe_bytes=4096) as program,
        asyncio.TaskGroup() as tasks,
    ):
        tasks.create_task(program.feed(lines(*steps, {"send": END})))
        await program.is_blocked()
        program.read()
        ran = await program.over()
    parts = zip(cut(AUDIO, 1600), flushes, strict=True)
    messages = [message for both in parts for message in both]
    alone = await converse(daemon.url, {"type": "hello", **hello}, messages, END)
    assert ran.code == 0, ran.errors
    assert_same_log(ran.log, alone.log)


async def test_a_gap_beyond_the_longest_session_ends_that_session_and_not_each_new_one(
    tmp_path: Path, programs: Path
):
    # As of a closed gate: nothing was heard for longer than a session may be.
    steps = lines(
        {"audio": 32_000},
        {"send": {"type": "gap", "samples": 60 * RATE_HZ}},
        {"audio": 64_000},
        {"send": END},
    )
    modules = json.dumps({"modules": {"vad": {}}})
    clip = Path(__file__).parents[1] / "vectors" / "audio" / "slt.s16le"
    with Daemon(tmp_path, limits__max_session_s=20) as daemon:
        async with running(programs / "play", daemon.url, modules, clip, 2) as program:
            await program.feed(steps)
            ran = await program.over()
    assert ran.code == 0, ran.errors
    assert ran.of("reconnected")[-1]["first_sample"] == 16_000
    assert [event["samples"] for event in ran.of("bye")] == [32_000]


async def test_a_key_that_the_network_can_read_is_warned_of(programs: Path):
    # An address that is not one of the loopback, though it leads there; nobody listens.
    ran = await send(programs, "ws://0.0.0.0:1/v1/stream", b"", STREAMD_KEY="sk_1")
    assert ran.code == 3
    assert "can read the API key" in ran.errors


@pytest.mark.parametrize(
    "args",
    [
        ["--gate", "loud"],
        ["--opus", "--bad"],
        ["--opus", "--audio", '{"rate":8000}'],
        ["--gate", "-45", "--frame-bytes", "4"],
        ["--modules", "{"],
    ],
)
async def test_a_wrong_command_line_is_explained(programs: Path, args: list[str]):
    ran = await send(programs, "ws://127.0.0.1:1/", b"", *args)
    assert ran.code == 2
    assert ran.errors.startswith("streamd-send: ")
