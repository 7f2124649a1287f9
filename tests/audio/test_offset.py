"""A constant offset is taken out, and audio without one is left as it is."""

import random
from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamd.audio.offset import BLOCK, OffsetRemover
from streamd.audio.source import AudioIn
from streamd.modules.vad import LevelGate
from streamd.types import RATE_HZ, AudioFormat, Samples

DATA = Path(__file__).parents[1] / "data"
VOICES = ("slt", "rms", "awb", "kal16", "espeak")
DC = 983
"""0.03 of full scale."""


def voice(name: str, level: float = 1.0) -> Samples:
    """Without what changes slower than a voice: two of these synthesizers lean to one side."""
    audio, _ = soundfile.read(DATA / f"speech_{name}.flac", dtype="int16")
    slow = np.convolve(audio, np.ones(1601) / 1601, "same")
    return np.clip(np.rint(level * (audio - slow)), -32_768, 32_767).astype(np.int16)


def whole(audio: Samples) -> Samples:
    return OffsetRemover().push(audio[: len(audio) // BLOCK * BLOCK])


@pytest.mark.parametrize("name", VOICES)
@pytest.mark.parametrize("begin", [0, 20_000])
def test_a_voice_without_one_passes_bit_by_bit(name: str, begin: int) -> None:
    audio = voice(name)[begin:]
    audio = audio[: len(audio) // BLOCK * BLOCK]
    remover = OffsetRemover()
    for start in range(0, len(audio), BLOCK):
        block = audio[start : start + BLOCK]
        assert remover.push(block) is block
    assert whole(audio).tobytes() == audio.tobytes()


@pytest.mark.parametrize("name", VOICES)
@pytest.mark.parametrize("begin", [0, 20_000])
@pytest.mark.parametrize("dc", [DC, -DC, 60])
def test_faint_speech_with_one_is_as_without_after_a_third_of_a_second(
    name: str, begin: int, dc: int
) -> None:
    faint = voice(name, 0.1)[begin:]
    difference = whole((faint + dc).astype(np.int16))[RATE_HZ // 3 :].astype(np.float64)
    difference -= faint[RATE_HZ // 3 : len(difference) + RATE_HZ // 3]
    assert np.abs(difference).max() <= 12


def test_in_silence_it_is_gone_in_a_tenth_of_a_second() -> None:
    noise = np.rint(np.random.default_rng(0).normal(0, 8, RATE_HZ)).astype(np.int16)
    assert abs(whole((noise + DC).astype(np.int16))[RATE_HZ // 10 :].mean()) < 2


def test_one_that_comes_changes_and_goes_is_followed_within_a_second() -> None:
    noise = np.rint(np.random.default_rng(0).normal(0, 30, 12 * RATE_HZ))
    steps = np.repeat([0, 700, -900, 0], 3 * RATE_HZ)
    out = whole((noise + steps).astype(np.int16)).astype(np.float64)
    for part in range(4):
        settled = out[(3 * part + 1) * RATE_HZ : (3 * part + 3) * RATE_HZ]
        assert abs(settled.mean()) < 2
    last = slice(10 * RATE_HZ, 12 * RATE_HZ)
    assert np.array_equal(out[last], noise[last]), "as it is again"


def test_what_is_clipped_stays_in_range() -> None:
    loud = np.rint(32_767 * np.sin(np.arange(4 * RATE_HZ) / 8)).astype(np.int32) - 3000
    out = whole(np.clip(loud, -32_768, 32_767).astype(np.int16))
    assert out[RATE_HZ:].max() > 29_000
    assert out[RATE_HZ:].min() > -30_500


@pytest.mark.parametrize("seed", range(4))
def test_how_it_was_cut_into_messages_changes_nothing(seed: int) -> None:
    quiet = np.zeros(RATE_HZ, np.int16)
    audio = np.concatenate([voice("slt"), quiet + 500, voice("rms", 0.1) + 500, quiet, quiet + 40])
    audio = audio[: len(audio) // BLOCK * BLOCK].astype(np.int16)
    rng, remover, parts, at = random.Random(seed), OffsetRemover(), [], 0
    while at < len(audio):
        size = rng.choice([1, 7, 160, BLOCK, 4 * BLOCK, 4000, 5 * BLOCK, 20_000])
        parts.append(remover.push(audio[at : at + size]))
        at += size
    assert np.array_equal(np.concatenate(parts), whole(audio))


@pytest.mark.parametrize("fmt", [AudioFormat(), AudioFormat(rate=8000), AudioFormat(rate=48_000)])
def test_a_stream_is_without_it_up_to_its_tail_and_forgets_it_at_a_gap(fmt: AudioFormat) -> None:
    audio = AudioIn(fmt)
    dc = np.full(fmt.rate, DC, "<i2").tobytes()
    assert np.abs(audio.push(dc)[RATE_HZ // 5 :]).max() <= 1
    assert np.abs(audio.tail()[: -RATE_HZ // 100]).max(initial=0) <= 1
    audio.gap(1000)
    assert abs(int(audio.push(dc)[RATE_HZ // 50]) - DC) <= 1, "it is measured anew"


def test_the_level_gate_closes_in_a_quiet_room_with_one() -> None:
    noise = np.rint(np.random.default_rng(0).normal(0, 8, 2 * RATE_HZ)).astype(np.int16)
    gate, centred = LevelGate(-60, 7680), AudioIn(AudioFormat()).push((noise + DC).tobytes())
    for start in range(0, len(centred) - 512, 512):
        gate.closed(centred[start : start + 512])
    assert gate.is_closed
