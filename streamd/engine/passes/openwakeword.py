"""The pass `wake` by openWakeWord: scores of words for a step of 80 ms."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from streamd.arrays import PULL_AGAIN, load_arrays
from streamd.engine.backends.base import Graph, GraphBackend
from streamd.engine.passes.base import stack
from streamd.engine.passes.heads import WordHeads
from streamd.engine.passes.warm import warm_up
from streamd.engine.slots import State, StateSpec
from streamd.models import catalogue
from streamd.models.library import Library
from streamd.types import Samples

WordScores: TypeAlias = dict[str | int, tuple[float, str | None]]
"""Scores by word or id of a head: 0 to 1, and the class that won if the word has classes."""

_STEP = 1280


class OpenWakeWord:
    """Runs the mel, incremental speech embedding and word heads of openWakeWord 0.4.0.

    Items are 1760 samples: the 480 before the step (zeros at the start of a stream) and the 1280
    of the step, the steps following each other on the stream's own grid of 80 ms. An item's
    option is the tuple of the words to score: names of `words`, and ids of `heads`. Its output has
    only those.

    The scores are those of `openwakeword.Model.predict`, except that it reports 0 for the first
    five steps of a stream, and this pass does not.

    Args:
        backend: the backend that runs the graphs.
        library: the folder of the models.
        words: the heads to load, as `alexa`; None loads every word that is pulled.
    """

    name = "wake"
    item_samples = 1760
    context_samples = 480
    max_batch = 32
    copies_state = True

    def __init__(
        self, backend: GraphBackend, library: Library, words: Iterable[str] | None = None
    ) -> None:
        """Load the graphs.

        Raises:
            ModelMissing: a model is not pulled, or there is no such word.
        """
        wanted = library.words() if words is None else tuple(words)
        self.heads = WordHeads()
        """The registered heads of the users' own words."""
        self._words = {word: catalogue.word(word) for word in wanted}
        self.backend = backend
        self._embed = backend.load(library.path(backend.file("wake_embed")))
        self._heads: dict[str, Graph] = {
            word: backend.load(library.path(backend.file(f"wake_{word}"))) for word in wanted
        }
        prime = load_arrays(library.path("wake_prime.npz"), PULL_AGAIN, ("cnn", "history"))
        self.state: Mapping[str, StateSpec] = {
            "fresh": StateSpec(np.ones((), np.float32)),
            "cnn": StateSpec(prime["cnn"]),
            "history": StateSpec(prime["history"]),
        }

    @property
    def words(self) -> tuple[str, ...]:
        """Return the words that may be asked for."""
        return tuple(self._heads)

    def warm(self) -> None:
        """Run it once, so that the first stream does not wait for memory."""
        warm_up(self, self.item_samples, self.words)

    def run(
        self, items: Sequence[Samples], options: Sequence[Any], state: State
    ) -> tuple[Sequence[WordScores], State]:
        """Run one batch.

        Args:
            items: int16 arrays of 1760 samples.
            options: the words that each item wants, each a name of `words` or an id of `heads`.
            state: rows of `fresh`, `cnn` and `history`.

        Returns:
            `{word: (score, class name or None)}` per item, and the new state.

        Raises:
            KeyError: a head is not registered any more, as its stream is over.
        """
        cnn, history = self._embed({"audio": stack(items), **state})
        return self._scores(history, options), _state(cnn, history)

    def run_steps(
        self, spans: Sequence[Samples], steps: int, options: Sequence[Any], state: State
    ) -> tuple[Sequence[Sequence[WordScores]], State]:
        """Run some steps of each stream as one batch, at two thirds of the cost of `run`.

        Args:
            spans: int16 arrays of 480 + 1280 `steps` samples.
            steps: number of steps of each, at most 34.
            options: the words that each item wants.
            state: rows of `fresh`, `cnn` and `history`.

        Returns:
            One list per item with the scores of each step, and the state after the last step.
        """
        new = self.replay(spans, steps, state)
        before = np.asarray(state["history"])
        joined = np.concatenate((before, np.asarray(new["history"])[:, -steps:]), axis=1)
        length = before.shape[1]
        # The history after each step: [streams * steps, 34, 96], stream by stream.
        after = np.stack([joined[:, n : n + length] for n in range(1, steps + 1)], axis=1)
        scores = self._scores(
            after.reshape(-1, *after.shape[2:]), [words for words in options for _ in range(steps)]
        )
        return [scores[at : at + steps] for at in range(0, len(scores), steps)], new

    def replay(self, spans: Sequence[Samples], steps: int, state: State) -> State:
        """Return the state after some steps of each stream, at two thirds of the cost of `run`.

        Args:
            spans: int16 arrays of 480 + 1280 `steps` samples.
            steps: number of steps of each.
            state: rows of `fresh`, `cnn` and `history`.
        """
        starts = range(0, steps * _STEP, _STEP)
        items = [span[start : start + self.item_samples] for span in spans for start in starts]
        fresh = np.zeros((len(spans), steps), np.float32)
        fresh[:, 0] = np.asarray(state["fresh"])
        streams = {"cnn": state["cnn"], "history": state["history"]}
        return _state(*self._embed({"audio": stack(items), "fresh": fresh.ravel(), **streams}))

    def _scores(self, history: npt.NDArray[Any], options: Sequence[Any]) -> list[WordScores]:
        """Return the scores of the words that each row of a history asks for."""
        # Filled in beforehand, so that the order of the words does not depend on batch mates
        # either.
        outputs: list[WordScores] = [dict.fromkeys(words, (0.0, None)) for words in options]
        asked = _rows_by_word(options)
        # All heads before the first score is read, which a backend with a device waits for.
        found = {
            word: self._heads[word]({"features": _latest(history, rows, self._words[word].window)})[
                0
            ]
            for word, rows in asked.items()
            if isinstance(word, str)
        }
        for word, rows in asked.items():
            if isinstance(word, int):
                head = self.heads[word]
                own = head.scores(np.asarray(_latest(history, rows, head.window)))
                for row, score in zip(rows, own, strict=True):
                    outputs[row][word] = (score, None)
            else:
                self._read(word, rows, np.asarray(found[word]), outputs)
        return outputs

    def _read(
        self, word: str, rows: list[int], scores: npt.NDArray[Any], outputs: list[WordScores]
    ) -> None:
        """Write the scores of a word, `[rows, classes]`, to the outputs of its rows."""
        about = self._words[word]
        if not about.classes:
            for row, score in zip(rows, scores[:, 0].tolist(), strict=True):
                outputs[row][word] = (score, None)
            return
        best = scores[:, 1:].argmax(axis=1)  # class 0 is the background
        for row, place, line in zip(rows, best.tolist(), scores, strict=True):
            outputs[row][word] = (float(line[place + 1]), about.classes[place])


def _state(cnn: npt.NDArray[Any], history: npt.NDArray[Any]) -> State:
    return {"fresh": np.zeros(len(cnn), np.float32), "cnn": cnn, "history": history}


def _latest(history: npt.NDArray[Any], rows: list[int], window: int) -> npt.NDArray[Any]:
    """Return the last embeddings [len(rows), window, 96] of some rows; a view if it is all rows."""
    if rows == list(range(len(history))):
        return history[:, -window:]
    return history[rows, -window:]


def _rows_by_word(options: Sequence[Any]) -> dict[str | int, list[int]]:
    rows: dict[str | int, list[int]] = {}
    for row, words in enumerate(options):
        for word in words:
            rows.setdefault(word, []).append(row)
    return rows
