"""MindSpore: runs ECAPA-TDNN out of the owner's checkpoint as it is. Only this file imports it.

It is the reference that a converted model is compared with, and takes several times as long as
onnxruntime: `[engine.backends] voiceprint = "mindspore"`. The features are MindSpore's own, too.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# MindSpore writes its log to stderr: errors alone.
os.environ.setdefault("GLOG_v", "3")

import numpy as np
import numpy.typing as npt

if not np.__version__.startswith("1."):
    raise ImportError(f"MindSpore fails with NumPy {np.__version__}: it is built for NumPy 1")

import mindspore as ms
from mindspore import Tensor, nn, ops
from mindspore.dataset import audio as transforms

from streamd.engine.backends.base import Graph
from streamd.engine.backends.host import Host
from streamd.errors import ConfigError, ModelMissing
from streamd.models.convert.ecapa import Sizes, read_sizes
from streamd.models.convert.ecapa_network import BLOCKS, SCALE

GRAPH = "ecapa_tdnn"
BANDS = 80
_RANGE_DB, _FLOOR = 80.0, 1e-10
_FULL_SCALE = 32_768.0


class MindSpore(Host):
    """Runs the network in graph mode, compiled once for every length and batch."""

    name = "mindspore"

    def file(self, graph: str) -> str:
        """Return the name of the file that holds a graph.

        Raises:
            ConfigError: It is not ECAPA-TDNN in float32, which alone is a checkpoint of MindSpore.
        """
        if graph != GRAPH:
            raise ConfigError(
                'the backend "mindspore" runs ECAPA-TDNN alone: set speaker.model = "ecapa" and, '
                'in [engine.backends], voiceprint = "mindspore"; leave engine.backend as it is'
            )
        return f"{graph}.ckpt"

    def load(self, path: Path) -> Graph:
        """Load a checkpoint.

        Raises:
            ModelMissing: the file is not there, or not a checkpoint of ECAPA-TDNN.
        """
        try:
            sizes, names = read_sizes(path)  # reads it as data, and refuses what is damaged
            network = _network(path, sizes, names)
        except OSError as error:
            raise ModelMissing(f"cannot load the model {path} ({error}).") from error
        # The compiled network of one process is for one caller at a time.
        turn = threading.Lock()

        def run(inputs: Mapping[str, npt.NDArray[Any]]) -> Sequence[npt.NDArray[Any]]:
            features = np.stack([_features(one / _FULL_SCALE) for one in inputs["audio"]])
            with turn:
                raw: npt.NDArray[np.float32] = network(Tensor(features)).asnumpy()
            lengths = np.linalg.norm(raw, axis=1, keepdims=True)
            return [raw / np.maximum(lengths, 1e-12)]

        return run


class Norm(nn.Cell):
    """Batch normalisation of [N, C, T]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm2d = nn.BatchNorm2d(channels)

    def construct(self, x: Tensor) -> Tensor:
        return self.norm2d(x.expand_dims(3)).squeeze(3)


class Tdnn(nn.Cell):
    """Convolution, ReLU, normalisation."""

    def __init__(self, into: int, out: int, taps: int, dilation: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv1d(into, out, taps, dilation=dilation, has_bias=True)
        self.norm = Norm(out)

    def construct(self, x: Tensor) -> Tensor:
        return self.norm(ops.relu(self.conv(x)))


class Res2Net(nn.Cell):
    """Groups of channels, each of which but the first two also gets the output of the one before.

    The first passes.
    """

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.part = channels // SCALE
        self.blocks = nn.CellList(
            [Tdnn(self.part, self.part, 3, dilation) for _ in range(SCALE - 1)]
        )

    def construct(self, x: Tensor) -> Tensor:
        groups = ops.split(x, self.part, axis=1)
        outputs = [groups[0], self.blocks[0](groups[1])]
        for number in range(1, SCALE - 1):
            outputs.append(self.blocks[number](groups[number + 1] + outputs[-1]))
        return ops.cat(outputs, axis=1)


class Squeeze(nn.Cell):
    """Squeeze and excitation."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv1d(channels, squeezed, 1, has_bias=True)
        self.conv2 = nn.Conv1d(squeezed, channels, 1, has_bias=True)

    def construct(self, x: Tensor) -> Tensor:
        mean = x.mean(2, True)
        return ops.sigmoid(self.conv2(ops.relu(self.conv1(mean)))) * x


class Block(nn.Cell):
    """An SE-Res2Net block."""

    def __init__(self, channels: int, squeezed: int, dilation: int) -> None:
        super().__init__()
        self.tdnn1 = Tdnn(channels, channels, 1)
        self.res2net_block = Res2Net(channels, dilation)
        self.tdnn2 = Tdnn(channels, channels, 1)
        self.se_block = Squeeze(channels, squeezed)

    def construct(self, x: Tensor) -> Tensor:
        return self.se_block(self.tdnn2(self.res2net_block(self.tdnn1(x)))) + x


class Pooling(nn.Cell):
    """Attentive statistics."""

    def __init__(self, channels: int, attention: int) -> None:
        super().__init__()
        self.tdnn = Tdnn(channels, attention, 1)
        self.conv = nn.Conv1d(attention, channels, 1, has_bias=True)

    def construct(self, x: Tensor) -> Tensor:
        share = ops.softmax(self.conv(ops.tanh(self.tdnn(x))), axis=2)
        mean = (share * x).sum(2)
        variance = (share * (x - mean.expand_dims(2)) ** 2).sum(2)
        deviation = ops.sqrt(ops.clamp(variance, 1e-12))
        return ops.cat((mean, deviation), axis=1).expand_dims(2)


class Ecapa(nn.Cell):
    """MindAudio's `EcapaTDNN` without global context, from [N, T, 80] to [N, width]."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        channels, squeezed, attention, width = sizes
        # The list is empty when it gets its name, so the names of what follows begin with 0., 1.
        self.blocks = nn.CellList()
        self.blocks.append(Tdnn(BANDS, channels, 5))
        for dilation in BLOCKS:
            self.blocks.append(Block(channels, squeezed, dilation))
        joined = channels * len(BLOCKS)
        self.mfa = Tdnn(joined, joined, 1)
        self.asp = Pooling(joined, attention)
        self.asp_bn = Norm(2 * joined)
        self.fc = nn.Conv1d(2 * joined, width, 1, has_bias=True)

    def construct(self, x: Tensor) -> Tensor:
        x = x.swapaxes(1, 2)
        outputs = []
        for block in self.blocks:
            x = block(x)
            outputs.append(x)
        x = self.mfa(ops.cat(outputs[1:], axis=1))
        return self.fc(self.asp_bn(self.asp(x))).squeeze(2)


def _network(path: Path, sizes: Sizes, names: Mapping[str, str]) -> Ecapa:
    """The network with the weights of a checkpoint, compiled.

    Args:
        path: the checkpoint.
        sizes: of its network.
        names: name of each weight in the checkpoint, by its name in the network.
    """
    found = ms.load_checkpoint(str(path))
    network = Ecapa(sizes)
    network.set_train(False)
    weights = {}
    for name, there in names.items():
        weights[name] = ms.Parameter(found[there].value(), name=name)
    left, _ = ms.load_param_into_net(network, weights, strict_load=True)
    if left:
        raise ModelMissing(f"{path.name}: MindSpore found no weight for {left[0]}.")
    ms.set_context(mode=ms.GRAPH_MODE)
    network.set_inputs(Tensor(shape=[None, None, BANDS], dtype=ms.float32))
    network(Tensor(np.zeros((1, 161, BANDS), np.float32)))  # it compiles with the first input
    return network


def _features(window: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """MindAudio's features [T, 80] of samples scaled ±1, by MindSpore's own operators."""
    db = 10 * np.log10(np.maximum(_FLOOR, _MEL(_SPECTROGRAM(window))))
    db = np.maximum(db, db.max() - _RANGE_DB)
    features: npt.NDArray[np.float32] = (db - db.mean(1, keepdims=True)).T.astype(np.float32)
    return features


_SPECTROGRAM = transforms.Spectrogram(
    n_fft=400,
    win_length=400,
    hop_length=160,
    pad=0,
    window=transforms.WindowType.HANN,
    power=2.0,
    normalized=False,
    center=True,
    pad_mode=transforms.BorderType.REFLECT,
    onesided=True,
)
_MEL = transforms.MelScale(
    BANDS, 16_000, 0, 8000, 201, transforms.NormType.NONE, transforms.MelType.HTK
)
