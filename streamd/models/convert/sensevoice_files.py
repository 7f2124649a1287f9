"""The files of a ModelScope directory with a SenseVoiceSmall: sizes, CMVN, pieces and weights.

Source: FunASR's `SenseVoiceSmall`, `WavFrontend` and `SentencepiecesTokenizer`, and the files of
`iic/SenseVoiceSmall`. A file is read whole or refused: a setting that would change the numbers, and
that this reader does not know, is an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from streamd.models.convert import fbank
from streamd.models.convert.funasr_files import FunAsrFile
from streamd.models.convert.graph import Weights, check_shapes
from streamd.models.convert.sentencepiece import read_pieces
from streamd.models.convert.zip_checkpoint import read_state_dict
from streamd.models.pieces import Pieces
from streamd.models.sensevoice_tags import REQUIRED

CHECKPOINT = "model.pt"
CONFIG = "config.yaml"
CMVN = "am.mvn"
PIECES = "chn_jpn_yue_eng_ko_spectok.bpe.model"

STACKED = 7
"""Mel frames in a frame of the network (`lfr_m`)."""
STRIDE = 6
"""Mel frames from one frame of the network to the next (`lfr_n`)."""
FEATURES = STACKED * fbank.BANDS
QUERIES = 16
"""Rows of the embedding that asks for a language, a style of text and so on."""
MAX_CHECKPOINT_BYTES = 2 * 2**30
HINT = "Download https://modelscope.cn/models/iic/SenseVoiceSmall again, with its large files."
_FRONTEND = {
    "fs": "16000",
    "window": "hamming",
    "n_mels": str(fbank.BANDS),
    "frame_length": "25",
    "frame_shift": "10",
    "lfr_m": str(STACKED),
    "lfr_n": str(STRIDE),
}
_ENCODER = {
    "input_layer": "pe",
    "pos_enc_class": "SinusoidalPositionEncoder",
    "normalize_before": "true",
    "sanm_shfit": "0",
    "selfattention_layer_type": "sanm",
}
_TRAINING = {"dropout_rate", "positional_dropout_rate", "attention_dropout_rate"}
"""Settings of the encoder that change nothing here."""
_IGNORED = {"cmvn_file", "dither"}
"""Settings of the front end that change nothing here: dither is noise, and 0 when serving."""


class Sizes(NamedTuple):
    """The sizes of the network, by their names in `encoder_conf`."""

    output_size: int
    attention_heads: int
    linear_units: int
    num_blocks: int
    tp_blocks: int
    kernel_size: int

    @property
    def layers(self) -> list[str]:
        """Return the names of the layers, in their order."""
        first = [f"encoders.{n}" for n in range(self.num_blocks - 1)]
        return ["encoders0.0", *first, *(f"tp_encoders.{n}" for n in range(self.tp_blocks))]


class Published(NamedTuple):
    """A SenseVoiceSmall as it was published."""

    sizes: Sizes
    weights: Weights
    """By their names in the checkpoint."""
    shift: npt.NDArray[np.float64]
    """[560], added to the features before `scale`."""
    scale: npt.NDArray[np.float64]
    """[560], then multiplied."""
    pieces: Pieces


def read(checkpoint: Path, config: Path, cmvn: Path, pieces: Path) -> Published:
    """Read a model from its files.

    Raises:
        ModelMissing: a file is absent, damaged, or of a model that the converter does not know.
    """
    sizes = read_sizes(config)
    shift, scale = FunAsrFile(cmvn, HINT).cmvn(FEATURES)
    found = read_pieces(pieces, HINT)
    tags = found.tags()
    if missing := [name for name in REQUIRED if name not in tags]:
        FunAsrFile(pieces, HINT).refuse(f"it has no piece <|{missing[0]}|>")
    weights = read_weights(checkpoint, sizes, len(found.texts))
    return Published(sizes, weights, shift, scale, found)


def read_sizes(path: Path) -> Sizes:
    """Read the network's sizes, and check that the rest of the settings is what we compute.

    Raises:
        ModelMissing: it is absent, or the settings are others.
    """
    file = FunAsrFile(path, HINT)
    found = file.sections(("encoder_conf", "frontend_conf", "model_conf"))
    top = found[""]
    names = {"model": "SenseVoiceSmall", "encoder": "SenseVoiceEncoderSmall"}
    file.expect(top, {**names, "frontend": "WavFrontend", "tokenizer": "SentencepiecesTokenizer"})
    if top.get("normalize", "null") != "null":
        file.refuse("normalize should be null")
    if found["model_conf"].get("blank_id", "0") != "0":
        file.refuse("blank_id should be 0")
    file.expect(found["frontend_conf"], _FRONTEND, _IGNORED)
    encoder = found["encoder_conf"]
    file.expect(encoder, _ENCODER, {*Sizes._fields, *_TRAINING})
    names_of_sizes = [name for name in Sizes._fields if name != "tp_blocks"]
    numbers = file.sizes("encoder_conf", encoder, names_of_sizes)
    sizes = Sizes(**numbers, **file.sizes("encoder_conf", encoder, ["tp_blocks"], least=0))
    if sizes.output_size % sizes.attention_heads or sizes.output_size == FEATURES:
        file.refuse("encoder_conf.output_size should be a multiple of attention_heads, not 560")
    if not sizes.kernel_size % 2:
        file.refuse("encoder_conf.kernel_size should be odd")
    return sizes


def read_weights(path: Path, sizes: Sizes, tokens: int) -> Weights:
    """Read the weights of the network.

    Raises:
        ModelMissing: it is absent or damaged, or a weight is not of these sizes.
    """
    file = FunAsrFile(path, HINT)
    try:
        w = read_state_dict(path, HINT, MAX_CHECKPOINT_BYTES)
    except OSError as error:
        file.unreadable(error)
    check_shapes(path.name, w, dict(shapes(sizes, tokens)), is_complete=True, hint=HINT)
    for name, values in w.items():
        if values.dtype != np.float32 or not np.isfinite(values).all():
            file.refuse(f"the numbers of {name} are of another type, or not finite")
    return w


def shapes(sizes: Sizes, tokens: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Name and shape of every weight of the checkpoint."""
    width = sizes.output_size
    yield "embed.weight", (QUERIES, FEATURES)
    for layer in sizes.layers:
        name = f"encoder.{layer}"
        inputs = FEATURES if layer == "encoders0.0" else width
        yield from _affine(f"{name}.self_attn.linear_out", width, width)
        yield from _affine(f"{name}.self_attn.linear_q_k_v", inputs, 3 * width)
        yield f"{name}.self_attn.fsmn_block.weight", (width, 1, sizes.kernel_size)
        yield from _affine(f"{name}.feed_forward.w_1", width, sizes.linear_units)
        yield from _affine(f"{name}.feed_forward.w_2", sizes.linear_units, width)
        yield from _norm(f"{name}.norm1", inputs)
        yield from _norm(f"{name}.norm2", width)
    yield from _norm("encoder.after_norm", width)
    yield from _norm("encoder.tp_norm", width)
    yield from _affine("ctc.ctc_lo", width, tokens)


def _affine(name: str, inputs: int, outputs: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.weight", (outputs, inputs)
    yield f"{name}.bias", (outputs,)


def _norm(name: str, size: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"{name}.weight", (size,)
    yield f"{name}.bias", (size,)
