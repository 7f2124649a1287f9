"""Records what Resemblyzer itself, with torch and librosa, makes of the committed speech.

Run once, by hand, in an environment of its own, and commit `ge2e_reference.npz`:

    python -m venv ref
    ref/bin/pip install torch==2.13.0 numpy librosa soundfile
    ref/bin/pip install --no-deps Resemblyzer==0.1.4
    ref/bin/python tests/data/make_ge2e_reference.py

Resemblyzer's `audio` imports `scipy.ndimage.morphology`, which new scipy lacks, and `webrtcvad`;
both serve only its trimming of silence, which is not used here. They are replaced by empty
modules before the import; volume, mel and network are its own.
"""

import sys
import types
from pathlib import Path

import numpy as np
import soundfile

HERE = Path(__file__).parent
LENGTHS = (25600, 19200, 16000, 12800, 6400)
"""Samples of the windows, 1.6 to 0.4 s."""


def resemblyzer():
    """Import the package without what it needs for trimming."""
    morphology = types.ModuleType("scipy.ndimage.morphology")
    morphology.binary_dilation = None
    sys.modules[morphology.__name__] = morphology
    sys.modules["webrtcvad"] = types.ModuleType("webrtcvad")
    import resemblyzer

    return resemblyzer


def main():
    """Embed windows of every clip."""
    import torch

    package = resemblyzer()
    encoder = package.VoiceEncoder("cpu", verbose=False)
    names, starts, lengths, embeddings, states = [], [], [], [], []
    for path in sorted(HERE.glob("speech_*.flac")):
        samples, rate = soundfile.read(path, dtype="int16")
        assert rate == 16000
        for number, length in enumerate(LENGTHS):
            start = 8000 + 20011 * number
            window = samples[start : start + length].astype(np.float32) / 32768
            loud = package.normalize_volume(window, -30, increase_only=True)
            mel = package.wav_to_mel_spectrogram(loud)[: min(160, length // 160)]
            with torch.no_grad():
                batch = torch.from_numpy(mel[None])
                embedding = encoder(batch)[0].numpy()
                layers = layer_states(encoder.lstm, batch)
            names.append(path.name)
            starts.append(start)
            lengths.append(length)
            embeddings.append(embedding)
            states.append(layers)
    np.savez_compressed(
        HERE / "ge2e_reference.npz",
        clip=np.array(names),
        start=np.array(starts),
        length=np.array(lengths),
        embedding=np.array(embeddings),
        states=np.array(states),
    )


def layer_states(lstm, batch):
    """Mean and deviation over time of layers 2 and 3, one layer of torch's LSTM at a time."""
    import torch

    parts = []
    for number in range(3):
        layer = torch.nn.LSTM(batch.shape[2], 256, 1, batch_first=True)
        layer.load_state_dict(
            {
                name.replace(f"_l{number}", "_l0"): value
                for name, value in lstm.state_dict().items()
                if name.endswith(f"_l{number}")
            }
        )
        batch, _ = layer(batch)
        if number:
            parts += [batch[0].mean(0), batch[0].std(0, unbiased=False)]
    return torch.cat(parts).numpy()


if __name__ == "__main__":
    main()
