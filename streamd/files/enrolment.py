"""Enrolment: the voice in a recording, and how it gets into the store."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from streamd.compose import Parts
from streamd.display import display_name
from streamd.files.offline import OfflineAnalysis
from streamd.files.recording import Recording
from streamd.modules.emotion import BASELINE_MODEL, EmotionModule
from streamd.modules.emotion_model import Baseline, calmness
from streamd.modules.enrolment import EnrolmentModule
from streamd.modules.gallery import Channel, Gallery
from streamd.modules.registry import ModuleSet, Registry
from streamd.modules.speaker import SpeakerModule
from streamd.store.base import Enrolment, Store
from streamd.types import RATE_HZ, Floats

ENOUGH_MS = 5000
"""Milliseconds of speech from which an enrolment is reliable."""
ALIKE = 0.75
"""Cosine above which windows of one voice lie, measured on read speech."""
SAME = 0.99999
"""Cosine that only equal audio has, because its embeddings differ by rounding alone."""


class Issue(NamedTuple):
    """Something that makes an enrolment less reliable."""

    code: Literal["short", "two_voices"]
    message: str


@dataclass(frozen=True, slots=True, eq=False)
class VoiceSample:
    """What one recording contributes to its voice."""

    channel: Channel
    speech_ms: int
    """Milliseconds of speech in the recording."""
    embedding: Floats | None
    """Embedding of the voice, `[dim]`, a unit vector; None without one window of speech."""
    consistency: float
    """How alike the windows are: the mean cosine to their mean."""
    utterances: Sequence[tuple[Floats, Floats]]
    """Mean states and summed moments of each utterance, from which a baseline is made."""
    minimum_ms: int
    """Milliseconds of speech that an enrolment needs."""
    source: str = ""
    """Name of the recording."""

    @property
    def is_enough(self) -> bool:
        """Whether the sample can become an enrolment."""
        return self.embedding is not None and self.speech_ms >= self.minimum_ms

    @property
    def issues(self) -> list[Issue]:
        """Return what makes this sample less reliable than it could be."""
        issues = []
        if self.speech_ms < ENOUGH_MS:
            issues.append(
                Issue(
                    "short",
                    f"less than {ENOUGH_MS / 1000:.0f} s of speech; "
                    "more would make decisions more reliable",
                )
            )
        if self.consistency < ALIKE:
            issues.append(
                Issue("two_voices", "the recording does not sound like a single voice; check it")
            )
        return issues


class VoiceReading:
    """The modules of one session that collects the embeddings of a voice, and their result.

    Args:
        registry: The modules of the daemon, whose speaker settings an enrolment shares.
    """

    def __init__(self, registry: Registry) -> None:
        speaker = registry.find(SpeakerModule)
        assert speaker is not None
        module = EnrolmentModule(speaker.settings)
        self.registry = Registry(registry.vad, [], [module], ())
        self.modules: ModuleSet = {module.name: None}
        self._minimum_ms = speaker.settings.window_ms
        self._reader = module.reader

    def sample(self, channel: Channel, source: str = "") -> VoiceSample:
        """Return the sample that the session collected, after its end."""
        reader = self._reader
        has_speech = bool(reader.embeddings)
        return VoiceSample(
            channel=channel,
            speech_ms=reader.speech * 1000 // RATE_HZ,
            embedding=reader.mean if has_speech else None,
            consistency=reader.consistency if has_speech else 0.0,
            utterances=reader.utterances,
            minimum_ms=self._minimum_ms,
            source=source,
        )


def read_voice(
    recording: Recording, parts: Parts, ring_s: int, done: Callable[[float], None]
) -> VoiceSample:
    """Return the sample of a recording of one voice.

    Args:
        recording: Recording of this voice only.
        parts: The models, on an engine that is not started.
        ring_s: Seconds of audio in the ring of the session.
        done: Called with the seconds of each part that was read.

    Raises:
        NotAudio: The recording is damaged.
    """
    reading = VoiceReading(parts.registry)
    analysis = OfflineAnalysis(
        parts.engine, reading.registry, reading.modules, recording.format, Gallery.empty(), ring_s
    )
    try:
        for part in recording.parts:
            list(analysis.feed(part))
            done(recording.seconds(part))
        list(analysis.end())
    finally:
        analysis.close()
    return reading.sample(recording.format.channel_kind, recording.name)


def enrol(
    store: Store, name: str, samples: Iterable[VoiceSample], model: str, registry: Registry
) -> list[VoiceSample]:
    """Add the samples of one voice to the store, either all or none.

    A sample that the voice has already, under any file name, is not added again, because it would
    weigh twice and make the voice no more reliable.

    Args:
        store: The store of the voice.
        name: Name of the voice, valid by `check_name`.
        samples: Samples of the voice; each `is_enough`.
        model: Id of the model that computed the embeddings.
        registry: The modules; the emotion module makes the baseline of the voice.

    Returns:
        The samples that were added.
    """
    known = store.embeddings(name, model)
    new: list[VoiceSample] = []
    enrolments = []
    for sample in samples:
        embedding = sample.embedding
        assert embedding is not None
        if any(float(embedding @ other) > SAME for other in known):
            continue
        known.append(embedding)
        new.append(sample)
        source = display_name(sample.source)
        enrolments.append(Enrolment(embedding, model, sample.channel, sample.speech_ms, source))
    if new:
        kept = store.load_gallery(model, BASELINE_MODEL).baselines.get(name)
        baseline = _usual(new, registry, Baseline.from_bytes(kept) if kept else None)
        store.enrol(name, enrolments, {BASELINE_MODEL: baseline.to_bytes()})
    return new


def distinct(files: Iterable[Path]) -> tuple[list[Path], list[tuple[Path, Path]]]:
    """Return the files without those that are named twice or equal another one.

    Returns:
        The files that count, and each other file with its twin among them.
    """
    kept: dict[object, Path] = {}
    doubles = []
    for file in files:
        identity = _identity(file)
        if identity in kept:
            doubles.append((file, kept[identity]))
        else:
            kept[identity] = file
    return list(kept.values()), doubles


def _identity(file: Path) -> object:
    """Return a key of the contents, or of the path of a pipe, which can be read only once."""
    if not file.is_file():
        return str(file)
    try:
        with file.open("rb") as data:
            return hashlib.file_digest(data, "sha256").digest()
    except OSError:
        return str(file)  # the decoder reports why it cannot read the file


def _usual(
    samples: Iterable[VoiceSample], registry: Registry, baseline: Baseline | None
) -> Baseline:
    """Return how the voice sounds when it enrols, which is mostly in no mood in particular."""
    emotion = registry.find(EmotionModule)
    assert emotion is not None
    baseline = baseline or Baseline.empty(emotion.model.size)
    for sample in samples:
        for states, moments in sample.utterances:
            features = emotion.model.features(states, moments)
            calm = calmness(emotion.model.judge(features, None).log_probs)
            baseline = baseline.add(features, float(calm))
    return baseline
