"""Configuration to parts: the passes, the modules and the engine that a streamd runs with."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path

from streamd.arrays import INSTALL_AGAIN
from streamd.config import Config
from streamd.engine.backends.base import Backend
from streamd.engine.local import LocalEngine
from streamd.engine.passes.base import Pass
from streamd.engine.passes.ge2e import Ge2eSpeculative, Ge2eVoice
from streamd.engine.passes.openwakeword import OpenWakeWord
from streamd.engine.passes.silero import SileroVad
from streamd.engine.passes.webrtc import WebrtcVad
from streamd.errors import ConfigError
from streamd.models import catalogue
from streamd.models.catalogue import Model
from streamd.models.library import Library
from streamd.modules.base import ModelCard, SpeculativePass
from streamd.modules.decision import Band
from streamd.modules.emotion import EmotionModule, EmotionSettings
from streamd.modules.emotion_model import EmotionModel
from streamd.modules.registry import Registry
from streamd.modules.speaker import SpeakerModule, SpeakerSettings
from streamd.modules.vad import VadModule, VadSettings
from streamd.modules.wake import WakeModule, WakeSettings, WordModel
from streamd.observability.cores import usable_cores
from streamd.observability.metrics import Metrics

VAD_MODELS = {"silero": "silero-vad-6.2.3", "webrtc": "webrtc-vad"}
SPEAKER_MODELS = {
    "ge2e": "ge2e-resemblyzer-0.1.4",
    "ge2e-int8": "ge2e-resemblyzer-0.1.4-int8",
}
BACKENDS = {"onnxruntime": "OnnxRuntime"}
"""Backends by the name of their file, and the class in it."""
EMOTION_MODEL = "emotion-0.1"


@dataclass(frozen=True, slots=True)
class Parts:
    """What a daemon and an offline run have in common."""

    registry: Registry
    engine: LocalEngine
    metrics: Metrics


def wanted_models(config: Config) -> list[str]:
    """Ids of the models that a configuration needs."""
    words = [catalogue.word_model(word).id for word in config.wake.load]
    if config.wake.words:
        words.append(catalogue.EMBEDDING_ID)  # words of the user's own need no more
    return [VAD_MODELS[config.vad.engine], *words, speaker_model(config).id]


def speaker_model(config: Config) -> Model:
    """The model of voices; whoever was enrolled with another one is a stranger to it."""
    return catalogue.model(SPEAKER_MODELS[config.speaker.model])


def load_backend(name: str) -> Backend:
    """A backend by its name; its framework is imported here, and only now.

    Raises:
        ConfigError: there is no such backend, or its framework is not installed.
    """
    if name not in BACKENDS:
        raise ConfigError(
            f"engine.backend: unknown backend {name!r}; available: {', '.join(BACKENDS)}"
        )
    try:
        module = importlib.import_module(f"streamd.engine.backends.{name}")
    except ImportError as error:
        raise ConfigError(f"engine.backend {name!r} cannot be loaded: {error}") from error
    backend: Backend = getattr(module, BACKENDS[name])()
    return backend


def make_parts(config: Config, library: Library) -> Parts:
    """Load the models and wire everything.

    Raises:
        ModelMissing: a model that the configuration names is not there.
        ConfigError: the configuration contradicts itself.
    """
    backend = load_backend(config.engine.backend)
    vad: SileroVad | WebrtcVad
    vad = SileroVad(backend, library) if config.vad.engine == "silero" else WebrtcVad()
    wake = OpenWakeWord(backend, library, config.wake.load) if config.wake.words else None
    voice = Ge2eVoice(backend, library, speaker_model(config).files[0])
    speculative = Ge2eSpeculative(voice)
    vad.max_batch = config.engine.live_batch
    voice.max_batch = speculative.max_batch = config.engine.voice_batch
    passes: list[Pass] = [vad, voice]
    if wake is not None:
        wake.max_batch = config.engine.live_batch
        passes.append(wake)
    for loaded in (vad, wake, voice):
        if loaded is not None and not isinstance(loaded, WebrtcVad):
            loaded.warm()  # now, and not while the first stream waits
    metrics = Metrics()
    threads = config.engine.threads or len(usable_cores())
    # A held stream never costs a new one its place, and a full server lets it return.
    max_leases = config.limits.max_streams + config.resume.max_held
    engine = LocalEngine(passes, max_leases, threads, metrics, [speculative])
    return Parts(make_registry(config, vad, metrics), engine, metrics)


def make_vad(config: Config, vad: SileroVad | WebrtcVad) -> VadModule:
    """Voice activity, with the configuration's defaults."""
    v = config.vad
    return VadModule(
        VadSettings(
            engine=v.engine,
            frame=vad.item_samples - vad.context_samples,
            context=vad.context_samples,
            on=v.on,
            off=v.off,
            min_speech_ms=v.min_speech_ms,
            hangover_ms=v.hangover_ms,
            pre_roll_ms=v.pre_roll_ms,
            max_utterance_ms=v.max_utterance_ms,
            gate=v.gate,
            gate_dbfs=v.gate_dbfs,
            gate_hold_ms=v.gate_hold_ms,
            copies_state=vad.copies_state,
        ),
        _card(catalogue.model(VAD_MODELS[v.engine])),
    )


def make_registry(config: Config, vad: SileroVad | WebrtcVad, metrics: Metrics) -> Registry:
    """The modules, with the configuration's defaults.

    Args:
        config: of the daemon.
        vad: the pass that hears voice activity.
        metrics: where to count what a module computes by itself.
    """
    w = config.wake
    wake_module = None
    if w.words:
        wake_module = WakeModule(
            WakeSettings(
                w.words,
                w.threshold,
                w.patience,
                w.refractory_ms,
                w.thresholds,
                w.patiences,
                w.gate,
                w.gate_threshold,
                w.gate_hold_ms,
                w.gate_rise_db,
            ),
            {word: _word(word) for word in w.load},
        )
    s = config.speaker
    bands = {
        "wide": Band(s.thresholds.wide.accept, s.thresholds.wide.reject),
        "narrow": Band(s.thresholds.narrow.accept, s.thresholds.narrow.reject),
    }
    speaker = SpeakerModule(
        SpeakerSettings(
            hop_ms=s.hop_ms,
            window_ms=s.window_ms,
            min_speech_ms=s.min_speech_ms,
            label_min_ms=s.label_min_ms,
            assign=s.assign,
            new=s.new,
            max_labels=s.max_labels,
            change=s.change,
            bands=bands,
        ),
        _card(speaker_model(config)),
    )
    e = config.emotion
    emotion = EmotionModule(
        EmotionSettings(hop_ms=e.hop_ms, threshold=e.threshold or None),
        EmotionModel.load(Path(e.model))
        if e.model
        else EmotionModel.load(catalogue.bundled(EMOTION_MODEL), INSTALL_AGAIN),
        metrics.pass_cpu.labels("emotion").inc,
    )
    # In this order: emotion wants to know who speaks.
    return Registry(
        make_vad(config, vad),
        wake_module,
        [speaker, emotion],
        config.session.modules,
        {Ge2eVoice.name: SpeculativePass(Ge2eSpeculative.name, Ge2eSpeculative.samples)},
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
