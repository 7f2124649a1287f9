"""Small models in the layout of `iic/speech_charctc_kws_phone-xiaoyun`, and their definition."""

import json
from pathlib import Path

import numpy as np
from checkpoints import entries, write

from streamd.models.convert import fsmn_files
from streamd.models.convert.fsmn_files import Sizes

SMALL = Sizes(
    input_affine_dim=14,
    fsmn_layers=4,
    linear_dim=25,
    proj_dim=12,
    lorder=10,
    rorder=2,
    output_affine_dim=14,
    output_dim=40,
)
PUBLISHED = Sizes(140, 4, 250, 128, 10, 2, 140, 2599)

CONFIG = """\
# network architecture
model: FsmnKWS
model_conf:
    ctc_weight: 1.0

# encoder related
encoder: FSMN
encoder_conf:
    input_dim: 400
    input_affine_dim: {input_affine_dim}
    fsmn_layers: {fsmn_layers}
    linear_dim: {linear_dim}
    proj_dim: {proj_dim}
    lorder: {lorder}
    rorder: {rorder}
    lstride: 1
    rstride: 1
    output_affine_dim: {output_affine_dim}
    output_dim: {output_dim}
    use_softmax: false

frontend: WavFrontend
frontend_conf:
    fs: 16000
    window: hamming
    n_mels: 80
    frame_length: 25
    frame_shift: 10
    lfr_m: 5
    lfr_n: 3

specaug: SpecAugLFR
specaug_conf:
    apply_time_warp: false
    apply_freq_mask: true
    freq_mask_width_range:
    - 0
    - 30
    lfr_rate: 3
    apply_time_mask: true
    time_mask_width_range:
    - 0
    - 12

tokenizer: CharTokenizer
tokenizer_conf:
    unk_symbol: <unk>
    split_with_space: true

ctc_conf:
    dropout_rate: 0.0
    ctc_type: builtin
    extra_linear: false

normalize: null
"""


def weights(sizes: Sizes, seed: int = 33) -> dict[str, np.ndarray]:
    """Random ones of a size at which the scores vary, and do not saturate."""
    rng = np.random.default_rng(seed)
    return {
        name: rng.normal(0, 1.1 / np.sqrt(max(1, np.prod(shape[1:]))), shape).astype("<f4")
        for name, shape in fsmn_files.shapes(sizes)
    }


def cmvn(seed: int = 2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(-13, 1, 400).astype("<f4"), rng.uniform(0.1, 0.4, 400).astype("<f4")


def cmvn_text(shift: np.ndarray, scale: np.ndarray) -> str:
    def row(values: np.ndarray) -> str:
        return f"<LearnRateCoef> 0 [ {' '.join(map(str, values.tolist()))} ]"

    return (
        "<Nnet>\n<Splice> 400 400\n[ 0 ]\n"
        f"<AddShift> 400 400\n{row(shift)}\n<Rescale> 400 400\n{row(scale)}\n</Nnet>\n"
    )


def tokens(count: int) -> list[str]:
    return ["<blank>", "sil", *(chr(0x4E00 + number) for number in range(count - 3)), "<unk>"]


def make(directory: Path, sizes: Sizes = SMALL) -> Path:
    """Write a ModelScope directory."""
    folder = directory / fsmn_files.FOLDER
    folder.mkdir(parents=True)
    (folder / fsmn_files.CONFIG).write_text(CONFIG.format(**sizes._asdict()))
    (folder / fsmn_files.CMVN).write_text(cmvn_text(*cmvn()))
    text = "\n".join(tokens(sizes.output_dim)) + "\n"
    (folder / fsmn_files.TOKENS).write_text(text, encoding="utf-8")
    write(folder / fsmn_files.CHECKPOINT, entries(weights(sizes)))
    return directory


def with_settings(directory: Path, lexicon: str = "") -> Path:
    """Add to a ModelScope directory what FunASR needs besides: its settings and a lexicon."""
    folder = fsmn_files.FOLDER
    metas = {
        "init_param": f"{folder}/{fsmn_files.CHECKPOINT}",
        "config": f"{folder}/{fsmn_files.CONFIG}",
        "tokenizer_conf": {
            "token_list": f"{folder}/{fsmn_files.TOKENS}",
            "seg_dict": f"{folder}/{fsmn_files.LEXICON}",
        },
        "frontend_conf": {"cmvn_file": f"{folder}/{fsmn_files.CMVN}"},
    }
    text = json.dumps({"model": {"type": "funasr"}, "file_path_metas": metas})
    (directory / "configuration.json").write_text(text)
    (directory / folder / fsmn_files.LEXICON).write_text(lexicon, encoding="utf-8")
    return directory


def mel_frames(audio: np.ndarray) -> np.ndarray:
    """Kaldi's fbank of a whole file in float64, [T, 80], by its definition."""
    count = max(0, (len(audio) - 400) // 160 + 1)
    if not count:
        return np.zeros((0, 80))
    waves = np.stack([audio[160 * t : 160 * t + 400] for t in range(count)]).astype(np.float64)
    waves -= waves.mean(1, keepdims=True)
    waves -= 0.97 * np.concatenate([waves[:, :1], waves[:, :-1]], axis=1)
    waves *= 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(400) / 399)
    power = np.abs(np.fft.rfft(waves, 512)) ** 2
    mel = 1127 * np.log(1 + np.arange(257) * 16000 / 512 / 700)
    low, high = 1127 * np.log(1 + np.array([20, 8000]) / 700)
    corners = np.linspace(low, high, 82)
    bands = np.zeros((257, 80))
    for band in range(80):
        left, centre, right = corners[band : band + 3]
        bands[:, band] = np.clip(
            np.minimum((mel - left) / (centre - left), (right - mel) / (right - centre)), 0, None
        )
    return np.log(np.maximum(power @ bands, np.finfo(np.float32).eps))


def features(audio: np.ndarray) -> np.ndarray:
    """FunASR's `WavFrontend` of a whole file, [frames, 400]."""
    mel = mel_frames(audio)
    if not len(mel):
        return np.zeros((0, 400))
    frames = -(-len(mel) // 3)
    rows = np.clip(3 * np.arange(frames)[:, None] + np.arange(-2, 3), 0, len(mel) - 1)
    shift, scale = cmvn()
    return (mel[rows].reshape(frames, 400) + shift) * scale


def posteriors(w: dict[str, np.ndarray], sizes: Sizes, x: np.ndarray) -> np.ndarray:
    """FunASR's `FSMN` over the features of a whole file, [frames, tokens]."""

    def affine(name: str, x: np.ndarray) -> np.ndarray:
        y = x @ w[f"encoder.{name}.linear.weight"].T.astype(np.float64)
        return y + w.get(f"encoder.{name}.linear.bias", 0)

    x = np.maximum(affine("in_linear2", affine("in_linear1", x)), 0)
    for layer in range(sizes.fsmn_layers):
        p = affine(f"fsmn.{layer}.linear", x)
        name = f"encoder.fsmn.{layer}.fsmn_block"
        left, right = w[f"{name}.conv_left.weight"], w[f"{name}.conv_right.weight"]
        y = p.copy()
        for t in range(len(p)):
            for k in range(sizes.lorder):
                if t - (sizes.lorder - 1) + k >= 0:
                    y[t] += left[:, 0, k, 0] * p[t - (sizes.lorder - 1) + k]
            for k in range(sizes.rorder):
                if t + 1 + k < len(p):
                    y[t] += right[:, 0, k, 0] * p[t + 1 + k]
        x = np.maximum(affine(f"fsmn.{layer}.affine", y), 0)
    x = affine("out_linear2", affine("out_linear1", x))
    x = np.exp(x - x.max(1, keepdims=True))
    return x / x.sum(1, keepdims=True)
