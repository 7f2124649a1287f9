"""What Opus costs beside samples: `python benchmarks/opus.py [--streams 100] [--seconds 10]`.

First the input side alone, on one thread: CPU time from the bytes of a message to samples at
16 kHz, and the memory of a decoder. Then the event loop of a server on one core, with so many live
streams of either kind whose only module is voice activity: its CPU time between two looks of a
timer inside the server, as in `loop.py`. No turn of the loop takes more. The streams say one clip
in a circle, in real time, each from a place of its own.
"""

import argparse
import contextlib
import itertools
import json
import os
import selectors
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

import soundfile
import soxr
from loop import HERE, SETTLE_S, ask, quantile
from websockets.frames import Frame, Opcode

sys.path.insert(0, str(HERE / "tests"))
from opus_packets import encoded

from streamd.audio.opus_decoder import OpusDecoder
from streamd.audio.opus_packet import packet_frames
from streamd.audio.source import AudioIn
from streamd.types import AudioFormat

CLIP = HERE / "tests" / "data" / "speech_slt.flac"
DECODERS = 200
KINDS = ("pcm_s16le", "opus")
HELLO = {"type": "hello", "modules": {"vad": {}}}
UPGRADE = (
    "GET /v1/stream HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    print("input side, CPU ms per second of audio (least of 5)")
    for rate_hz, frame_ms in itertools.product((16_000, 48_000), (20, 60)):
        row = [f"{codec} {decode_ms(codec, rate_hz, frame_ms):.2f}" for codec in KINDS]
        print(f"  {rate_hz} Hz, {frame_ms} ms: {', '.join(row)}")
    print(f"a decoder: {decoder_kb():.0f} KB\n")
    print(f"{args.streams} streams, {args.seconds:g} s, {args.rounds} rounds in turns")
    for number, (codec, frame_ms) in itertools.product(
        range(args.rounds), [("pcm_s16le", 20), ("opus", 20), ("opus", 60)]
    ):
        figures = measure(codec, frame_ms, args.streams, args.seconds)
        text = ", ".join(f"{name} {value:.2f}" for name, value in figures.items())
        print(f"  {number + 1}: {codec} {frame_ms} ms: {text}", flush=True)


def messages(codec, rate_hz, frame_ms):
    """Return a clip as the messages of a client."""
    samples, _ = soundfile.read(CLIP, dtype="int16")
    if rate_hz != 16_000:
        samples = soxr.resample(samples, 16_000, rate_hz)
    if codec == "opus":
        return encoded(samples, rate_hz, frame_ms, bits_per_s=24_000)
    size = rate_hz * frame_ms // 1000
    whole = len(samples) // size * size
    return [bytes(block) for block in samples[:whole].reshape(-1, size)]


def decode_ms(codec, rate_hz, frame_ms):
    """Return the CPU milliseconds from a second of messages to samples."""
    clip = messages(codec, rate_hz, frame_ms)
    took = []
    for _ in range(5):
        audio = AudioIn(AudioFormat(codec=codec, rate=rate_hz))
        began = time.thread_time()
        for message in clip:
            if codec == "opus":
                audio.push_packet(message, packet_frames(message, rate_hz))
            else:
                audio.push(message)
        took.append(time.thread_time() - began)
    return 1000 * min(took) / (len(clip) * frame_ms / 1000)


def decoder_kb():
    """Return the memory of one decoder that has decoded a little."""
    clip = messages("opus", 16_000, 20)[:10]
    before, decoders = resident_kb(), []
    for _ in range(DECODERS):
        decoders.append(OpusDecoder(1))
        for packet in clip:
            decoders[-1].decode(packet)
    return (resident_kb() - before) / DECODERS


def resident_kb():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1024


def measure(codec, frame_ms, streams, seconds):
    """Measure the loop of one server with so many streams."""
    with tempfile.TemporaryDirectory() as home:
        late = Path(home) / "late.json"
        environ = os.environ | {"STREAMD_DATA": home, "STREAMD_LOG__LEVEL": "warning"}
        environ |= {"STREAMD_ENGINE__THREADS": "1", "PYTHONPATH": str(HERE)}
        environ["STREAMD_SPEAKER__MODEL"] = "ge2e"
        environ["STREAMD_LIMITS__MAX_LOAD"] = "0"  # what many streams cost, not how many it takes
        server = subprocess.Popen(
            [sys.executable, HERE / "benchmarks" / "loop.py", "inside", str(late), str(streams)],
            env=environ,
            stdout=subprocess.PIPE,
        )
        try:
            url = server.stdout.readline().decode().removeprefix("listening on ").strip()
            with contextlib.ExitStack() as opened:
                clip = [frame(Opcode.BINARY, m) for m in messages(codec, 16_000, frame_ms)]
                sockets = [opened.enter_context(connected(url, codec)) for _ in range(streams)]
                assert ask(url)["streams"] == streams
                play(sockets, clip, frame_ms, SETTLE_S)
                began, used_s = time.monotonic(), cpu_s(server.pid)
                behind_ms = play(sockets, clip, frame_ms, seconds)
                ended, used_s = time.monotonic(), cpu_s(server.pid) - used_s
        finally:
            server.terminate()
            server.wait(60)
            server.stdout.close()
        cpu = [look[2] for look in json.loads(late.read_text()) if began <= look[0] <= ended]
    return {
        "CPU ms per stream-second": 1000 * used_s / streams / seconds,
        "loop CPU p50, ms": quantile(cpu, 0.5),
        "p99": quantile(cpu, 0.99),
        "most": max(cpu),
        "sender behind by, ms": behind_ms,
    }


def frame(opcode, data):
    """Return a frame of a client."""
    return Frame(opcode, data).serialize(mask=True)


def connected(url, codec):
    """Return a socket with an open stream."""
    parts = urlsplit(url)
    peer = socket.create_connection((parts.hostname, parts.port))
    peer.sendall(UPGRADE.encode())
    peer.recv(65_536)  # frames that come with the request itself would take the plain path
    peer.sendall(frame(Opcode.TEXT, json.dumps({**HELLO, "audio": {"codec": codec}}).encode()))
    answer = b""
    while b'"type":"ready"' not in answer:
        if not (came := peer.recv(65_536)):
            sys.exit(f"refused: {answer.decode()}")
        answer += came
    peer.setblocking(False)
    return peer


def play(sockets, clip, frame_ms, seconds):
    """Send in real time, and read what comes; return how late the last messages were, ms."""
    came = selectors.DefaultSelector()
    for peer in sockets:
        came.register(peer, selectors.EVENT_READ)
    began = time.monotonic()
    for number in range(int(seconds * 1000 / frame_ms)):
        time.sleep(max(0.0, began + number * frame_ms / 1000 - time.monotonic()))
        for place, peer in enumerate(sockets):
            peer.sendall(clip[(number + 7 * place) % len(clip)])
        for key, _ in came.select(0):
            if not key.fileobj.recv(65_536):
                sys.exit("the server closed a stream")
    return 1000 * (time.monotonic() - began) - number * frame_ms


def cpu_s(pid):
    """Return the CPU time of a process so far, seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    main()
