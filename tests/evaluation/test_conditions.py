"""Conditions do to a recording what their names say, and the same thing every time."""

import av
import numpy as np
import pytest
import soundfile
from daemons import DATA

from streamd.audio.decode import Decoder
from streamd.errors import BadConfig, NotAudio
from streamd.evaluation import noise
from streamd.evaluation.codecs import mulaw, opus
from streamd.evaluation.conditions import (
    PLAIN,
    Conditions,
    Noise,
    Piece,
    carry,
    parse_noise,
    room_response,
)
from streamd.types import RATE_HZ, AudioFormat

SPEECH, _ = soundfile.read(DATA / "speech_slt.flac", dtype="int16")
PIECES = [Piece("slt", 0, len(SPEECH), 0, len(SPEECH))]


def sent(conditions, pieces=PIECES, samples=SPEECH, is_narrow=False):
    data, audio = carry(samples, pieces, conditions, is_narrow)
    return Decoder(audio).push(data), audio


def rng():
    return np.random.default_rng(5)


def power(floats):
    return float((np.asarray(floats, float) ** 2).mean())


def test_nothing_is_done_to_a_recording_as_it_is():
    data, audio = carry(SPEECH, PIECES, PLAIN, False)
    assert data == SPEECH.tobytes()
    assert audio == AudioFormat()
    assert PLAIN.described() == []


def test_a_recording_at_8_khz_goes_as_such():
    floats, audio = sent(PLAIN, is_narrow=True)
    assert audio == AudioFormat(rate=8000)
    assert audio.channel_kind == "narrow"
    assert abs(len(floats) - len(SPEECH) // 2) <= 1


@pytest.mark.parametrize("snr_db", [20.0, 5.0, -5.0])
@pytest.mark.parametrize("kind", ["white", "pink", "babble"])
def test_noise_is_at_the_snr_to_active_speech(kind, snr_db):
    quiet = (SPEECH / 64).astype(np.int16)
    noisy, _ = sent(Conditions(noise=Noise(snr_db, kind)), samples=quiet)
    clean = quiet / 32768
    added = power(noisy - clean)
    assert 10 * np.log10(noise.active_rms(clean.astype(np.float32)) ** 2 / added) == pytest.approx(
        snr_db, abs=0.1
    )


def test_each_row_has_its_own_noise_at_its_own_level():
    loud, soft = SPEECH[:40_000], SPEECH[:40_000] // 16
    samples = np.concatenate([loud, soft])
    pieces = [Piece("a", 0, 40_000, 0, 40_000), Piece("b", 40_000, 80_000, 0, 40_000)]
    noisy, _ = sent(Conditions(noise=Noise(10)), pieces, samples)
    added = noisy - samples / 32768
    assert power(added[:40_000]) / power(added[40_000:]) == pytest.approx(256, rel=0.05)
    assert abs(np.corrcoef(added[:40_000], added[40_000:])[0, 1]) < 0.02


def test_pauses_are_no_part_of_a_level():
    padded = np.concatenate([SPEECH, np.zeros(10 * len(SPEECH), np.int16)]) / np.float32(32768)
    alone = noise.active_rms(SPEECH / np.float32(32768))
    assert noise.active_rms(padded) == pytest.approx(alone, rel=0.01)
    assert noise.active_rms(np.zeros(999, np.float32)) == 0


def test_colours_of_noise():
    def level_db(made, low_hz, high_hz):
        spectrum = np.abs(np.fft.rfft(made)) ** 2
        hz = np.fft.rfftfreq(len(made), 1 / RATE_HZ)
        return 10 * np.log10(spectrum[(hz >= low_hz) & (hz < high_hz)].sum())

    white, pink = noise.white(rng(), 400_000), noise.pink(rng(), 400_000)
    assert level_db(white, 4000, 8000) - level_db(white, 500, 1000) == pytest.approx(9, abs=0.5)
    assert level_db(pink, 4000, 8000) - level_db(pink, 500, 1000) == pytest.approx(0, abs=0.5)
    babble = noise.babble(rng(), 400_000)
    assert level_db(babble, 250, 500) - level_db(babble, 2000, 4000) > 12


def test_a_recorded_noise_goes_round_and_round(tmp_path):
    short = (np.random.default_rng(0).normal(size=8000) * 3000).astype(np.int16)
    soundfile.write(tmp_path / "n.wav", short, RATE_HZ)
    (tmp_path / "about.txt").write_text("not a sound")
    made = noise.recorded(rng(), 40_000, str(tmp_path))
    assert len(made) == 40_000
    assert np.array_equal(made[:8000], made[8000:16_000])
    assert sorted(made[:8000] * 32768) == pytest.approx(sorted(short))


def test_a_noise_that_is_silent_is_refused(tmp_path):
    soundfile.write(tmp_path / "n.wav", np.zeros(800, np.int16), RATE_HZ)
    with pytest.raises(NotAudio, match="is silent"):
        noise.recorded(rng(), 10, str(tmp_path))


def test_gain_is_in_db_and_clips_at_full_scale():
    soft, _ = sent(Conditions(gain_db=-20))
    assert power(soft) == pytest.approx(power(SPEECH / 32768) / 100, rel=1e-3)
    loud, _ = sent(Conditions(gain_db=40))
    assert loud.max() == pytest.approx(1, abs=1e-4)


def test_a_room_dies_away_in_its_time():
    """Schroeder's backward integration: -60 dB at RT60, half of it in dB at half the time."""
    response = room_response(rng(), 600)[40:]
    decay = 10 * np.log10(np.cumsum(response[::-1].astype(float) ** 2)[::-1] + 1e-30)
    half = decay[0] - decay[RATE_HZ * 300 // 1000]
    assert half == pytest.approx(30, abs=1.5)
    assert power(response) * len(response) == pytest.approx(1, rel=1e-3)


def test_a_room_keeps_the_level_and_smears():
    wet, _ = sent(Conditions(room_ms=500))
    dry = SPEECH / np.float32(32768)
    assert noise.active_rms(wet) == pytest.approx(noise.active_rms(dry), rel=0.02)
    assert np.corrcoef(wet, dry)[0, 1] < 0.95


def test_convolution_is_that_of_numpy():
    audio, kernel = (np.random.default_rng(n).normal(size=s).astype(np.float32)
                     for n, s in ((0, 100_000), (1, 5000)))  # fmt: skip
    expected = np.convolve(audio[:30_000], kernel)[:30_000]
    assert noise.convolve(audio, kernel)[:30_000] == pytest.approx(expected, abs=2e-3)
    assert len(noise.convolve(audio, kernel)) == 104_999


def test_mulaw_is_what_ffmpeg_makes():
    samples = np.concatenate([np.arange(-32768, 32768, 7), [0, -1, 1]]).astype(np.int16)
    encoder = av.CodecContext.create("pcm_mulaw", "w")
    encoder.sample_rate, encoder.layout, encoder.format = 8000, "mono", "s16"
    frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
    frame.sample_rate = 8000
    expected = b"".join(bytes(packet) for packet in encoder.encode(frame))
    ours = Decoder(AudioFormat(codec="mulaw")).push(mulaw(samples).tobytes())
    theirs = Decoder(AudioFormat(codec="mulaw")).push(expected)
    # On a boundary between two codes either is right.
    assert np.abs(ours - samples / 32768).max() <= np.abs(theirs - samples / 32768).max()
    assert (ours == theirs).mean() > 0.98


def test_mulaw_goes_as_a_telephone_sends_it():
    floats, audio = sent(Conditions(mulaw=True))
    assert audio == AudioFormat(codec="mulaw", rate=8000)
    assert abs(len(floats) - len(SPEECH) // 2) <= 1


@pytest.mark.parametrize("kbps", [8, 24, 64])
def test_opus_is_neither_late_nor_longer(kbps):
    audio = SPEECH[:48_000] / np.float32(32768)
    coded = opus(audio, RATE_HZ, kbps * 1000)
    assert len(coded) == len(audio)
    lags = range(-80, 81)
    inner = slice(1000, -1000)
    likeness = [float(np.roll(audio, lag)[inner] @ coded[inner]) for lag in lags]
    assert abs(lags[int(np.argmax(likeness))]) <= 8  # half a millisecond
    assert not np.array_equal(coded, audio)


def test_the_same_row_sounds_the_same_and_another_one_does_not():
    conditions = Conditions(room_ms=200, noise=Noise(10, "babble"), gain_db=-3, mulaw=True)
    assert (
        carry(SPEECH, PIECES, conditions, False)[0] == carry(SPEECH, PIECES, conditions, False)[0]
    )
    other = [Piece("rms", 0, len(SPEECH), 0, len(SPEECH))]
    assert carry(SPEECH, other, conditions, False)[0] != carry(SPEECH, PIECES, conditions, False)[0]


def test_conditions_say_what_they_are():
    conditions = Conditions(
        room_ms=300, noise=Noise(5, "pink"), gain_db=-6, opus_kbps=16, mulaw=True
    )
    assert conditions.described() == [
        "room, RT60 300 ms", "pink noise at 5 dB SNR", "gain -6 dB", "Opus 16 kbit/s",
        "µ-law 8 kHz",
    ]  # fmt: skip


def test_noise_as_an_option(tmp_path):
    assert parse_noise("10") == Noise(10, "white")
    assert parse_noise("-2.5:babble") == Noise(-2.5, "babble")
    soundfile.write(tmp_path / "n.wav", np.ones(800, np.int16), RATE_HZ)
    assert parse_noise(f"0:{tmp_path}") == Noise(0, str(tmp_path))
    empty = tmp_path / "empty"
    empty.mkdir()
    for text in ("loud", "5:brown", f"5:{empty}", ""):
        with pytest.raises(BadConfig, match="--noise"):
            parse_noise(text)
