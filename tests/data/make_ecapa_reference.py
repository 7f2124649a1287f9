"""Records what ECAPA-TDNN in MindSpore makes of the committed speech.

Run once, by hand, in an environment of its own, and commit what it writes here: a checkpoint that
`mindspore.save_checkpoint` wrote (`ecapa_mindspore.ckpt`), of a small network with drawn weights,
and `ecapa_reference.npz` with the embeddings that MindSpore computes with it, and every tenth frame
of the first window's features.

    python3.11 -m venv ref
    ref/bin/pip install mindspore==2.10.0 numpy==1.26.4 soundfile
    ref/bin/python tests/data/make_ecapa_reference.py

The network is written here from its description (Desplanques et al. 2020, arXiv:2005.07143, and
the module names of MindAudio's `EcapaTDNN`), so that the names and shapes in the checkpoint are
those that MindSpore gives them. The features are of MindSpore's own operators.
"""

from pathlib import Path

import mindspore as ms
import numpy as np
import soundfile
from mindspore import Tensor, nn, ops
from mindspore.dataset import audio as msaudio

HERE = Path(__file__).parent
CHECKPOINT, REFERENCE = HERE / "ecapa_mindspore.ckpt", HERE / "ecapa_reference.npz"
SAMPLES = 32_000
STARTS = (8_000, 28_011, 48_022)
BANDS, CHANNELS, SQUEEZED, ATTENTION, WIDTH = 80, 16, 12, 10, 24


class Norm(nn.Cell):
    """Batch normalisation of [N, C, T]."""

    def __init__(self, channels):
        super().__init__()
        self.norm2d = nn.BatchNorm2d(channels)

    def construct(self, x):
        return self.norm2d(x.expand_dims(3)).squeeze(3)


class Tdnn(nn.Cell):
    """Convolution, ReLU, normalisation."""

    def __init__(self, into, out, taps, dilation=1):
        super().__init__()
        self.conv = nn.Conv1d(into, out, taps, dilation=dilation, has_bias=True)
        self.norm = Norm(out)

    def construct(self, x):
        return self.norm(ops.relu(self.conv(x)))


class Res2Net(nn.Cell):
    """Eight groups, each of which but the second gets the output of the one before."""

    def __init__(self, channels, dilation):
        super().__init__()
        part = channels // 8
        self.blocks = nn.CellList([Tdnn(part, part, 3, dilation) for _ in range(7)])

    def construct(self, x):
        groups = ops.split(x, x.shape[1] // 8, axis=1)
        outputs = [groups[0], self.blocks[0](groups[1])]
        for block, group in zip(self.blocks[1:], groups[2:], strict=True):
            outputs.append(block(group + outputs[-1]))
        return ops.cat(outputs, axis=1)


class Squeeze(nn.Cell):
    """Squeeze and excitation."""

    def __init__(self, channels, squeezed):
        super().__init__()
        self.conv1 = nn.Conv1d(channels, squeezed, 1, has_bias=True)
        self.conv2 = nn.Conv1d(squeezed, channels, 1, has_bias=True)

    def construct(self, x):
        mean = x.mean(2, True)
        return ops.sigmoid(self.conv2(ops.relu(self.conv1(mean)))) * x


class Block(nn.Cell):
    """An SE-Res2Net block."""

    def __init__(self, channels, squeezed, dilation):
        super().__init__()
        self.tdnn1 = Tdnn(channels, channels, 1)
        self.res2net_block = Res2Net(channels, dilation)
        self.tdnn2 = Tdnn(channels, channels, 1)
        self.se_block = Squeeze(channels, squeezed)

    def construct(self, x):
        return self.se_block(self.tdnn2(self.res2net_block(self.tdnn1(x)))) + x


class Pooling(nn.Cell):
    """Attentive statistics."""

    def __init__(self, channels, attention):
        super().__init__()
        self.tdnn = Tdnn(channels, attention, 1)
        self.conv = nn.Conv1d(attention, channels, 1, has_bias=True)

    def construct(self, x):
        share = ops.softmax(self.conv(ops.tanh(self.tdnn(x))), axis=2)
        mean = (share * x).sum(2)
        variance = (share * (x - mean.expand_dims(2)) ** 2).sum(2)
        deviation = ops.sqrt(ops.clamp(variance, 1e-12))
        return ops.cat((mean, deviation), axis=1).expand_dims(2)


class Ecapa(nn.Cell):
    """The network, from [N, T, 80] to [N, width]."""

    def __init__(self):
        super().__init__()
        # The list is empty when it gets its name, so the names of what follows begin with 0., 1.
        self.blocks = nn.CellList()
        self.blocks.append(Tdnn(BANDS, CHANNELS, 5))
        for dilation in (2, 3, 4):
            self.blocks.append(Block(CHANNELS, SQUEEZED, dilation))
        self.mfa = Tdnn(3 * CHANNELS, 3 * CHANNELS, 1)
        self.asp = Pooling(3 * CHANNELS, ATTENTION)
        self.asp_bn = Norm(6 * CHANNELS)
        self.fc = nn.Conv1d(6 * CHANNELS, WIDTH, 1, has_bias=True)

    def construct(self, x):
        x = x.swapaxes(1, 2)
        outputs = []
        for block in self.blocks:
            x = block(x)
            outputs.append(x)
        x = self.mfa(ops.cat(outputs[1:], axis=1))
        return self.fc(self.asp_bn(self.asp(x))).squeeze(2)


def features(window):
    """MindAudio's features [T, 80]."""
    utils = msaudio
    spectrogram = msaudio.Spectrogram(
        400, 400, 160, 0, utils.WindowType.HANN, 2.0, False, True, utils.BorderType.REFLECT, True
    )
    scale = msaudio.MelScale(BANDS, 16_000, 0, 8000, 201, utils.NormType.NONE, utils.MelType.HTK)
    db = 10 * np.log10(np.maximum(1e-10, scale(spectrogram(window))))
    db = np.maximum(db, db.max() - 80)
    return (db - db.mean(1, keepdims=True)).T.astype(np.float32)


def draw(net):
    """Give the network weights that keep the activations of each layer near 1."""
    rng = np.random.default_rng(11)
    for parameter in net.get_parameters():
        name, shape = parameter.name, parameter.shape
        if name.endswith(("gamma", "moving_variance")):
            values = rng.uniform(0.5, 1.5, shape)
        elif len(shape) == 1:
            values = rng.normal(0, 0.3, shape)
        else:
            values = rng.normal(0, np.prod(shape[1:]) ** -0.5, shape)
        if name == "0.conv.weight":
            values /= 10  # the features are in dB
        parameter.set_data(Tensor(values.astype(np.float32)))


def main():
    """Write both files."""
    ms.set_context(mode=ms.PYNATIVE_MODE)
    net = Ecapa()
    draw(net)
    net.set_train(False)
    CHECKPOINT.unlink(missing_ok=True)
    ms.save_checkpoint(net, str(CHECKPOINT), crc_check=True)
    CHECKPOINT.chmod(0o644)
    clip, _ = soundfile.read(HERE / "speech_slt.flac", dtype="float32")
    windows = [clip[start : start + SAMPLES] for start in STARTS]
    heard = np.stack([features(window) for window in windows])
    embeddings = net(Tensor(heard)).asnumpy()
    np.savez_compressed(
        REFERENCE, start=np.array(STARTS), embedding=embeddings, features=heard[0][::10].T
    )


if __name__ == "__main__":
    main()
