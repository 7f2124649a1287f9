"""`streamd analyze`."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from streamd.audio.files import Gap, as_pcm16
from streamd.cli.common import (
    ConfigOption,
    JsonOption,
    WordsOption,
    modules_request,
    note_strangers,
    open_voices,
    read_listening_config,
    ready_library,
    seconds_bar,
)
from streamd.cli.recording import TrackOption, open_recording, view_of
from streamd.compose import make_parts, speaker_model
from streamd.events import Event
from streamd.modules.emotion import BASELINE_MODEL
from streamd.offline import Analysis
from streamd.view import make_view


def analyze(
    file: Annotated[Path, typer.Argument(help="Any audio file.", readable=False)],
    word: WordsOption = None,
    json: JsonOption = False,
    track: TrackOption = None,
    config: ConfigOption = None,
) -> None:
    """Hear a file without a server: the same events as a stream of it, as fast as it goes."""
    settings = read_listening_config(config)
    audio = open_recording(file, track)
    with closing(open_voices(settings)) as store:
        parts = make_parts(settings, ready_library(settings))
        gallery = store.load_gallery(speaker_model(settings).id, BASELINE_MODEL)
        note_strangers(store, settings)
        words = store.load_words()
    modules, warnings = parts.registry.resolve(modules_request(word), words=words)
    analysis = Analysis(
        parts.engine, parts.registry, modules, audio.format, gallery, settings.session.ring_s
    )
    for code, message in warnings:
        analysis.session.warn(code, message)
    is_lines = json or not sys.stdout.isatty()
    with make_view(sys.stdout.isatty(), json) as view, seconds_bar("analyzing", is_lines) as done:
        shown = view_of(audio, view)
        for part in audio.parts:
            if isinstance(part, Gap):
                events, seconds = analysis.gap(part.ms), 0.0
            else:
                events, seconds = analysis.feed(as_pcm16(part)), len(part) / audio.rate_hz
            for event in events:
                shown.event(_wire(event))
            done(seconds)
            if not view.alive:
                return
        for event in analysis.end():
            shown.event(_wire(event))
        if not is_lines:
            view.event(_wire(analysis.bye()))


def _wire(event: Event) -> dict[str, Any]:
    wire: dict[str, Any] = msgspec.to_builtins(event)
    return wire
