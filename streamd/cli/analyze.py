"""`streamd analyze`."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from streamd.audio.files import as_pcm16, read
from streamd.cli.common import (
    ConfigOption,
    JsonOption,
    WordsOption,
    modules_request,
    read_listening_config,
)
from streamd.cli.progress import seconds_bar
from streamd.cli.runtime import note_strangers, open_voices, ready_library
from streamd.compose import make_parts, speaker_model
from streamd.events import Event
from streamd.modules.emotion import BASELINE_MODEL
from streamd.offline import Analysis
from streamd.view import make_view


def analyze(
    file: Annotated[Path, typer.Argument(help="Any audio file.", readable=False)],
    word: WordsOption = None,
    json: JsonOption = False,
    config: ConfigOption = None,
) -> None:
    """Hear a file without a server: the same events as a stream of it, as fast as it goes."""
    settings = read_listening_config(config)
    audio = read(file)
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
    with (
        make_view(sys.stdout.isatty(), json) as view,
        seconds_bar("analyzing", is_shown=is_lines) as done,
    ):
        for block in audio.blocks:
            for event in analysis.feed(as_pcm16(block)):
                view.event(_wire(event))
            done(len(block) / audio.rate_hz)
            if not view.alive:
                return
        for event in analysis.end():
            view.event(_wire(event))
        if not is_lines:
            view.event(_wire(analysis.bye()))


def _wire(event: Event) -> dict[str, Any]:
    wire: dict[str, Any] = msgspec.to_builtins(event)
    return wire
