"""Records what ERes2NetV2 in torch makes of the committed speech, with weights drawn at random.

Run once, by hand, in the environment of `make test-models`, and commit what it writes here,
`eres2netv2_reference.npz`:

    PYTHONPATH=tests:tests/published .venv-models/bin/python tests/data/make_eres2netv2_reference.py

The network is ModelScope's own, and the features are kaldi-native-fbank's.
"""

import tempfile
from pathlib import Path

import numpy as np
import torch
from drawn_weights import SMALL, eres2netv2_file
from modelscope_networks import embeddings, eres2netv2, speech

HERE = Path(__file__).parent
STARTS = (8_000, 28_011, 48_022)


def main() -> None:
    """Write the file."""
    network = eres2netv2()(
        m_channels=SMALL.channels,
        embed_dim=SMALL.embedding,
        baseWidth=SMALL.width,
        scale=SMALL.parts,
        expansion=SMALL.expansion,
    )
    with tempfile.TemporaryDirectory() as folder:
        path = eres2netv2_file(Path(folder) / "eres2netv2.ckpt")
        network.load_state_dict(torch.load(path, weights_only=True), strict=True)
    found = embeddings(network, [speech(start) for start in STARTS])
    np.savez_compressed(HERE / "eres2netv2_reference.npz", start=np.array(STARTS), embedding=found)


if __name__ == "__main__":
    main()
