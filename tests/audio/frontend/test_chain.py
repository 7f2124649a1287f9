"""The stages of the front end: their delay, what they take out, and that chunks do not matter."""

import numpy as np
import pytest
from daemons import speech
from needs import front_end

from streamd.audio.frontend.chain import Chain
from streamd.front_ends import FRAME, HELD_BACK, Kind
from streamd.types import RATE_HZ, Samples

KINDS = [("webrtc",), ("echo",), ("echo", "webrtc"), ("deep",)]


def chain(*parts: str) -> Chain:
    front_end(*parts)
    return Chain(Kind(parts))


def bursts(seconds: int = 3) -> Samples:
    """Bursts of noise between 1.5 and 6 kHz, where no stage has a filter of its own."""
    count = seconds * RATE_HZ
    spectrum = np.fft.rfft(np.random.default_rng(1).standard_normal(count))
    hz = np.fft.rfftfreq(count, 1 / RATE_HZ)
    spectrum[(hz < 1500) | (hz > 6000)] = 0
    sound = np.fft.irfft(spectrum, count)
    sound *= 2000 / sound.std() * (np.arange(count) % (RATE_HZ // 3) < RATE_HZ // 6)
    return sound.clip(-32768, 32767).astype(np.int16)


def hiss(seconds: float, level: float = 1000) -> Samples:
    noise = np.random.default_rng(2).standard_normal(round(seconds * RATE_HZ))
    return (noise * level).clip(-32768, 32767).astype(np.int16)


def with_far(near: Samples, far: Samples | None = None) -> Samples:
    return np.stack((near, np.zeros_like(near) if far is None else far), axis=1)


def clean(*parts: str, of: Samples) -> Samples:
    out = chain(*parts).run(of)
    return out if out.ndim == 1 else out[:, 0]


def input_of(parts: tuple[str, ...], near: Samples) -> Samples:
    return with_far(near) if "echo" in parts else near


def level(sound: Samples) -> float:
    return 20 * np.log10(np.sqrt((sound.astype(float) ** 2).mean()) + 1e-9)


@pytest.mark.parametrize("part", ["webrtc", "echo"])
def test_a_stage_is_late_by_what_it_says(part: str) -> None:
    sound = bursts()
    out = clean(part, of=input_of((part,), sound)).astype(float)
    spectrum = np.fft.rfft(out, 2 * len(out)) * np.conj(np.fft.rfft(sound, 2 * len(sound)))
    assert np.fft.irfft(spectrum)[: 4 * FRAME].argmax() == HELD_BACK[part]


def test_deep_filtering_is_late_by_what_it_says_and_keeps_a_voice() -> None:
    voice = vowels()
    out = clean("deep", of=voice)
    spectrum = np.fft.rfft(out.astype(float), 2 * len(out))
    spectrum *= np.conj(np.fft.rfft(voice, 2 * len(voice)))
    assert abs(int(np.fft.irfft(spectrum)[: 8 * FRAME].argmax()) - HELD_BACK["deep"]) <= 1
    assert abs(level(out) - level(voice)) < 3


def test_a_fresh_one_does_not_take_the_first_words_for_noise() -> None:
    voice = np.frombuffer(speech("slt"), np.int16)[:RATE_HZ]
    sound = (voice + hiss(1, 30)).astype(np.int16)
    out = clean("deep", of=np.concatenate([sound, hiss(0.1, 30)]))[HELD_BACK["deep"] :]
    block = RATE_HZ // 10
    for begin in range(0, RATE_HZ, block):
        said = sound[begin : begin + block]
        if level(said) > 50:
            assert level(out[begin : begin + block]) - level(said) > -2


def vowels() -> Samples:
    """Harmonics of a voice that rises and falls, in syllables."""
    time = np.arange(2 * RATE_HZ) / RATE_HZ
    phase = 2 * np.pi * np.cumsum(130 + 30 * np.sin(2 * np.pi * 1.5 * time)) / RATE_HZ
    sound = sum(np.sin(n * phase) / n for n in range(1, 20))
    syllables = np.sin(2 * np.pi * 2 * time).clip(0) ** 0.5
    made: Samples = (sound * syllables * 6000).astype(np.int16)
    return made[: len(made) // FRAME * FRAME]


@pytest.mark.parametrize("parts", KINDS, ids="+".join)
def test_the_output_does_not_depend_on_how_many_frames_come_at_once(parts: tuple[str, ...]) -> None:
    sound = input_of(parts, bursts(1))
    whole = chain(*parts).run(sound)
    single = chain(*parts)
    cut = [single.run(sound[a : a + FRAME]) for a in range(0, len(sound), FRAME)]
    np.testing.assert_array_equal(np.concatenate(cut), whole)


@pytest.mark.parametrize(("part", "least_db"), [("webrtc", 6), ("deep", 20)])
def test_steady_noise_gets_quieter(part: str, least_db: float) -> None:
    noise = hiss(3)
    out = clean(part, of=noise)
    assert level(noise[2 * RATE_HZ :]) - level(out[2 * RATE_HZ :]) > least_db


def test_the_sound_before_noise_suppression_is_given_too_and_as_late() -> None:
    sound = bursts(1)
    out = chain("webrtc").run(sound)
    np.testing.assert_array_equal(out[HELD_BACK["webrtc"] :, 1], sound[: -HELD_BACK["webrtc"]])


def test_what_the_loudspeaker_plays_is_taken_out() -> None:
    far = hiss(4, 2000)
    echo = np.concatenate([np.zeros(640, np.int16), far[:-640] // 2])
    out = chain("echo").run(with_far(echo, far))
    assert level(echo[2 * RATE_HZ :]) - level(out[2 * RATE_HZ :]) > 15


def test_a_deep_filter_is_freed_with_its_stream() -> None:
    made = chain("deep")
    (suppressor,) = made._suppressors
    finalizer = suppressor._free
    assert finalizer.alive
    del made, suppressor
    assert not finalizer.alive
