"""CAM++ of another training: the converted graph is ModelScope's own network."""

import numpy as np
import pytest
from drawn_weights import campplus_file
from needs import toolkit

from streamd.config.sections import TorchConfig
from streamd.engine.backends.onnxruntime import OnnxRuntime
from streamd.models.convert import campplus

STARTS = (8_000, 17_000, 30_000)


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    """The network in torch, and the converted graph."""
    torch = toolkit("torch")
    toolkit("modelscope")
    import modelscope_networks

    folder = tmp_path_factory.mktemp("campplus")
    path = campplus_file(folder / "campplus_cn_common.bin")
    network = modelscope_networks.campplus()(80, 192)
    network.load_state_dict(torch.load(path, weights_only=True), strict=True)
    torch.save(network.state_dict(), path)  # what torch itself saves is read as well
    campplus.convert(path, folder / "campplus.onnx")
    return network, folder / "campplus.onnx"


@pytest.mark.parametrize("backend", ["onnxruntime", "torch"])
def test_the_graph_is_the_network(both, backend):
    import modelscope_networks as ours

    network, path = both
    if backend == "torch":
        from streamd.engine.backends.torch import Torch

        run = Torch(TorchConfig(device="cpu")).load(path)
    else:
        run = OnnxRuntime().load(path)
    windows = [ours.speech(start) for start in STARTS]
    (got,) = run({"audio": np.array(windows, np.float32)})
    np.testing.assert_allclose(got, ours.embeddings(network, windows), atol=1e-5)
    published = ours.embeddings(network, windows, 32_768.0)
    assert (got * published).sum(axis=1).min() > 0.99
