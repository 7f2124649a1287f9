"""ERes2NetV2: the converted graph is ModelScope's own network."""

import numpy as np
import pytest
from drawn_weights import PUBLISHED, SMALL, eres2netv2_file
from needs import toolkit

from streamd.engine.backends.onnxruntime import OnnxRuntime
from streamd.models.convert import eres2netv2

WIDE = eres2netv2.Sizes(channels=16, width=24, parts=4, expansion=4, embedding=24)
"""As in `speech_eres2netv2w24s4ep4_sv_zh-cn_16k-common`, with fewer channels."""
SIZES = {"small": SMALL, "published": PUBLISHED, "w24s4ep4": WIDE}
STARTS = (8_000, 17_000, 30_000)


@pytest.fixture(scope="module", params=SIZES)
def both(request, tmp_path_factory):
    """The network in torch, and the converted graph."""
    torch = toolkit("torch")
    toolkit("modelscope")
    import modelscope_networks

    sizes = SIZES[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    path = eres2netv2_file(folder / "pretrained_eres2netv2.ckpt", sizes)
    network = modelscope_networks.eres2netv2()(
        m_channels=sizes.channels,
        embed_dim=sizes.embedding,
        baseWidth=sizes.width,
        scale=sizes.parts,
        expansion=sizes.expansion,
    )
    network.load_state_dict(torch.load(path, weights_only=True), strict=True)
    # What torch itself saves is read as well.
    torch.save(network.state_dict(), path)
    eres2netv2.convert(path, folder / "eres2netv2.onnx")
    return network, folder / "eres2netv2.onnx"


def test_the_graph_is_the_network(both):
    import modelscope_networks as ours

    network, path = both
    windows = [ours.speech(start) for start in STARTS]
    (got,) = OnnxRuntime().load(path)({"audio": np.array(windows, np.float32)})
    np.testing.assert_allclose(got, ours.embeddings(network, windows), atol=1e-5)
    # ModelScope's pipeline gives the network audio scaled ±1, where Kaldi's floor is near.
    published = ours.embeddings(network, windows, 32_768.0)
    assert (got * published).sum(axis=1).min() > 0.99


def test_it_is_the_same_on_the_torch_backend(both):
    import modelscope_networks as ours

    from streamd.config.sections import TorchConfig
    from streamd.engine.backends.torch import Torch

    network, path = both
    windows = [ours.speech(start) for start in STARTS]
    (got,) = Torch(TorchConfig(device="cpu")).load(path)({"audio": np.array(windows, np.float32)})
    np.testing.assert_allclose(got, ours.embeddings(network, windows), atol=1e-4)
