from functools import cache
from itertools import cycle

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from streamd.audio.pcm import to_int16
from streamd.audio.resample import Resampler

RATES = [8000, 11025, 16000, 22050, 44100, 48000]
ODD_RATES = [8001, 12345, 32000, 47999]


@cache
def noise(n, seed=0):
    return (np.random.default_rng(seed).standard_normal(n) * 0.2).astype(np.float32)


@cache
def in_one(rate, n):
    """The live samples and the tail of a stream of n frames, pushed at once."""
    resampler = Resampler(rate)
    return resampler.push(noise(n)), resampler.tail()


def ideal(rate, n):
    return n * 16_000 // rate


@pytest.mark.parametrize("rate", RATES)
@settings(max_examples=15)
@given(data=st.data())
def test_resampling_does_not_depend_on_the_cuts(rate, data):
    n = data.draw(st.sampled_from([1, rate // 10 + 3, rate]))
    least = max(1, n // 50)
    sizes = data.draw(st.lists(st.integers(least, rate), min_size=1, max_size=8))
    resampler, parts, at = Resampler(rate), [], 0
    for size in cycle(sizes):
        if at >= n:
            break
        parts.append(resampler.push(noise(n)[at : at + size]))
        at += size
        if data.draw(st.booleans()):
            resampler.tail()  # must leave no trace
    live, tail = in_one(rate, n)
    assert np.concatenate(parts).tobytes() == live.tobytes()
    assert resampler.tail().tobytes() == tail.tobytes()


@pytest.mark.parametrize("rate", RATES + ODD_RATES)
def test_one_frame_at_a_time_is_the_same_too(rate):
    resampler = Resampler(rate)
    n = rate // 4
    parts = [resampler.push(noise(n)[i : i + 1]) for i in range(n)]
    live, tail = in_one(rate, n)
    assert np.concatenate(parts).tobytes() == live.tobytes()
    assert resampler.tail().tobytes() == tail.tobytes()


@pytest.mark.parametrize("rate", RATES + ODD_RATES)
def test_live_samples_and_tail_make_the_ideal_length_at_every_place(rate):
    resampler, emitted, received = Resampler(rate), 0, 0
    step = rate // 37
    for at in range(0, 3 * rate, step):
        block = noise(3 * rate)[at : at + step]
        received += len(block)
        emitted += len(resampler.push(block))
        assert emitted <= ideal(rate, received)
        assert emitted + len(resampler.tail()) == ideal(rate, received)
        assert ideal(rate, received) - emitted <= 2010  # at 8 kHz: the lag and a block


@pytest.mark.parametrize("rate", RATES + ODD_RATES)
def test_the_result_is_that_of_soxr_in_one_go(rate):
    n = 2 * rate
    got = np.concatenate(in_one(rate, n))
    expected = to_int16(soxr.resample(noise(n), rate, 16_000, quality="HQ"))[: len(got)]
    assert np.abs(got.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("rate", RATES + ODD_RATES)
def test_a_tail_is_what_the_live_stream_gives_later(rate):
    resampler, live, tails = Resampler(rate), [], []
    step = rate // 7 + 11
    for at in range(0, 3 * rate, step):
        live.extend(resampler.push(noise(3 * rate)[at : at + step]).tolist())
        tails.append((len(live), resampler.tail().astype(int)))
    live.extend(resampler.tail().tolist())
    for start, tail in tails:
        certain = tail[: max(0, len(tail) - 200)]  # the end leans on zeros
        later = np.array(live[start : start + len(certain)])
        assert len(certain) == 0 or np.abs(later - certain).max() <= 1


def test_sixteen_kilohertz_passes_as_it_is():
    every = np.arange(-32768, 32768).astype(np.int16)
    resampler = Resampler(16_000)
    assert (resampler.push((every / 32768).astype(np.float32)) == every).all()
    assert resampler.tail().size == 0


@pytest.mark.parametrize("rate", [8000, 11025, 44100])
def test_after_draining_a_piece_begins_afresh(rate):
    resampler = Resampler(rate)
    n = rate // 2 + 5
    live = resampler.push(noise(n))
    assert live.tobytes() == in_one(rate, n)[0].tobytes()
    assert resampler.drain().tobytes() == in_one(rate, n)[1].tobytes()
    assert resampler.tail().size == 0
    assert resampler.push(noise(n)).tobytes() == live.tobytes()
    assert resampler.tail().tobytes() == in_one(rate, n)[1].tobytes()


@pytest.mark.parametrize("rate", RATES)
def test_full_scale_does_not_wrap(rate):
    square = np.repeat(np.array([1, -1] * 20, np.float32), rate // 40)
    resampler = Resampler(rate)
    out = np.concatenate((resampler.push(square), resampler.tail())).astype(int)
    assert (np.sign(out[100:300]) == 1).all()
    assert out.max() == 32767
    assert out.min() == -32768


def test_nothing_in_gives_nothing_out():
    for rate in RATES:
        resampler = Resampler(rate)
        assert resampler.push(np.zeros(0, np.float32)).size == 0
        assert resampler.tail().size == 0
        assert resampler.drain().size == 0
