"""The recognisers that a configuration names: what makes text, and what tells moods."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence

from streamd.backends import Backends
from streamd.config import Config
from streamd.engine.idle import IdleModels, Kept, SameFile
from streamd.engine.local import NICE_TEXT
from streamd.engine.model_info import report_model
from streamd.engine.passes.transcript import TranscriptPass
from streamd.engine.recognition.accumulating import Accumulating
from streamd.engine.recognition.base import Recogniser
from streamd.engine.recognition.metered import Metered
from streamd.engine.sensevoice.model import SenseVoice
from streamd.engine.sensevoice.recogniser import Remembering, SenseVoiceSpans
from streamd.engine.whisper.transcriber import Decode, Decoded, Whisper
from streamd.engine.whisper.vocabulary import Vocabulary
from streamd.errors import ConfigError
from streamd.models import catalogue
from streamd.models.library import Library
from streamd.models.pieces import Pieces
from streamd.observability.metrics import Metrics
from streamd.types import Floats
from streamd.voices import graph_of

SENSEVOICE_MODELS = {
    "sensevoice": "sensevoice-small",
    "sensevoice-int8": "sensevoice-small-int8",
}
TRANSCRIPT_MODELS = {"whisper-tiny-en": catalogue.TRANSCRIPT_ID, **SENSEVOICE_MODELS}


def make_recogniser(
    config: Config, library: Library, metrics: Metrics, models: IdleModels, backends: Backends
) -> Metered | None:
    """Load what makes text; None if the configuration has it off.

    Raises:
        ModelMissing: Its model is not there.
        ConfigError: The package that runs it is not installed.
    """
    name = config.transcript.model
    if name == "off":
        return None
    if name in SENSEVOICE_MODELS:
        return Metered(_sensevoice(name, library, backends))
    recogniser, own_cpu_s = _whisper(config, library, models, metrics)
    spent = metrics.pass_cpu.labels(TranscriptPass.name).inc
    return Metered(recogniser, own_cpu_s, spent)


def make_moods(
    config: Config, library: Library, backends: Backends, recogniser: Metered | None
) -> Metered | None:
    """Return the recogniser that tells moods, the same as for text if it is the same model."""
    name = config.emotion.model
    if name not in SENSEVOICE_MODELS:
        return None
    if recogniser is not None and config.transcript.model == name:
        return recogniser
    return Metered(_sensevoice(name, library, backends))


def _sensevoice(name: str, library: Library, backends: Backends) -> Recogniser:
    """Load a SenseVoice.

    Raises:
        ModelMissing: It is not there.
        ConfigError: There is no such backend.
    """
    model = catalogue.model(SENSEVOICE_MODELS[name])
    backend = backends.of(TranscriptPass.name)
    _, _, pieces = (library.path(file) for file in model.files)
    graph = backend.load(library.path(backend.file(graph_of(model))))
    network = SenseVoice(graph, Pieces.read(pieces))
    return Accumulating(SenseVoiceSpans(Remembering(network.understand)))


def _whisper(
    config: Config, library: Library, models: IdleModels, metrics: Metrics
) -> tuple[Recogniser, Callable[[], float]]:
    """Load a Whisper, and return what its threads have spent. It raises as `make_recogniser`."""
    try:
        backend = importlib.import_module("streamd.engine.backends.ctranslate2")
    except ImportError as error:
        raise ConfigError(
            f"transcript.model {config.transcript.model!r} cannot be loaded: {error}. It needs a "
            "package: pip install 'streamd-voice[transcript]'"
        ) from error
    weights, settings, words = (library.path(file) for file in catalogue.TRANSCRIPT_FILES)
    vocabulary = Vocabulary.read(words.read_bytes())
    files = [SameFile(path) for path in (weights, settings, words)]
    kept: Kept[Decode] = models.keep(
        weights.stem, lambda: backend.load_whisper(*(file.path() for file in files)), NICE_TEXT
    )

    report_model(
        metrics, weights.stem, catalogue.model(catalogue.TRANSCRIPT_ID), "ctranslate2", "int8"
    )

    def decode(window: Floats, prompt: Sequence[int], beam: int, most: int) -> Decoded:
        with kept.use() as model:
            return model(window, prompt, beam, most)

    return Whisper(decode, vocabulary), kept.cpu_s
