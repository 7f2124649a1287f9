from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
from waiting import HANG_S

from streamd.errors import BadManifest
from streamd.modules.emotion_model import LABELS, EmotionModel
from training.emotion.augment import augment
from training.emotion.manifest import read_clips
from training.emotion.network import Recipe, train
from training.emotion.sounds import make_sounds
from training.emotion.validate import (
    Calibration,
    among,
    calibration_error,
    coverage,
    probabilities,
    recall,
)

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data"
VOICES = ("slt", "rms", "awb", "kal16")


def write(path: Path, rows: Sequence[Sequence[object]], *columns: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "label", "speaker", *columns))
        writer.writerows(rows)
    return path


def a_recording(path: Path) -> None:
    soundfile.write(path, np.zeros(160, np.int16), 16_000)


def test_every_fault_of_a_manifest_is_named_with_its_line(tmp_path: Path) -> None:
    a_recording(tmp_path / "a.wav")
    manifest = write(
        tmp_path / "m.csv",
        [
            ("a.wav", "happy", "one", "train"),
            ("gone.wav", "happy", "two", "train"),
            ("a.wav", "grumpy", "two", "train"),
            ("a.wav", "sad", "one", "test"),
            ("a.wav", "sad", "", "train"),
            ("a.wav", "angry", "three", "later"),
        ],
        "split",
    )
    with pytest.raises(BadManifest) as refused:
        read_clips(manifest)
    lines = str(refused.value).splitlines()
    for line, fault in {
        3: "no such file: gone.wav",
        4: "unknown label 'grumpy'",
        5: "speaker 'one' is in split 'test' here and in 'train' on line 2",
        6: "the speaker is empty",
        7: "unknown split 'later'",
    }.items():
        assert any(t.startswith(f"{manifest}:{line}:") and fault in t for t in lines), line


def test_calm_is_neutral_and_bored_is_left_out(tmp_path: Path) -> None:
    a_recording(tmp_path / "a.wav")
    rows = [("a.wav", label, "x") for label in ("calm", "bored", "sad")]
    clips = read_clips(write(tmp_path / "m.csv", rows))
    assert [LABELS[clip.label] for clip in clips] == ["neutral", "sad"]


def test_paths_may_begin_with_the_manifests_own_folder(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    a_recording(tmp_path / "set" / "a.wav")
    manifest = write(tmp_path / "set" / "m.csv", [("set/a.wav", "sad", "x")])
    assert read_clips(manifest)[0].path.is_file()


def test_a_network_learns_what_no_line_separates_and_the_same_each_time() -> None:
    x = np.random.default_rng(0).choice([-1.0, 1.0], (400, 2)).astype(np.float32)
    labels = (x[:, 0] * x[:, 1] > 0).astype(np.intp)
    recipe = Recipe(
        width=32, epochs=40, batch=64, learning_rate=0.01, drop_inputs=0.0, drop_hidden=0.1
    )
    first, second = (train(lambda rng: x, labels, np.ones(400), 3, 1, recipe) for _ in range(2))
    logits = first(x)
    assert (logits.argmax(axis=1) == labels).mean() > 0.99
    assert (logits[:, 2] < -20).all()  # nobody has that class
    np.testing.assert_array_equal(first.out, second.out)


def test_a_copy_is_another_recording_of_the_same() -> None:
    seconds = np.arange(48_000) / 16_000
    tone = (3000 * np.sin(2 * np.pi * 300 * seconds)).astype(np.int16)
    for seed in range(8):
        copy, speed = augment(tone, np.random.default_rng(seed))
        assert copy.dtype == np.int16
        assert len(copy) == pytest.approx(len(tone) / speed, abs=4)
        peak = np.abs(np.fft.rfft(copy * np.hanning(len(copy)))).argmax() * 16_000 / len(copy)
        assert peak == pytest.approx(300 * speed, rel=0.02)


def test_other_sounds_are_of_one_length_and_follow_from_the_seed() -> None:
    clip = (np.random.default_rng(0).normal(size=20_000) * 1000).astype(np.int16)
    first, second = (make_sounds([clip], 10, seed=4) for _ in range(2))
    assert {len(sound) for sound in first} == {51_200}
    assert all(np.abs(sound.astype(int)).max() > 100 for sound in first)
    np.testing.assert_array_equal(first, second)


def test_measures_on_numbers_done_by_hand() -> None:
    p = np.array([[0.9, 0.1, 0.0], [0.8, 0.1, 0.1], [0.3, 0.4, 0.3], [0.2, 0.7, 0.1]])
    labels = np.array([0, 1, 1, 1])
    assert recall(p, labels) == pytest.approx((1 + 2 / 3) / 2)
    assert coverage(p, labels) == 1.0  # three of four
    assert calibration_error(p, labels) == pytest.approx(abs(0.7 - 0.75))
    np.testing.assert_allclose(among(p, np.array([0, 1])).sum(axis=1), 1)
    assert among(p, np.array([1, 2]))[0].argmax() == 1


def test_a_higher_temperature_is_less_sure_and_keeps_the_order() -> None:
    logits = np.random.default_rng(0).normal(size=(20, 8)).astype(np.float32) * 3
    sharp, flat = (
        probabilities(logits, np.zeros(20), Calibration((t, t), (0.5, 0.5))) for t in (0.5, 2.0)
    )
    assert (sharp.max(axis=1) > flat.max(axis=1)).all()
    np.testing.assert_array_equal(sharp.argmax(axis=1), flat.argmax(axis=1))


@pytest.mark.models
def test_a_few_recordings_of_ones_own_become_a_model_that_loads(tmp_path: Path) -> None:
    rows = [
        (DATA / f"speech_{voice}.flac", label, voice, start, start + 2000)
        for voice in VOICES
        for start, label in ((1000, "happy"), (4000, "sad"), (7000, "neutral"))
    ]
    manifest = write(tmp_path / "m.csv", rows, "start_ms", "end_ms")
    out = tmp_path / "own.npz"
    command = [sys.executable, "-m", "training.emotion", "retrain", str(manifest)]
    done = subprocess.run(
        [*command, "--out", str(out), "--copies", "0", "--jobs", "1", "--epochs", "1"],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=HANG_S,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "are little" in done.stderr
    model = EmotionModel.load(out)
    assert model.card.model == "own"
    assert out.stat().st_size < 3_000_000


def test_a_wrong_manifest_ends_the_command_with_its_exit_code(tmp_path: Path) -> None:
    manifest = write(tmp_path / "m.csv", [("gone.wav", "happy", "x")])
    command = [sys.executable, "-m", "training.emotion", "retrain", str(manifest)]
    done = subprocess.run(
        [*command, "--out", str(tmp_path / "o.npz")],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=HANG_S,
    )  # fmt: skip
    assert done.returncode == BadManifest.exit_code
    assert f"{manifest}:2: no such file" in done.stderr
