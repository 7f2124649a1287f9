"""From clips of a phrase to a wake word, with an estimate of its errors.

The estimate is by cross-validation: each head is tested on clips and negatives that it was not
trained on. These scores determine the threshold. The head that is kept is trained on everything,
and shifted so that a score of 0.5 is that threshold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from streamd.engine.passes.heads import WordHead
from streamd.engine.passes.openwakeword import OpenWakeWord
from streamd.modules.words import CustomWord, WordEstimate, WordInfo
from streamd.types import RATE_HZ, Samples
from streamd.words import phrases
from streamd.words.augment import altered_copy, background, plain_copy
from streamd.words.clips import Clip
from streamd.words.features import embed
from streamd.words.negatives import Negatives
from streamd.words.training import EmbeddedCopy, Logits, threshold_for, train, window_for
from streamd.words.training import crossings as count_crossings

COPIES = 240
"""Approximate number of copies of all clips together."""
MIN_COPIES, MAX_COPIES = 6, 24
"""Bounds of the number of copies of each clip."""
PLAIN_COPIES = 4
"""Copies of each clip without changes."""
TRIED_COPIES = 4
"""Copies of each clip for the estimate of misses: one plain, the others altered."""
MAX_FOLDS = 4
FALSE_ACCEPTS_PER_H = 2.0
POOR_MISSES = 0.1
"""Share of missed clips from which more should be recorded."""
HEADROOM = 1.2
"""Margin of the threshold above what the negatives require, in logits: real talk of other corpora
scores higher than the negatives that could be shipped. Measured on 5 h of three of them
(`benchmarks/words.py`), over 12 words: -0.5 to 1.9, 0.8 on average."""

Report = Callable[[str, float], None]
"""Takes the name of the stage, and its progress from 0 to 1."""


@dataclass(frozen=True, slots=True, eq=False)
class Making:
    """A word, and remarks about its weaknesses."""

    word: CustomWord
    remarks: tuple[str, ...]


def make_word(
    name: str,
    clips: Sequence[Clip],
    wake: OpenWakeWord,
    negatives: Negatives,
    *,
    threshold: float = 0.5,
    report: Report = lambda what, share: None,
) -> Making:
    """Train a word. The same clips in the same order give the same head.

    Args:
        name: as `check_word` wants it.
        clips: recordings of the phrase, at least three.
        wake: the pass that computes embeddings.
        negatives: audio without the phrase.
        threshold: score at which the word is detected; training puts two false accepts an hour,
            with a margin, at 0.5.
        report: called with the progress.
    """
    rng = np.random.default_rng(len(clips))
    embedded = _embedded(clips, wake, rng, report)
    confusers = _confusers(clips, wake, rng)
    # Not the longest: one slow clip, or a noise taken for speech, would widen it for all.
    lengths = [clip.stop - clip.start for clip in clips]
    window = window_for(int(np.quantile(lengths, 0.75)))
    folds = min(len(clips), MAX_FOLDS)

    scores: list[list[float]] = [[] for _ in clips]
    unheard: list[Logits] = []
    for fold in range(folds):
        report("checking", fold / folds)
        kept = [i for i in range(len(clips)) if i % folds != fold]
        head = train(
            [copy for i in kept for copy in embedded[i]],
            [confusers[i] for i in kept],
            negatives.without(fold, folds),
            window,
            fold,
        )
        unheard += [head.logits(stream) for stream in negatives.part(fold, folds).streams]
        for i in range(fold, len(clips), folds):
            scores[i] = [head.best(copy) for copy in _tried(embedded[i])]
    report("training", 0.0)
    every = [copy for copies in embedded for copy in copies]
    final = train(every, confusers, negatives, window, folds)
    report("training", 1.0)

    plain = np.array([one[0] for one in scores])
    at_most = FALSE_ACCEPTS_PER_H * negatives.seconds / 3600
    bound = threshold_for(unheard, at_most)
    zero = bound + HEADROOM
    cut = zero + float(np.log(threshold / (1 - threshold)))
    tried = np.array(scores)
    estimate = WordEstimate(
        missed=int((tried[:, 1:] < cut).sum()),
        tries=tried[:, 1:].size,
        missed_clean=int((plain < cut).sum()),
        tries_clean=len(clips),
        false_accepts=sum(count_crossings(stream, cut) for stream in unheard),
        negatives_s=round(negatives.seconds, 1),
    )
    info = WordInfo(
        name=name,
        clips=len(clips),
        phrase_ms=int(np.median([clip.phrase_ms for clip in clips])),
        threshold=threshold,
        estimate=estimate,
        training_data=f"{len(clips)} clips of the user, with noise and rooms added, against "
        f"{negatives.seconds / 3600:.1f} h of built-in negatives (synthetic speech, EmoDB, "
        "excerpts of open corpora, noise).",
    )
    served = WordHead(final.weights, final.bias - zero)
    return Making(CustomWord(info, served.pack()), tuple(_remarks(clips, plain, bound)))


def remarks_on(made: Making) -> list[str]:
    """Return everything that is weak about a word: its clips, its phrase, and its errors."""
    info = made.word.info
    guess = info.estimate
    found = [*made.remarks, *phrases.remarks(info.name, info.phrase_ms)]
    if guess.missed_clean > POOR_MISSES * guess.tries_clean:
        found.append(
            f"{guess.missed_clean} of the {guess.tries_clean} clips would be missed by a word made "
            "of the others: record more, by the people and in the rooms that will say it"
        )
    if guess.false_accepts * 3600 > FALSE_ACCEPTS_PER_H * guess.negatives_s:
        found.append("it is detected often in other speech; choose a longer or rarer phrase")
    return found


def _embedded(
    clips: Sequence[Clip], wake: OpenWakeWord, rng: np.random.Generator, report: Report
) -> list[list[EmbeddedCopy]]:
    """Return embedded copies of each clip; the first ones are plain."""
    each = int(np.clip(COPIES // len(clips), MIN_COPIES, MAX_COPIES))
    copies = []
    for number, clip in enumerate(clips):
        report("altering", number / len(clips))
        plain = [plain_copy(clip, rng) for _ in range(min(PLAIN_COPIES, each // 2))]
        altered = [altered_copy(clip, rng) for _ in range(each - len(plain))]
        copies.append(plain + altered)
    flat = [copy for some in copies for copy in some]
    done = 0

    def embedded(count: int) -> None:
        nonlocal done
        done += count
        report("embedding", done / len(flat))

    found = embed(wake, [copy.samples for copy in flat], embedded)
    result = [EmbeddedCopy.of(copy, e) for copy, e in zip(flat, found, strict=True)]
    return [result[i : i + each] for i in range(0, len(result), each)]


def _tried(copies: Sequence[EmbeddedCopy]) -> Sequence[EmbeddedCopy]:
    """Return one plain copy and the last altered ones."""
    return [copies[0], *copies[1 - TRIED_COPIES :]]


def _confusers(
    clips: Sequence[Clip], wake: OpenWakeWord, rng: np.random.Generator
) -> list[EmbeddedCopy]:
    """Return each clip's phrase reversed, with halves swapped, in thirds, and its noise alone."""
    made = []
    for clip in clips:
        phrase = clip.samples[clip.start : clip.stop]
        half, third = len(phrase) // 2, len(phrase) // 3
        quiet = np.zeros(RATE_HZ // 2, np.int16)
        level = float(np.sqrt(np.mean(phrase.astype(np.float64) ** 2)))
        noise = (background(2 * RATE_HZ, rng) * level / 3).clip(-32_768, 32_767).astype(np.int16)
        pieces: list[Samples] = [quiet, quiet, quiet]
        for piece in (
            phrase[::-1],
            np.concatenate((phrase[half:], phrase[:half])),
            np.concatenate((phrase[2 * third :], phrase[third : 2 * third], phrase[:third])),
            phrase[:half],
            phrase[half:],
        ):
            pieces += [piece, quiet, quiet]
        made.append(np.concatenate([*pieces, noise]))
    return [EmbeddedCopy(embeddings, 0, 0) for embeddings in embed(wake, made)]


def _remarks(clips: Sequence[Clip], plain: npt.NDArray[np.float64], bound: float) -> list[str]:
    found = [f"{clip.name}: {remark}" for clip in clips for remark in clip.remarks]
    if np.median(plain) < bound + HEADROOM:
        return found  # too few to say which one differs
    for clip, score in zip(clips, plain.tolist(), strict=True):
        if score < bound:  # a word made of the other clips does not recognise it
            found.append(f"{clip.name}: does not resemble the others; is it the same phrase?")
    return found
