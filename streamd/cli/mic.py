"""`streamd mic`."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import Annotated, Any

import typer

from streamd.cli.blocks import Feed
from streamd.cli.common import JsonOption, UrlOption, WordsOption, modules_request, note
from streamd.cli.talk import talk
from streamd.client import DEFAULT_URL
from streamd.errors import ConfigError, Unavailable
from streamd.view import View, make_view

BLOCK_MS = 20


def mic(
    url: UrlOption = DEFAULT_URL,
    word: WordsOption = None,
    device: Annotated[
        str | None, typer.Option(help="Name or number of the microphone; --list shows them.")
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="Show the devices and exit.")] = False,
    json: JsonOption = False,
) -> None:
    """Send the microphone to a server and show what it hears. Ctrl-C ends."""
    sounddevice = _sounddevice()
    if list_:
        typer.echo(sounddevice.query_devices())
        return
    with make_view(sys.stdout.isatty(), json) as view:
        asyncio.run(_listen(sounddevice, url, device, view, modules_request(word)))


def _sounddevice() -> Any:
    try:
        import sounddevice
    except ImportError:
        raise ConfigError(
            "the microphone needs one more package: pip install 'streamd-voice[mic]'"
        ) from None
    except OSError as error:
        raise Unavailable(
            f"{error}: install PortAudio (Debian: apt install libportaudio2)"
        ) from None
    return sounddevice


async def _listen(
    sounddevice: Any, url: str, device: str | None, view: View, modules: dict[str, Any] | None
) -> None:
    chosen = int(device) if device is not None and device.isdigit() else device
    feed = Feed(lambda lost: note(f"the server is too slow: {lost} bytes of audio were lost"))
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, feed.end)
    try:
        rate = int(sounddevice.query_devices(chosen, "input")["default_samplerate"])
        rate = min(max(rate, 8000), 48_000)
        microphone = sounddevice.RawInputStream(
            samplerate=rate,
            channels=1,
            dtype="int16",
            device=chosen,
            blocksize=rate * BLOCK_MS // 1000,
            callback=lambda data, frames, time, status: feed.offer(bytes(data)),
        )
    except (sounddevice.PortAudioError, ValueError) as error:
        raise Unavailable(
            f"no microphone: {error}. `streamd mic --list` shows the devices."
        ) from None
    with microphone:
        await talk(url, {"rate": rate}, feed, view, modules, realtime=False)
