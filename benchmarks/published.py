"""Published models in their own toolkits beside streamd, on the same audio, in milliseconds.

Run it in the environment of `make test-models`, with the rows that are wanted, or all:

    .venv-models/bin/python benchmarks/published.py ecapa campplus --cores 1 --cores 2

A figure is the least wall milliseconds that an item took, in a process of its own that may use so
many cores. streamd's graph runs on one thread, so with two cores two threads share the batch, or
have an item each. streamd's figures include the features. Those of a toolkit do not, except where
the row says so. Weights are drawn at random in the published sizes: they cost what others do.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

TESTS = Path(__file__).parents[1] / "tests"
sys.path[:0] = [str(TESTS.parent), str(TESTS), str(TESTS / "published")]

import numpy as np  # noqa: E402

Step = Callable[[], Any]
"""Runs one batch."""


class Row(NamedTuple):
    """A model in several runtimes, the toolkit first."""

    title: str
    runtimes: Mapping[str, Callable[[int, int, Path], Step]]
    """By name, what makes the step for a batch and a number of cores, with a folder for files."""


def speech(samples: int, batch: int) -> np.ndarray:
    """Windows of the committed speech, int16 scale, [batch, samples]."""
    import soundfile

    clip, _ = soundfile.read(TESTS / "data" / "speech_slt.flac", dtype="int16")
    starts = [8_000 + 3_001 * n % (len(clip) - samples - 8_000) for n in range(batch)]
    return np.array([clip[start : start + samples] for start in starts], np.float32)


def threads(run: Callable[[np.ndarray], Any], audio: np.ndarray, cores: int) -> Step:
    """A step that runs a batch on as many threads as there are cores."""
    parts = np.array_split(audio, cores) if len(audio) >= cores > 1 else [audio] * cores
    pool = ThreadPoolExecutor(cores)
    return lambda: list(pool.map(run, parts))


def onnx(convert: Callable[[Path], None], samples: int) -> Callable[[int, int, Path], Step]:
    """Streamd's graph on onnxruntime."""

    def make(batch: int, cores: int, folder: Path) -> Step:
        from streamd.engine.backends.onnxruntime import OnnxRuntime

        path = folder / "graph.onnx"
        if not path.exists():
            convert(path)
        run = OnnxRuntime().load(path)
        return threads(lambda audio: run({"audio": audio}), speech(samples, batch), cores)

    return make


ECAPA_SAMPLES, WINDOW = 32_000, 25_600


def ecapa_checkpoint(folder: Path) -> Path:
    from mindspore_files import ecapa_weights, write

    from streamd.models.convert.ecapa import Sizes

    path = folder / "ecapatdnn_vox12.ckpt"
    return path if path.exists() else write(path, ecapa_weights(Sizes(1024, 128, 128, 192)))


def ecapa_onnx(*, is_int8: bool) -> Callable[[int, int, Path], Step]:
    from streamd.models.convert import ecapa

    def convert(path: Path) -> None:
        ecapa.convert(ecapa_checkpoint(path.parent), path, 32_768.0, is_int8=is_int8)

    return onnx(convert, ECAPA_SAMPLES)


def ecapa_mindspore(batch: int, cores: int, folder: Path) -> Step:
    """The network in MindSpore's graph mode, compiled for this batch and length."""
    import mindspore as ms

    from streamd.engine.backends.mindspore import Ecapa
    from streamd.models.convert.ecapa import Sizes

    ms.set_context(mode=ms.GRAPH_MODE, runtime_num_threads=cores)
    network = Ecapa(Sizes(1024, 128, 128, 192))
    network.set_train(False)
    ms.load_param_into_net(network, ms.load_checkpoint(str(ecapa_checkpoint(folder))))
    rng = np.random.default_rng(1)
    features = ms.Tensor(rng.normal(0, 10, (batch, ECAPA_SAMPLES // 160 + 1, 80)).astype("f"))
    return lambda: network(features).asnumpy()


def torch_network(name: str, make_file: Callable[[Path], Path], *sizes: int) -> Any:
    """A network of ModelScope in torch."""

    def make(batch: int, cores: int, folder: Path) -> Step:
        import modelscope_networks as toolkit
        import torch

        torch.set_num_threads(cores)
        network = getattr(toolkit, name)()(*sizes)
        path = make_file(folder / "checkpoint")
        network.load_state_dict(torch.load(path, weights_only=True))
        network.eval()
        windows = speech(WINDOW, batch)
        features = torch.from_numpy(np.stack([toolkit.features(w) for w in windows]))

        def step() -> Any:
            with torch.inference_mode():
                return network(features).numpy()

        return step

    return make


def campplus_onnx(*, is_int8: bool) -> Callable[[int, int, Path], Step]:
    from drawn_weights import campplus_file

    from streamd.models.convert import campplus, campplus_int8

    convert = campplus_int8.convert if is_int8 else campplus.convert
    return onnx(lambda path: convert(campplus_file(path.with_name("c")), path), WINDOW)


def eres2netv2_onnx(batch: int, cores: int, folder: Path) -> Step:
    from drawn_weights import PUBLISHED, eres2netv2_file

    from streamd.models.convert import eres2netv2

    def convert(path: Path) -> None:
        eres2netv2.convert(eres2netv2_file(path.with_name("e"), PUBLISHED), path)

    return onnx(convert, WINDOW)(batch, cores, folder)


def rows() -> dict[str, Row]:
    import published_keywords
    import published_sensevoice
    from drawn_weights import PUBLISHED, campplus_file, eres2netv2_file

    return {
        "ecapa": Row(
            "ECAPA-TDNN, 2 s",
            {
                "MindSpore, graph mode": ecapa_mindspore,
                "streamd": ecapa_onnx(is_int8=False),
                "streamd, int8": ecapa_onnx(is_int8=True),
            },
        ),
        "campplus": Row(
            "CAM++, 1.6 s",
            {
                "ModelScope, torch": torch_network("campplus", campplus_file, 80, 192),
                "streamd": campplus_onnx(is_int8=False),
                "streamd, int8": campplus_onnx(is_int8=True),
            },
        ),
        "eres2netv2": Row(
            "ERes2NetV2, 1.6 s",
            {
                "ModelScope, torch": torch_network(
                    "eres2netv2", lambda path: eres2netv2_file(path, PUBLISHED)
                ),
                "streamd": eres2netv2_onnx,
            },
        ),
        "sensevoice": Row(
            "SenseVoiceSmall, 2 s, from samples to text", published_sensevoice.RUNTIMES
        ),
        "xiaoyun": Row("XiaoYun, 3 s, from samples to the decision", published_keywords.RUNTIMES),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="benchmarks/published.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("rows", nargs="*", help="default: all")
    parser.add_argument("--cores", type=int, action="append", help="default: 1")
    parser.add_argument("--batch", type=int, action="append", help="default: 1, 8, 32")
    parser.add_argument("--seconds", type=float, default=2.0, help="for each figure")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    wanted.cores, wanted.batch = wanted.cores or [1], wanted.batch or [1, 8, 32]
    if wanted.child:
        child(*wanted.child, wanted)
        return
    table = rows()
    for name in wanted.rows or table:
        for cores in wanted.cores:
            show(table[name], name, cores, wanted)


def child(name: str, runtime: str, wanted: argparse.Namespace) -> None:
    """Measure one runtime, and print milliseconds by batch."""
    cores = wanted.cores[0]
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:cores]))
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for batch in wanted.batch:
            step = rows()[name].runtimes[runtime](batch, cores, Path(folder))
            items = max(batch, cores) if runtime.startswith("streamd") else batch
            found[batch] = 1000 * least(step, wanted.seconds) / items
    print(json.dumps(found))


def least(step: Step, seconds: float) -> float:
    """The least seconds of a step, after one to warm up; at least two, if they take minutes."""
    step()
    taken, began = [], time.perf_counter()
    while len(taken) < 2 or time.perf_counter() - began < seconds:
        start = time.perf_counter()
        step()
        taken.append(time.perf_counter() - start)
    return min(taken)


def show(row: Row, name: str, cores: int, wanted: argparse.Namespace) -> None:
    """Measure all runtimes of a row, and print them with their ratios to the toolkit."""
    print(f"{row.title}, {cores} core{'s' if cores > 1 else ''}, ms an item", flush=True)
    print(f"{'':24}" + "".join(f"{f'batch {batch}':>18}" for batch in wanted.batch), flush=True)
    toolkit: dict[str, float] = {}
    for runtime in row.runtimes:
        command = [sys.executable, __file__, "--child", name, runtime]
        command += [f"--cores={cores}", f"--seconds={wanted.seconds}"]
        command += [f"--batch={batch}" for batch in wanted.batch]
        environment = os.environ | {"OMP_NUM_THREADS": str(cores), "GLOG_v": "3"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"{runtime:24} failed: {done.stderr.strip().splitlines()[-1]}", flush=True)
            continue
        figures = json.loads(done.stdout.splitlines()[-1])
        toolkit = toolkit or figures
        shown = [f"{ms:10.1f} {toolkit[b] / ms:5.1f} ×" for b, ms in figures.items()]
        print(f"{runtime:24}" + "".join(f"{one:>18}" for one in shown), flush=True)


if __name__ == "__main__":
    main()
