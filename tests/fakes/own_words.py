"""A wake word of the user's own as the store keeps it, with a head of noise."""

import numpy as np

from streamd.engine.passes.heads import WordHead
from streamd.modules.words import CustomWord, WordEstimate, WordInfo


def word(name: str, seed: int = 0, clips: int = 5) -> CustomWord:
    weights = np.random.default_rng(seed).normal(size=(16, 96)).astype(np.float32)
    estimate = WordEstimate(
        missed=1, tries=20, missed_clean=0, tries_clean=5, false_accepts=2, negatives_s=3600
    )
    info = WordInfo(
        name=name,
        clips=clips,
        phrase_ms=640,
        threshold=0.5,
        estimate=estimate,
        training_data="5 clips",
    )
    return CustomWord(info, WordHead(weights, -1.5).pack())
