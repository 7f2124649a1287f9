"""`streamd enroll`."""

from __future__ import annotations

import hashlib
from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from streamd.audio.files import Gap
from streamd.cli.common import ConfigOption, note, read_config
from streamd.cli.progress import seconds_bar
from streamd.cli.recording import TrackOption, open_recording
from streamd.cli.runtime import open_voices, ready_library
from streamd.compose import Parts, make_parts, speaker_model
from streamd.config import Config
from streamd.display import display_name
from streamd.errors import NotAudio
from streamd.files.analysis import Analysis
from streamd.modules.emotion import BASELINE_MODEL, EmotionModule
from streamd.modules.emotion_model import Baseline, calmness
from streamd.modules.enrolment import EnrolmentModule, EnrolmentReader
from streamd.modules.gallery import Channel, Gallery
from streamd.modules.registry import Registry
from streamd.modules.speaker import SpeakerModule
from streamd.store import Enrolment, check_name
from streamd.types import RATE_HZ, Floats

ENOUGH_S = 5.0
ALIKE = 0.75
"""Windows of one voice lie above this, measured on read speech."""
SAME = 0.99999
"""Cosine that only the same audio has: embeddings of it differ by rounding alone."""


def enroll(
    name: Annotated[str, typer.Argument(help="Name of the voice.")],
    files: Annotated[
        list[Path], typer.Argument(help="Recordings of this voice only.", readable=False)
    ],
    track: TrackOption = None,
    config: ConfigOption = None,
) -> None:
    """Enrol a voice by name from recordings.

    Each file is one enrolment, and several make decisions more reliable. Each should have five
    seconds of speech or more, of the kind of audio that will be streamed.
    A running server knows the voice within two seconds.
    """
    name = check_name(name)
    files = _distinct(files)
    settings = read_config(config)
    with closing(open_voices(settings)) as store:
        parts = make_parts(settings, ready_library(settings))
        model = speaker_model(settings).id
        # Nothing is stored before every file was read: a voice is enrolled whole or not at all.
        heard = [(file, *_listen(file, track, parts, settings)) for file in files]
        enrolled = store.embeddings(name, model)
        heard = [one for one in heard if _is_new(name, *one[:2], enrolled)]
        if not heard:
            return
        known = store.load_gallery(model, BASELINE_MODEL).baselines.get(name)
        baseline = Baseline.from_bytes(known) if known else None
        for _, reader, _ in heard:
            baseline = _usual(reader, parts, baseline)
        enrolments = [
            Enrolment(reader.mean, model, channel, _speech_ms(reader), display_name(file.name))
            for file, reader, channel in heard
        ]
        store.enrol(name, enrolments, {BASELINE_MODEL: baseline.to_bytes()} if baseline else {})
    for file, reader, channel in heard:
        speech_s = _speech_ms(reader) / 1000
        note(f"{name}: {speech_s:.1f} s of speech from {display_name(file)} ({channel} band)")
        if speech_s < ENOUGH_S:
            note(f"  less than {ENOUGH_S:.0f} s of speech; more would make decisions more reliable")
        if reader.consistency < ALIKE:
            note("  the recording does not sound like a single voice; check it")


def _speech_ms(reader: EnrolmentReader) -> int:
    return reader.speech * 1000 // RATE_HZ


def _distinct(files: list[Path]) -> list[Path]:
    """The files without those that are named twice or equal another one, and a note of each.

    An enrolment that counts twice would weigh twice, and make the voice no surer.
    """
    kept: dict[object, Path] = {}
    for file in files:
        twin = kept.setdefault(_identity(file), file)
        if twin is not file:
            note(f"{file} is the same recording as {twin}; it counts once")
    return list(kept.values())


def _is_new(name: str, file: Path, reader: EnrolmentReader, enrolled: list[Floats]) -> bool:
    """Whether a voice is not yet enrolled with this recording, under whatever file name.

    The embeddings of what is new are added to `enrolled`.
    """
    if any(float(reader.mean @ other) > SAME for other in enrolled):
        note(f"{name} is already enrolled with {display_name(file)}; it counts once")
        return False
    enrolled.append(reader.mean)
    return True


def _identity(file: Path) -> object:
    """Equal for equal contents; a pipe can be read only once, and counts by its path."""
    if not file.is_file():
        return str(file)
    try:
        with file.open("rb") as data:
            return hashlib.file_digest(data, "sha256").digest()
    except OSError:
        return str(file)  # whoever decodes it says why it cannot be read


def _usual(reader: EnrolmentReader, parts: Parts, baseline: Baseline | None) -> Baseline:
    """How the voice sounds when it enrols: mostly in no mood in particular."""
    emotion = parts.registry.readers["emotion"]
    assert isinstance(emotion, EmotionModule)
    baseline = baseline or Baseline.empty(emotion.model.size)
    for states, moments in reader.utterances:
        features = emotion.model.features(states, moments)
        calm = calmness(emotion.model.judge(features, None).log_probs)
        baseline = baseline.add(features, float(calm))
    return baseline


def _listen(
    file: Path, track: int | None, parts: Parts, settings: Config
) -> tuple[EnrolmentReader, Channel]:
    audio = open_recording(file, track)
    speaker = parts.registry.readers["speaker"]
    assert isinstance(speaker, SpeakerModule)
    module = EnrolmentModule(speaker.settings)
    registry = Registry(parts.registry.vad, [], [module], ())
    modules = {module.name: None}
    analysis = Analysis(
        parts.engine, registry, modules, audio.format, Gallery.empty(), settings.session.ring_s
    )
    try:
        with seconds_bar(f"analyzing {display_name(audio.name)}", audio.stated_s) as done:
            for part in audio.parts:
                list(analysis.gap(part.ms) if isinstance(part, Gap) else analysis.feed(part))
                done(audio.seconds(part))
            list(analysis.end())
    finally:
        analysis.close()
    minimum_ms = speaker.settings.window_ms
    if not module.reader.embeddings or _speech_ms(module.reader) < minimum_ms:
        raise NotAudio(
            f"{display_name(file)}: {module.reader.speech / RATE_HZ:.1f} s of speech; an enrolment "
            f"takes {minimum_ms / 1000} s at least. Nothing was stored."
        )
    return module.reader, audio.format.channel_kind
