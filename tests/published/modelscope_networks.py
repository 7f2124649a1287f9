"""The speaker networks of the installed ModelScope package, out of its own source files.

`import modelscope.models` needs packages that ModelScope does not declare, and a torchaudio that
imports. The network of a model is in one file, and needs torch alone: its classes are made of that
file as it is, without the wrapper that registers it.
"""

import ast
import importlib.util
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import kaldi_native_fbank as knf
import numpy as np
import numpy.typing as npt
import soundfile
import torch

DATA = Path(__file__).parents[1] / "data"
_FOLDER = ("models", "audio", "sv")
_WANTED = {"collections", "math", "numpy", "torch", "typing"}


def network(file: str, **given: Any) -> types.SimpleNamespace:
    """Return the classes and functions of a file of `modelscope/models/audio/sv`.

    Args:
        file: its name, without `.py`.
        given: what it imports from other files of the package.
    """
    found = importlib.util.find_spec("modelscope")
    assert found is not None
    assert found.submodule_search_locations
    path = Path(found.submodule_search_locations[0]).joinpath(*_FOLDER, f"{file}.py")
    tree = ast.parse(path.read_bytes())
    tree.body = [node for node in tree.body if _is_network(node)]
    names: dict[str, Any] = dict(given)
    exec(compile(tree, str(path), "exec"), names)
    return types.SimpleNamespace(**names)


def campplus() -> Any:
    """Return `CAMPPlus`, the class."""
    layers = network("DTDNN_layers")
    return network("DTDNN", **vars(layers)).CAMPPlus


def eres2netv2() -> Any:
    """Return `ERes2NetV2`, the class."""
    pooling, fusion = network("pooling_layers"), network("fusion")
    return network("ERes2NetV2", pooling_layers=pooling, AFF=fusion.AFF).ERes2NetV2


def _is_network(node: ast.stmt) -> bool:
    if isinstance(node, ast.Import):
        return all(name.name.split(".")[0] in _WANTED for name in node.names)
    if isinstance(node, ast.ImportFrom):
        return str(node.module).split(".")[0] in _WANTED
    if isinstance(node, ast.ClassDef):
        return not node.decorator_list
    return isinstance(node, ast.FunctionDef)


def speech(start: int, samples: int = 25_600) -> npt.NDArray[np.int16]:
    """Return a span of the committed speech."""
    clip, _ = soundfile.read(DATA / "speech_slt.flac", dtype="int16")
    return clip[start : start + samples]


def features(window: npt.NDArray[np.int16], full_scale: float = 1.0) -> npt.NDArray[np.float32]:
    """Return Kaldi's features of a window, less their mean, `[T, 80]`.

    Args:
        window: samples at 16 kHz.
        full_scale: what a sample is divided by: 1, or 32768 as ModelScope's pipelines have it.
    """
    options = knf.FbankOptions()
    options.frame_opts.dither = 0
    options.mel_opts.num_bins = 80
    fbank = knf.OnlineFbank(options)
    fbank.accept_waveform(16_000, (window / full_scale).astype(np.float32).tolist())
    fbank.input_finished()
    frames = np.stack([fbank.get_frame(n) for n in range(fbank.num_frames_ready)])
    return frames - frames.mean(axis=0)


def embeddings(
    network: torch.nn.Module, windows: Sequence[npt.NDArray[np.int16]], full_scale: float = 1.0
) -> npt.NDArray[np.float32]:
    """Return the embeddings of windows of one length, each of length 1."""
    inputs = np.stack([features(window, full_scale) for window in windows])
    with torch.inference_mode():
        raw = network.eval()(torch.from_numpy(inputs)).numpy()
    return raw / np.linalg.norm(raw, axis=1, keepdims=True)
