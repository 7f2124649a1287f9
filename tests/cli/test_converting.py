"""`streamd models convert` writes a whole graph, or nothing and says why."""

import numpy as np
import pytest
from mindspore_files import SMALL, ecapa_weights, write

from streamd.engine.backends.onnxruntime import OnnxRuntime


def test_a_checkpoint_becomes_a_graph_that_runs(cli, tmp_path):
    source = write(tmp_path / "net.ckpt", ecapa_weights(), checksum=True)
    target = tmp_path / "net.onnx"
    done = cli("models", "convert", source, target)
    assert (done.code, done.out) == (0, "")
    assert str(target) in done.err
    audio = np.random.default_rng(1).normal(0, 0.1, (2, 16_000)).astype(np.float32)
    (embedding,) = OnnxRuntime().load(target)({"audio": audio})
    assert embedding.shape == (2, SMALL.width)
    np.testing.assert_allclose(np.linalg.norm(embedding, axis=1), 1, atol=1e-5)


def test_what_is_no_such_checkpoint_changes_no_file_and_names_the_reason(cli, tmp_path):
    source, target = tmp_path / "net.ckpt", tmp_path / "net.onnx"
    write(source, ecapa_weights())
    source.write_bytes(source.read_bytes()[:-1])
    target.write_text("kept")
    done = cli("models", "convert", source, target)
    assert done.code == 7
    assert "net.ckpt is not an intact checkpoint of MindSpore: it is cut off" in done.err
    assert target.read_text() == "kept"


@pytest.mark.parametrize("link", ["itself", "symbolic", "hard"])
def test_the_checkpoint_is_not_written_over_by_any_name(cli, tmp_path, link):
    source = write(tmp_path / "net.ckpt", ecapa_weights())
    before, target = source.read_bytes(), tmp_path / "net.onnx"
    if link == "symbolic":
        target.symlink_to(source)
    elif link == "hard":
        target.hardlink_to(source)
    else:
        target = tmp_path / "." / "net.ckpt"
    done = cli("models", "convert", source, target)
    assert done.code == 2
    assert "is the checkpoint itself" in done.err
    assert source.read_bytes() == before


def test_a_file_that_is_not_there_is_named(cli, tmp_path):
    done = cli("models", "convert", tmp_path / "none.ckpt", tmp_path / "net.onnx")
    assert done.code == 8
    assert "none.ckpt: No such file" in done.err
    assert not (tmp_path / "net.onnx").exists()


def test_a_folder_that_is_not_there_is_named(cli, tmp_path):
    source = write(tmp_path / "net.ckpt", ecapa_weights())
    done = cli("models", "convert", source, tmp_path / "none" / "net.onnx")
    assert done.code == 8
    assert "net.onnx: cannot be written" in done.err
