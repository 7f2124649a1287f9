"""Acks come in time, however the audio does."""

from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st

from streamd.acks import ACK_MS, Acks
from streamd.types import AudioFormat


@given(st.lists(st.integers(0, 4000), max_size=200), st.sampled_from([8000, 16_000, 44_100]))
def test_no_two_are_further_apart_than_promised_and_the_last_names_all(taken, rate):
    fmt = AudioFormat(rate=rate)
    audio = SimpleNamespace(frames=0, fmt=fmt)
    acks, named = Acks(audio), [0]
    for frames in taken:
        audio.frames += frames
        if (ack := acks.due()) is not None:
            assert ack.samples == audio.frames
            named.append(ack.samples)
        assert (audio.frames - named[-1]) * 1000 <= rate * ACK_MS
    last = acks.due(is_last=True)
    assert (named[-1] if last is None else last.samples) == audio.frames
    assert acks.due(is_last=True) is None


def test_audio_in_small_messages_is_not_acked_at_each():
    audio = SimpleNamespace(frames=0, fmt=AudioFormat())
    acks, sent = Acks(audio), 0
    for _ in range(1000):
        audio.frames += 320
        sent += acks.due() is not None
    assert sent == 40
