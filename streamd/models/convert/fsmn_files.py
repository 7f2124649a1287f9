"""The files of a ModelScope directory with an FSMN-CTC model: sizes, CMVN, tokens and weights.

Source: FunASR's `FsmnKWS`, `WavFrontend` and `CharTokenizer`, and the names in its example for
`iic/speech_charctc_kws_phone-xiaoyun`. A file is read whole or refused: a setting that would change
the numbers, and that this reader does not know, is an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, NoReturn

import numpy as np
import numpy.typing as npt

from streamd.errors import ModelMissing
from streamd.models.convert import fbank
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
MAX_TEXT_BYTES = 2**20
_MAX_SIZE = 16_384
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
    found = _sections(path)
    _expect(path, found[""], {"model": "FsmnKWS", "encoder": "FSMN", "frontend": "WavFrontend"})
    if found[""].get("normalize", "null") != "null":
        _refuse(path, "normalize should be null")
    _expect(path, found["frontend_conf"], _FRONTEND, _IGNORED)
    encoder = found["encoder_conf"]
    fixed = {"lstride": "1", "rstride": "1", "use_softmax": "false", "input_dim": str(FEATURES)}
    _expect(path, encoder, fixed, set(Sizes._fields))
    numbers = {name: encoder.get(name, "") for name in Sizes._fields}
    for name, value in numbers.items():
        if not re.fullmatch(r"[1-9][0-9]{0,5}", value) or int(value) > _MAX_SIZE:
            _refuse(path, f"encoder_conf.{name} should be a size, found {value[:50]!r}")
    sizes = Sizes(**{name: int(value) for name, value in numbers.items()})
    if sizes.output_dim < BEST:
        _refuse(path, f"encoder_conf.output_dim should be at least {BEST}")
    return sizes


def read_cmvn(path: Path) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Read shift and scale, [400] each, from a network in Kaldi's text form.

    Raises:
        ModelMissing: it is absent or damaged.
    """
    words = _text(path).split()
    vectors = []
    for name in ("<AddShift>", "<Rescale>"):
        # <AddShift> 400 400 <LearnRateCoef> 0 [ ... ]
        start = words.index(name) if words.count(name) == 1 else -1
        head = [name, str(FEATURES), str(FEATURES), "<LearnRateCoef>"]
        body = words[start + 5 :]
        if start < 0 or words[start : start + 4] != head or body[:1] != ["["] or "]" not in body:
            _refuse(path, f"it has no {name} of {FEATURES} numbers")
        try:
            vector = np.array(body[1 : body.index("]")], np.float64)
        except ValueError as error:
            _refuse(path, f"a number of {name} is none ({str(error)[:100]})")
        if vector.shape != (FEATURES,) or not np.isfinite(vector).all():
            _refuse(path, f"{name} should have {FEATURES} finite numbers, found {len(vector)}")
        vectors.append(vector)
    return vectors[0], vectors[1]


def read_tokens(path: Path, count: int) -> tuple[str, ...]:
    """Read the tokens, one a line.

    Raises:
        ModelMissing: it is absent, or its tokens are not `count` different ones.
    """
    tokens = tuple(line.rstrip() for line in _text(path).removesuffix("\n").split("\n"))
    if len(tokens) != count:
        _refuse(path, f"it should have {count} tokens, found {len(tokens)}")
    if len(set(tokens)) != count or "" in tokens:
        _refuse(path, "a token is empty or there twice")
    return tokens


def read_lexicon(path: Path) -> dict[str, str]:
    """Read the lexicon: a word and its tokens in each line, with spaces between them.

    Raises:
        ModelMissing: it cannot be read, or is too large.
    """
    lines = (line.split() for line in _text(path).split("\n"))
    return {line[0]: " ".join(line[1:]) for line in lines if line}


def read_weights(path: Path, sizes: Sizes) -> Weights:
    """Read the weights of the network.

    Raises:
        ModelMissing: it is absent or damaged, or a weight is not of these sizes.
    """
    try:
        w = read_state_dict(path, HINT)
    except OSError as error:
        _unreadable(path, error)
    check_shapes(path.name, w, dict(shapes(sizes)), is_complete=True, hint=HINT)
    for name, values in w.items():
        if values.dtype != np.float32 or not np.isfinite(values).all():
            _refuse(path, f"the numbers of {name} are of another type, or not finite")
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


def _sections(path: Path) -> dict[str, dict[str, str]]:
    """The scalars at the top of a YAML file (under "") and of its two sections that matter.

    The other sections are for training, and are passed over.
    """
    found: dict[str, dict[str, str]] = {"": {}, "encoder_conf": {}, "frontend_conf": {}}
    section = ""
    for number, line in enumerate(_text(path).split("\n"), 1):
        line = re.sub(r"(^|\s)#.*", "", line).rstrip()
        is_inner = line.startswith((" ", "-"))
        if not line or line == "---" or (is_inner and section not in found):
            continue
        match = re.fullmatch(r" *([A-Za-z_][A-Za-z0-9_]*):(?: +(\S.*))?", line)
        if match is None or (is_inner and not section):
            _refuse(path, f"line {number} is no setting")
        name, value = match[1], (match[2] or "").strip("'\"")
        if not is_inner:
            section = name if not value else ""
        target = found[section if is_inner else ""]
        if name in target:
            _refuse(path, f"line {number} sets {name} again")
        target[name] = value
    return found


def _expect(
    path: Path, found: Mapping[str, str], fixed: Mapping[str, str], more: set[str] | None = None
) -> None:
    """Refuse settings that differ from `fixed`, and others than those and `more` if it is given."""
    for name, value in fixed.items():
        if found.get(name, "").lower() != value.lower():
            _refuse(path, f"{name} should be {value}, found {found.get(name, 'nothing')[:50]!r}")
    if more is not None and (unknown := sorted(set(found) - set(fixed) - more)):
        _refuse(path, f"it sets {unknown[0][:50]}")


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_TEXT_BYTES + 1)
    except OSError as error:
        _unreadable(path, error)
    if len(content) > MAX_TEXT_BYTES:
        _refuse(path, f"it has more than {MAX_TEXT_BYTES} bytes")
    try:
        return content.decode().replace("\r\n", "\n")
    except UnicodeDecodeError:
        _refuse(path, "it is no UTF-8 text")


def _unreadable(path: Path, error: OSError) -> NoReturn:
    raise ModelMissing(f"cannot read {path} ({error.strerror or error}). {HINT}") from error


def _refuse(path: Path, why: str) -> NoReturn:
    raise ModelMissing(f"{path.name} is not the file that this converter knows: {why}. {HINT}")
