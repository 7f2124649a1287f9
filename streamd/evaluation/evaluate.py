"""One evaluation, from a manifest to its report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

import streamd
from streamd.config import Config, describe
from streamd.evaluation import emotion, manifest, speaker, vad, wake
from streamd.evaluation.conditions import Conditions, Noise
from streamd.evaluation.manifest import Check, Manifest, Progress
from streamd.evaluation.report import Options, Report
from streamd.evaluation.running import Run
from streamd.evaluation.tasks import Result, Task
from streamd.models.library import Library
from streamd.modules.words import CustomWords
from streamd.voices import fitted_path, voice_models


class Module(StrEnum):
    """Modules that can be evaluated."""

    vad = "vad"
    wake = "wake"
    speaker = "speaker"
    emotion = "emotion"


class _Parts(NamedTuple):
    check: Check
    evaluate: Callable[[Manifest, Options, Run], Report]


_MODULES = {
    Module.vad: _Parts(vad.check, vad.evaluate),
    Module.wake: _Parts(wake.check, wake.evaluate),
    Module.speaker: _Parts(speaker.check, speaker.evaluate),
    Module.emotion: _Parts(emotion.check, emotion.evaluate),
}
NO_INFLUENCE = ("server", "store", "log", "limits", "models")
"""Sections of the configuration that change no event."""


def read_manifest(
    module: Module,
    path: Path,
    split: str | None,
    progress: Progress = lambda done, total: None,
) -> Manifest:
    """Read and check all of a manifest, even if only a split is evaluated.

    Raises:
        BadManifest: one line for each fault, or no row is of the split.
        Unavailable: it cannot be read.
    """
    found = manifest.read(path, _MODULES[module].check, progress)
    return found if split is None else found.of_split(split)


def fingerprint_of(config: Config, library: Library, words: CustomWords) -> list[Any]:
    """Return a hash of what results depend on besides the task and the code."""
    relevant = {
        setting.key: setting.value
        for setting in describe(config)
        if setting.key.partition(".")[0] not in NO_INFLUENCE
    }
    # Two owners of a published model may have other weights.
    digests = library.digests()
    models = [(f.file, f.status, digests.get(f.file)) for f in library.verify()]
    own = [(name, word.info.created_ms, word.info.threshold) for name, word in words.items()]
    scale = fitted_path(voice_models(config, library).deciding)
    files = [path for path in (Path(config.emotion.model), scale) if path.is_file()]
    written = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return [relevant, models, own, written]


def evaluate(module: Module, rows: Manifest, options: Options, run: Run) -> Report:
    """Run all recordings and compute the figures.

    Args:
        module: to evaluate.
        rows: checked for it.
        options: as the user gave them.
        run: runs tasks.

    Returns:
        Figures under the keys that `docs/evaluation.md` lists, and tables.

    Raises:
        BadManifest: a recording is not audio, or shorter than a row says.
        BadConfig: a module or word that is not there.
    """
    models: dict[str, Any] = {}

    def noting(what: str, tasks: Sequence[Task]) -> list[Result]:
        answers = run(what, tasks)
        for answer in answers[:1]:
            models.update(answer["models"])
        return answers

    report = _MODULES[module].evaluate(rows, options, noting)
    head = {
        "module": module.value,
        "manifest": str(rows.path),
        "rows": len(rows.rows),
        "conditions": options.conditions.described(),
        "options": _told(module, options),
        "models": models,
        "config": differences(options.config),
        "streamd": streamd.__version__,
        "seed": options.seed,
    }
    listed = {"failures": [failure.described() for failure in report.failures]}
    return replace(report, figures=head | report.figures | listed)


def _told(module: Module, options: Options) -> dict[str, Any]:
    """Return the options that this module uses."""
    told: dict[Module, dict[str, Any]] = {
        Module.wake: {"words": list(options.words)},
        Module.speaker: {
            "channels": list(options.channels),
            "lengths_s": list(options.lengths_s),
        },
        Module.emotion: {"baseline": options.baseline, "open": options.is_open},
    }
    return told.get(module, {}) | {"condition": _plain(options.conditions)}


def _plain(conditions: Conditions) -> dict[str, Any]:
    noise, room, echo = conditions.noise, conditions.room, conditions.loudspeaker
    return {
        "room_ms": None if room is None else room.rt60_ms,
        "room_place": None if room is None else room.place or None,
        "noise": None if noise is None else _noise(noise),
        "gain_db": conditions.gain_db,
        "opus_kbps": conditions.opus_kbps,
        "mulaw": conditions.mulaw,
        "loudspeaker": None if echo is None else {"echo_db": echo.echo_db, "place": echo.name},
        "far_end": conditions.far_end,
        "enhance": conditions.enhance,
    }


def _noise(noise: Noise) -> dict[str, Any]:
    """Describe the noise; a recording is its own kind."""
    return {
        "snr_db": noise.snr_db,
        "kind": noise.kind or noise.place,
        "place": noise.place or None,
    }


def differences(config: Config) -> dict[str, Any]:
    """Return the keys that differ from their defaults and may change an event."""
    return {
        setting.key: setting.value
        for setting in describe(config)
        if setting.value != setting.default and setting.key.partition(".")[0] not in NO_INFLUENCE
    }
