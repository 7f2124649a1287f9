"""`streamd analyze`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from streamd.cli.common import (
    ConfigOption,
    EventsOption,
    JsonOption,
    TenantOption,
    WordsOption,
    modules_request,
    read_session_config,
)
from streamd.cli.front_end import EnhanceOption, FarEndOption, with_front_end
from streamd.cli.progress import seconds_bar
from streamd.cli.raw import ChannelsOption, CodecOption, RateOption, raw_format
from streamd.cli.recording import TrackOption, open_recording, open_stdin, view_of
from streamd.cli.runtime import note_other_models, open_voices, ready_library
from streamd.compose import make_parts
from streamd.events import Event
from streamd.files.offline import OfflineAnalysis
from streamd.files.recording import Recording
from streamd.modules.emotion import BASELINE_MODEL
from streamd.view import View, make_view, only
from streamd.voices import voice_models


def analyze(
    file: Annotated[
        str,
        typer.Argument(help="Audio file; - reads stdin: a file, or raw samples without a header."),
    ],
    word: WordsOption = None,
    json: JsonOption = False,
    events: EventsOption = None,
    track: TrackOption = None,
    rate: RateOption = None,
    channels: ChannelsOption = None,
    codec: CodecOption = None,
    enhance: EnhanceOption = None,
    far_end: FarEndOption = None,
    tenant: TenantOption = None,
    config: ConfigOption = None,
) -> None:
    """Analyze a file locally, without a server, as fast as the machine can.

    The events are those of a stream of the same audio. With --rate, --channels or --codec, stdin
    is raw samples; without them it is whatever it looks like.
    """
    shows = only(events)
    audio = raw_format(file, rate, channels, codec)
    settings = read_session_config(config)
    if file == "-":
        is_raw = any(option is not None for option in (rate, channels, codec))
        recording = open_stdin(audio, track, is_raw=is_raw)
    else:
        recording = open_recording(Path(file), track)
    sound = with_front_end(recording.format, enhance, far_end)
    with closing(open_voices(settings, tenant)) as store:
        parts = make_parts(settings, ready_library(settings))
        gallery = store.load_gallery(voice_models(settings), BASELINE_MODEL)
        note_other_models(store, settings)
        words = store.load_words()
    modules, warnings = parts.registry.resolve(modules_request(word), words=words)
    analysis = OfflineAnalysis(
        parts.engine, parts.registry, modules, sound, gallery, settings.session.ring_s
    )
    for code, message in warnings:
        analysis.session.warn(code, message)
    is_terminal = sys.stdout.isatty()
    with make_view(is_terminal, json, shows) as view:
        shown = view_of(recording, view)
        for event in _events(recording, analysis, view, is_bar_shown=not is_terminal):
            shown.event(_wire(event))
            if not view.alive:
                return
        if is_terminal and not json:
            view.event(_wire(analysis.bye()))


def _events(
    recording: Recording, analysis: OfflineAnalysis, view: View, *, is_bar_shown: bool
) -> Iterator[Event]:
    """Yield all events, and show the position."""
    at_s = 0.0
    with seconds_bar(recording.name, recording.stated_s, is_shown=is_bar_shown) as done:
        for part in recording.parts:
            yield from analysis.feed(part)
            seconds = recording.seconds(part)
            at_s += seconds
            view.position(at_s, recording.stated_s)
            done(seconds)
        yield from analysis.end()


def _wire(event: Event) -> dict[str, Any]:
    wire: dict[str, Any] = msgspec.to_builtins(event)
    return wire
