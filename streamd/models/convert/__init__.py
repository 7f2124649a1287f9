"""From published weights to the graphs that streamd runs, each checked against its original."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from streamd.models import catalogue
from streamd.models.catalogue import EMBEDDING_ID, MODELS, TRANSCRIPT_ID, Model
from streamd.models.convert import (
    campplus,
    campplus_int8,
    check,
    ecapa,
    eres2netv2,
    fsmn,
    fsmn_check,
    fsmn_files,
    ge2e,
    ge2e_int8,
    heads,
    openwakeword,
    sensevoice,
    sensevoice_check,
    sensevoice_files,
    sensevoice_int8,
    silero,
)
from streamd.models.convert.graph import Loader

INT16 = 32_768.0
"""The sample that is 1.0, in the audio of a pass."""
CAMPPLUS_COMMON = (
    "Give campplus_cn_common.bin of iic/speech_campplus_sv_zh-cn_16k-common, or another checkpoint "
    "of 3D-Speaker's CAM++ with 192 numbers in an embedding."
)

Converter: TypeAlias = Callable[[Sequence[Path], Sequence[Path], Loader], None]
"""Writes the files of a model, the second paths, from its sources, the first ones, and checks
them."""


def convert(model: Model, sources: Sequence[Path], directory: Path, load: Loader) -> list[Path]:
    """Convert one model and check it.

    Args:
        model: which.
        sources: what it is made of: its `members`, extracted, or its published files, in their
            order; a published file that is optional and absent is left out.
        directory: where to write its `files`; not where the sources are.
        load: a backend's `load`, to run both graphs with.

    Returns:
        The files, in the order of the catalogue.

    Raises:
        ModelMissing: a source is not what the converter knows, or the converted graph's answers
            differ from the original's on the check clip.
    """
    made = [directory / name for name in model.files]
    CONVERTERS[model.id](sources, made, load)
    return made


def _silero(sources: Sequence[Path], made: Sequence[Path], load: Loader) -> None:
    silero.convert(sources[0], made[0])
    check.silero(sources[1], made[0], load)


def _wake_embedding(sources: Sequence[Path], made: Sequence[Path], load: Loader) -> None:
    openwakeword.convert(sources[0], sources[1], made[0])
    openwakeword.convert_prime(sources[1], made[1], load)
    check.wake_embed(sources[0], sources[1], made[0], made[1], load)


def _head(word: catalogue.Word) -> Converter:
    def converter(sources: Sequence[Path], made: Sequence[Path], load: Loader) -> None:
        heads.convert(word.name, word.window, sources[0], made[0])
        check.head(word.window, sources, made[0], load)

    return converter


def _ge2e(sources: Sequence[Path], made: Sequence[Path], load: Loader) -> None:
    ge2e.convert(sources[0], made[0])
    check.ge2e(sources[0], made[0], load, check.EXACT)


def _ge2e_int8(sources: Sequence[Path], made: Sequence[Path], load: Loader) -> None:
    ge2e_int8.convert(sources[0], made[0])
    check.ge2e(sources[0], made[0], load, check.INT8)


def _campplus(sources: Sequence[Path], made: Sequence[Path], load: Loader) -> None:
    campplus.convert(sources[0], made[0])
    check.campplus(made[0], load, check.CAMPPLUS_COSINE)


def _campplus_int8(sources: Sequence[Path], made: Sequence[Path], load: Loader) -> None:
    campplus_int8.convert(sources[0], made[0])
    check.campplus(made[0], load, check.CAMPPLUS_INT8_COSINE)


def _ecapa(sources: Sequence[Path], made: Sequence[Path], load: Loader) -> None:
    ecapa.convert(sources[0], made[0], INT16)
    shutil.copyfile(sources[0], made[1])  # for the backend `mindspore`, which runs it as it is
    check.voiceprint(made[0], load)


def _ecapa_int8(sources: Sequence[Path], made: Sequence[Path], load: Loader) -> None:
    ecapa.convert(sources[0], made[0], INT16, is_int8=True)
    with tempfile.TemporaryDirectory(dir=made[0].parent) as folder:
        whole = Path(folder) / "whole.onnx"
        ecapa.convert(sources[0], whole, INT16)
        check.alike(whole, made[0], load)


def _eres2netv2(sources: Sequence[Path], made: Sequence[Path], load: Loader) -> None:
    eres2netv2.convert(sources[0], made[0])
    check.voiceprint(made[0], load)


def _campplus_common(sources: Sequence[Path], made: Sequence[Path], load: Loader) -> None:
    campplus.convert(sources[0], made[0], CAMPPLUS_COMMON)
    check.voiceprint(made[0], load)


def _sensevoice(sources: Sequence[Path], made: Sequence[Path], load: Loader) -> None:
    published = sensevoice_files.read(*sources)
    sensevoice.convert(published, made[0], made[2])
    sensevoice_check.compare(published, made[0], load, is_int8=False)


def _sensevoice_int8(sources: Sequence[Path], made: Sequence[Path], load: Loader) -> None:
    published = sensevoice_files.read(*sources)
    sensevoice_int8.convert(published, made[0], made[2])
    sensevoice_check.compare(published, made[0], load, is_int8=True)


def _xiaoyun(sources: Sequence[Path], made: Sequence[Path], load: Loader) -> None:
    published = fsmn_files.read(sources[0].parents[1])
    graph, info = made
    fsmn.convert(published, graph)
    fsmn_check.check_graph(published, graph, load)
    fsmn.info(published).write(info)


def _copied(sources: Sequence[Path], made: Sequence[Path], load: Loader) -> None:
    """Copy files that are published in the form in which they run, each with a pinned hash."""
    for source, file in zip(sources, made, strict=True):
        shutil.copyfile(source, file)


CONVERTERS: Mapping[str, Converter] = {
    "silero-vad-6.2.3": _silero,
    EMBEDDING_ID: _wake_embedding,
    **{model.id: _head(model.word) for model in MODELS if model.word},
    "ge2e-resemblyzer-0.1.4": _ge2e,
    "ge2e-resemblyzer-0.1.4-int8": _ge2e_int8,
    "campplus-zh-en-advanced": _campplus,
    "campplus-zh-en-advanced-int8": _campplus_int8,
    TRANSCRIPT_ID: _copied,
    "ecapa-tdnn-mindspore": _ecapa,
    "ecapa-tdnn-mindspore-int8": _ecapa_int8,
    "eres2netv2-zh-cn": _eres2netv2,
    "campplus-zh-cn-common": _campplus_common,
    "sensevoice-small": _sensevoice,
    "sensevoice-small-int8": _sensevoice_int8,
    "xiaoyun-kws": _xiaoyun,
}
"""The converter of each model that has files, by id."""
