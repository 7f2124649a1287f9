"""Opus packets: how long they are, what comes out of them, and what is no packet."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from opus_packets import FRAME_MS, encoded, with_dtx

from streamd.audio.opus_decoder import OpusDecoder
from streamd.audio.opus_packet import NotAPacket, packet_frames
from streamd.audio.source import AudioIn
from streamd.types import OPUS_DECODED_HZ, OPUS_RATES_HZ, AudioFormat

CUT_SHORT = b"\x0a"
"""10 ms of two frames, of which the first has no length and so no bytes."""
DAMAGED = bytes([0x49, 1, 2, 3])
"""40 ms of two equal frames, which an odd number of bytes cannot hold."""


def tone(seconds: float, rate_hz: int = 16_000, hz: float = 440) -> np.ndarray:
    time = np.arange(round(seconds * rate_hz)) / rate_hz
    return np.round(9000 * np.sin(2 * np.pi * hz * time)).astype(np.int16)


def decoded(packets: list[bytes], channels: int = 1) -> np.ndarray:
    decoder = OpusDecoder(channels)
    return np.concatenate([decoder.decode(packet) for packet in packets])


@pytest.mark.parametrize(
    ("application", "frame_ms"),
    [
        (application, frame_ms)
        for application in ("voip", "audio", "lowdelay")
        for frame_ms in FRAME_MS
        if application != "voip" or frame_ms >= 10  # an encoder for speech has no shorter frames
    ],
)
def test_a_packet_is_as_long_as_what_was_encoded(application: str, frame_ms: float) -> None:
    packets = encoded(tone(0.6), frame_ms=frame_ms, application=application)
    assert len(packets) == int(600 / frame_ms)
    for rate_hz in OPUS_RATES_HZ:
        lengths = [packet_frames(packet, rate_hz) for packet in packets]
        assert lengths == [frame_ms * rate_hz / 1000] * len(packets)
    assert len(decoded(packets)) == sum(packet_frames(p, OPUS_DECODED_HZ) for p in packets)


@pytest.mark.parametrize(
    ("packet", "why"),
    [
        (b"", "empty"),
        (b"\x03", "ends before its number of frames"),
        (b"\x03\x00", "no frame"),
        (b"\x1b\x03", "180 ms"),
        (b"OggS\0\2", "780 ms"),
    ],
)
def test_what_does_not_say_how_long_it_is_is_no_packet(packet: bytes, why: str) -> None:
    with pytest.raises(NotAPacket, match=why):
        packet_frames(packet, 16_000)


@given(st.binary(min_size=1, max_size=40))
def test_any_bytes_are_decoded_to_their_length_or_refused(packet: bytes) -> None:
    try:
        frames = packet_frames(packet, OPUS_DECODED_HZ)
    except NotAPacket:
        return
    assert 120 <= frames <= 5760
    samples = OpusDecoder(1).decode(packet)
    assert samples is None or len(samples) == frames


def test_a_decoder_that_restarts_is_a_new_one() -> None:
    packets = encoded(tone(0.6))
    used = OpusDecoder(1)
    for packet in packets[:10]:
        used.decode(packet)
    used.restart()
    again = np.concatenate([used.decode(packet) for packet in packets[10:]])
    np.testing.assert_array_equal(again, decoded(packets[10:]))


def test_a_damaged_packet_leaves_the_decoder_as_it_was() -> None:
    packets = encoded(tone(0.6))
    decoder = OpusDecoder(1)
    outputs = []
    for packet in packets:
        assert decoder.decode(DAMAGED) is None
        assert decoder.decode(CUT_SHORT) is None
        outputs.append(decoder.decode(packet))
    np.testing.assert_array_equal(np.concatenate(outputs), decoded(packets))


@pytest.mark.parametrize("channels", [1, 2])
def test_packets_of_one_and_two_channels_may_follow_each_other(channels: int) -> None:
    mono = encoded(tone(0.4))
    stereo = encoded(np.stack([tone(0.4), tone(0.4)], axis=1))
    got = decoded([*mono, *stereo, *mono], channels).reshape(-1, channels)
    assert len(got) == 60 * 960
    for part in np.split(got, 6):
        level = np.sqrt((part[4800:] ** 2).mean(axis=0))
        assert level == pytest.approx([9000 / 32768 / np.sqrt(2)] * channels, rel=0.2)


@pytest.mark.parametrize("rate_hz", OPUS_RATES_HZ)
def test_the_clock_counts_at_the_rate_that_the_client_named(rate_hz: int) -> None:
    audio = AudioIn(AudioFormat(codec="opus", rate=rate_hz))
    written = 0
    for packet in encoded(tone(1.0, 16_000)):
        samples = audio.push_packet(packet, packet_frames(packet, rate_hz))
        assert samples is not None
        written += len(samples)
    assert audio.frames == rate_hz
    assert audio.now_ms == 1000
    assert audio.mark() == 16_000
    assert written + len(audio.tail()) == 16_000


def test_a_lost_packet_moves_the_clock_by_its_length_and_counts_as_received() -> None:
    audio = AudioIn(AudioFormat(codec="opus", rate=48_000))
    (packet, *_) = encoded(tone(0.1))
    audio.push_packet(packet, 960)
    last = audio.lose(packet_frames(DAMAGED, 48_000))
    assert len(last) == audio.position == 320
    assert (audio.frames, audio.now_ms) == (2880, 60)
    audio.push_packet(packet, 960)
    audio.gap(1000)
    assert audio.now_ms == 1080
    assert [audio.clock.ms(position) for position in (0, 160, 320, 480)] == [0, 10, 60, 70]


def test_the_packets_of_dtx_are_time_and_silence() -> None:
    said = np.concatenate([tone(0.5), np.zeros(16_000, np.int16), tone(0.5)])
    packets = with_dtx(said)
    assert sum(len(packet) == 1 for packet in packets) > 20
    audio = AudioIn(AudioFormat(codec="opus"))
    heard = [audio.push_packet(packet, packet_frames(packet, 16_000)) for packet in packets]
    assert audio.frames == len(said)
    samples = np.concatenate([*heard, audio.tail()])
    assert len(samples) == len(said)
    assert np.abs(samples[16_000:23_000]).max() < 100
    assert np.abs(samples[26_000:]).max() > 4000


def test_the_sound_is_that_of_the_samples() -> None:
    samples = tone(1.0, hz=700)
    audio = AudioIn(AudioFormat(codec="opus"))
    parts = [audio.push_packet(p, 320) for p in encoded(samples, bits_per_s=48_000)]
    got = np.concatenate([p for p in parts if p is not None]).astype(float)
    spectrum = np.abs(np.fft.rfft(got[4000:12_000] * np.hanning(8000)))
    assert abs(int(spectrum.argmax()) * 2 - 700) <= 2
    assert got[4000:12_000].std() == pytest.approx(samples.std(), rel=0.1)


def test_the_channel_that_is_used_is_the_one_that_is_heard() -> None:
    both = np.stack([tone(1.0, hz=300), tone(1.0, hz=3000)], axis=1)
    packets = encoded(both, bits_per_s=96_000)
    for channel, hz in enumerate((300, 3000)):
        audio = AudioIn(AudioFormat(codec="opus", channels=2, use=(channel,)))
        parts = [audio.push_packet(p, packet_frames(p, 16_000)) for p in packets]
        got = np.concatenate([p for p in parts if p is not None])
        spectrum = np.abs(np.fft.rfft(got[4000:12_000] * np.hanning(8000)))
        assert abs(int(spectrum.argmax()) * 2 - hz) <= 4
