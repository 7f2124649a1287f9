"""CTranslate2 on the CPU, which runs Whisper. Only this file imports ctranslate2."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import ctranslate2
import numpy as np
import numpy.typing as npt

from streamd.arrays import PULL_AGAIN
from streamd.engine.whisper.transcriber import Decode, Decoded
from streamd.errors import ModelMissing

MAX_TOKENS = 448
"""Longest prompt and text of a window together that the network knows."""


def load_whisper(weights: Path, config: Path, vocabulary: Path, *, int8: bool = True) -> Decode:
    """Load a Whisper.

    It computes on one thread of its own, which inherits the priority of the thread that calls this.

    Args:
        weights: `model.bin` as CTranslate2 writes it.
        config: Its `config.json`.
        vocabulary: Its `vocabulary.txt`.
        int8: Compute the products of matrices in int8, else in float32.

    Returns:
        What decodes a window.

    Raises:
        ModelMissing: A file is not there or cannot be loaded.
    """
    files = {"model.bin": weights, "config.json": config, "vocabulary.txt": vocabulary}
    try:
        # By links in a folder, because CTranslate2 takes the content of files only with Python's
        # lock, for 45 ms, and voice activity would wait for that.
        with tempfile.TemporaryDirectory(prefix="streamd-") as folder:
            for name, path in files.items():
                Path(folder, name).symlink_to(path.absolute())
            model = ctranslate2.models.Whisper(
                folder,
                device="cpu",
                compute_type="int8_float32" if int8 else "float32",
                inter_threads=1,
                intra_threads=1,
            )
    except (OSError, RuntimeError, ValueError) as error:
        raise ModelMissing(f"cannot load the model {weights} ({error}). {PULL_AGAIN}") from error

    def decode(
        window: npt.NDArray[np.float32], prompt: Sequence[int], beam: int, most: int
    ) -> Decoded:
        features = ctranslate2.StorageView.from_array(np.ascontiguousarray(window[None]))
        (result,) = model.generate(
            features,
            [list(prompt)],
            beam_size=beam,
            max_length=min(len(prompt) + most, MAX_TOKENS),
            return_scores=True,
            return_no_speech_prob=True,
        )
        tokens = result.sequences_ids[0]
        # The score is the mean over the tokens of the text; the end of the text counts too.
        log_probability = result.scores[0] * len(tokens) / (len(tokens) + 1)
        return Decoded(tokens, log_probability, result.no_speech_prob)

    return decode
