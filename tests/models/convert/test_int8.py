"""Eight bits: what the kernels may be given, and that they compute what they are meant to."""

import numpy as np
import pytest

from streamd.engine.backends.onnxruntime import OnnxRuntime
from streamd.models import catalogue
from streamd.models.convert import check, ge2e, ge2e_int8
from streamd.models.fetch import extract

RNG = np.random.default_rng(8)
STEP = 2 / 255
"""Of an activation, 128 being zero."""


def weights(kind: str) -> np.ndarray:
    drawn = RNG.normal(size=(260, 64))
    match kind:
        case "few large ones":
            drawn[RNG.integers(0, 260, 64), np.arange(64)] *= 50
        case "large pairs":
            drawn[10:12] = 30
        case "opposite pairs":
            drawn[10], drawn[11] = 30, -30
        case "a column of zeros":
            drawn[:, 5] = 0
    return drawn


KINDS = ["drawn", "few large ones", "large pairs", "opposite pairs", "a column of zeros"]


@pytest.mark.parametrize("kind", KINDS)
def test_no_two_products_exceed_int16_and_no_weight_is_off_by_more_than_half_a_step(kind):
    wanted = weights(kind)
    values, scale = ge2e_int8.quantize(wanted)
    assert values.dtype == np.int8
    pairs = values.astype(int).reshape(-1, 2, 64)
    for sign in (1, -1):
        assert (np.maximum(sign * pairs, 0).sum(axis=1) * 255).max() <= 32_767
    assert (np.abs(values * scale - wanted) <= scale * 0.501).all()
    if kind in ("few large ones", "opposite pairs"):
        assert np.abs(values).max() == 127, "bits are given away only where they must be"


def quantized(x: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(x / STEP) + 128, 0, 255).astype(np.int64) - 128


def int8_lstm(w, number: int, x: np.ndarray) -> np.ndarray:
    """One layer over [T, 256], the products in int64."""
    parts = []
    for name in ("weight_ih", "weight_hh"):
        values, scale = ge2e_int8.quantize(w[f"lstm.{name}_l{number}"].T)
        parts.append((values.astype(np.int64), STEP * scale))
    (wx, sx), (wh, sh) = parts
    driven = quantized(x) @ wx * sx + w[f"lstm.bias_ih_l{number}"] + w[f"lstm.bias_hh_l{number}"]
    h = c = np.zeros(256)
    steps = []
    for row in driven:
        i, f, g, o = np.split(row + quantized(h) @ wh * sh, 4)
        c = c / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
        h = np.tanh(c) / (1 + np.exp(-o))
        steps.append(h)
    return np.array(steps)


@pytest.mark.models
def test_the_int8_graph_is_the_integer_arithmetic_that_it_is_meant_to_be(wheels, tmp_path):
    model = catalogue.model("ge2e-resemblyzer-0.1.4-int8")
    (source,) = extract(wheels["Resemblyzer"], model.members, tmp_path)
    ge2e_int8.convert(source, tmp_path / "ge2e_int8.onnx")
    w = ge2e.read_weights(source)
    audio = check.clip().astype(np.float32) / 32768
    frames = 100
    for begin in (0, 24_000, 60_000):
        window = np.zeros((frames + 1) * 160, np.float32)
        window[:-160] = audio[begin:][: frames * 160]
        inputs = {
            "audio": window[None],
            "skip": np.array([0]),
            "frames": np.array([frames], np.int32),
            "begun": np.zeros((1, ge2e.BEGUN), np.float32),
        }
        _, (got,), _ = OnnxRuntime().load(tmp_path / "ge2e_int8.onnx")(inputs)
        second = int8_lstm(w, 1, check.plain_ge2e_layers(w, window, frames)[0])
        third = int8_lstm(w, 2, second)
        want = [second.mean(0), second.std(0), third.mean(0), third.std(0)]
        np.testing.assert_allclose(got, np.concatenate(want), atol=1e-5)
