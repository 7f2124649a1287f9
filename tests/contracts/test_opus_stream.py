"""Opus on the wire: one packet in each message, and the same promises as for samples."""

import base64
from pathlib import Path

import pytest
from daemons import (
    DATA,
    Daemon,
    Received,
    as_samples,
    assert_same_log,
    converse,
    dial,
    next_event,
    read_to_close,
    say,
    silence,
    speech,
)
from opus_packets import encoded

END = {"type": "end"}
MODULES = {"vad": {}, "wake": {"words": ["alexa", "hey_jarvis"]}, "speaker": {}}
DAMAGED = bytes([0x49, 1, 2, 3])
"""40 ms of two equal frames, which an odd number of bytes cannot hold."""


def hello(**audio: object) -> dict[str, object]:
    return {"type": "hello", "audio": {"codec": "opus", **audio}, "modules": MODULES}


@pytest.fixture(scope="module")
def packets() -> list[bytes]:
    """Speech at 24 kbit/s, in packets of 20 ms."""
    return encoded(as_samples(speech("slt") + silence(1)))


def kinds(received: Received) -> list[tuple[object, ...]]:
    """What happened, without exact times and scores."""
    return [
        (event["type"], event.get("word"), event["utterance"])
        for event in received.of("speech_start", "speech_end", "wake")
    ]


async def test_opus_at_24_kbit_hears_the_words_and_utterances_of_the_samples(daemon, packets):
    pcm = speech("slt") + silence(1)
    plain = await converse(daemon.url, {"type": "hello", "modules": MODULES}, pcm, END)
    opus = await converse(daemon.url, hello(), packets, END)
    assert opus.events[0]["audio"] == {
        "codec": "opus", "rate": 16_000, "channels": 1, "use": [0], "enhance": "off",
        "far_end": None, "delay_ms": 0,
    }  # fmt: skip
    assert sorted(kinds(opus)) == sorted(kinds(plain))
    assert [w["word"] for w in opus.of("wake")] == ["alexa", "hey_jarvis"]
    for kind in ("wake", "speech_start"):
        starts = [[event["t0"] for event in log.of(kind)] for log in (opus, plain)]
        assert starts[0] == pytest.approx(starts[1], abs=100)
    assert opus.last["samples"] == len(packets) * 320
    assert opus.last["duration_ms"] == len(packets) * 20


async def test_packets_as_base64_and_at_another_rate_give_the_same_events(daemon, packets):
    binary = await converse(daemon.url, hello(), packets, END)
    texts = [{"type": "audio", "data": base64.b64encode(p).decode()} for p in packets]
    assert_same_log(binary.log, (await converse(daemon.url, hello(), texts, END)).log)
    at_48 = await converse(daemon.url, hello(rate=48_000), packets, END)
    assert_same_log(binary.log, at_48.log)
    assert at_48.last["samples"] == 3 * binary.last["samples"]


async def test_a_packet_that_cannot_be_decoded_is_a_gap_of_its_length(daemon, packets):
    received = await converse(
        daemon.url, hello(), packets[:100], DAMAGED, b"\x03", packets[100:150], END
    )
    (gap,) = received.of("gap")
    assert (gap["t0"], gap["t1"], gap["at"], gap["cause"]) == (2000, 2040, 2040, "client")
    assert received.codes == ["bad_packet", "bad_packet"]
    damaged, none = received.of("warning")
    assert "40 ms at 2000 ms" in damaged["message"]
    assert "counts for nothing" in none["message"]
    assert received.last["samples"] == 151 * 320 + 320
    assert received.code == 1000


async def test_an_ogg_file_sent_as_packets_is_recognised(daemon):
    data = (DATA / "containers" / "pages_8s.opus").read_bytes()
    received = await converse(daemon.url, hello(), data[:3200], END)
    warning = received.of("warning")[0]
    assert warning["code"] == "looks_like_ogg"
    assert "one Opus packet in each message" in warning["message"]
    assert received.code == 1000


async def test_a_stream_that_drops_between_packets_resumes_with_equal_events(daemon, packets):
    whole = await converse(daemon.url, hello(), packets, END)
    async with dial(daemon.url) as socket:
        await say(socket, hello())
        ready = await next_event(socket, "ready")
        for packet in packets[:217]:
            await socket.send(packet)
        first = Received([ready])
        while first.last["type"] != "ack" or first.last["samples"] < 3200:
            first.events.append(await next_event(socket))
        socket.transport.abort()
    last_seq = max((event["seq"] for event in first.log), default=0)
    async with dial(daemon.url) as socket:
        resume = {"token": ready["resume"]["token"], "last_seq": last_seq}
        await say(socket, {"type": "hello", "resume": resume})
        ready = await next_event(socket, "ready")
        assert ready["resumed"]
        assert ready["have_samples"] % 320 == 0
        for packet in packets[ready["have_samples"] // 320 :]:
            await socket.send(packet)
        await say(socket, END)
        second = await read_to_close(socket, Received([ready]), last_seq + 1)
    assert_same_log(whole.log, first.log + second.log)


XIAOZHI = {
    "type": "hello",
    "version": 1,
    "features": {"mcp": True},
    "transport": "websocket",
    "audio_params": {
        "format": "opus",
        "sample_rate": 16_000,
        "channels": 1,
        "frame_duration": 60,
    },
}
HEADERS = {"Protocol-Version": "1", "Device-Id": "34:85:18:a0:b1:c2", "Client-Id": "6b1d\tx"}


async def test_headers_and_audio_params_of_a_device_are_understood(daemon):
    packets = encoded(as_samples(speech("slt") + silence(1)), frame_ms=60)
    received = await converse(daemon.url, XIAOZHI, packets, END, additional_headers=HEADERS)
    ready = received.events[0]
    assert (ready["audio"]["codec"], ready["audio"]["rate"]) == ("opus", 16_000)
    assert (ready["client"], ready["device"]) == ("6b1dx", "34:85:18:a0:b1:c2")
    assert received.last["duration_ms"] == 60 * len(packets)
    assert received.of("wake")
    (opened,) = [r for r in daemon.records("stream opened") if r["session"] == ready["session"]]
    assert (opened["client"], opened["device"]) == ("6b1dx", "34:85:18:a0:b1:c2")


async def test_hello_names_the_device_before_the_headers_do(daemon):
    named = {"type": "hello", "client": "mic/1", "device": "kitchen"}
    received = await converse(daemon.url, named, END, additional_headers=HEADERS)
    ready = received.events[0]
    assert not {"client", "device"} & ready.keys()
    (opened,) = [r for r in daemon.records("stream opened") if r["session"] == ready["session"]]
    assert (opened["client"], opened["device"]) == ("mic/1", "kitchen")


async def test_packets_behind_headers_of_their_own_are_refused(daemon):
    received = await converse(daemon.url, {**XIAOZHI, "version": 3}, END)
    assert (received.code, received.last["ref"]) == (4005, "version")
    assert "version 1" in received.last["message"]


def loads_av(daemon: Daemon) -> bool:
    maps = Path(f"/proc/{daemon.process.pid}/maps").read_text()
    return "libavcodec" in maps


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="no /proc")
async def test_a_server_loads_the_decoder_with_the_first_stream_that_needs_it(serve, packets):
    daemon = serve()
    await converse(daemon.url, speech("slt", 1), END)
    assert not loads_av(daemon)
    received = await converse(daemon.url, hello(), packets[:50], END)
    assert received.last["samples"] == 50 * 320
    assert loads_av(daemon)
