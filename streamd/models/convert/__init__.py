"""From published weights to the graphs that streamd runs, each checked against its original."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from streamd.models.catalogue import Model
from streamd.models.convert import (
    campplus,
    campplus_int8,
    check,
    ge2e,
    ge2e_int8,
    heads,
    openwakeword,
    silero,
)
from streamd.models.convert.graph import Loader


def convert(model: Model, sources: Sequence[Path], directory: Path, load: Loader) -> list[Path]:
    """Convert one model and check it.

    Args:
        model: which.
        sources: its `members`, extracted, in their order.
        directory: where to write its `files`; not where the sources are.
        load: a backend's `load`, to run both graphs with.

    Returns:
        The files, in the order of the catalogue.

    Raises:
        ModelMissing: a source is not what the converter knows, or the converted graph's answers
            differ from the original's on the check clip.
    """
    made = [directory / name for name in model.files]
    if model.module == "transcript":
        # CTranslate2's own format, each file with a hash of its own: nothing to convert.
        for source, file in zip(sources, made, strict=True):
            shutil.copyfile(source, file)
    elif model.word is not None:
        heads.convert(model.word.name, model.word.window, sources[0], made[0])
        check.head(model.word.window, sources, made[0], load)
    elif made[0].name == "silero.onnx":
        silero.convert(sources[0], made[0])
        check.silero(sources[1], made[0], load)
    elif made[0].name == "wake_embed.onnx":
        openwakeword.convert(sources[0], sources[1], made[0])
        openwakeword.convert_prime(sources[1], made[1], load)
        check.wake_embed(sources[0], sources[1], made[0], made[1], load)
    elif made[0].name == "ge2e_int8.onnx":
        ge2e_int8.convert(sources[0], made[0])
        check.ge2e(sources[0], made[0], load, check.INT8)
    elif made[0].name == "campplus.onnx":
        campplus.convert(sources[0], made[0])
        check.campplus(made[0], load, check.CAMPPLUS_COSINE)
    elif made[0].name == "campplus_int8.onnx":
        campplus_int8.convert(sources[0], made[0])
        check.campplus(made[0], load, check.CAMPPLUS_INT8_COSINE)
    else:
        ge2e.convert(sources[0], made[0])
        check.ge2e(sources[0], made[0], load, check.EXACT)
    return made
