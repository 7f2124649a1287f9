"""`streamd mic`."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated, Any

import typer

from streamd.cli.common import (
    INTERRUPTED,
    CaOption,
    EventsOption,
    JsonOption,
    NoAcksOption,
    UrlOption,
    WordsOption,
    modules_request,
    note,
)
from streamd.cli.credentials import KeyOption
from streamd.cli.front_end import EnhanceOption, asked
from streamd.cli.microphone import BLOCK_MS, Microphone, load_driver
from streamd.cli.talk import talk
from streamd.client import DEFAULT_URL
from streamd.errors import Unavailable
from streamd.view import View, make_view, only
from streamd.view.console import stdout


def mic(
    url: UrlOption = DEFAULT_URL,
    key: KeyOption = None,
    ca: CaOption = None,
    word: WordsOption = None,
    device: Annotated[
        str | None, typer.Option(help="Name or number of the microphone; --list shows them.")
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="List the audio devices and exit.")] = False,
    json: JsonOption = False,
    events: EventsOption = None,
    no_acks: NoAcksOption = False,
    enhance: EnhanceOption = None,
) -> None:
    """Stream the microphone to a server and show the events.

    Ctrl-C ends the stream: its last events and a summary still come. If the connection drops, the
    last minute of audio is kept until it is back.
    """
    chosen = only(events, no_acks=no_acks)
    driver = load_driver()
    if list_:
        devices = driver.query_devices()
        if devices:
            stdout().print(str(devices), soft_wrap=True)
        else:
            note("The system lists no audio device; connect a microphone.")
        return
    with make_view(sys.stdout.isatty(), json, chosen) as view:
        failure, interrupted = asyncio.run(
            _listen(driver, url, key, device, view, modules_request(word), asked(enhance))
        )
    if failure is not None:
        raise failure
    if interrupted:
        raise typer.Exit(INTERRUPTED)


async def _listen(
    driver: Any,
    url: str,
    key: str | None,
    device: str | None,
    view: View,
    modules: dict[str, Any] | None,
    front_end: dict[str, Any],
) -> tuple[Unavailable | None, bool]:
    source = Microphone(driver, device)
    audio = {"rate": source.rate_hz} | front_end
    interrupted = await talk(
        url,
        audio,
        source,
        view,
        modules,
        key=key,
        realtime=False,
        is_live=True,
        message_ms=BLOCK_MS,
    )
    return source.failure, interrupted
