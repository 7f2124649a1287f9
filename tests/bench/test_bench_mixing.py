"""What a stream plays."""

from itertools import islice, pairwise

import numpy as np
import pytest

from streamd.bench.mixing import NOISE_DBFS, Mixer
from streamd.types import RATE_HZ


def clips(*seconds: float) -> list[np.ndarray]:
    """Each of one value, by which it is recognised."""
    return [np.full(int(s * RATE_HZ), 1000 + n, np.int16) for n, s in enumerate(seconds)]


def play(mixer: Mixer, index: int, seconds: float) -> list:
    count = int(seconds * RATE_HZ / mixer.message_samples)
    return list(islice(mixer.stream(index), count))


@pytest.mark.parametrize("duty", [0.05, 0.4, 0.75, 1.0])
def test_the_duty_holds_over_time(duty: float) -> None:
    messages = play(Mixer(clips(1.3, 2.0, 3.1), 20, duty), 0, 3000)
    share = sum(message.is_voiced for message in messages) / len(messages)
    assert share == pytest.approx(duty, abs=0.01)


@pytest.mark.parametrize("streams", [4, 10, 64, 200])
def test_the_duty_holds_over_streams_too(streams: int) -> None:
    mixer = Mixer(clips(2.0, 2.5, 3.0, 3.5), 20, 0.4)
    voiced = np.array([[m.is_voiced for m in play(mixer, i, 20)] for i in range(streams)])
    assert voiced.mean() == pytest.approx(0.4, abs=0.08)


def test_the_duty_holds_at_every_moment_with_many_streams() -> None:
    mixer = Mixer(clips(2.0, 2.5, 3.0, 3.5), 20, 0.4)
    voiced = np.array([[m.is_voiced for m in play(mixer, i, 20)] for i in range(200)])
    moments = voiced.mean(axis=0)
    assert abs(moments - 0.4).max() < 0.2


def test_the_same_seed_plays_the_same_and_another_does_not() -> None:
    def pcm(seed: int, index: int) -> bytes:
        return b"".join(m.pcm for m in play(Mixer(clips(1, 2, 3), 20, 0.4, seed), index, 60))

    assert pcm(1, 5) == pcm(1, 5)
    assert pcm(1, 5) != pcm(2, 5)
    assert pcm(1, 5) != pcm(1, 6)


@pytest.mark.parametrize("message_ms", [5, 20, 33, 1000])
def test_every_message_is_of_one_length_and_of_whole_clips(message_ms: int) -> None:
    mixer = Mixer(clips(0.51, 0.77), message_ms, 0.5)
    messages = play(mixer, 0, 60)
    assert {len(message.pcm) for message in messages} == {2 * RATE_HZ * message_ms // 1000}


def test_each_clip_is_played_before_any_is_played_again() -> None:
    messages = play(Mixer(clips(1, 1, 1, 1, 1), 20, 0.5), 0, 40)
    order = [
        int(np.frombuffer(now.pcm, "<i2")[0])
        for before, now in pairwise([messages[-1], *messages])
        if now.is_voiced and not before.is_voiced
    ]
    assert len(order) >= 15
    assert set(order[:5]) == set(order[5:10]) == set(range(1000, 1005))
    assert order[:5] != order[5:10]


def test_between_clips_there_is_noise_of_a_quiet_room() -> None:
    messages = play(Mixer(clips(1.0), 20, 0.2), 0, 60)
    quiet = np.concatenate([np.frombuffer(m.pcm, "<i2") for m in messages if not m.is_voiced])
    level = 20 * np.log10(np.sqrt(np.mean((quiet / 32768) ** 2)))
    # Rounding to whole steps of 16 bits adds a little of its own.
    assert level == pytest.approx(NOISE_DBFS, abs=0.5)
