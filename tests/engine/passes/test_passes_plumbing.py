"""What passes do around their graphs, seen without any model."""

import numpy as np
import pytest
from pass_driver import outputs

from streamd.engine.backends.fake import FakeBackend
from streamd.engine.backends.onnxruntime import OnnxRuntime
from streamd.engine.passes.base import Pass
from streamd.engine.passes.fake import FakeVad, FakeVoice, FakeWake, wake_tone
from streamd.engine.passes.openwakeword import OpenWakeWord
from streamd.engine.passes.warm import initial_rows
from streamd.engine.passes.webrtc import WebrtcVad
from streamd.errors import ModelMissing
from streamd.models import catalogue


class Shelf:
    """A library that has every file, as far as a fake backend cares."""

    def __init__(self, directory):
        self.directory = directory
        history = np.zeros((34, 96), np.float32)
        np.savez(directory / "wake_prime.npz", cnn=np.zeros(9472, np.float32), history=history)

    def path(self, file):
        return self.directory / file

    def words(self):
        return ("alexa", "weather", "timer")


def wake_pass(tmp_path, calls):
    """The real wake pass over graphs that note what they were given."""

    def embed(inputs):
        history = np.roll(inputs["history"], -1, axis=1)
        history[:, -1] = inputs["audio"][:, -1:] + 1000 * inputs["fresh"][:, None]
        return inputs["cnn"] + 1, history

    def head(name, classes):
        def run(inputs):
            features = inputs["features"]
            calls.append((name, features.shape[:2], features[:, -1, 0].tolist()))
            return (np.tile(np.arange(classes, dtype=np.float32) / 10, (len(features), 1)),)

        return run

    graphs = {"wake_embed.onnx": embed, "wake_timer.onnx": head("timer", 7)}
    graphs |= {f"wake_{word}.onnx": head(word, 1) for word in ("alexa", "weather")}
    return OpenWakeWord(FakeBackend(graphs), Shelf(tmp_path))


def test_a_head_runs_only_on_the_rows_that_asked_for_it(tmp_path):
    calls = []
    model = wake_pass(tmp_path, calls)
    batch = [np.full(1760, n, np.int16) for n in (1, 2, 3, 4)]
    options = [("alexa",), ("weather", "alexa"), (), ("timer",)]
    got, _ = model.run(batch, options, initial_rows(model, 4))
    assert [list(scores) for scores in got] == [list(words) for words in options]
    assert sorted(calls) == [
        ("alexa", (2, 16), [1001.0, 1002.0]),
        ("timer", (1, 34), [1004.0]),
        ("weather", (1, 22), [1002.0]),
    ]


def test_a_word_with_classes_names_the_best_that_is_not_the_background(tmp_path):
    model = wake_pass(tmp_path, [])
    (scores,) = outputs(model, np.zeros(1280, np.int16), ("timer", "alexa"))
    score, class_name = scores["timer"]
    assert score == pytest.approx(0.6)
    assert class_name == "1_hour_timer"
    assert scores["alexa"] == (0.0, None)


def test_only_the_first_step_of_a_stream_is_fresh(tmp_path):
    calls = []
    model = wake_pass(tmp_path, calls)
    list(outputs(model, np.full(3 * 1280, 5, np.int16), ("alexa",)))
    assert [seen for _, _, seen in calls] == [[1005.0], [5.0], [5.0]]


def test_an_unknown_word_is_refused_by_name(tmp_path):
    with pytest.raises(ModelMissing, match=r"hey_hal.*alexa"):
        OpenWakeWord(FakeBackend({}), Shelf(tmp_path), words=("hey_hal",))


def test_a_fake_backend_says_which_graph_it_lacks(tmp_path):
    with pytest.raises(ModelMissing, match=r"silero\.onnx"):
        FakeBackend({}).load(tmp_path / "silero.onnx")


def test_onnxruntime_says_what_to_do_about_a_file_that_is_no_graph(tmp_path):
    broken = tmp_path / "broken.onnx"
    for content in (None, b"no graph"):
        if content is not None:
            broken.write_bytes(content)
        with pytest.raises(ModelMissing, match="streamd models pull"):
            OnnxRuntime().load(broken)


@pytest.mark.parametrize("mode", [-1, 4])
def test_webrtc_refuses_a_mode_that_there_is_not(mode):
    with pytest.raises(ValueError, match="0 to 3"):
        WebrtcVad(mode)


def test_a_webrtc_stream_begins_without_a_detector_and_gets_its_own():
    model = WebrtcVad()
    state = initial_rows(model, 2)
    assert state["detector"].tolist() == [None, None]
    _, state = model.run([np.zeros(480, np.int16)] * 2, [None] * 2, state)
    assert state["detector"][0] is not state["detector"][1]


def test_the_fake_vad_finds_speech_above_minus_40_dbfs():
    tone = np.sin(np.arange(16_000) / 5)
    loud, faint = (np.round(a * tone).astype(np.int16) for a in (3_000, 100))
    assert list(outputs(FakeVad(), loud))[-1] > 0.9
    assert list(outputs(FakeVad(), faint))[-1] < 0.1


def test_the_fake_vads_state_shows():
    model = FakeVad()
    loud = np.round(3_000 * np.sin(np.arange(1024) / 5)).astype(np.int16)
    first, second = outputs(model, loud)
    assert first < second


def test_the_fake_word_is_two_steps_of_tone_and_their_end():
    step = np.zeros(1280, np.int16)
    stream = np.concatenate((step, wake_tone(2), step, wake_tone(1), step, step))
    scores = [s["alexa"][0] for s in outputs(FakeWake(), stream, ("alexa",))]
    assert scores == [0.01, 0.01, 0.01, 0.9, 0.01, 0.01, 0.01]


def test_two_tones_are_two_fake_voices_at_any_level_and_length():
    def voice(hz, level, length):
        tone = level * np.sin(2 * np.pi * hz * np.arange(length) / 16_000)
        (got,), _ = FakeVoice().run([np.round(tone).astype(np.int16)], [None], {})
        return got.embedding

    one = voice(300, 8_000, 25_600)
    assert one @ voice(300, 800, 12_800) > 0.95
    assert one @ voice(2_000, 8_000, 25_600) < 0.2


def test_every_pass_says_what_the_engine_needs_to_know(tmp_path):
    passes: list[Pass] = [FakeVad(), FakeWake(), FakeVoice(), WebrtcVad(), wake_pass(tmp_path, [])]
    for model in passes:
        assert model.name in ("vad", "wake", "voice")
        assert model.max_batch >= 1
        assert model.copies_state or isinstance(model, WebrtcVad)
        assert set(initial_rows(model, 3)) == set(model.state)


def test_the_catalogues_windows_fit_the_history():
    windows = [m.word.window for m in catalogue.MODELS if m.word]
    assert max(windows) == 34
