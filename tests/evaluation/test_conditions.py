"""Conditions do to a recording what their names say, and the same thing every time."""

from importlib import resources

import av
import numpy as np
import pytest
import soundfile
from daemons import DATA

from streamd.audio.decode import Decoder
from streamd.audio.files import load
from streamd.errors import BadConfig, NotAudio
from streamd.evaluation import noise, rooms
from streamd.evaluation.codecs import mulaw, opus
from streamd.evaluation.conditions import (
    PLAIN,
    Conditions,
    Loudspeaker,
    Noise,
    Piece,
    Room,
    carry,
    parse_loudspeaker,
    parse_noise,
    parse_room,
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


@pytest.fixture
def tones(tmp_path):
    """Eight recordings of a tone each, 2 s long, at levels of their own."""
    seconds = np.arange(2 * RATE_HZ) / RATE_HZ
    for n in range(8):
        tone = np.sin(2 * np.pi * 500 * (n + 1) * seconds) * 2000 * (n + 1)
        soundfile.write(tmp_path / f"{n}.wav", tone.astype(np.int16), RATE_HZ)
    return tmp_path


def tone_powers(made):
    power = np.abs(np.fft.rfft(made)) ** 2
    hz = np.fft.rfftfreq(len(made), 1 / RATE_HZ)
    around = [power[np.abs(hz - 500 * n) < 50].sum() for n in range(1, 9)]
    return np.array(around) / power.sum()


def test_babble_is_six_voices_at_one_level(tones):
    made = noise.babble(np.random.default_rng(8), RATE_HZ // 50, str(tones))
    powers = np.sort(tone_powers(made))
    assert powers[:2] == pytest.approx(0, abs=1e-6)
    assert powers[2:] == pytest.approx(1 / 6, rel=0.01)


def test_a_talker_goes_on_with_another_recording(tones):
    """Eight recordings, six talkers: in 4 s everybody has come to the end of the first one."""
    powers = tone_powers(noise.babble(rng(), 4 * RATE_HZ, str(tones)))
    assert (powers > 0.01).all()


def test_talkers_who_share_a_recording_begin_in_places_of_their_own(tmp_path):
    """Of one recording with a click in it, the clicks of six talkers lie a sixth of it apart."""
    click = np.zeros(60_000, np.int16)
    click[100] = 20_000
    soundfile.write(tmp_path / "click.wav", click, RATE_HZ)
    (at,) = np.nonzero(noise.babble(rng(), 60_000, str(tmp_path / "click.wav")))
    assert np.diff(at) == pytest.approx(10_000, abs=1)
    assert len(at) == 6


def test_babble_without_a_folder_is_built_in_talk():
    made = noise.babble(rng(), 4 * RATE_HZ)
    talk = load(resources.files("streamd.words") / "data" / "talk.ogg").astype(np.float32)
    alike = noise.convolve(talk, made[::-1][:RATE_HZ].copy())
    peaks = np.sort(np.abs(alike))[::-1]
    assert np.array_equal(made, noise.babble(rng(), 4 * RATE_HZ))
    assert peaks[0] > 10 * np.abs(alike).std()  # some of it is in there as it is
    assert not np.array_equal(made, noise.babble(np.random.default_rng(6), 4 * RATE_HZ))


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
    response = rooms.synthetic(rng(), 600)[40:]
    decay = 10 * np.log10(np.cumsum(response[::-1].astype(float) ** 2)[::-1] + 1e-30)
    half = decay[0] - decay[RATE_HZ * 300 // 1000]
    assert half == pytest.approx(30, abs=1.5)
    assert power(response) * len(response) == pytest.approx(1, rel=1e-3)


def test_a_room_keeps_the_level_and_smears():
    wet, _ = sent(Conditions(room=Room(500)))
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
    conditions = Conditions(room=Room(200), noise=Noise(10, "babble"), gain_db=-3, mulaw=True)
    assert (
        carry(SPEECH, PIECES, conditions, False)[0] == carry(SPEECH, PIECES, conditions, False)[0]
    )
    other = [Piece("rms", 0, len(SPEECH), 0, len(SPEECH))]
    assert carry(SPEECH, other, conditions, False)[0] != carry(SPEECH, PIECES, conditions, False)[0]


def test_conditions_say_what_they_are():
    conditions = Conditions(
        room=Room(300), noise=Noise(5, "pink"), gain_db=-6, opus_kbps=16, mulaw=True
    )
    assert conditions.described() == [
        "room, RT60 300 ms", "pink noise at 5 dB SNR", "gain -6 dB", "Opus 16 kbit/s",
        "µ-law 8 kHz",
    ]  # fmt: skip


def test_noise_as_an_option(tmp_path):
    assert parse_noise("10") == Noise(10, "white")
    assert parse_noise("-2.5:babble") == Noise(-2.5, "babble")
    soundfile.write(tmp_path / "n.wav", np.ones(800, np.int16), RATE_HZ)
    recorded, voices = parse_noise(f"0:{tmp_path}"), parse_noise(f"0:babble:{tmp_path}")
    assert (recorded.snr_db, recorded.kind, recorded.place) == (0, "", str(tmp_path))
    assert (voices.kind, voices.place) == ("babble", str(tmp_path))
    empty = tmp_path / "empty"
    empty.mkdir()
    for text in ("loud", "5:brown", f"5:{empty}", "", "5:babble:gone", "5:white:gone"):
        with pytest.raises(BadConfig, match="--noise"):
            parse_noise(text)


def test_a_room_as_an_option(tmp_path):
    assert parse_room("300") == Room(300)
    soundfile.write(tmp_path / "r.wav", np.ones(800, np.int16), RATE_HZ)
    assert parse_room(str(tmp_path)).place == str(tmp_path)
    for text in ("20", "9000", "hall", "-5", ""):
        with pytest.raises(BadConfig, match="--room"):
            parse_room(text)


def test_other_recordings_are_another_condition(tmp_path):
    """Else an answer that was kept would be given for sound that is not there any more."""
    soundfile.write(tmp_path / "a.wav", np.ones(800, np.int16), RATE_HZ)
    options = (parse_noise(f"5:babble:{tmp_path}"), parse_room(str(tmp_path)))
    soundfile.write(tmp_path / "b.wav", np.ones(800, np.int16), RATE_HZ)
    assert parse_noise(f"5:babble:{tmp_path}") != options[0]
    assert parse_room(str(tmp_path)) != options[1]


def test_a_recorded_room_echoes_and_is_not_late(tmp_path):
    """Of a stereo response at 48 kHz: its first channel, from the direct sound on."""
    response = np.zeros((24_000, 2), np.float32)
    response[2400, 0], response[2400 + 9600, 0] = 0.5, 0.25  # 50 ms late; an echo 200 ms behind
    response[:, 1] = 0.3
    soundfile.write(tmp_path / "r.wav", response, 48_000, subtype="FLOAT")
    click = np.zeros(RATE_HZ, np.int16)
    click[1000] = 16_000
    room = parse_room(str(tmp_path / "r.wav"))
    wet, _ = sent(Conditions(room=room), [Piece("a", 0, RATE_HZ, 0, RATE_HZ)], click)
    loud = np.abs(wet[1000:])
    assert int(loud.argmax()) <= 4
    assert 3200 + int(loud[3100:3300].argmax()) - 100 == pytest.approx(3200, abs=4)
    assert loud[3100:3300].max() / loud.max() == pytest.approx(0.5, rel=0.05)
    assert loud[100:3000].max() < 0.02 * loud.max()


def test_what_is_no_impulse_response_is_refused(tmp_path):
    soundfile.write(tmp_path / "silent.wav", np.zeros(800, np.int16), RATE_HZ)
    soundfile.write(tmp_path / "long.wav", np.ones(21 * RATE_HZ, np.int16), RATE_HZ)
    for name, fault in (("silent.wav", "no impulse response"), ("long.wav", "longer than")):
        with pytest.raises(NotAudio, match=fault):
            rooms.recorded(rng(), str(tmp_path / name))


def test_a_loudspeaker_is_in_the_microphone_late_and_as_loud_as_asked():
    mixed, _ = sent(Conditions(loudspeaker=Loudspeaker(6)))
    echo = np.asarray(mixed) - SPEECH / 32768
    assert not echo[:600].any()  # 40 ms
    found = 20 * np.log10(noise.active_rms(SPEECH / 32768) / noise.active_rms(echo))
    assert abs(found - 6) < 0.1


def test_the_far_end_goes_on_a_channel_of_its_own():
    conditions = Conditions(loudspeaker=Loudspeaker(0), far_end=True, enhance="webrtc")
    data, audio = carry(SPEECH, PIECES, conditions, False)
    assert audio == AudioFormat(channels=2, far_end=1, enhance="webrtc")
    channels = np.frombuffer(data, "<i2").reshape(-1, 2)
    assert len(channels) == len(SPEECH)
    alone, _ = carry(SPEECH, PIECES, Conditions(loudspeaker=Loudspeaker(0)), False)
    assert channels[:, 0].tobytes() == alone
    assert channels[:, 1].any()
    assert conditions.described() == [
        "loudspeaker with built-in voices, speech +0 dB over its echo",
        "echo cancellation",
        "noise suppression webrtc",
    ]
    data, audio = carry(SPEECH, PIECES, conditions, True)
    assert (audio.rate, audio.channels) == (8000, 2)
    assert abs(len(data) // 4 - len(SPEECH) // 2) <= 1


def test_a_loudspeaker_is_parsed(tmp_path):
    assert parse_loudspeaker("-3.5") == Loudspeaker(-3.5)
    with pytest.raises(BadConfig, match="no number"):
        parse_loudspeaker("loud")
    with pytest.raises(BadConfig, match="no file or folder"):
        parse_loudspeaker(f"0:{tmp_path}/music.flac")
