"""The voice in a recording, read by the session that also serves the streams."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from streamd.compose import Parts
from streamd.files.levels import Levels
from streamd.files.offline import OfflineAnalysis
from streamd.files.recording import Part, Recording
from streamd.files.unity import unity
from streamd.files.voice_cache import FileVoice
from streamd.modules.enrolment import EnrolmentReader, VoiceModule, VoiceReader
from streamd.modules.gallery import Channel, Gallery
from streamd.modules.registry import ModuleSet, Registry
from streamd.modules.speaker import SpeakerModule
from streamd.modules.speech_levels import SignalLevels
from streamd.modules.voice_models import VoiceModels
from streamd.settings import SpeakerSettings
from streamd.types import RATE_HZ, AudioFormat, Floats


@dataclass(frozen=True, slots=True, eq=False)
class VoiceSample:
    """What one recording contributes to its voice."""

    channel: Channel
    speech_ms: int
    """Milliseconds of speech in the recording."""
    embedding: Floats | None
    """Embedding of the voice by the model that decides, `[dim]`, a unit vector; None without one
    window of speech."""
    unity: float
    """How alike its two most different parts are: see `unity.unity`."""
    utterances: Sequence[tuple[Floats, Floats]]
    """Mean states and summed moments of each utterance, from which a baseline is made."""
    minimum_ms: int
    """Milliseconds of speech that an enrolment needs."""
    source: str = ""
    """Name of the recording."""
    levels: SignalLevels | None = None
    """What the signal measures; None where it was not measured."""
    others: Mapping[str, Floats] = field(default_factory=dict)
    """Embeddings by further models, by their catalogue id."""

    def by(self, model: str) -> Floats | None:
        """Return the embedding by one of the further models; without it, that which decides."""
        return self.others.get(model, self.embedding)

    @property
    def is_enough(self) -> bool:
        """Whether the sample can become an enrolment."""
        return self.embedding is not None and self.speech_ms >= self.minimum_ms


class VoiceReading:
    """The modules of one session that collects the embeddings of a voice, and their result.

    Args:
        registry: The modules of the daemon, whose speaker settings it shares.
        reader: Collects the embeddings; None makes one.
    """

    def __init__(self, registry: Registry, reader: VoiceReader | None = None) -> None:
        self._reader = reader or VoiceReader(speaker_settings(registry), voice_models(registry))
        module = VoiceModule(self._reader)
        self.registry = Registry(registry.vad, [], [module], ())
        self.modules: ModuleSet = {module.name: None}

    def voice(self, channel: Channel) -> FileVoice:
        """Return the voice that the session collected, after its end."""
        reader = self._reader
        embedding = reader.mean if reader.embeddings else None
        return FileVoice(embedding, reader.speech * 1000 // RATE_HZ, channel, reader.others)


class EnrolmentReading(VoiceReading):
    """A reading that collects also what an enrolment takes besides.

    Args:
        registry: The modules of the daemon, whose speaker settings an enrolment shares.
    """

    def __init__(self, registry: Registry) -> None:
        settings = speaker_settings(registry)
        self._enrolment = EnrolmentReader(settings, voice_models(registry))
        super().__init__(registry, self._enrolment)
        self._minimum_ms = settings.window_ms
        self._levels: Levels | None = None

    @property
    def runs(self) -> list[tuple[int, int]]:
        """Return the spans of speech, in samples at 16 kHz."""
        return self._enrolment.runs

    def measure(self, audio: AudioFormat) -> None:
        """Begin to measure the signal, whose parts `add` takes."""
        self._levels = Levels(audio)

    def add(self, part: Part) -> None:
        """Measure the signal of a part, which the session takes too."""
        assert self._levels is not None
        self._levels.add(part)

    def sample(self, channel: Channel, source: str = "") -> VoiceSample:
        """Return the sample that the session collected, after its end."""
        reader = self._enrolment
        voice = self.voice(channel)
        return VoiceSample(
            channel=channel,
            speech_ms=voice.speech_ms,
            embedding=voice.embedding,
            unity=unity(reader.windows),
            utterances=reader.utterances,
            minimum_ms=self._minimum_ms,
            source=source,
            levels=None if self._levels is None else self._levels.of(reader.runs),
            others=voice.others,
        )


def speaker_settings(registry: Registry) -> SpeakerSettings:
    """Return the speaker settings of the daemon."""
    speaker = registry.find(SpeakerModule)
    assert speaker is not None
    return speaker.settings


def voice_models(registry: Registry) -> VoiceModels:
    """Return the voice models of the daemon."""
    speaker = registry.find(SpeakerModule)
    assert speaker is not None
    return speaker.models


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
    reading = EnrolmentReading(parts.registry)
    reading.measure(recording.format)
    analysis = OfflineAnalysis(
        parts.engine, reading.registry, reading.modules, recording.format, Gallery.empty(), ring_s
    )
    try:
        for part in recording.parts:
            reading.add(part)
            list(analysis.feed(part))
            done(recording.seconds(part))
        list(analysis.end())
    finally:
        analysis.close()
    return reading.sample(recording.format.channel_kind, recording.name)
