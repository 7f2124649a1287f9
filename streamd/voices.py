"""Which voice models a configuration asks for, and the scale of their scores."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np

from streamd.config import Config
from streamd.display import display_name
from streamd.errors import ConfigError
from streamd.models import catalogue
from streamd.models.catalogue import Model
from streamd.models.library import Library
from streamd.modules.voice_models import MAIN_ASSIGN, MAIN_CHANGE, MAIN_LEAD, VoiceModels
from streamd.modules.voice_scale import FittedScale
from streamd.places import scales_dir

SPEAKER_MODELS = {
    "ge2e": "ge2e-resemblyzer-0.1.4",
    "ge2e-int8": "ge2e-resemblyzer-0.1.4-int8",
    "campplus": "campplus-zh-en-advanced",
    "campplus-int8": "campplus-zh-en-advanced-int8",
    "campplus-zh-cn": "campplus-zh-cn-common",
    "ecapa": "ecapa-tdnn-mindspore",
    "ecapa-int8": "ecapa-tdnn-mindspore-int8",
    "eres2netv2": "eres2netv2-zh-cn",
}
"""Catalogue id of each model that may decide who speaks, by its name in the configuration."""
DEFAULT_SPEAKER_MODELS = [
    name for name, model_id in SPEAKER_MODELS.items() if catalogue.model(model_id).is_default
]
"""Names of those that every `streamd models pull` brings."""
WINDOWS_MODEL = "ge2e"
"""The model of every window beside a main one."""
SCALES = {"campplus-zh-en-advanced": "voice-scale-campplus.npz"}
"""File of the scale that comes with streamd, by the catalogue id of the model in float32."""
_INT8 = "-int8"
_DIGITS = 8
"""Digits of a checkpoint's SHA-256 that tell it from others."""


def speaker_model(config: Config) -> Model:
    """Return the model that decides who speaks."""
    return catalogue.model(SPEAKER_MODELS[config.speaker.model])


def speaker_models(config: Config) -> tuple[Model, ...]:
    """Return all models of voices, that which decides first."""
    chosen = speaker_model(config)
    if config.speaker.model.startswith(WINDOWS_MODEL):
        return (chosen,)
    return (chosen, catalogue.model(SPEAKER_MODELS[WINDOWS_MODEL]))


def voice_models(config: Config, library: Library | None = None) -> VoiceModels:
    """Return the models of voices; who was enrolled with none of them is unknown.

    Args:
        config: The configuration.
        library: The models; None for those in the usual folder.
    """
    s, library = config.speaker, library or Library()
    chosen, *others = speaker_models(config)
    name = voice_id(chosen, library)
    if not others:
        return VoiceModels(
            name, assign=s.assign, new=s.new, change=s.change, comparable={name: _like(chosen, "")}
        )
    windows = others[0]
    suffix = name.removeprefix(chosen.id)
    return VoiceModels(
        windows=windows.id,
        main=name,
        scale=scale_of(chosen, suffix),
        assign=MAIN_ASSIGN,
        new=MAIN_ASSIGN,
        change=MAIN_CHANGE,
        lead=MAIN_LEAD,
        comparable={name: _like(chosen, suffix), windows.id: _like(windows, "")},
    )


def graph_of(model: Model) -> str:
    """Return the name of a voice model's graph, as `campplus`."""
    return Path(model.files[0]).stem


def voice_id(model: Model, library: Library) -> str:
    """Return the id of a model for enrolments.

    It is the catalogue's. Where owners have checkpoints of their own, the beginning of the
    checkpoint's SHA-256 comes behind it: enrolments by another one are not comparable.
    """
    digest = None if model.source_digest else library.made_of(model)
    return f"{model.id}@{digest[:_DIGITS]}" if digest else model.id


def _like(model: Model, suffix: str) -> tuple[str, ...]:
    """Return the ids of the models whose embeddings a model's may be compared with."""
    return tuple(model_id + suffix for model_id in catalogue.comparable(model.id))


def scale_of(model: Model, suffix: str = "") -> FittedScale:
    """Return the scale of a main model: fitted by the owner, else ours, else a provisional one.

    Args:
        model: The model.
        suffix: What `voice_id` puts behind its id.

    Raises:
        ConfigError: The owner's file is damaged.
    """
    fitted = fitted_path(model.id + suffix)
    if fitted.is_file():
        try:
            return FittedScale.load(fitted)
        except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise ConfigError(
                f"{display_name(fitted)} is no scale of voices ({error}). Fit it again with "
                "`streamd speakers fit`, or delete it"
            ) from error
    if (name := whole(model.id)) in SCALES:
        return FittedScale.load(Path(catalogue.__file__).parent / "weights" / SCALES[name])
    return provisional_scale()


def fitted_path(voice_id: str) -> Path:
    """Return the file in which an owner's own scale of a model lies; int8 has that of float32."""
    return scales_dir(os.environ) / f"{whole(voice_id)}.npz"


def whole(name: str) -> str:
    """Return the name of a model in float32, whose embeddings serve for its form in int8, too."""
    return name.replace(_INT8, "")


def provisional_scale() -> FittedScale:
    """Return a cautious scale for a model of whose scores nothing was measured here.

    Published thresholds of such models lie between 0.25 (ECAPA-TDNN on VoxCeleb) and 0.37 (the
    Chinese models of 3D-Speaker), for recordings of good quality. Strangers in one room and at one
    microphone are more alike, so a voice is accepted from 0.42 on, and on the telephone from 0.50.
    """
    return FittedScale(
        means=np.zeros((2, 1), np.float32),
        accept=np.array([[0.42, 0.42], [0.42, 0.50]], np.float32),
        width=0.13,
        for_speech=0.04,
        for_enrolments=0.05,
        is_provisional=True,
    )
