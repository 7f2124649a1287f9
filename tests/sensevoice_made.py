"""Small models in the layout of `iic/SenseVoiceSmall`."""

import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from checkpoints import entries, write

from streamd.models.convert import sensevoice_files
from streamd.models.convert.sensevoice_files import Sizes
from streamd.models.pieces import Kind

SMALL = Sizes(
    output_size=32,
    attention_heads=2,
    linear_units=48,
    num_blocks=2,
    tp_blocks=1,
    kernel_size=11,
)
PUBLISHED = Sizes(512, 4, 2048, 50, 20, 11)
PUBLISHED_TOKENS = 25_055

CONFIG = """\
encoder: SenseVoiceEncoderSmall
encoder_conf:
    output_size: {output_size}
    attention_heads: {attention_heads}
    linear_units: {linear_units}
    num_blocks: {num_blocks}
    tp_blocks: {tp_blocks}
    dropout_rate: 0.1
    positional_dropout_rate: 0.1
    attention_dropout_rate: 0.1
    input_layer: pe
    pos_enc_class: SinusoidalPositionEncoder
    normalize_before: true
    kernel_size: {kernel_size}
    sanm_shfit: 0
    selfattention_layer_type: sanm


model: SenseVoiceSmall
model_conf:
    length_normalized_loss: true
    sos: 1
    eos: 2
    ignore_id: -1

tokenizer: SentencepiecesTokenizer
tokenizer_conf:
  bpemodel: null
  unk_symbol: <unk>
  split_with_space: true

frontend: WavFrontend
frontend_conf:
    fs: 16000
    window: hamming
    n_mels: 80
    frame_length: 25
    frame_shift: 10
    lfr_m: 7
    lfr_n: 6
    cmvn_file: null


dataset: SenseVoiceCTCDataset
dataset_conf:
  index_ds: IndexDSJsonl
  batch_size: 14000
  retry: 20

specaug: SpecAugLFR
specaug_conf:
    apply_time_warp: false
    time_warp_window: 5
    time_warp_mode: bicubic
    apply_freq_mask: true
    freq_mask_width_range:
    - 0
    - 30
    lfr_rate: 6
    num_freq_mask: 1
    apply_time_mask: true
    time_mask_width_range:
    - 0
    - 12
    num_time_mask: 1

optim: adamw
optim_conf:
  lr: 0.00002
"""
CONFIGURATION = """\
{
  "framework": "pytorch",
  "task" : "auto-speech-recognition",
  "model": {"type" : "funasr"},
  "pipeline": {"type":"funasr-pipeline"},
  "file_path_metas": {
    "init_param":"model.pt",
    "config":"config.yaml",
    "tokenizer_conf": {"bpemodel": "chn_jpn_yue_eng_ko_spectok.bpe.model"},
    "frontend_conf":{"cmvn_file": "am.mvn"}}
}
"""
TAGS = (
    *("zh", "en", "yue", "ja", "ko", "nospeech", "Speech", "BGM", "Laughter", "Applause"),
    *("Event_UNK", "HAPPY", "SAD", "ANGRY", "NEUTRAL", "FEARFUL", "DISGUSTED", "SURPRISED"),
    *("EMO_UNKNOWN", "withitn", "woitn"),
)
WORDS = (
    "▁the",
    "▁dog",
    "s",
    "▁are",
    "▁sit",
    "ting",
    "▁by",
    "▁door",
    "。",
    ",",
    "?",
    "狗",
    "坐",
    "在",
    "门",
)


def pieces(count: int = 0) -> list[tuple[str, Kind]]:
    """The pieces of a small model; more of them to fill up to a count."""
    made = [("<unk>", Kind.UNKNOWN), ("<s>", Kind.CONTROL), ("</s>", Kind.CONTROL)]
    made += [(word, Kind.NORMAL) for word in WORDS]
    made += [(f"<0x{byte:02X}>", Kind.BYTE) for byte in range(256)]
    fill = max(0, count - len(made) - len(TAGS))
    made += [(f"▁{number}", Kind.NORMAL) for number in range(fill)]
    return made + [(f"<|{tag}|>", Kind.USER_DEFINED) for tag in TAGS]


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def pieces_file(made: Sequence[tuple[str, Kind]]) -> bytes:
    """A SentencePiece model, with what SentencePiece itself needs to load it."""
    out = b""
    for number, (text, kind) in enumerate(made):
        piece = _field(1, text.encode()) + _varint(2 << 3 | 5) + struct.pack("<f", -number)
        if kind != Kind.NORMAL:
            piece += _varint(3 << 3) + _varint(kind)
        out += _field(1, piece)
    # The trainer's: the model is of the type BPE and has bytes for unknown characters.
    out += _field(2, _varint(3 << 3) + _varint(2) + _varint(35 << 3) + _varint(1))
    return out + _field(3, _field(1, b"identity"))


def weights(sizes: Sizes, tokens: int, seed: int = 1) -> dict[str, np.ndarray]:
    """Random ones of a size at which the scores vary, and do not saturate."""
    rng = np.random.default_rng(seed)
    made = {}
    for name, shape in sensevoice_files.shapes(sizes, tokens):
        fan = max(1, int(np.prod(shape[1:])))
        values = rng.standard_normal(shape, np.float32) / np.float32(np.sqrt(fan))
        if "norm" in name and name.endswith("weight"):
            values = 1 + 0.1 * values
        elif name.endswith("bias"):
            values *= np.float32(0.1)
        made[name] = values.astype("<f4")
    made["ctc.ctc_lo.weight"] = made["ctc.ctc_lo.weight"] * np.float32(3)
    return made


def cmvn(seed: int = 2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(-13, 1, 560).astype("<f4"), rng.uniform(0.1, 0.3, 560).astype("<f4")


def cmvn_text(shift: np.ndarray, scale: np.ndarray) -> str:
    def row(values: np.ndarray) -> str:
        return f"<LearnRateCoef> 0 [ {' '.join(map(str, values.tolist()))} ]"

    return (
        "<Nnet> \n<Splice> 560 560\n[ 0 ]\n"
        f"<AddShift> 560 560 \n{row(shift)}\n<Rescale> 560 560\n{row(scale)}\n</Nnet> \n"
    )


def write_texts(directory: Path, sizes: Sizes, tokens: int = 0) -> int:
    """Write all files but the checkpoint; return the number of tokens."""
    directory.mkdir(parents=True, exist_ok=True)
    made = pieces(tokens)
    (directory / sensevoice_files.CONFIG).write_text(CONFIG.format(**sizes._asdict()))
    (directory / sensevoice_files.CMVN).write_text(cmvn_text(*cmvn()))
    (directory / sensevoice_files.PIECES).write_bytes(pieces_file(made))
    (directory / "configuration.json").write_text(CONFIGURATION)
    return len(made)


def make(directory: Path, sizes: Sizes = SMALL, tokens: int = 0) -> Path:
    """Write a ModelScope directory."""
    count = write_texts(directory, sizes, tokens)
    write(directory / sensevoice_files.CHECKPOINT, entries(weights(sizes, count)))
    return directory


def sources(directory: Path) -> tuple[Path, Path, Path, Path]:
    """Return the files of a directory in the order in which the converter takes them."""
    names = (
        sensevoice_files.CHECKPOINT,
        sensevoice_files.CONFIG,
        sensevoice_files.CMVN,
        sensevoice_files.PIECES,
    )
    a, b, c, d = (directory / name for name in names)
    return a, b, c, d
