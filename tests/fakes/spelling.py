"""A small keyword model in the published layout, converted as `streamd models pull` does it."""

from __future__ import annotations

import functools
import itertools
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import xiaoyun
from fakes.driving import WORDS, fake_passes

from streamd.compose import make_registry
from streamd.config import Config
from streamd.engine.backends.onnxruntime import OnnxRuntime
from streamd.engine.passes.base import Pass
from streamd.engine.passes.fake import FakeVad
from streamd.engine.passes.heads import WordHeads
from streamd.engine.passes.keyword import FsmnKeywords
from streamd.models.library import Library
from streamd.modules.keyword_search import KeywordSearch
from streamd.modules.registry import Registry
from streamd.observability.metrics import Metrics
from streamd.types import Samples

MODEL = "xiaoyun-kws"
_FOLDER = tempfile.TemporaryDirectory(prefix="streamd-keywords-")


def published(sizes: xiaoyun.Sizes = xiaoyun.SMALL) -> Path:
    """A ModelScope directory with random weights; the same one for the same sizes."""
    folder = Path(_FOLDER.name) / f"published-{sizes.output_dim}"
    return folder if folder.exists() else xiaoyun.make(folder, sizes)


@functools.cache
def library(sizes: xiaoyun.Sizes = xiaoyun.SMALL) -> Library:
    """A library that has nothing but this model."""
    made = Library(Path(_FOLDER.name) / f"library-{sizes.output_dim}")
    made.pull(OnnxRuntime().load, only=[MODEL], sources={MODEL: published(sizes)})
    return made


@functools.cache
def keyword_pass(sizes: xiaoyun.Sizes = xiaoyun.SMALL) -> FsmnKeywords:
    return FsmnKeywords(OnnxRuntime(), library(sizes), "xiaoyun")


def passes() -> list[Pass]:
    """The fake passes, and the real one for keywords."""
    return [keyword_pass(), *fake_passes()]


def registry(sizes: xiaoyun.Sizes = xiaoyun.SMALL, **wake: Any) -> Registry:
    """The registry of a server with these passes; `gate=False` sets a key of `[wake]`."""
    sections = {
        "wake": {"load": WORDS, "keyword_model": "xiaoyun", **wake},
        "speaker": {"model": "ge2e"},
    }
    config = msgspec.convert(sections, Config)
    return make_registry(config, FakeVad(), Metrics(), WordHeads(), keywords=keyword_pass(sizes))


def posteriors(audio: Samples) -> np.ndarray:
    """FunASR's posteriors of a whole file, [frames, tokens]."""
    sizes = xiaoyun.SMALL
    return xiaoyun.posteriors(xiaoyun.weights(sizes), sizes, xiaoyun.features(audio))


def said(audio: Samples, length: int = 2) -> list[str]:
    """Keywords of so many characters that the model hears in a file, the most frequent first.

    Those with a character that it hears in silence are left out: with them it never sleeps.
    """
    path = [token for token, _ in itertools.groupby(posteriors(audio).argmax(1).tolist()) if token]
    characters = xiaoyun.tokens(xiaoyun.SMALL.output_dim)
    spoken = set(range(2, xiaoyun.SMALL.output_dim - 1))
    spoken -= set(np.argwhere(posteriors(np.zeros(16_000, np.int16)) > 0.05)[:, 1].tolist())
    runs = zip(*(path[start:] for start in range(length)), strict=False)
    counts = Counter(run for run in runs if spoken.issuperset(run))
    return ["".join(characters[token] for token in run) for run, _ in counts.most_common()]


def in_whole_file(audio: Samples, *keywords: str) -> tuple[str, float] | None:
    """What FunASR finds in a file, and its score."""
    tokens = xiaoyun.tokens(xiaoyun.SMALL.output_dim)
    search = KeywordSearch({word: [tokens.index(c) for c in word] for word in keywords})
    for row in posteriors(audio):
        best = np.argsort(-row, kind="stable")[:3]
        search.step(best.tolist(), row[best].tolist())
    hit = search.hit()
    return None if hit is None else (hit.keyword, hit.score)
