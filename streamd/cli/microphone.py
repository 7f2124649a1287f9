"""A microphone as a feed of audio, through PortAudio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from streamd.audio.files import Gap
from streamd.cli.blocks import Feed
from streamd.errors import ConfigError, Unavailable

BLOCK_MS = 20
LOOK_S = 0.5
"""Seconds between checks that the device still runs."""
SILENT_S = 3.0
"""Seconds without a block after which a device counts as gone; a quiet room sends blocks too."""
_RATES_HZ = (48_000, 44_100, 16_000, 8_000)
_SAMPLE_BYTES = 2
_CHOOSE = "choose another one with --device; `streamd mic --list` shows them"


def load_driver() -> Any:
    """Import `sounddevice`.

    Raises:
        ConfigError: It is not installed.
        Unavailable: PortAudio, which it needs, is not installed.
    """
    try:
        import sounddevice
    except ImportError:
        raise ConfigError(
            "the microphone needs one more package: pip install 'streamd-voice[mic]', "
            "or pip install '.[mic]' in a checkout"
        ) from None
    except OSError as error:
        raise Unavailable(
            f"{error}; install PortAudio (Debian and Ubuntu: apt install libportaudio2)"
        ) from None
    return sounddevice


def find_device(driver: Any, device: str | None) -> Any:
    """Ask the driver for an input device by number or name; None asks for the default one.

    Raises:
        Unavailable: There is no such device.
    """
    try:
        return driver.query_devices(_identity(device), "input")
    except (driver.PortAudioError, ValueError) as error:
        if not driver.query_devices():
            raise Unavailable(
                "no microphone found: the system lists no audio device; connect one and check "
                "with `streamd mic --list`"
            ) from None
        raise Unavailable(f"{_name(device)} cannot be used: {error}; {_CHOOSE}") from None


def _identity(device: str | None) -> int | str | None:
    return int(device) if device is not None and device.isdigit() else device


def _name(device: str | None) -> str:
    return "the default microphone" if device is None else f"microphone {device!r}"


class Microphone(Feed):
    """Blocks of a microphone, s16le mono, from the first iteration on.

    Made on the event loop. What the driver or a full queue loses becomes a gap.

    Args:
        driver: The `sounddevice` module.
        device: Number or name of the device; None takes the system's default.
        silent_s: Seconds without a block after which the device counts as gone.

    Raises:
        Unavailable: There is no such device, or it cannot be opened.
    """

    failure: Unavailable | None = None
    """Why the device stopped, once the feed has ended for that reason."""

    def __init__(self, driver: Any, device: str | None, silent_s: float = SILENT_S) -> None:
        self._driver = driver
        self._name = _name(device)
        self._silent_s = silent_s
        self._blocks = 0
        self._captured_to_s: float | None = None
        self.rate_hz, self._stream = self._open(device)
        super().__init__(self.rate_hz * _SAMPLE_BYTES)

    async def __aiter__(self) -> AsyncIterator[bytes | Gap]:
        """Yield the blocks and gaps, until `end`.

        Raises:
            Unavailable: The device does not start.
        """
        try:
            self._stream.__enter__()
        except self._driver.PortAudioError as error:
            raise Unavailable(f"{self._name} does not start: {error}; {_CHOOSE}") from None
        watch = asyncio.create_task(self._watch())
        try:
            async for block in super().__aiter__():
                yield block
        finally:
            watch.cancel()
            with suppress(self._driver.PortAudioError):  # for example of an unplugged device
                self._stream.__exit__(None, None, None)

    async def _watch(self) -> None:
        """End the feed when the device stops delivering blocks."""
        seen, silent_s = self._blocks, 0.0
        while getattr(self._stream, "active", True) and silent_s < self._silent_s:
            await asyncio.sleep(min(LOOK_S, self._silent_s))
            silent_s = silent_s + min(LOOK_S, self._silent_s) if seen == self._blocks else 0.0
            seen = self._blocks
        self.failure = Unavailable(
            f"{self._name} stopped: it was unplugged, or another program took it; "
            f"connect it again, or {_CHOOSE}"
        )
        self.end()

    def _open(self, device: str | None) -> tuple[int, Any]:
        own_hz = int(find_device(self._driver, device)["default_samplerate"])
        wanted = min(max(own_hz, _RATES_HZ[-1]), _RATES_HZ[0])
        refused: Exception | None = None
        for rate_hz in dict.fromkeys((wanted, *_RATES_HZ)):
            try:
                return rate_hz, self._driver.RawInputStream(
                    samplerate=rate_hz,
                    channels=1,
                    dtype="int16",
                    device=_identity(device),
                    blocksize=rate_hz * BLOCK_MS // 1000,
                    callback=self._take,
                )
            except (self._driver.PortAudioError, ValueError) as error:
                refused = refused or error
        raise Unavailable(f"{self._name} cannot be opened: {refused}; {_CHOOSE}")

    def _take(self, data: Any, frames: int, time: Any, status: Any) -> None:
        """Take a block, in the driver's thread."""
        self._blocks += 1
        lost = self._lost_frames(frames, time) if getattr(status, "input_overflow", False) else 0
        captured_s = getattr(time, "inputBufferAdcTime", 0.0)
        self._captured_to_s = captured_s + frames / self.rate_hz if captured_s else None
        with suppress(RuntimeError):  # the event loop has ended
            self.offer(bytes(data), lost * _SAMPLE_BYTES)

    def _lost_frames(self, frames: int, time: Any) -> int:
        """Return frames lost by the driver before this block, by its clock; a block without one."""
        captured_s = getattr(time, "inputBufferAdcTime", 0.0)
        if not captured_s or self._captured_to_s is None:
            return frames
        lost = round((captured_s - self._captured_to_s) * self.rate_hz)
        return lost if lost > 0 else frames
