"""XiaoYun's row of `published.py`: files of 3 s, from samples to the decision."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

SAMPLES = 48_000
KEYWORD = "一丁"


def directory(folder: Path) -> Path:
    """A ModelScope directory of the published sizes, with what FunASR needs besides."""
    import xiaoyun

    found = folder / "xiaoyun"
    return (
        found if found.exists() else xiaoyun.with_settings(xiaoyun.make(found, xiaoyun.PUBLISHED))
    )


def speech(batch: int) -> list[np.ndarray]:
    """Files of the committed speech, int16."""
    from published import speech as windows

    return list(windows(SAMPLES, batch).astype(np.int16))


def funasr(folder: Path, cores: int) -> Any:
    """FunASR's model, without noise in the features."""
    from funasr import AutoModel

    return AutoModel(
        model=str(directory(folder)),
        keywords=KEYWORD,
        device="cpu",
        disable_update=True,
        disable_pbar=True,
        ncpu=cores,
        frontend_conf={"dither": 0.0},
    )


def generate(batch: int, cores: int, folder: Path) -> Callable[[], Any]:
    """What FunASR's users call, with the files as one list."""
    model = funasr(folder, cores)
    files = [file / np.float32(32_768) for file in speech(batch)]
    return lambda: model.generate(input=files, batch_size=batch, cache={}, disable_pbar=True)


def decoder_once(batch: int, cores: int, folder: Path) -> Callable[[], Any]:
    """FunASR's front end, network and search, but with the search made ready once."""
    import torch
    from funasr.utils.kws_utils import KwsCtcPrefixDecoder

    model = funasr(folder, cores)
    torch.set_num_threads(cores)
    network, frontend, tokenizer = (model.model, *map(model.kwargs.get, ("frontend", "tokenizer")))
    decoder = KwsCtcPrefixDecoder(network.ctc, KEYWORD, tokenizer.token_list, tokenizer.seg_dict)
    waves = torch.from_numpy(np.array(speech(batch), np.float32) / 32_768)

    def step() -> Any:
        with torch.inference_mode():
            features, lengths = frontend(waves, [SAMPLES] * batch)
            encoded, _ = network.encode(features, lengths)
            return [decoder.decode(one) for one in encoded]

    return step


def streamd(batch: int, cores: int, folder: Path) -> Callable[[], Any]:
    """The pass over whole streams, their tails, and the searches of a stream and of a file."""
    from streamd.engine.backends.onnxruntime import OnnxRuntime
    from streamd.engine.passes.keyword import FsmnKeywords
    from streamd.models.library import Library
    from streamd.modules.base import ModelCard
    from streamd.modules.keyword_spelling import Spelling
    from streamd.modules.keyword_stepper import (
        Keyword,
        KeywordModel,
        KeywordSelection,
        KeywordStepper,
    )

    library = Library(folder / "library")
    sources = {"xiaoyun-kws": directory(folder)}
    library.pull(OnnxRuntime().load, only=list(sources), sources=sources)
    model = FsmnKeywords(OnnxRuntime(), library, "xiaoyun")
    spelling = Spelling(model.info.tokens, model.info.lexicon)
    card = ModelCard(model="", license="", source="", training_data="")
    keywords = KeywordModel(card, spelling, model.info.delay, model.replay_steps)
    selection = KeywordSelection((Keyword(KEYWORD, 0.5, spelling.spell(KEYWORD)),), 2000, True)
    files = speech(batch)
    parts = [files[number::cores] for number in range(cores)] if batch >= cores else [files] * cores
    pool = ThreadPoolExecutor(cores)

    def run(part: list[np.ndarray]) -> list[Any]:
        # As the engine runs them: a job has so many steps of a file, and a batch so many in all.
        jobs = max(1, model.max_batch // KeywordStepper.at_once)
        groups = [part[at : at + jobs] for at in range(0, len(part), jobs)]
        return [whole(model, keywords, selection, group) for group in groups]

    return lambda: list(pool.map(run, parts))


def whole(model: Any, keywords: Any, selection: Any, files: list[np.ndarray]) -> list[Any]:
    """Run the files of one thread, and return what is found."""
    from streamd.engine.passes.warm import initial_rows
    from streamd.modules.keyword_stepper import CONTEXT, STEP, KeywordStepper

    found: list[Any] = []
    steppers = [
        KeywordStepper(keywords, selection, lambda at, end=False: at // 16, found.append)
        for _ in files
    ]
    steps, state = SAMPLES // STEP, initial_rows(model, len(files))
    tail = -(-(SAMPLES - steps * STEP) // STEP) + steppers[0].tail_steps
    padded = np.zeros((len(files), CONTEXT + (steps + tail) * STEP), np.int16)
    padded[:, CONTEXT : CONTEXT + SAMPLES] = files
    at = 0
    while at < steps + tail:
        count = min(KeywordStepper.at_once, steps - at if at < steps else tail)
        option = None if at < steps else (SAMPLES - at * STEP,)
        spans = list(padded[:, at * STEP : (at + count) * STEP + CONTEXT])
        outputs, state = model.run_steps(spans, count, [option] * len(files), state)
        for stepper, its in zip(steppers, outputs, strict=True):
            for number, one in enumerate(its, at):
                stepper.interpret(number * STEP, (number + 1) * STEP, one)
        at += count
    for stepper in steppers:
        stepper.finish()
    return found


RUNTIMES = {
    "FunASR, generate": generate,
    "FunASR, decoder once": decoder_once,
    "streamd": streamd,
}
