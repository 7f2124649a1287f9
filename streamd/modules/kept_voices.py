"""The voices of a session's latest utterances, kept so that a client can enrol one of them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from streamd.errors import TooShort, TwoVoices, UnknownUtterance
from streamd.modules.gallery import Channel
from streamd.modules.speech_levels import SignalLevels, SpeechLevels
from streamd.settings import SpeakerSettings
from streamd.types import RATE_HZ, Floats

MAX_KEPT = 64
"""Utterances whose voices are kept; then the oldest is dropped."""
VOICE_BYTES = 2048
"""Memory of one of them, roughly."""
PART = 2
"""Windows of an utterance from which its voice says whether it is like another one."""


@dataclass(frozen=True, slots=True, eq=False)
class KeptVoice:
    """Who spoke in one utterance."""

    totals: Mapping[str, Floats]
    """Sum of the windows' embeddings, `[dim]`, by id of the model; empty without a window."""
    windows: int
    speech: int
    """Samples of speech at 16 kHz."""
    name: str | None
    """Enrolled name or session label of the speaker, if the decision was sure."""
    is_label: bool
    """Whether `name` is a session label."""
    is_one: bool
    """Whether one speaker spoke all the time."""
    levels: SpeechLevels | None = None
    """Levels of the speech."""


@dataclass(frozen=True, slots=True, eq=False)
class SpokenSample:
    """What utterances of a stream contribute to a voice."""

    utterances: Sequence[str]
    """Their ids, each once."""
    embeddings: Mapping[str, Floats]
    """Embedding of the voice, `[dim]`, a unit vector, by id of the model."""
    channel: Channel
    speech_ms: int
    """Milliseconds of speech."""
    unity: float
    """Cosine of the utterance that is least like the others to them; 1 with one utterance."""
    label: str | None
    """The session label of the first utterance that has one."""
    levels: SignalLevels | None
    """What the signal measures; None with too little speech."""


class KeptVoices:
    """Remembers the voices of the latest utterances."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, KeptVoice] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def keep(self, utterance: str, voice: KeptVoice) -> None:
        """Remember the voice of an utterance that is over."""
        self._kept[utterance] = voice
        if len(self._kept) > MAX_KEPT:
            self._kept.popitem(last=False)

    def sample(
        self, utterances: Sequence[str], channel: Channel, settings: SpeakerSettings
    ) -> SpokenSample:
        """Return the one voice of utterances.

        Args:
            utterances: Their ids.
            channel: Kind of channel of the session.
            settings: What is enough for an enrolment, and what is alike.

        Raises:
            UnknownUtterance: The voice of one of them is not kept.
            TooShort: There is less than one window of speech in all.
            TwoVoices: Somebody else speaks in one of them.
        """
        named = tuple(dict.fromkeys(utterances))
        voices = [self._find(utterance) for utterance in named]
        for utterance, voice in zip(named, voices, strict=True):
            if not voice.is_one:
                raise TwoVoices(
                    f"the speaker changes inside {utterance}: name utterances of one speaker"
                )
        speech_ms = sum(voice.speech for voice in voices) * 1000 // RATE_HZ
        spoken = [voice for voice in voices if voice.windows]
        if not spoken or speech_ms < settings.window_ms:
            raise TooShort(
                f"{speech_ms} ms of speech; an enrolment takes {settings.window_ms} ms at least, "
                "and 5 s or more make it reliable: name more utterances of this speaker"
            )
        models = set.intersection(*(set(voice.totals) for voice in spoken))
        unity = _check_alike(spoken, models, settings.thresholds.of(channel).reject)
        labels = [voice.name for voice in voices if voice.is_label]
        return SpokenSample(
            utterances=named,
            embeddings={
                model: _unit(np.sum([voice.totals[model] for voice in spoken], axis=0))
                for model in models
            },
            channel=channel,
            speech_ms=speech_ms,
            unity=unity,
            label=labels[0] if labels else None,
            levels=SpeechLevels.of(v.levels for v in voices if v.levels is not None),
        )

    def _find(self, utterance: str) -> KeptVoice:
        voice = self._kept.get(utterance)
        if voice is None:
            raise UnknownUtterance(
                f"the voice of {utterance[:32]!r} is not known here: name utterances that are "
                f"over, of the last {MAX_KEPT} while the speaker module was on"
            )
        return voice


def _check_alike(voices: Sequence[KeptVoice], models: set[str], least: float) -> float:
    """Return how alike the utterance that is least like the others is to them.

    Raises:
        TwoVoices: It is less alike than `least`, and the session did not give it the same name.
    """
    if len(voices) < 2:
        return 1.0
    names = {voice.name for voice in voices}
    has_one_name = len(names) == 1 and None not in names
    lowest = 1.0
    for model in models:
        totals = np.stack([voice.totals[model] for voice in voices])
        others = totals.sum(axis=0) - totals
        for voice, own, rest in zip(voices, totals, others, strict=True):
            cosine = float(_unit(own) @ _unit(rest))
            if cosine < least and not has_one_name:
                raise TwoVoices(
                    "these utterances do not sound like one speaker: name those of one speaker, "
                    "or enrol each by itself to see which one differs"
                )
            if voice.windows >= PART:
                lowest = min(lowest, cosine)
    return lowest


def _unit(vector: Floats) -> Floats:
    unit: Floats = (vector / np.linalg.norm(vector)).astype(np.float32)
    return unit
