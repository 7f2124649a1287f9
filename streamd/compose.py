"""The wiring: it makes the passes, modules and engine that a configuration asks for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from streamd.arrays import INSTALL_AGAIN
from streamd.backends import Backends
from streamd.config import Config
from streamd.engine.idle import IdleModels
from streamd.engine.local import LocalEngine
from streamd.engine.model_info import report_model
from streamd.engine.passes.base import Pass
from streamd.engine.passes.frontend import front_end_passes
from streamd.engine.passes.ge2e import Ge2eSpeculative, Ge2eVoice
from streamd.engine.passes.heads import WordHeads
from streamd.engine.passes.keyword import FsmnKeywords
from streamd.engine.passes.mood import MoodPass
from streamd.engine.passes.openwakeword import OpenWakeWord
from streamd.engine.passes.silero import SileroVad
from streamd.engine.passes.transcript import TranscriptPass
from streamd.engine.passes.voiceprint import Voiceprint
from streamd.engine.passes.webrtc import WebrtcVad
from streamd.engine.recognition.base import Recogniser
from streamd.engine.recognition.lane import Transcriber
from streamd.engine.recognition.metered import Metered
from streamd.errors import ConfigError
from streamd.front_ends import FrontEnds, installed
from streamd.live.held import SPARE_LEASES
from streamd.models import catalogue
from streamd.models.catalogue import Model
from streamd.models.library import Library
from streamd.modules.base import ModelCard, ReaderModule, SpeculativePass
from streamd.modules.emotion import EmotionModule
from streamd.modules.emotion_model import EmotionModel
from streamd.modules.keyword_spelling import CannotSpell, Spelling
from streamd.modules.keyword_stepper import KeywordModel
from streamd.modules.moods import MoodModule
from streamd.modules.registry import NO_FRONT_ENDS, Registry
from streamd.modules.speaker import SpeakerModule
from streamd.modules.stateful import StatefulModule
from streamd.modules.stepper import StepperModule
from streamd.modules.transcript import TranscriptModule
from streamd.modules.vad import VadGrid, VadModule
from streamd.modules.wake import WakeModule
from streamd.modules.wake_stepper import WordModel
from streamd.naming import is_keyword
from streamd.observability.cores import usable_cpus
from streamd.observability.metrics import Metrics
from streamd.recognisers import (
    SENSEVOICE_MODELS,
    TRANSCRIPT_MODELS,
    make_moods,
    make_recogniser,
)
from streamd.voices import graph_of, speaker_models, voice_models

VAD_MODELS = {"silero": "silero-vad-6.2.3", "webrtc": "webrtc-vad"}
KEYWORD_MODELS = {"xiaoyun": "xiaoyun-kws"}
EMOTION_MODEL = "emotion-0.1"


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts that a daemon and an offline run share."""

    registry: Registry
    engine: LocalEngine
    metrics: Metrics
    recogniser: Metered | None = None
    """Makes text; None for no text."""
    moods: Metered | None = None
    """Tells moods, where a recogniser does; the same if it is the same model."""

    def text_cpu_s(self) -> float:
        """Return the CPU time of text and of moods by a recogniser so far, seconds."""
        return sum(one.cpu_s() for one in {self.recogniser, self.moods} if one is not None)


def wanted_models(config: Config) -> list[str]:
    """Return the ids of the models that a configuration needs."""
    words = [catalogue.word_model(word).id for word in config.wake.load]
    if config.wake.words:
        words.append(catalogue.EMBEDDING_ID)  # words of the user's own need no other model
    if config.wake.keyword_model != "off":
        words.append(KEYWORD_MODELS[config.wake.keyword_model])
    if config.transcript.model != "off":
        words.append(TRANSCRIPT_MODELS[config.transcript.model])
    if config.emotion.model in SENSEVOICE_MODELS:
        words.append(SENSEVOICE_MODELS[config.emotion.model])
    voices = [model.id for model in speaker_models(config)]
    return [VAD_MODELS[config.vad.engine], *words, *voices]


def make_parts(config: Config, library: Library) -> Parts:
    """Load the models and wire all parts.

    Raises:
        ModelMissing: a model that the configuration names is not there.
        ConfigError: the configuration contradicts itself.
    """
    metrics = Metrics()
    models = IdleModels(config.models.idle_unload_s, metrics)
    backends = Backends(config.engine, models)
    vad: SileroVad | WebrtcVad
    if config.vad.engine == "silero":
        vad = SileroVad(backends.of(SileroVad.name), library)
    else:
        vad = WebrtcVad()
        webrtc = catalogue.model(VAD_MODELS[config.vad.engine])
        report_model(metrics, webrtc.id, webrtc, "webrtcvad", "int16")
    wake = None
    if config.wake.words:
        wake = OpenWakeWord(backends.of(OpenWakeWord.name), library, config.wake.load)
    keywords = None
    if config.wake.keyword_model != "off":
        graph = graph_of(catalogue.model(KEYWORD_MODELS[config.wake.keyword_model]))
        keywords = FsmnKeywords(backends.of(FsmnKeywords.name), library, graph)
    *main_model, windows_model = speaker_models(config)
    voice = Ge2eVoice(backends.of(Ge2eVoice.name), library, graph_of(windows_model))
    speculative = Ge2eSpeculative(voice)
    vad.max_batch = config.engine.live_batch
    voice.max_batch = speculative.max_batch = config.engine.voice_batch
    passes: list[Pass] = [vad, voice]
    if main_model:
        main = Voiceprint(backends.of(Voiceprint.name), library, graph_of(main_model[0]))
        main.max_batch = config.engine.voice_batch
        main.warm()
        passes.append(main)
    if wake is not None:
        wake.max_batch = config.engine.live_batch
        passes.append(wake)
    if keywords is not None:
        keywords.max_batch = config.engine.live_batch
        passes.append(keywords)
    for loaded in (vad, wake, keywords, voice):
        if loaded is not None and not isinstance(loaded, WebrtcVad):
            loaded.warm()  # now, so that the first stream does not wait
    front_ends = FrontEnds(installed(), config.session.enhance)
    if front_ends.available:
        passes += front_end_passes()
    recogniser = make_recogniser(config, library, metrics, models, backends)
    if recogniser is not None:
        passes.append(TranscriptPass(recogniser))
    moods = make_moods(config, library, backends, recogniser)
    if moods is not None:
        passes.append(MoodPass(moods))
    threads = config.engine.threads or math.ceil(usable_cpus())
    # A held stream never costs a new one its place, nor does one that ends; a full server lets a
    # held one return.
    max_leases = config.limits.max_streams + config.resume.max_held + SPARE_LEASES
    engine = LocalEngine(
        passes,
        max_leases,
        threads,
        metrics,
        [speculative],
        # A lease that is closed is free again when the batch with its last job is done.
        max_files=2 * config.files.max_at_once,
    )
    heads = None if wake is None else wake.heads
    registry = make_registry(config, vad, metrics, heads, library, recogniser, front_ends, keywords)
    return Parts(registry, engine, metrics, recogniser, moods)


def make_transcriber(config: Config, parts: Parts) -> Transcriber | None:
    """Return the transcriber of files; None for no text."""
    if parts.recogniser is None:
        return None
    # A file has at most one utterance in work.
    return Transcriber(parts.recogniser, config.files.max_at_once, parts.metrics)


def make_vad(config: Config, vad: SileroVad | WebrtcVad) -> VadModule:
    """Return the VAD module with the configuration's defaults."""
    frame = vad.item_samples - vad.context_samples
    return VadModule(
        config.vad,
        VadGrid(frame, vad.context_samples, vad.copies_state),
        _card(catalogue.model(VAD_MODELS[config.vad.engine])),
    )


def make_keywords(config: Config, keywords: FsmnKeywords) -> KeywordModel:
    """Return the model that spells keywords.

    Raises:
        ConfigError: it cannot spell a word of a client that names none.
    """
    info, name = keywords.info, config.wake.keyword_model
    spelling = Spelling(info.tokens, info.lexicon)
    for word in filter(is_keyword, config.wake.words):
        try:
            spelling.spell(word)
        except CannotSpell as error:
            raise ConfigError(
                f"{config.where('wake.words')}: wake.words: {word!r}: {error}"
            ) from None
    card = _card(catalogue.model(KEYWORD_MODELS[name]))
    return KeywordModel(card, spelling, info.delay, keywords.replay_steps)


def make_registry(
    config: Config,
    vad: SileroVad | WebrtcVad,
    metrics: Metrics,
    heads: WordHeads | None,
    library: Library | None = None,
    recogniser: Recogniser | None = None,
    front_ends: FrontEnds = NO_FRONT_ENDS,
    keywords: FsmnKeywords | None = None,
) -> Registry:
    """Return the modules with the configuration's defaults.

    Args:
        config: the configuration of the daemon.
        vad: the pass that computes voice activity.
        metrics: the metrics of what a module computes by itself.
        heads: the heads of the users' own words in the wake pass; None without that pass.
        library: the models; None for those in the usual folder.
        recogniser: what makes text; None for no text.
        front_ends: what can make the audio clean.
        keywords: the pass that spells keywords, if there is one.

    Raises:
        ConfigError: the configuration names a wake word that the keyword model cannot spell.
    """
    w = config.wake
    steppers: list[StepperModule] = []
    if w.words and heads is not None:
        loaded = {word: _word(word) for word in w.load}
        spelled = None if keywords is None else make_keywords(config, keywords)
        steppers.append(WakeModule(w, loaded, heads.register, spelled))
    models = voice_models(config, library)
    cards = [_card(model) for model in speaker_models(config)]
    named = zip(cards, models.ids, strict=True)
    voices = ModelCard.joined([replace(card, model=name) for card, name in named])
    speaker = SpeakerModule(config.speaker, voices, models)
    readers: list[ReaderModule] = [speaker]
    stateful: list[StatefulModule] = []
    e = config.emotion
    if e.model in SENSEVOICE_MODELS:
        stateful.append(MoodModule(e, _card(catalogue.model(SENSEVOICE_MODELS[e.model]))))
    else:
        # Behind the speaker module, because it needs to know who speaks.
        emotion = _emotion(e.model, metrics)
        readers.append(EmotionModule(e, emotion, metrics.pass_cpu.labels("emotion").inc))
    if recogniser is not None:
        stateful.append(_transcript(config, recogniser))
    return Registry(
        make_vad(config, vad),
        steppers,
        readers,
        config.session.modules,
        {Ge2eVoice.name: SpeculativePass(Ge2eSpeculative.name, Ge2eSpeculative.samples)},
        stateful,
        front_ends,
    )


def _emotion(path: str, metrics: Metrics) -> EmotionModel:
    """Load the emotion model in a file; without one, that which comes with streamd."""
    if path:
        report_model(metrics, Path(path).stem, None, "numpy", "fp32")
        return EmotionModel.load(Path(path))
    model = catalogue.model(EMOTION_MODEL)
    report_model(metrics, model.id, model, "numpy", "fp32")
    return EmotionModel.load(catalogue.bundled(EMOTION_MODEL), INSTALL_AGAIN)


def _transcript(config: Config, recogniser: Recogniser) -> TranscriptModule:
    model = TRANSCRIPT_MODELS.get(config.transcript.model, catalogue.TRANSCRIPT_ID)
    return TranscriptModule(
        _card(catalogue.model(model)),
        recogniser.languages,
        config.transcript.hop_ms or recogniser.hop_ms,
        has_itn=recogniser.has_itn,
    )


def _word(name: str) -> WordModel:
    word = catalogue.word(name)
    card = _card(catalogue.word_model(name))
    return WordModel(card, word.phrase_ms, word.window, threshold=word.threshold)


def _card(model: Model) -> ModelCard:
    return ModelCard(
        model=model.id,
        license=model.licence,
        source=model.source,
        training_data=model.training_data,
    )
