"""The files of a ModelScope directory with an FSMN-CTC model: sizes, CMVN, tokens and weights.

Source: FunASR's `FsmnKWS`, `WavFrontend` and `CharTokenizer`, and the names in its example for
`iic/speech_charctc_kws_phone-xiaoyun`. A file is read whole or refused: a setting that would change
the numbers, and that this reader does not know, is an error.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from streamd.models.convert import fbank
from streamd.models.convert.funasr_files import FunAsrFile
from streamd.models.convert.graph import Weights, check_shapes
from streamd.models.convert.zip_checkpoint import read_state_dict

FOLDER = "funasr"
"""Folder of the ModelScope directory that holds the files for FunASR."""
NAME = "fsmn_4e_l10r2_250_128_fdim80_t2599"
CONFIG = f"inference_{NAME}.yaml"
CHECKPOINT = f"finetune_{NAME}_xiaoyun_xiaoyun.pt"
CMVN = "am.mvn.dim80_l2r2"
TOKENS = "tokens_2599.txt"
LEXICON = "lexicon.txt"
"""How words are written in tokens; a directory may be without it."""

STACKED = 5
"""Mel frames in a frame of the network (`lfr_m`)."""
STRIDE = 3
"""Mel frames from one frame of the network to the next (`lfr_n`)."""
FEATURES = STACKED * fbank.BANDS
BEST = 3
"""Tokens of a frame that FunASR's search looks at."""
HINT = (
    "Download https://modelscope.cn/models/iic/speech_charctc_kws_phone-xiaoyun again, "
    "with its large files."
)
_FRONTEND = {
    "fs": "16000",
    "window": "hamming",
    "n_mels": str(fbank.BANDS),
    "frame_length": "25",
    "frame_shift": "10",
    "lfr_m": str(STACKED),
    "lfr_n": str(STRIDE),
}
_IGNORED = {"cmvn_file", "dither"}
"""Settings of the front end that change nothing here: dither is noise, and 0 when serving."""


class Sizes(NamedTuple):
    """The sizes of the network, by their names in `encoder_conf`."""

    input_affine_dim: int
    fsmn_layers: int
    linear_dim: int
    proj_dim: int
    lorder: int
    """Frames that a layer's memory sees up to the present one."""
    rorder: int
    """Frames that it sees after the present one."""
    output_affine_dim: int
    output_dim: int
    """Tokens; 0 is the blank."""

    @property
    def delay(self) -> int:
        """Return the frames after a frame that its scores depend on."""
        return self.fsmn_layers * self.rorder

    @property
    def memory(self) -> int:
        """Return the frames before the newest one that a layer keeps."""
        return self.lorder - 1 + self.rorder


class Published(NamedTuple):
    """An FSMN-CTC model as it was published."""

    sizes: Sizes
    weights: Weights
    """By their names in the checkpoint."""
    shift: npt.NDArray[np.float64]
    """[400], added to the features before `scale`."""
    scale: npt.NDArray[np.float64]
    """[400], then multiplied."""
    tokens: tuple[str, ...]
    """What each output of the network stands for."""
    lexicon: Mapping[str, str]
    """How words are written in tokens, by word."""


def read(directory: Path) -> Published:
    """Read the model of a ModelScope directory.

    Raises:
        ModelMissing: a file is absent, damaged, or of a model that the converter does not know.
    """
    folder = directory / FOLDER
    sizes = read_sizes(folder / CONFIG)
    shift, scale = read_cmvn(folder / CMVN)
    tokens = read_tokens(folder / TOKENS, sizes.output_dim)
    weights = read_weights(folder / CHECKPOINT, sizes)
    path = folder / LEXICON
    lexicon = read_lexicon(path) if path.exists() else {}
    return Published(sizes, weights, shift, scale, tokens, lexicon)


def read_sizes(path: Path) -> Sizes:
    """Read the network's sizes, and check that the rest of the settings is what we compute.

    Raises:
        ModelMissing: it is absent, or the settings are others.
    """
    file = FunAsrFile(path, HINT)
    found = file.sections(("encoder_conf", "frontend_conf"))
    top = found[""]
    file.expect(top, {"model": "FsmnKWS", "encoder": "FSMN", "frontend": "WavFrontend"})
    if top.get("normalize", "null") != "null":
        file.refuse("normalize should be null")
    file.expect(found["frontend_conf"], _FRONTEND, _IGNORED)
    encoder = found["encoder_conf"]
    fixed = {"lstride": "1", "rstride": "1", "use_softmax": "false", "input_dim": str(FEATURES)}
    file.expect(encoder, fixed, Sizes._fields)
    sizes = Sizes(**file.sizes("encoder_conf", encoder, Sizes._fields))
    if sizes.output_dim < BEST:
        file.refuse(f"encoder_conf.output_dim should be at least {BEST}")
    return sizes


def read_cmvn(path: Path) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Read shift and scale, [400] each.

    Raises:
        ModelMissing: it is absent or damaged.
    """
    return FunAsrFile(path, HINT).cmvn(FEATURES)


def read_tokens(path: Path, count: int) -> tuple[str, ...]:
    """Read the tokens, one a line.

    Raises:
        ModelMissing: it is absent, or its tokens are not `count` different ones.
    """
    file = FunAsrFile(path, HINT)
    tokens = tuple(line.rstrip() for line in file.text().removesuffix("\n").split("\n"))
    if len(tokens) != count:
        file.refuse(f"it should have {count} tokens, found {len(tokens)}")
    if len(set(tokens)) != count or "" in tokens:
        file.refuse("a token is empty or there twice")
    return tokens


def read_lexicon(path: Path) -> dict[str, str]:
    """Read the lexicon: a word and its tokens in each line, with spaces between them.

    Raises:
        ModelMissing: it cannot be read, or is too large.
    """
    lines = (line.split() for line in FunAsrFile(path, HINT).text().split("\n"))
    return {line[0]: " ".join(line[1:]) for line in lines if line}


def read_weights(path: Path, sizes: Sizes) -> Weights:
    """Read the weights of the network.

    Raises:
        ModelMissing: it is absent or damaged, or a weight is not of these sizes.
    """
    file = FunAsrFile(path, HINT)
    try:
        w = read_state_dict(path, HINT)
    except OSError as error:
        file.unreadable(error)
    check_shapes(path.name, w, dict(shapes(sizes)), is_complete=True, hint=HINT)
    for name, values in w.items():
        if values.dtype != np.float32 or not np.isfinite(values).all():
            file.refuse(f"the numbers of {name} are of another type, or not finite")
    return w


def shapes(sizes: Sizes) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Name and shape of every weight of the checkpoint."""
    inner, wide, narrow = sizes.input_affine_dim, sizes.linear_dim, sizes.proj_dim
    yield from _affine("in_linear1", FEATURES, inner)
    yield from _affine("in_linear2", inner, wide)
    for layer in range(sizes.fsmn_layers):
        name = f"encoder.fsmn.{layer}"
        yield f"{name}.linear.linear.weight", (narrow, wide)
        yield f"{name}.fsmn_block.conv_left.weight", (narrow, 1, sizes.lorder, 1)
        yield f"{name}.fsmn_block.conv_right.weight", (narrow, 1, sizes.rorder, 1)
        yield from _affine(f"fsmn.{layer}.affine", narrow, wide)
    yield from _affine("out_linear1", wide, sizes.output_affine_dim)
    yield from _affine("out_linear2", sizes.output_affine_dim, sizes.output_dim)


def _affine(name: str, inputs: int, outputs: int) -> Iterator[tuple[str, tuple[int, ...]]]:
    yield f"encoder.{name}.linear.weight", (outputs, inputs)
    yield f"encoder.{name}.linear.bias", (outputs,)
