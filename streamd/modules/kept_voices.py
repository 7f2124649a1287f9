"""The voices of a session's latest utterances, kept so that a client can enrol one of them."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from streamd.errors import TooShort, TwoVoices, UnknownUtterance
from streamd.modules.centroids import Centroids
from streamd.modules.gallery import CHANNELS, Channel, Gallery, Spoken
from streamd.modules.speech_levels import SignalLevels, SpeechLevels
from streamd.modules.turn import Heard
from streamd.modules.voice_models import VoiceModels
from streamd.settings import SpeakerSettings
from streamd.types import RATE_HZ, Floats

MAX_KEPT = 64
"""Utterances whose voices are kept; then the oldest is dropped."""
VOICE_BYTES = 2048
"""Memory of one of them, roughly."""
ALIKE, PART = 0.73, 2
"""Without a main model: score of an utterance to the others from which they have one voice, and
windows of it from which that says anything. A main model's threshold of `reject` needs no more."""


@dataclass(frozen=True, slots=True, eq=False)
class KeptVoice:
    """Who spoke in one utterance."""

    heard: Mapping[str, Heard]
    """What each model heard, by its id; without those that heard nothing."""
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
    is_one: bool
    """Whether it sounds like a single voice."""
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
        self,
        utterances: Sequence[str],
        channel: Channel,
        settings: SpeakerSettings,
        models: VoiceModels,
    ) -> SpokenSample:
        """Return the one voice of utterances.

        Args:
            utterances: Their ids.
            channel: Kind of channel of the session.
            settings: What is enough for an enrolment, and what is alike.
            models: The models that heard them.

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
        spoken = [voice for voice in voices if voice.heard]
        if not spoken or speech_ms < settings.window_ms:
            raise TooShort(
                f"{speech_ms} ms of speech; an enrolment takes {settings.window_ms} ms at least, "
                "and 5 s or more make it reliable: name more utterances of this speaker"
            )
        is_one = _is_one(spoken, models, channel, settings.thresholds.of(channel).reject)
        labels = [voice.name for voice in voices if voice.is_label]
        return SpokenSample(
            utterances=named,
            embeddings={
                model: _unit(total)
                for model in models.ids
                if (total := _total(model, spoken)) is not None
            },
            channel=channel,
            speech_ms=speech_ms,
            is_one=is_one,
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


def _is_one(
    voices: Sequence[KeptVoice], models: VoiceModels, channel: Channel, reject: float
) -> bool:
    """Return whether utterances sound like a single voice.

    Raises:
        TwoVoices: They do not, and the session did not give all of them the same name.
    """
    names = {voice.name for voice in voices}
    has_one_name = len(names) == 1 and None not in names
    is_one = True
    for voice in voices:
        likeness = _likeness(voice, [v for v in voices if v is not voice], models, channel)
        if likeness is None:
            continue
        if likeness < reject and not has_one_name:
            raise TwoVoices(
                "these utterances do not sound like one speaker: name those of one speaker, "
                "or enrol each by itself to see which one differs"
            )
        if models.main:
            is_one = is_one and likeness >= reject
        elif voice.heard[models.windows].windows >= PART:
            is_one = is_one and likeness >= ALIKE
    return is_one


def _likeness(
    voice: KeptVoice, others: Sequence[KeptVoice], models: VoiceModels, channel: Channel
) -> float | None:
    """Return the score of an utterance to a voice that the others were enrolled for.

    It is None without others, or if no model heard both.
    """
    first, channels = np.zeros(1, np.intp), np.array([CHANNELS.index(channel)])
    centroids = {
        model: Centroids.build(
            total[None], first, channels, models.scale if model == models.deciding else None
        )
        for model in models.ids
        if (total := _total(model, others)) is not None
    }
    if not centroids:
        return None
    speech_s = voice.speech / RATE_HZ
    spoken = {
        model: Spoken(heard.mean, heard.seconds if model == models.main else speech_s)
        for model, heard in voice.heard.items()
    }
    found = Gallery.of(("others",), centroids).find(spoken, channel, 1)
    return found[0].score if found else None


def _total(model: str, voices: Sequence[KeptVoice]) -> Floats | None:
    """Return the sum of a model's embeddings of the windows of voices; None if it has none."""
    totals = [v.heard[model].total for v in voices if model in v.heard]
    heard = [total for total in totals if total is not None]
    total: Floats | None = np.sum(heard, axis=0) if heard else None
    return total


def _unit(vector: Floats) -> Floats:
    unit: Floats = (vector / np.linalg.norm(vector)).astype(np.float32)
    return unit
