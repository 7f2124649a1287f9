"""SenseVoiceSmall's row of `published.py`: spans of 2 s, from samples to text."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

SAMPLES = 32_000

Step = Callable[[], Any]


def directory(folder: Path) -> Path:
    """A ModelScope directory of the published sizes, whose checkpoint torch itself wrote."""
    import sensevoice_made as made

    found = folder / "SenseVoiceSmall"
    if not found.exists():
        import torch

        tokens = made.write_texts(found, made.PUBLISHED, made.PUBLISHED_TOKENS)
        weights = made.weights(made.PUBLISHED, tokens)
        state = {name: torch.from_numpy(array) for name, array in weights.items()}
        torch.save(state, found / "model.pt")
    return found


def generate(batch: int, cores: int, folder: Path) -> Step:
    """What FunASR's users call, with the spans as one list."""
    import torch
    from funasr import AutoModel
    from published import speech

    model = AutoModel(
        model=str(directory(folder)),
        device="cpu",
        ncpu=cores,
        disable_update=True,
        disable_pbar=True,
        frontend_conf={"dither": 0.0},
    )
    torch.set_num_threads(cores)
    waves = list(speech(SAMPLES, batch) / 32_768)
    return lambda: model.generate(waves, language="auto", use_itn=False, batch_size=batch)


def streamd(*, is_int8: bool) -> Callable[[int, int, Path], Step]:
    """Streamd's converted network and decoder."""

    def make(batch: int, cores: int, folder: Path) -> Step:
        from published import speech, threads
        from sensevoice_made import sources

        from streamd.engine.backends.onnxruntime import OnnxRuntime
        from streamd.engine.sensevoice.model import SenseVoice
        from streamd.models.convert import sensevoice, sensevoice_files, sensevoice_int8
        from streamd.models.pieces import Pieces
        from streamd.types import RecogniserOptions

        graph, pieces = folder / "sensevoice.onnx", folder / "pieces.json"
        if not graph.exists():
            converter = sensevoice_int8 if is_int8 else sensevoice
            found = sensevoice_files.read(*sources(directory(folder)))
            converter.convert(found, graph, pieces)
        model = SenseVoice(OnnxRuntime().load(graph), Pieces.read(pieces))
        options = RecogniserOptions("auto", itn=False)
        audio = speech(SAMPLES, batch).astype(np.int16)
        return threads(lambda part: model.understand(part, [options] * len(part)), audio, cores)

    return make


RUNTIMES = {
    "FunASR, torch": generate,
    "streamd": streamd(is_int8=False),
    "streamd, int8": streamd(is_int8=True),
}
