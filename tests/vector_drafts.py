"""Which conformance vectors there are, and what their audio is; `vectors_made.py` writes them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import Any

import numpy as np
import soundfile
import soxr
from conformance import Vector
from daemons import RATE_HZ, as_samples, silence, speech
from opus_packets import encoded

EDGES = {"vad": {}, "wake": {}}
END: dict[str, Any] = {"send": {"type": "end"}}
PING: dict[str, Any] = {"send": {"type": "ping", "t": 1}}


def part(voice: str, begin_s: float, end_s: float) -> bytes:
    """Some of a committed clip."""
    return speech(voice)[int(begin_s * RATE_HZ) * 2 : int(end_s * RATE_HZ) * 2]


def coded(pcm: bytes, subtype: str) -> bytes:
    """Mono s16le in another code."""
    with tempfile.TemporaryFile() as file:
        samples = as_samples(pcm)
        soundfile.write(file, samples, RATE_HZ, format="RAW", subtype=subtype, endian="LITTLE")
        file.seek(0)
        return file.read()


def narrow(pcm: bytes) -> bytes:
    """The same at 8 kHz."""
    return bytes(soxr.resample(as_samples(pcm), RATE_HZ, 8000).astype("<i2").tobytes())


def beside(left: bytes, right: bytes) -> bytes:
    """Two channels."""
    return np.stack([as_samples(left), as_samples(right)], axis=1).tobytes()


DAMAGED = bytes([0x49, 1, 2, 3])
"""40 ms of two equal frames, which an odd number of bytes cannot hold."""
NO_PACKET = b"\x03"
"""It breaks off before its number of frames."""


def bundled(packets: list[bytes]) -> bytes:
    """Packets as a file: each behind its length."""
    return b"".join(len(packet).to_bytes(2, "little") + packet for packet in packets)


def sounds() -> dict[str, bytes]:
    """Every audio file."""
    slt = part("slt", 0, 2) + silence(0.8) + part("slt", 2, 3.2)
    rms = part("rms", 3.5, 6.5) + silence(0.8) + part("rms", 7.5, 9.3)
    packets = encoded(as_samples(slt))
    return {
        "slt.opus-packets": bundled(packets),
        "damaged.opus-packets": bundled([*packets[:50], DAMAGED, NO_PACKET, *packets[50:]]),
        "slt.s16le": slt,
        "slt.f32le": coded(part("slt", 0, 1.5), "FLOAT"),
        "slt_8k.mulaw": coded(narrow(slt), "ULAW"),
        "slt_8k.s16le": narrow(part("slt", 0, 2)),
        "awb_slt.s16le": beside(part("awb", 3, 4.5), part("slt", 0, 1.5)),
        "ada.s16le": part("slt", 5, 8),
        "rms.s16le": rms,
    }


def of_audio(file: str, size: int, **audio: Any) -> Iterator[dict[str, Any]]:
    """A hello for a format, all of a file, and the end."""
    yield {"hello": {"audio": audio, "modules": EDGES}}
    yield {"audio": size}
    yield END


def drafts() -> list[Vector]:
    """Every vector, without what is expected."""
    size = {name: len(data) for name, data in sounds().items()}
    slt = {"audio": "slt.s16le"}
    whole = size["slt.s16le"]
    edges: dict[str, Any] = {"hello": {"modules": EDGES}}
    opus: dict[str, Any] = {"hello": {"audio": {"codec": "opus"}, "modules": EDGES}}
    return [
        Vector("no_hello", "Audio needs no `hello` before it.", [{"audio": whole}, END], **slt),
        Vector(
            "hello_alone",
            "A `hello` without fields has the defaults.",
            [{"hello": {}}, {"audio": whole}, END],
            **slt,
        ),
        Vector(
            "odd_messages",
            "Messages have any length, and may cut a sample in two.",
            [edges, {"audio": whole, "cut": [1, 3, 641, 6399]}, END],
            **slt,
        ),
        Vector(
            "half_a_sample_left",
            "Half a sample at the end is named, and nothing else is lost.",
            [edges, {"audio": 32_001}, END],
            **slt,
        ),
        Vector(
            "base64",
            "Audio may come as base64 in JSON, mixed with binary messages.",
            [edges, {"audio": 32_000, "as": "json"}, {"audio": whole - 32_000}, END],
            **slt,
        ),
        Vector(
            "flush_twice",
            "A `flush` ends the utterance at its place; a second one finds none open.",
            [
                edges,
                {"audio": 40_000},
                {"send": {"type": "flush", "id": "f1"}},
                {"send": {"type": "flush", "id": "f2"}},
                {"audio": whole - 40_000},
                END,
            ],
            **slt,
        ),
        Vector(
            "config",
            "A `config` acts at its place: what it turns off goes silent.",
            [
                {"hello": {"modules": {"vad": {}, "wake": {"words": ["hey_jarvis"]}}}},
                {"audio": 64_000},
                {"send": {"type": "config", "modules": {"wake": {"words": ["alexa"]}}}},
                {"send": {"type": "config", "modules": {"vad": False}}},
                {"audio": whole - 64_000},
                END,
            ],
            **slt,
        ),
        Vector(
            "gap_ms",
            "Audio that the client lost moves the clock on.",
            [
                edges,
                {"audio": 40_000},
                {"lose": 16_000},
                {"send": {"type": "gap", "ms": 500}},
                {"audio": whole - 56_000},
                END,
            ],
            **slt,
        ),
        Vector(
            "gap_samples",
            "A gap in sample frames is exact, and drops half a sample before it.",
            [
                edges,
                {"audio": 40_001},
                {"lose": 2001},
                {"send": {"type": "gap", "samples": 1001}},
                {"audio": whole - 42_002},
                END,
            ],
            **slt,
        ),
        Vector(
            "f32",
            "Samples may be floats.",
            list(of_audio("slt.f32le", size["slt.f32le"], codec="pcm_f32le")),
            audio="slt.f32le",
            frame_bytes=4,
        ),
        Vector(
            "mulaw_8k",
            "Telephone audio is resampled; times count its own frames.",
            list(of_audio("slt_8k.mulaw", size["slt_8k.mulaw"], codec="mulaw", rate=8000)),
            audio="slt_8k.mulaw",
            frame_bytes=1,
        ),
        Vector(
            "s16_8k",
            "Any rate from 8 kHz to 48 kHz is resampled.",
            list(of_audio("slt_8k.s16le", size["slt_8k.s16le"], rate=8000)),
            audio="slt_8k.s16le",
        ),
        Vector(
            "opus",
            "Each message is one Opus packet, and times count its samples.",
            [opus, {"packets": 200}, END],
            audio="slt.opus-packets",
            packet_samples=320,
        ),
        Vector(
            "opus_drop",
            "After a drop, packets are sent again whole.",
            [opus, {"packets": 61}, {"wait": "wake"}, {"drop": {}}, {"packets": 139}, END],
            audio="slt.opus-packets",
            packet_samples=320,
        ),
        Vector(
            "opus_bad_packet",
            "A packet that cannot be decoded is a gap; what is no packet counts for nothing.",
            [opus, {"packets": 202}, END],
            audio="damaged.opus-packets",
            packet_samples=320,
        ),
        Vector(
            "one_of_two_channels",
            "Of several channels, only those of `use` count.",
            list(of_audio("awb_slt.s16le", size["awb_slt.s16le"], channels=2, use=[1])),
            audio="awb_slt.s16le",
            frame_bytes=4,
        ),
        Vector(
            "drop_in_a_sentence",
            "A stream whose socket drops goes on where it was, and its log is that of an unbroken "
            "one.",
            [
                edges,
                {"audio": 40_000},
                {"wait": "wake"},
                {"drop": {}},
                {"audio": whole - 40_000},
                END,
            ],
            **slt,
        ),
        Vector(
            "drop_between_controls",
            "Control messages that the server has are not sent again, and the others are.",
            [
                edges,
                {"audio": 40_000},
                {"send": {"type": "flush", "id": "f1"}},
                {"wait": "flushed"},
                {"drop": {}},
                {"audio": 20_000},
                {"send": {"type": "flush", "id": "f2"}},
                {"drop": {}},
                {"audio": whole - 60_000},
                END,
            ],
            **slt,
        ),
        Vector(
            "drop_without_hello",
            "A stream that began without `hello` is resumed like any other.",
            [{"audio": 40_000}, {"wait": "wake"}, {"drop": {}}, {"audio": whole - 40_000}, END],
            **slt,
        ),
        Vector(
            "drop_and_lost_audio",
            "Audio that the client no longer has after a drop is named by a gap.",
            [
                edges,
                {"audio": 40_000},
                PING,
                {"wait": "pong"},
                {"drop": {}},
                {"lose": 8000},
                {"send": {"type": "gap", "samples": 4000}},
                {"audio": whole - 48_000},
                END,
            ],
            **slt,
        ),
        Vector(
            "taken_over",
            "A stream that goes on elsewhere is closed with 4009, and the client stops.",
            [edges, {"audio": 40_000}, {"wait": "wake"}, {"take_over": {}}],
            **slt,
        ),
        Vector(
            "unknown_token",
            "A stream that the server no longer has is refused with 4004.",
            [{"hello": {"resume": {"token": "r_nobodys", "last_seq": 0}}}],
        ),
        Vector(
            "bad_messages",
            "Bad text messages are refused one by one, and the stream goes on.",
            [
                edges,
                {"send": {"type": "shout"}},
                {"send": "not json"},
                {"send": {"type": "gap", "ms": -5}},
                {"audio": whole},
                END,
            ],
            **slt,
        ),
        Vector(
            "ten_bad_messages",
            "Ten bad messages in a row end the stream with 4000.",
            [edges, *[{"send": "not json"}] * 10],
        ),
        Vector(
            "bad_config",
            "An option out of its range ends the stream with 4002.",
            [{"hello": {"modules": {"vad": {"threshold": 2}}}}],
        ),
        Vector(
            "unsupported_audio",
            "A format that the server does not take ends the stream with 4005.",
            [{"hello": {"audio": {"rate": 4000}, "modules": EDGES}}],
        ),
        Vector(
            "warnings",
            "What the server does not know is named, and the rest is served.",
            [
                {
                    "hello": {
                        "later_field": {"x": 1},
                        "modules": {
                            "vad": {"color": 1},
                            "wake": {"words": ["alexa", "computer"]},
                            "lipsync": {},
                        },
                    }
                },
                {"audio": 64_000},
                END,
            ],
            **slt,
        ),
        Vector(
            "no_audio",
            "A stream may end before it has any audio.",
            [edges, END],
        ),
        Vector("ping", "A `ping` is answered with its `t`.", [edges, PING, {"wait": "pong"}, END]),
        Vector(
            "good_key",
            "A key that is shown is accepted.",
            [edges, {"audio": 32_000}, END],
            key="good",
            **slt,
        ),
        Vector("wrong_key", "A wrong key is refused at the upgrade.", [edges], key="wrong"),
        Vector(
            "revoked_key",
            "A stream whose key is revoked is closed with 4001.",
            [
                edges,
                {"audio": 24_000},
                {"wait": "wake"},
                {"revoke": {}},
            ],
            key="good",
            **slt,
        ),
        Vector(
            "known_voice",
            "An enrolled voice is named.",
            [{"hello": {"modules": {"vad": {}, "speaker": {}}}}, {"audio": whole}, END],
            voices={"Ada": "ada.s16le"},
            **slt,
        ),
        Vector(
            "enrol",
            "A voice of this stream gets a name, and its next utterance has it.",
            [
                {"hello": {"modules": {"vad": {}, "speaker": {}}}},
                {"audio": 120_000},
                {"send": {"type": "enrol", "id": "e1", "speaker": "Rob", "utterances": ["u1"]}},
                {"send": {"type": "enrol", "id": "e2", "speaker": "Rob", "utterances": ["u7"]}},
                {"audio": size["rms.s16le"] - 120_000},
                END,
            ],
            audio="rms.s16le",
        ),
    ]
