"""The voice in a recording, read by the session that also serves the streams."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from streamd.compose import Parts
from streamd.files.levels import Levels
from streamd.files.offline import OfflineAnalysis
from streamd.files.recording import Part, Recording
from streamd.files.unity import is_one_voice
from streamd.files.voice_cache import FileVoice
from streamd.front_ends import FrontEnds
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
    heard: Mapping[str, Floats]
    """Embedding of the voice by id of the model, `[dim]`, a unit vector; empty without one window
    of speech."""
    is_one: bool
    """Whether it sounds like a single voice."""
    utterances: Sequence[tuple[Floats, Floats]]
    """Mean states and summed moments of each utterance, from which a baseline is made."""
    minimum_ms: int
    """Milliseconds of speech that an enrolment needs."""
    source: str = ""
    """Name of the recording."""
    levels: SignalLevels | None = None
    """What the signal measures; None where it was not measured."""

    @property
    def is_enough(self) -> bool:
        """Whether the sample can become an enrolment."""
        return bool(self.heard) and self.speech_ms >= self.minimum_ms


class VoiceReading:
    """The modules of one session that collects the embeddings of a voice, and their result.

    Args:
        registry: The modules of the daemon, whose speaker settings it shares.
        reader: Collects the embeddings; None makes one.
    """

    def __init__(self, registry: Registry, reader: VoiceReader | None = None) -> None:
        models = voice_models(registry)
        self._reader = reader or VoiceReader(speaker_settings(registry), models)
        self._deciding = models.deciding
        module = VoiceModule(self._reader)
        # Noise suppression is for streams; what a caller asks for by itself is done here too.
        front_ends = FrontEnds(registry.front_ends.available)
        self.registry = Registry(registry.vad, [], [module], (), front_ends=front_ends)
        self.modules: ModuleSet = {module.name: None}

    def voice(self, channel: Channel) -> FileVoice:
        """Return the voice that the session collected, after its end."""
        heard = self._reader.heard
        embedding = heard.pop(self._deciding, None)
        return FileVoice(embedding, self._reader.speech * 1000 // RATE_HZ, channel, heard)


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
            heard=reader.heard,
            is_one=is_one_voice(reader.windows, reader.main),
            utterances=reader.utterances,
            minimum_ms=self._minimum_ms,
            source=source,
            levels=None if self._levels is None else self._levels.of(reader.runs),
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
